"""The claims of the original investigation, with sign and size, and what our results say of each.

Nothing here holds a number of ours: estimates are read from the results. The figures are the original's; where it gives
standard errors, +- is one. Filters are numbered from 1.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

import stats_ci
from stage_report import read_estimate, shown
from stats_ci import EQUIVALENT, LEAST, LEVEL, REFUTED, SUPPORTED, UNDECIDED, Estimate

STANDS, SMALLER, FALLS, OPEN = "stands", "smaller", "falls", "undecided"
INCOMPARABLE, MISSING = "not comparable", "missing"
WORDS = (STANDS, SMALLER, FALLS, OPEN, INCOMPARABLE, MISSING)
ALPHA = 0.05  # of the primary claims together
MOST = 1000  # seeds that are looked at


@dataclass(frozen=True)
class Claim:
    """One claim of the original. What decides it is one of the following; with none of them our verdict's own word.

    stage      of the investigation         text    the claim         figures  of the original, as text
    result     name of our result           id      of the one among its verdicts whose estimate counts
    same       "yes", "partly: ..." or "no: ...": whether our experiment is the original's
    effect     the original's difference, in the unit of our estimate: it stands if the interval lies on its side of 0
               and holds at least half of it
    margin     "equal": it stands by two one-sided tests at 5 % within this margin
    at_most    "no more than"               at_least  "no less than"
    reported   of a claim with a margin or a bound: the original's own value, in the unit of our estimate; None if it
               gives none
    zero       where the scale of a bound begins (in the picture of all claims): the worst score, a cosine of 1
    primary    named beforehand: p values are adjusted among these
    incomparable   why no verdict is possible; then nothing else counts
    """

    stage: str
    text: str
    figures: str
    result: str
    id: str
    same: str = "yes"
    effect: float | None = None
    margin: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    reported: float | None = None
    zero: float = 0.0
    primary: bool = False
    incomparable: str = ""


PROBE = "partly: 60,000 frames in place of 200,000, episodes dealt out whole; its grid is unknown"
DEPTH = "partly: episodes dealt out whole; its grid and split are unknown"
CLONE = "partly: sticky actions, other constants of the experts, more games"
BOTH = "partly: sticky actions, other experts (in Breakout a better one), more games"
RECIPE = "partly: under its recipe as inferred (centring, ridge, streams, what L2 predicts)"
REWARD = "partly: episodes dealt out whole"
CLAIMS = (
    Claim("1", "dead leaves, by noise: filter 1 is a low-pass of one lobe (energy above .8)", "by eye",
          "probe_deadleaves", "filter 1: first lobe", "partly: it gives no numbers"),
    Claim("1", "dead leaves, by noise: filter 2 is a derivative of two lobes (depth below -.25)", "by eye",
          "probe_deadleaves", "filter 2: depth", "partly: it gives no numbers"),
    Claim("1", "dead leaves: filter 2 has fewer lobes at more noise", "by eye", "probe_deadleaves",
          "filter 2: fewer lobes", "partly: it gives no numbers"),
    Claim("2", "ball's velocity: L1 above two raw frames", ".900, .589", "probe_pong",
          "ball velocity: L1, third > raw(t,t-1)", PROBE, effect=0.311, primary=True),
    Claim("2", "ball's place: L1 above two raw frames", ".976, .835", "probe_pong",
          "ball xy[t]: L1, third > raw(t,t-1)", PROBE, effect=0.141),
    Claim("2", "ball 4 steps on: L1 above two raw frames", ".946, .803", "probe_pong",
          "ball xy[t+4]: L1, third > raw(t,t-1)", PROBE, effect=0.143),
    Claim("2", "ball's velocity: L2 above L1", ".920, .900", "probe_pong", "ball velocity: L2 > L1", PROBE,
          effect=0.020),
    Claim("2", "paddle now: L1 above two raw frames", ".997, .990", "probe_pong",
          "paddle y[t]: L1, third > raw(t,t-1)", incomparable="the grid decides, and its is unknown"),
    Claim("2", "paddle 4 steps on: L1 below two raw frames", ".651, .733", "probe_pong",
          "paddle y[t+4]: L1, third > raw(t,t-1)", PROBE, effect=-0.082),
    Claim("3", "paddle 4 steps on: raw frames with actions above without", ".822, .733", "probe_pong_action",
          "raw(t,t-1) + actions > raw(t,t-1)", PROBE, effect=0.089),
    Claim("3", "paddle 4 steps on: L1 with actions in its past like L1 (within .02)", ".660, .651",
          "probe_pong_action", "L1 on actions = L1", PROBE, margin=0.02, reported=0.009),
    Claim("4a", "a clone plays like the player it imitates (within 2)", "-12.6, -13.4", "bc_pong", "clone = expert",
          CLONE, margin=2.0, reported=0.8, primary=True),
    Claim("4a", "MLP heads: ReSU above two raw frames", "-12.6, -21.0", "bc_pong", "resu mlp > raw mlp",
          "partly: its classes were nearly balanced, its raw clone fell into one action", effect=8.4, primary=True),
    Claim("4a", "linear heads: ReSU above two raw frames", "-19.0, -21.0", "bc_pong", "resu linear > raw linear",
          CLONE, effect=2.0),
    Claim("4a", "on ReSU an MLP plays above a linear head", "-12.6, -19.0", "bc_pong", "resu mlp > resu linear",
          CLONE, effect=6.4),
    Claim("5", "Pong to Breakout: streamed like fitted anew (within 5)", "19.2 +- 2.5, 17.4 +- 2.1", "bc_breakout",
          "streamed 0.99 = native", BOTH, margin=5.0, reported=1.8, primary=True),
    Claim("5", "Pong to Breakout: streamed above frozen", "19.2 +- 2.5, 14.8 +- 1.7", "bc_breakout",
          "streamed 0.99 > frozen", BOTH, effect=4.4),
    Claim("5", "streamed: filter 1, low-pass, keeps a cosine of .99 with Pong's", ".99", "bc_breakout",
          "streamed 0.99: filter 1 kept", BOTH, at_least=0.985, reported=0.99, zero=1.0),
    Claim("5", "streamed: filters 3 and 4 drift away from Pong's (cosine below .9)", "by eye", "bc_breakout",
          "streamed 0.99: filters 3, 4 kept", BOTH, at_most=0.9),
    Claim("6", "the DQN network end to end plays like ReSU with MLP (within 2)", "-10.9 +- 1.0, -11.9 +- .9",
          "bc_pong_cnn", "CNN = ReSU", CLONE, margin=2.0, reported=1.0, primary=True),
    Claim("6", "the DQN network takes longer to fit than ReSU with MLP [log10 of times]", "10 s, 2 s", "bc_pong_cnn",
          "seconds: CNN > ReSU", "partly: CPU cores in place of a GPU", effect=0.7),
    Claim("7", "DQN on ReSU features learns nothing in 500,000 steps (below -15)", "-19.7",
          "dqn_pong_original", "original, 0.5 M < -15", "partly: other settings of DQN", at_most=-15.0,
          reported=-19.7, zero=-21.0),
    Claim("7", "DQN on frames learns nothing in 500,000 steps (below -15)", "-19.7", "dqn_pong",
          "frames, 0.5 M < -15", "no: ours explores for half as long, and ends at less", at_most=-15.0,
          reported=-19.7, zero=-21.0),
    Claim("7", "DQN begun as a clone falls further than the clone without learning", "-8 .. -12 to -21",
          "dqn_pong_warmstart", "naive against frozen", "partly: other settings of DQN", effect=-9.0),
    Claim("8", "ship: L2 above L1", ".939, .850", "depth_ablation_si", "ship x: L2 > L1", DEPTH, effect=0.089),
    Claim("8", "ship: L3 alone below L1", ".817, .850", "depth_ablation_si", "ship x: L3 > L1", DEPTH, effect=-0.033),
    Claim("8", "formation's height: L3 alone below L1", ".923, .985", "depth_ablation_si", "formation y: L3 > L1",
          DEPTH, effect=-0.062),
    Claim("8", "alive pixels: L3 alone below L1", ".919, .982", "depth_ablation_si", "alive pixels: L3 > L1", DEPTH,
          effect=-0.063),
    Claim("8", "ship: L3 adds at most .007 to L1+L2", ".955, .948", "depth_ablation_si", "ship x: L1+L2+L3 > L1+L2",
          DEPTH, at_most=0.007, reported=0.007, primary=True),
    Claim("8", "formation's height: L3 adds at most .007 to L1+L2", ".994, .992", "depth_ablation_si",
          "formation y: L1+L2+L3 > L1+L2", DEPTH, at_most=0.007, reported=0.002),
    Claim("8", "alive pixels: L3 adds at most .007 to L1+L2", ".994, .994", "depth_ablation_si",
          "alive pixels: L1+L2+L3 > L1+L2", DEPTH, at_most=0.007, reported=0.0),
    Claim("8", "bullet pixels: every layer reads them perfectly", "1.000", "depth_ablation_si",
          "bullet pixels: L1 > original", incomparable="what it counts is not defined"),
    Claim("8", "L2: all 8 correlations are at least .9958", ".9958", "depth_ablation_si_original",
          "L2: smallest correlation > original", RECIPE, at_least=0.9958, reported=0.9958, zero=1.0),
    Claim("9a", "Pong to Breakout: 10,000 streamed frames above none", "19.8 +- 3.3, 16.9 +- 3.7", "transfer_matrix",
          "timescale: 10000 > 0", BOTH, effect=2.9),
    Claim("9a", "Pong to Breakout: 10,000 streamed frames above 60,000", "19.8 +- 3.3, 14.3 +- 2.2",
          "transfer_matrix", "timescale: 10000 > 60000", BOTH, effect=5.5),
    Claim("9b", "Pong to Breakout: streamed like frozen (within 5)", "9.7, 12.9", "transfer_matrix",
          "pong > breakout", BOTH, margin=5.0, reported=-3.2),
    Claim("9b", "Breakout to Pong: streamed like frozen (within 2)", "-11.7, -12.0", "transfer_matrix",
          "breakout > pong", BOTH, margin=2.0, reported=0.3),
    Claim("9b", "Space Invaders to Pong: streamed above frozen", "-10.5, -18.0", "transfer_matrix",
          "space_invaders > pong", CLONE, effect=7.5, primary=True),
    Claim("9b", "Space Invaders to Breakout: streamed above frozen", "18.0, 12.2", "transfer_matrix",
          "space_invaders > breakout", BOTH, effect=5.8),
    Claim("9b", "Breakout to Space Invaders: streamed above frozen", "335.0, 283.5", "transfer_matrix",
          "breakout > space_invaders", CLONE, effect=51.5),
    Claim("9b", "Breakout to Pong: frozen like fitted on Pong (within 2)", "-12.0, -12.9", "transfer_matrix",
          "breakout > pong: frozen = native", BOTH, margin=2.0, reported=0.9),
    Claim("9c", "Pong after streaming on Breakout: a refitted clone plays as before (within 2)",
          "-11.0 +- 1.0, -10.6 +- 1.2", "transfer_forgetting", "ReSU, alpha 0.99: head refitted",
          "partly: that its clone was refitted is inferred", margin=2.0, reported=-0.4, primary=True),
    Claim("9c", "Pong after streaming on Breakout: the old clone plays as before (within 2)", "",
          "transfer_forgetting", "ReSU, alpha 0.99: head kept",
          "no: 'forgetting-free' read literally, its head may not have been kept", margin=2.0),
    Claim("11", "filter 2, the derivative, has one sign change in every game (share above .9)", "by eye",
          "asteroids_enduro_stress", "original: filter 2 has one sign change", RECIPE),
    Claim("11", "filter 2 is more alike across games than filter 1 [cosine]", "by eye", "asteroids_enduro_stress",
          "original: filter 2 more alike than filter 1", RECIPE),
    Claim("11", "Pong's filter 1 streamed on Asteroids ends at its flat one (cosine above .95)", "by eye",
          "asteroids_enduro_stress_original", "forgetting stream to Asteroids: filter 1 native", RECIPE),
    Claim("11", "rewards of Asteroids: native filters like Pong's (AUC within .01)", ".623, .627",
          "asteroids_enduro_stress", "asteroids: native = Pong", REWARD, margin=0.01, reported=-0.004),
)  # fmt: skip


def judged(claim: Claim, found: Estimate, p: float | None = None) -> str:
    """What an estimate says of a claim with an effect, a margin or a bound.

    p   of a primary claim, adjusted: it stands only below 5 %
    """
    if found.n < LEAST:
        return OPEN
    word = _judged(claim, found)
    return OPEN if word in (STANDS, SMALLER) and p is not None and p >= ALPHA else word


def _judged(claim: Claim, found: Estimate) -> str:
    if claim.effect is not None:
        sign = np.sign(claim.effect)
        low, high = sorted((sign * found.low, sign * found.high))
        if low > 0:
            return STANDS if high >= abs(claim.effect) / 2 else SMALLER
        return FALLS if high < abs(claim.effect) else OPEN
    if claim.margin is not None:
        words = {EQUIVALENT: STANDS, REFUTED: FALLS, UNDECIDED: OPEN}
        return words[stats_ci.verdict_equivalent(found, claim.margin)]
    if claim.at_most is not None:
        return STANDS if found.high <= claim.at_most else FALLS if found.low > claim.at_most else OPEN
    assert claim.at_least is not None
    return STANDS if found.low >= claim.at_least else FALLS if found.high < claim.at_least else OPEN


def p_value(claim: Claim, found: Estimate) -> float:
    """Of Student's one-sided t-test against what a claim with an effect, a margin or a bound denies."""
    error = (found.high - found.low) / 2 / stats.t.ppf(0.5 + LEVEL / 2, found.n - 1)

    def above(bound: float, sign: float) -> float:
        distance = sign * (found.mean - bound)
        if error == 0:
            return 0.0 if distance > 0 else 1.0
        return float(stats.t.sf(distance / error, found.n - 1))

    if claim.effect is not None:
        return above(0.0, float(np.sign(claim.effect)))
    if claim.margin is not None:
        return max(above(-claim.margin, 1.0), above(claim.margin, -1.0))
    if claim.at_most is not None:
        return above(claim.at_most, -1.0)
    assert claim.at_least is not None
    return above(claim.at_least, 1.0)


@functools.cache
def settled_by(claim: Claim, found: Estimate) -> int | None:
    """The least number of seeds that would decide an undecided claim if mean and spread stayed; None beyond MOST.

    Of a primary claim p counts as many times as there are primary ones, the most that an adjustment makes of it.
    """
    if found.n < 2:
        return None
    deviation = (found.high - found.low) / 2 * np.sqrt(found.n) / stats.t.ppf(0.5 + LEVEL / 2, found.n - 1)
    n_primary = sum(one.primary for one in CLAIMS)
    for n in range(LEAST, MOST + 1):
        half = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1) * deviation / np.sqrt(n))
        then = Estimate(found.mean, found.mean - half, found.mean + half, n)
        if judged(claim, then, n_primary * p_value(claim, then) if claim.primary else None) != OPEN:
            return n
    return None


def holm(p: Sequence[float]) -> list[float]:
    """p values adjusted for their number (Holm 1979): each is the least level of all at which its claim still holds."""
    order = np.argsort(p)
    steps = np.maximum.accumulate((len(p) - np.arange(len(p))) * np.asarray(p)[order])
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted.tolist()


def verdict_of(result: str, id: str, results: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """One verdict of a result's document; None if it is not there."""
    document = results.get(result, {"verdicts": ()})
    return next((verdict for verdict in document["verdicts"] if verdict["id"] == id), None)


def by_words(verdict: Mapping[str, Any] | None) -> str:
    """What our own verdict's words say of the claim that it is about."""
    if verdict is None or verdict["verdict"] == MISSING:
        return MISSING
    words = {word.split()[0] for word in verdict["verdict"].split(", ")}
    return STANDS if SUPPORTED in words else FALLS if REFUTED in words else STANDS if EQUIVALENT in words else OPEN


def _sized(claim: Claim) -> bool:
    return any(value is not None for value in (claim.effect, claim.margin, claim.at_most, claim.at_least))


def words_for(
    results: Mapping[str, Mapping[str, Any]], claims: Sequence[Claim] = CLAIMS
) -> list[tuple[Claim, str, float | None]]:
    """(claim, word of `WORDS`, adjusted p of the primary ones) for each claim."""
    verdicts = [verdict_of(claim.result, claim.id, results) for claim in claims]
    estimates = [read_estimate(verdict["estimate"]) if verdict else None for verdict in verdicts]
    tested = [
        i for i, (claim, found) in enumerate(zip(claims, estimates, strict=True))
        if claim.primary and found is not None and found.n >= LEAST
    ]  # fmt: skip
    adjusted = dict(zip(tested, holm([p_value(claims[i], estimates[i]) for i in tested]), strict=True))  # type: ignore[arg-type]
    found = []
    for i, (claim, verdict, estimate) in enumerate(zip(claims, verdicts, estimates, strict=True)):
        if claim.incomparable:
            word = INCOMPARABLE
        elif _sized(claim) and verdict is not None:
            word = MISSING if estimate is None else judged(claim, estimate, adjusted.get(i))
        else:
            word = by_words(verdict)
        found.append((claim, word, adjusted.get(i)))
    return found


@dataclass(frozen=True)
class Row:
    """A claim of the original and what became of it: our verdict's document (None: not there), its word, adjusted p."""

    claim: Claim
    verdict: Mapping[str, Any] | None
    word: str
    p: float | None

    @property
    def same(self) -> str:
        """Whether our experiment is the original's, and what differs."""
        return f"no: {self.claim.incomparable}" if self.claim.incomparable else self.claim.same

    @property
    def needed(self) -> str:
        """Of an undecided claim how many seeds would decide it, as `settled_by`."""
        if self.word != OPEN or self.verdict is None or not _sized(self.claim):
            return ""
        found = read_estimate(self.verdict["estimate"])
        n = None if found is None else settled_by(self.claim, found)
        return f"n > {MOST:,}" if n is None else f"n {n}"

    @property
    def cells(self) -> dict[str, str]:
        """What every table shows of it; the original's figures only beside the same experiment, at least partly."""
        known = [] if self.p is None or self.word == FALLS else [f"p {self.p:.2g}"]
        if self.needed:
            known.append(self.needed)
        return {
            "stage": self.claim.stage,
            "claim of the original": self.claim.text + (" *" if self.claim.primary else ""),
            "its figures": "" if self.same.startswith("no") else self.claim.figures,
            "ours [95 %]": "" if self.verdict is None else shown(self.verdict["estimate"]),
            "n": "" if self.verdict is None else str(self.verdict["n"]),
            "verdict": self.word + (f" ({', '.join(known)})" if known else ""),
        }


def rows(results: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """All claims, in order."""
    return [Row(claim, verdict_of(claim.result, claim.id, results), word, p) for claim, word, p in words_for(results)]


def counted(found: Sequence[Row]) -> dict[str, int]:
    """How many claims there are of each word."""
    return dict.fromkeys(WORDS, 0) | Counter(row.word for row in found)
