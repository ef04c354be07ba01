"""Stage 1's claims about the lobes of filters, judged from its cells: margins, verdicts, what is known of panoramas.

A cell holds the results of one seed under one condition at one noise level: "lobes" (per filter, as
`filter_shapes.Lobes`), "correlations" and "ridge_change".
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import stats_ci
from stats_ci import Verdict

MAIN = "dead leaves"  # the condition that the claims are about
RIDGE_CHECKED = 1e-9  # relative; the filters themselves are fitted without a ridge
# Natural panoramas under the same recipe, for comparison: noise -> values of filter 2, and lobes of filter 1.
PANORAMAS = {
    0.005: {"first_zero": 2.0, "minimum_lag": 3.1, "depth": -0.50, "count": 5.5, "count_1": 4.0},
    0.05: {"first_zero": 3.0, "minimum_lag": 5.0, "depth": -0.44, "count": 4.0, "count_1": 3.0},
    0.5: {"first_zero": 4.2, "minimum_lag": 8.9, "depth": -0.35, "count": 2.7, "count_1": 2.0},
}
SHARE, DEPTH, DERIVATIVE, LOW_PASS, SHUFFLED, NO_DERIVATIVE, RIDGE_CHANGE = 0.8, -0.25, 0.1, 0.95, 0.05, 0.5, 0.01
DEPTH_MARGIN, COUNT_MARGIN = 0.1, 1.0


Levels = Mapping[float, Sequence[Mapping[str, Any]]]  # noise: a cell per seed


def values_of(cells: Sequence[Mapping[str, Any]], unit: int, name: str) -> np.ndarray:
    """(n seeds,) one property of filter `unit` + 1; NaN where it does not exist (no zero crossing)."""
    return np.array([np.nan if (v := cell["lobes"][unit][name]) is None else v for cell in cells], np.float64)


def estimate_of(values: np.ndarray) -> stats_ci.Estimate | str:
    """Mean and interval over the seeds that have the value; says how many they are if not all."""
    there = np.isfinite(values)
    if there.all():
        return stats_ci.estimate(values)
    return f"{stats_ci.estimate(values[there])} (in {there.sum()} of {len(values)})" if there.any() else "none"


def panoramas_text(noise: float, unit: int) -> str:
    """What is known of natural panoramas about filter `unit` + 1 at this noise; empty if nothing is."""
    known = PANORAMAS.get(noise)
    if known is None:
        return ""
    if unit == 0:
        return f"{known['count_1']:g} lobes"
    return "{count:g} lobes, zero {first_zero:g}, minimum {minimum_lag:g}, depth {depth:g}".format(**known)


def worst(verdicts: Sequence[str]) -> str:
    """The verdict on a claim with several parts: refuted if one part is, supported only if all are."""
    for verdict in (stats_ci.REFUTED, stats_ci.UNDECIDED):
        if verdict in verdicts:
            return verdict
    return verdicts[0]


@dataclass(frozen=True)
class _Judge:
    """Makes verdicts on claims with a part per noise level, or per rise of the noise."""

    cells: Mapping[str, Levels]
    noises: Sequence[float]

    @property
    def levels(self) -> list[str]:
        return [f"{noise:g}" for noise in self.noises]

    def per_noise(self, name: str, unit: int, condition: str = MAIN) -> list[np.ndarray]:
        """(n seeds,) a property of filter unit + 1, for each level."""
        return [values_of(self.cells[condition][noise], unit, name) for noise in self.noises]

    def above(self, id: str, text: str, bound: float, values: Sequence[np.ndarray], sign: int = 1) -> Verdict:
        """sign 1: the values lie above the bound; -1: below. One array of values per level, or per rise."""
        rises = [f"{a} to {b}" for a, b in itertools.pairwise(self.levels)]
        labels = self.levels if len(values) == len(self.levels) else rises
        if not all(np.isfinite(v).all() for v in values):
            return Verdict(id, f"{text} (undefined in some seeds)", None, stats_ci.UNDECIDED, bound)
        words = [stats_ci.verdict_positive(stats_ci.estimate(sign * (v - bound))) for v in values]
        found = {label: stats_ci.estimate(v) for label, v in zip(labels, values, strict=True)}
        return Verdict(id, text, found, worst(words), bound, len(values[0]))

    def close(
        self, id: str, text: str, margin: float, labels: Sequence[str], differences: Sequence[np.ndarray]
    ) -> Verdict:
        """Differences (n seeds,), one array per label, are equivalent to 0."""
        found = {label: stats_ci.estimate(v) for label, v in zip(labels, differences, strict=True)}
        word = worst([stats_ci.verdict_equivalent(estimate, margin) for estimate in found.values()])
        return Verdict(id, f"{text}, within {margin:g}", found, word, margin, len(differences[0]))


def judge(cells: Mapping[str, Levels], noises: Sequence[float]) -> list[Verdict]:
    """Every claim of stage 1, with an estimate per noise level, or per rise of the noise.

    cells    by condition and noise level
    """
    j = _Judge(cells, noises)
    return [*_shapes(j), *_rises(j), *_panoramas(j), *_controls(j)]


def _shapes(j: _Judge) -> list[Verdict]:
    """Claims A and B: what the filters look like."""
    low, low_text = LOW_PASS, f"filter 1, strictly low-pass: gain at frequency 0 above {LOW_PASS} of the largest"
    two = f"filter 2: share of energy in the first two lobes above {SHARE}"
    first = f"filter 1: share of energy in the first lobe above {SHARE}"
    flat = f"filter 2: gain at frequency 0 below {DERIVATIVE} of the largest"
    return [
        j.above("filter 1: first lobe", first, SHARE, j.per_noise("first_share", 0)),
        j.above("filter 1: strictly low-pass", low_text, low, j.per_noise("gain_at_zero", 0)),
        j.above("filter 2: two lobes", two, SHARE, j.per_noise("two_share", 1)),
        j.above("filter 2: depth", f"filter 2: depth below {DEPTH} of the peak", DEPTH, j.per_noise("depth", 1), -1),
        j.above("filter 2: derivative", flat, DERIVATIVE, j.per_noise("gain_at_zero", 1), -1),
    ]


def _rises(j: _Judge) -> list[Verdict]:
    """Claim C: more noise, fewer and later lobes."""
    changes = (("count", "fewer lobes", -1), ("first_zero", "later first zero", 1), ("minimum_lag", "later minimum", 1))
    return [
        j.above(
            f"filter {unit + 1}: {label}",
            f"filter {unit + 1}: {label} at each rise of the noise (paired change)",
            0.0,
            [b - a for a, b in itertools.pairwise(j.per_noise(name, unit))],
            sign,
        )
        for unit in (0, 1)
        for name, label, sign in changes
    ]


def _panoramas(j: _Judge) -> list[Verdict]:
    """Claim D: as on natural panoramas, where something is known of them."""
    known = [noise for noise in j.noises if noise in PANORAMAS]
    asked = (
        (1, "depth", DEPTH_MARGIN, "depth"), (0, "count", COUNT_MARGIN, "count_1"), (1, "count", COUNT_MARGIN, "count"),
    )  # fmt: skip
    return [
        j.close(
            f"filter {unit + 1}: {name} of panoramas",
            f"filter {unit + 1}: {'lobes' if name == 'count' else name} as on natural panoramas (difference)",
            margin,
            [f"{noise:g}" for noise in known],
            [values_of(j.cells[MAIN][noise], unit, name) - PANORAMAS[noise][key] for noise in known],
        )
        for unit, name, margin, key in (asked if known else ())
    ]


def _controls(j: _Judge) -> list[Verdict]:
    shuffled = [np.array([cell["correlations"][0] for cell in j.cells["time shuffled"][noise]]) for noise in j.noises]
    moves = [np.array([cell["ridge_change"] for cell in j.cells[MAIN][noise]]) for noise in j.noises]
    unblurred = f"control, no blur: filter 2 is no derivative, gain at frequency 0 above {NO_DERIVATIVE} of the largest"
    ridge = f"control, ridge {RIDGE_CHECKED:g}: no tap moves by more than {RIDGE_CHANGE} of the peak (largest move)"
    text = f"control, time shuffled: first correlation below {SHUFFLED}"
    found = [
        j.above("time shuffled", text, SHUFFLED, shuffled, -1),
        j.above("no blur", unblurred, NO_DERIVATIVE, j.per_noise("gain_at_zero", 1, "no blur")),
    ]
    pairs = zip(j.per_noise("depth", 1), j.per_noise("depth", 1, "blurred white noise"), strict=True)
    text = "control, blurred white noise: filter 2 equally deep (paired difference)"
    found.append(j.close("blurred white noise", text, DEPTH_MARGIN, j.levels, [a - b for a, b in pairs]))
    found.append(j.above("ridge", ridge, RIDGE_CHANGE, moves, -1))
    return found
