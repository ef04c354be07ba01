"""What README and RESULTS.md show first: chief results and findings, read from our verdicts.

Nothing here holds a number of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from report_original import by_words, verdict_of
from stage_report import shown


@dataclass(frozen=True)
class Headline:
    """One of our results: the original's stage, in a reader's words, the original's figures, and the verdict shown."""

    stage: str
    text: str
    original: str
    result: str
    id: str


# What README shows first: the reader's words, the original's figures, and the row that decides.
HEADLINES = (
    Headline("2", "Pong, reading the ball's velocity by one matrix: layer 1 above two raw frames [R2]",
          "0.311 (.900, .589)", "probe_pong", "ball velocity: L1, third > raw(t,t-1)"),
    Headline("4a", "Pong, a clone of a losing player: as good as that player (difference within 2)", "-12.6 and -13.4",
          "bc_pong", "clone = expert"),
    Headline("4a", "the same clone: above one on random filters", "", "bc_pong",
          "resu mlp > filters mlp"),
    Headline("4a", "Pong, a clone of a winning player: more than 8 points", "", "bc_pong_winning",
          "clone > target"),
    Headline("4", "Breakout, a clone with dataset aggregation: more than 40", "", "bc_games_breakout_dagger",
          "clone > target"),
    Headline("4", "Space Invaders, the same: more than 450", "", "bc_games_space_invaders_dagger",
          "clone > target"),
    Headline("11", "Enduro, cars passed: a clone above one on random filters", "", "bc_games_enduro",
          "resu mlp > filters mlp"),
    Headline("7", "Pong, reinforcement learning on the frozen code: wins (more than 0 points)", "", "ppo_pong",
          "features > 0"),
    Headline("7", "the same: more than 17 points", "", "ppo_pong",
          "features > 17"),
    Headline("7", "the same: above PPO on frames that learned about as many minutes", "", "ppo_pong",
          "minutes: features > frames"),
    Headline("7", "Pong, begun as the clone of a winning player: above that clone", "", "ppo_pong_clone",
          "learned > clone"),
    Headline("7", "Breakout, from nothing, after 10 M frames: above linear Blob-PROST (12.3)", "", "ppo_pong_breakout",
          "features > 12.3"),
    Headline("7", "Space Invaders, the same: above linear Blob-PROST (466)", "",
          "ppo_pong_space_invaders", "features > 466"),
    Headline("9c", "Pong, after the code was streamed on Breakout: a refitted clone plays as before (within 2)",
          "-10.6 and -11.0", "transfer_forgetting", "ReSU, alpha 0.99: head refitted"),
    Headline("9c", "the same, the old head kept", "", "transfer_forgetting", "ReSU, alpha 0.99: head kept"),
    Headline("speed", "moments, in the hardest game: times faster than the fastest peer (4 and more)", "", "bench_core",
          "peer / moments"),
    Headline("speed", "encoding, in the hardest game that moves little: the same (15 and more)", "", "bench_core",
          "peer / encode"),
    Headline("speed", "a clone at play: share of the bare emulator's rate (.9 and more)", "", "bench_play",
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
        estimate, verdict = decided(claim.result, claim.id, results)
        ours = {"ours [95 % interval]": estimate, "verdict": verdict}
        rows.append({"stage": claim.stage, "claim": claim.text, "the original's": claim.original, **ours})
    return rows


def findings(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The findings with our estimates in their places; `(missing)` where a result is not there."""

    def estimate(match: re.Match[str]) -> str:
        name, id = match[1].split(": ", 1)
        return decided(name, id, results)[0] or "(missing)"

    return [re.sub(r"\{([^}]+)\}", estimate, text) for text in FINDINGS]


def decided(name: str, id: str, results: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """(estimate, stands or falls or undecided or missing) of one verdict, from the documents of results by name."""
    found = verdict_of(name, id, results)
    word = by_words(found)
    return ("" if found is None or found["estimate"] is None else shown(found["estimate"])), word
