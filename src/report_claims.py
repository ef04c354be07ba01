"""The claims of the original investigation, and which of our verdicts decides each: RESULTS.md's and README's summary.

Nothing here holds a number of ours: verdicts and estimates are read from the results.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stage_report import shown
from stats_ci import EQUIVALENT, REFUTED, SUPPORTED

STANDS, FALLS, OPEN, MISSING = "stands", "falls", "undecided", "missing"


@dataclass(frozen=True)
class Claim:
    """One claim of the original.

    stage      of the investigation         text   the claim        original   the figures it was made with
    result     name of our result           id     of the one among its verdicts that decides
    opposite   our verdict is on the contrary: the claim stands if that is refuted
    """

    stage: str
    text: str
    original: str
    result: str
    id: str
    opposite: bool = False


CLAIMS = (
    Claim("1", "dead leaves give a one-lobed low-pass filter", "by eye", "probe_deadleaves",
          "filter 1: first lobe"),
    Claim("1", "and a two-lobed derivative", "by eye", "probe_deadleaves", "filter 2: depth"),
    Claim("1", "fewer lobes at lower signal-to-noise", "by eye", "probe_deadleaves",
          "filter 2: fewer lobes"),
    Claim("2", "ball xy[t]: layer 1 beats two raw frames", ".976 against .835", "probe_pong",
          "ball xy[t]: L1, third > raw(t,t-1)"),
    Claim("2", "ball xy[t+4]: layer 1 beats two raw frames", ".946 against .803", "probe_pong",
          "ball xy[t+4]: L1, third > raw(t,t-1)"),
    Claim("2", "ball velocity: layer 1 beats two raw frames", ".900 against .589", "probe_pong",
          "ball velocity: L1, third > raw(t,t-1)"),
    Claim("2", "paddle y[t]: layer 1 beats two raw frames", ".997 against .990", "probe_pong",
          "paddle y[t]: L1, third > raw(t,t-1)"),
    Claim("2", "paddle y[t+4]: two raw frames beat layer 1", ".733 against .651", "probe_pong",
          "paddle y[t+4]: L1, third > raw(t,t-1)", opposite=True),
    Claim("2", "ball velocity: layer 2 beats layer 1", ".920 against .900", "probe_pong", "ball velocity: L2 > L1"),
    Claim("3", "actions beside raw pixels help", ".733 to .822", "probe_pong_action",
          "raw(t,t-1) + actions > raw(t,t-1)"),
    Claim("3", "actions injected into layer 1's past do not", ".651 and .660", "probe_pong_action",
          "L1 on actions = L1"),
    Claim("4a", "a clone on ReSU features plays like its expert", "-12.6 and -13.4", "bc_pong",
          "clone = expert"),
    Claim("4a", "and better than one on raw pixels with an MLP", "-12.6 against -21.0", "bc_pong",
          "resu mlp > raw mlp"),
    Claim("4a", "linear heads: ReSU features beat raw pixels", "-19.0 against -21.0", "bc_pong",
          "resu linear > raw linear"),
    Claim("4a", "an MLP is needed: it beats a linear head", "-12.6 against -19.0", "bc_pong",
          "resu mlp > resu linear"),
    Claim("5", "streaming Pong's encoder on Breakout matches fitting anew", "19.2 +- 2.5 and 17.4 +- 2.1",
          "bc_breakout", "streamed 0.99 = native"),
    Claim("5", "and beats the frozen encoder", "19.2 against 14.8 +- 1.7", "bc_breakout",
          "streamed 0.99 > frozen"),
    Claim("5", "fitting anew beats the frozen encoder", "17.4 against 14.8", "bc_breakout",
          "native > frozen"),
    Claim("5", "filter 1 keeps a cosine of .99 with its Pong twin", ".99", "bc_breakout",
          "streamed 0.99: filter 1 kept"),
    Claim("6", "the DQN network end to end is no better", "-10.9 +- 1.0 and -11.9 +- .9", "bc_pong_cnn",
          "CNN = ReSU"),
    Claim("6", "and takes longer to fit", "10 s and 2 s", "bc_pong_cnn",
          "seconds: CNN > ReSU"),
    Claim("7", "DQN on ReSU features learns nothing in 500,000 steps", "-19.7", "dqn_pong",
          "features, 0.5 M < -15"),
    Claim("7", "nor does DQN on frames", "-19.7", "dqn_pong", "frames, 0.5 M < -15"),
    Claim("7", "DQN begun as a clone collapses", "-8 .. -12 to -21", "dqn_pong_warmstart",
          "naive against frozen"),
    Claim("8", "ship x: layer 2 beats layer 1", ".939 against .850", "depth_ablation_si", "ship x: L2 > L1"),
    Claim("8", "ship x: a third layer loses what the second has", ".817 against .939", "depth_ablation_si",
          "ship x: L3 > L2", opposite=True),
    Claim("8", "alive pixels: a third layer loses, too", ".919 against .986", "depth_ablation_si",
          "alive pixels: L3 > L2", opposite=True),
    Claim("8", "formation y: a third layer loses, too", ".923 against .986", "depth_ablation_si",
          "formation y: L3 > L2", opposite=True),
    Claim("8", "ship x: all three layers beat the first two", ".955 against .948", "depth_ablation_si",
          "ship x: L1+L2+L3 > L1+L2"),
    Claim("8", "bullet pixels: every layer reads them perfectly", "1.000", "depth_ablation_si",
          "bullet pixels: L1 > original"),
    Claim("8", "layer 2: all 8 correlations are at least .9958", ".9958", "depth_ablation_si",
          "L2: smallest correlation > original"),
    Claim("9a", "10,000 streamed frames beat none", "19.8 +- 3.3 against 16.9 +- 3.7", "transfer_matrix",
          "timescale: 10000 > 0"),
    Claim("9a", "and beat 60,000", "19.8 against 14.3 +- 2.2", "transfer_matrix",
          "timescale: 10000 > 60000"),
    Claim("9b", "Pong > Breakout: streaming costs", "12.9 to 9.7", "transfer_matrix",
          "pong > breakout", opposite=True),
    Claim("9b", "Pong > Space Invaders: streaming helps", "332.5 to 343.5", "transfer_matrix",
          "pong > space_invaders"),
    Claim("9b", "Breakout > Pong: streaming helps", "-12.0 to -11.7", "transfer_matrix",
          "breakout > pong"),
    Claim("9b", "Breakout > Space Invaders: streaming helps", "283.5 to 335.0", "transfer_matrix",
          "breakout > space_invaders"),
    Claim("9b", "Space Invaders > Pong: streaming helps", "-18.0 to -10.5", "transfer_matrix",
          "space_invaders > pong"),
    Claim("9b", "Space Invaders > Breakout: streaming helps", "12.2 to 18.0", "transfer_matrix",
          "space_invaders > breakout"),
    Claim("9c", "nothing is forgotten, the old head kept", "-10.6 +- 1.2 and -11.0 +- 1.0", "transfer_forgetting",
          "ReSU, alpha 0.99: head kept"),
    Claim("11", "filter 1 is the derivative in all games", "one sign change", "asteroids_enduro_stress",
          "uncentred: filter 1 has one sign change"),
    Claim("11", "and alike in all games, unlike filter 0", "by eye", "asteroids_enduro_stress",
          "uncentred: filter 1 alike"),
    Claim("11", "a Pong encoder streamed on Asteroids ends at its native filters", "yes", "asteroids_enduro_stress",
          "forgetting stream to Asteroids: filter 1 native"),
    Claim("11", "rewards: native features beat raw pixels", ".623 against .609", "asteroids_enduro_stress",
          "asteroids: native > raw(t,t-1)"),
    Claim("11", "rewards: Pong's frozen filters do as well as native ones", ".627 and .623", "asteroids_enduro_stress",
          "asteroids: native = Pong"),
)  # fmt: skip


# What README shows first: the reader's words, the original's figures, and the row that decides.
HEADLINES = (
    Claim("2", "Pong, reading the ball's velocity by one matrix: layer 1 above two raw frames [R2]",
          "0.311 (.900, .589)", "probe_pong", "ball velocity: L1, third > raw(t,t-1)"),
    Claim("4a", "Pong, a clone of a losing player: as good as that player (difference within 2)", "-12.6 and -13.4",
          "bc_pong", "clone = expert"),
    Claim("4a", "the same clone: above one on random filters", "", "bc_pong",
          "resu mlp > filters mlp"),
    Claim("4a", "Pong, a clone of a winning player: more than 8 points", "", "bc_pong_winning",
          "clone > target"),
    Claim("4", "Breakout, a clone with dataset aggregation: more than 40", "19.2", "bc_games_breakout_dagger",
          "clone > target"),
    Claim("4", "Space Invaders, the same: more than 450", "343.5", "bc_games_space_invaders_dagger",
          "clone > target"),
    Claim("11", "Enduro, cars passed: a clone above one on random filters", "", "bc_games_enduro",
          "resu mlp > filters mlp"),
    Claim("7", "Pong, reinforcement learning on the frozen code: wins (more than 0 points)", "-19.7", "ppo_pong",
          "features > 0"),
    Claim("7", "the same: more than 17 points", "", "ppo_pong",
          "features > 17"),
    Claim("7", "the same: above PPO on frames that learned about as many minutes", "", "ppo_pong",
          "minutes: features > frames"),
    Claim("7", "Pong, begun as the clone of a winning player: above that clone", "", "ppo_pong_clone",
          "learned > clone"),
    Claim("7", "Breakout, from nothing, after 10 M frames: above linear Blob-PROST (12.3)", "", "ppo_pong_breakout",
          "features > 12.3"),
    Claim("7", "Space Invaders, the same: above linear Blob-PROST (466)", "",
          "ppo_pong_space_invaders", "features > 466"),
    Claim("9c", "Pong after the code was streamed on Breakout: nothing is forgotten (within 2)", "-10.6 and -11.0",
          "transfer_forgetting", "ReSU, alpha 0.99: head kept"),
    Claim("speed", "moments of 60,000 frames: times faster than the fastest peer (4 and more)", "", "bench_core",
          "peer / moments"),
    Claim("speed", "encoding them: times faster than the fastest peer (15 and more)", "", "bench_core",
          "peer / encode"),
    Claim("speed", "a clone at play: share of the bare emulator's rate (.9 and more)", "", "bench_play",
          "pong_winning"),
)  # fmt: skip


# What surprised us most; {result: id} stands for the estimate of a result's verdict.
FINDINGS = (
    "Streaming forgets all that the old head needs, against the original's finding: the score changes by "
    "{transfer_forgetting: ReSU, alpha 0.99: head kept} points. What is lost is a "
    "basis, not a skill: the pixel means moved, the first filter shrank, and the two weakest filters, whose "
    "correlations are near 0, turned. With these three restored the change is "
    "{transfer_forgetting: ReSU, alpha 0.99: head, means, gains and filters 3, 4 kept}"
    "; a head refitted on the streamed encoder changes it by "
    "{transfer_forgetting: ReSU, alpha 0.99: head refitted}, and refitting the last "
    "layer of a fine-tuned network leaves "
    "{transfer_forgetting: CNN, fine-tuned: last layer refitted}.",
    "In Breakout filters fitted on Pong serve better than Breakout's own: fitting anew changes the score by "
    "{bc_breakout: native > frozen}. The canonical directions of a game are "
    "not those with which it is played best. A network trained end to end on the same frames scores higher still, by "
    "{transfer_forgetting: Breakout: CNN > ReSU}, though not in Pong.",
    "In Pong it matters little to a clone that its filters are canonical, or that there are any: with the same head "
    "ReSU scores above random filters by {bc_pong: resu mlp > filters mlp}, above "
    "temporal PCA by {bc_pong: resu mlp > pca mlp} and above two raw frames by "
    "{bc_pong: resu mlp > raw mlp}, where the original's raw frames lost every "
    "point; with linear heads raw frames score higher, the difference being "
    "{bc_pong: resu linear > raw linear}. Where more moves it does matter: in Breakout ReSU "
    "scores {bc_breakout: native > random} above random filters, in Enduro "
    "{bc_games_enduro: resu mlp > filters mlp} cars above them and "
    "{bc_games_enduro: resu mlp > pca mlp} above temporal PCA.",
)


def headlines(results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """README's first table of results."""
    rows = []
    for claim in HEADLINES:
        estimate, verdict = decided(claim, results)
        ours = {"ours [95 % interval]": estimate, "verdict": verdict}
        rows.append({"stage": claim.stage, "claim": claim.text, "the original's": claim.original, **ours})
    return rows


def findings(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The findings with our estimates in their places; `(missing)` where a result is not there."""

    def estimate(match: re.Match[str]) -> str:
        name, id = match[1].split(": ", 1)
        return decided(Claim("", "", "", name, id), results)[0] or "(missing)"

    return [re.sub(r"\{([^}]+)\}", estimate, text) for text in FINDINGS]


def decided(claim: Claim, results: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """(estimate, stands or falls or undecided or missing) of a claim, from the documents of results by name."""
    found = verdict_of(claim, results)
    if found is None or found["verdict"] == MISSING:
        return "", MISSING
    words = {word.split()[0] for word in found["verdict"].split(", ")}
    good, bad = ({REFUTED, EQUIVALENT}, {SUPPORTED}) if claim.opposite else ({SUPPORTED, EQUIVALENT}, {REFUTED})
    # "supported" or "refuted" says which side; "equivalent" counts where nothing else was decided
    verdict = STANDS if words & (good - {EQUIVALENT}) else FALLS if words & bad else OPEN
    if verdict == OPEN and EQUIVALENT in words:
        verdict = STANDS
    return shown(found["estimate"]), verdict


def verdict_of(claim: Claim, results: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The verdict that decides a claim, as the result's document has it; None if it is not there."""
    document = results.get(claim.result, {"verdicts": ()})
    return next((verdict for verdict in document["verdicts"] if verdict["id"] == claim.id), None)


def table(results: Mapping[str, Mapping[str, Any]]) -> tuple[list[dict[str, str]], dict[str, int]]:
    """Rows for all claims, and how many stand, fall, are undecided or missing."""
    rows, counts = [], Counter({STANDS: 0, FALLS: 0, OPEN: 0, MISSING: 0})
    for claim in CLAIMS:
        estimate, verdict = decided(claim, results)
        counts[verdict] += 1
        rows.append(
            {
                "stage": claim.stage,
                "claim of the original": claim.text,
                "its figures": claim.original,
                "decided by": (verdict_of(claim, results) or {"claim": claim.id})["claim"]
                + (" (the contrary)" if claim.opposite else ""),
                "estimate [95 % interval]": estimate,
                "verdict": verdict,
            }
        )
    return rows, dict(counts)
