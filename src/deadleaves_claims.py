"""Stage 1's claims about the lobes of filters, judged from its cells: margins, verdicts, what is known of panoramas.

A cell holds the results of one seed under one condition at one noise level: "lobes" (per filter, as
`filter_shapes.Lobes`), "correlations" and "ridge_change".
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

import stats_ci

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


def values_of(cells: Sequence[dict[str, Any]], unit: int, name: str) -> np.ndarray:
    """(n seeds,) one property of filter `unit` + 1; NaN where it does not exist (no zero crossing)."""
    return np.array([np.nan if (v := cell["lobes"][unit][name]) is None else v for cell in cells], np.float64)


def text_of(values: np.ndarray, rng: np.random.Generator) -> str:
    """Mean and interval over the seeds that have the value; says how many they are if not all."""
    there = np.isfinite(values)
    if not there.any():
        return "none"
    rest = "" if there.all() else f" (in {there.sum()} of {len(values)})"
    return str(stats_ci.estimate(values[there], rng)) + rest


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


def judge(
    cells: dict[str, dict[float, list[dict[str, Any]]]], noises: Sequence[float], rng: np.random.Generator
) -> list[dict[str, str]]:
    """Every claim of stage 1 as a row: claim, estimate (one per noise level, or per rise of the noise), verdict."""
    rows: list[dict[str, str]] = []
    leaves = cells[MAIN]
    levels = [f"{noise:g}" for noise in noises]
    rises = [f"{a} to {b}" for a, b in itertools.pairwise(levels)]

    def claim(
        text: str, labels: Sequence[str], estimates: Sequence[stats_ci.Estimate], verdicts: Sequence[str]
    ) -> None:
        parts = [f"{label}: {estimate}" for label, estimate in zip(labels, estimates, strict=True)]
        rows.append({"claim": text, "estimate per noise level": "; ".join(parts), "verdict": worst(verdicts)})

    def above(text: str, bound: float, values: Sequence[np.ndarray], sign: int = 1) -> None:
        """sign 1: the values lie above the bound; -1: below. One array of values per level, or per rise."""
        labels = levels if len(values) == len(levels) else rises
        if not all(np.isfinite(v).all() for v in values):
            text += " (undefined in some seeds)"
            rows.append({"claim": text, "estimate per noise level": "", "verdict": stats_ci.UNDECIDED})
            return
        margins = [stats_ci.estimate(sign * (v - bound), rng) for v in values]
        verdicts = [stats_ci.verdict_positive(margin) for margin in margins]
        claim(text, labels, [stats_ci.estimate(v, rng) for v in values], verdicts)

    def close(text: str, margin: float, labels: Sequence[str], differences: Sequence[np.ndarray]) -> None:
        estimates = [stats_ci.estimate(v, rng) for v in differences]
        claim(
            f"{text}, within {margin:g}", labels, estimates, [stats_ci.verdict_equivalent(e, margin) for e in estimates]
        )

    def per_noise(name: str, unit: int, condition: str = MAIN) -> list[np.ndarray]:
        return [values_of(cells[condition][noise], unit, name) for noise in noises]

    above(f"filter 1: share of energy in the first lobe above {SHARE}", SHARE, per_noise("first_share", 0))
    above(
        f"filter 1, strictly low-pass: gain at frequency 0 above {LOW_PASS} of the largest",
        LOW_PASS,
        per_noise("gain_at_zero", 0),
    )
    above(f"filter 2: share of energy in the first two lobes above {SHARE}", SHARE, per_noise("two_share", 1))
    above(f"filter 2: depth below {DEPTH} of the peak", DEPTH, per_noise("depth", 1), sign=-1)
    above(
        f"filter 2: gain at frequency 0 below {DERIVATIVE} of the largest",
        DERIVATIVE,
        per_noise("gain_at_zero", 1),
        sign=-1,
    )
    for unit in (0, 1):
        for name, label, sign in (
            ("count", "fewer lobes", -1),
            ("first_zero", "later first zero", 1),
            ("minimum_lag", "later minimum", 1),
        ):
            changes = [b - a for a, b in itertools.pairwise(per_noise(name, unit))]
            above(f"filter {unit + 1}: {label} at each rise of the noise (paired change)", 0.0, changes, sign)
    known = [noise for noise in noises if noise in PANORAMAS]
    for unit, name, margin, key in (
        (
            (1, "depth", DEPTH_MARGIN, "depth"),
            (0, "count", COUNT_MARGIN, "count_1"),
            (1, "count", COUNT_MARGIN, "count"),
        )
        if known
        else ()
    ):
        close(
            f"filter {unit + 1}: {'lobes' if name == 'count' else name} as on natural panoramas (difference)",
            margin,
            [f"{noise:g}" for noise in known],
            [values_of(leaves[noise], unit, name) - PANORAMAS[noise][key] for noise in known],
        )
    above(
        f"control, time shuffled: first correlation below {SHUFFLED}",
        SHUFFLED,
        [np.array([cell["correlations"][0] for cell in cells["time shuffled"][noise]]) for noise in noises],
        sign=-1,
    )
    above(
        f"control, no blur: filter 2 is no derivative, gain at frequency 0 above {NO_DERIVATIVE} of the largest",
        NO_DERIVATIVE,
        per_noise("gain_at_zero", 1, "no blur"),
    )
    pairs = zip(per_noise("depth", 1), per_noise("depth", 1, "blurred white noise"), strict=True)
    close(
        "control, blurred white noise: filter 2 equally deep (paired difference)",
        DEPTH_MARGIN,
        levels,
        [a - b for a, b in pairs],
    )
    above(
        f"control, ridge {RIDGE_CHECKED:g}: no tap moves by more than {RIDGE_CHANGE} of the peak (largest move)",
        RIDGE_CHANGE,
        [np.array([cell["ridge_change"] for cell in leaves[noise]]) for noise in noises],
        sign=-1,
    )
    return rows
