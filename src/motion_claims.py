"""Stage 18's claims, judged from its cells: what each is judged by, margins, verdicts.

A cell holds what `motion_cells.measure` says of one eye; its unit of replication is a set of panoramas.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import stats_ci
from motion_eyes import ARMS
from stats_ci import Verdict

Cells = Sequence[Mapping[str, Any]]
ARM_LABELS = tuple(arm.label for arm in ARMS)
BY_UNIT_2 = tuple(arm.label for arm in ARMS if arm.lags == 1)  # fitted as released, but for one thing
BOTH = ("both directions", "fair", "fair, ON and OFF", "fair, 3 x 3 patches")
ONE = ("as released", "fair, one direction", "fair, 3 x 3 patches, one direction")
RELEASED_WEIGHTS = np.array([0.66, 0.11, 0.42, -0.19, -1.06, -0.03])  # of unit 2, read off the released picture
PAPER = {  # what Qin et al. 2025 say: the verdicts on it
    "a second layer finds a unit with these weights": ("weights",),
    "the unit prefers light that comes in one direction": ("ON edges",),
    "it has learned to (the released code holds no control)": ("ON edges, untrained", "gratings, random"),
    "it is a T4 cell, which answers light that comes, not light that goes": ("one edge alone",),
    "its weights are like the connectome's": ("connectome",),
}
ALIKE, T4_SHARE, NO_SELECTIVITY, BY_CHANCE, DETECTOR = 0.95, 0.25, 0.05, 0.05, 0.9


def values(its: Cells, *names: str) -> np.ndarray:
    """(n sets, ...) one entry of every cell, by its path of names."""
    found = []
    for cell in its:
        value: Any = cell
        for name in names:
            value = value[name]
        found.append(value)
    return np.array(found, np.float64)


def by_chance(its: Cells, where: str) -> np.ndarray:
    """(n sets,) median over the random sets of units: of the best unit of each, chosen by the same rule."""
    return np.median(values(its, "random", where), axis=1)


def paired_values(its: Cells, where: str = "gratings") -> np.ndarray:
    """(n sets,) of the best sum or difference; 0 where all units are of one kind, so that there is none."""
    return np.array([cell["paired"][where] if cell["paired"] else 0.0 for cell in its])


def edge_index(its: Cells, unit: str = "unit_2") -> np.ndarray:
    """(n sets,) selectivity of the largest answers to light that comes."""
    edges = values(its, unit, "edges")  # (n, ON OFF, ahead back)
    return (edges[:, 0, 0] - edges[:, 0, 1]) / (edges[:, 0, 0] + edges[:, 0, 1])


def off_share(its: Cells) -> np.ndarray:
    """(n sets,) unit 2's largest answer to light that goes, in either direction, as a share of that to its own edge."""
    edges = values(its, "unit_2", "edges")
    return edges[:, 1].max(axis=1) / edges[:, 0, 0]


def cosines(its: Cells) -> np.ndarray:
    """(n sets,) |cosine| of unit 2's weights with the released ones."""
    weights = values(its, "weights")
    return np.abs(weights @ RELEASED_WEIGHTS) / np.linalg.norm(weights, axis=1) / np.linalg.norm(RELEASED_WEIGHTS)


def judge(found: Mapping[str, Cells]) -> list[Verdict]:
    """All claims, in the order of PLAN.md."""
    return [*_of_the_paper(found["as released"]), *_of_training(found), *_of_directions(found)]


def _above(id: str, text: str, bound: float, its: np.ndarray) -> Verdict:
    """The mean lies above the bound."""
    word = stats_ci.verdict_positive(stats_ci.estimate(its - bound))
    return Verdict(id, text, stats_ci.estimate(its), word, bound)


def _below(id: str, text: str, bound: float, its: np.ndarray) -> Verdict:
    """The mean lies below the bound."""
    word = stats_ci.verdict_positive(stats_ci.estimate(bound - its))
    return Verdict(id, text, stats_ci.estimate(its), word, bound)


def _of_the_paper(its: Cells) -> list[Verdict]:
    """What the released recipe shows, and how much of it training has to do with."""
    single = np.median(values(its, "random_single"), axis=1)
    text = "unit 2 as released: its weights are those of the released picture, |cosine| above"
    return [
        _above("weights", f"{text} {ALIKE}", ALIKE, cosines(its)),
        stats_ci.positive("ON edges", "unit 2 prefers light that comes in one direction (edges)", edge_index(its)),
        stats_ci.positive(
            "ON edges, untrained",
            "unit 2 does so more than the difference of two neighbours, which nobody trained (paired)",
            edge_index(its) - edge_index(its, "untrained"),
        ),
        stats_ci.positive(
            "gratings, random",
            "unit 2 on gratings: more selective than the median of random units (paired)",
            values(its, "unit_2", "gratings") - single,
        ),
        _below(
            "one edge alone",
            f"unit 2 answers light that goes by less than {T4_SHARE} of its answer to its own edge, as T4 does",
            T4_SHARE,
            off_share(its),
        ),
        _below(
            "connectome",
            f"less than {BY_CHANCE:.0%} of random weights are as close to the connectome's as unit 2's (share)",
            BY_CHANCE,
            values(its, "connectome_by_chance"),
        ),
        _above("detector", f"control, a correlator: selectivity above {DETECTOR}", DETECTOR, values(its, "correlator")),
    ]


def _of_training(found: Mapping[str, Cells]) -> list[Verdict]:
    """What of unit 2's preference for light that comes in one direction depends on the input."""
    return [
        stats_ci.positive(
            f"released - {arm}",
            f"unit 2 on ON edges: more selective than if fitted to {text} (paired)",
            edge_index(found["as released"]) - edge_index(found[arm]),
        )
        for arm, text in (
            ("unrelated rows", "neighbours that look at unrelated rows"),
            ("phase-randomised", "phase-randomised rows"),
            ("blurred white", "blurred white noise"),
            ("permuted layer 1", "a layer 1 whose taps are in an order of chance"),
            ("both directions", "both directions"),
        )
    ]


def _of_directions(found: Mapping[str, Cells]) -> list[Verdict]:
    """Selectivity on gratings and on other rows, where both directions are equally frequent and where one is alone."""
    verdicts = []
    for arm in BOTH:
        chosen = stats_ci.estimate(values(found[arm], "learned", "gratings"))
        text = f"{arm}: no learned unit tells directions apart on gratings, within {NO_SELECTIVITY}"
        word = stats_ci.verdict_equivalent(chosen, NO_SELECTIVITY)
        verdicts.append(Verdict(f"{arm}: none", text, chosen, word, NO_SELECTIVITY))
    for arm in ONE:
        for where, stimuli in (("gratings", "gratings"), ("rows", "rows of other panoramas")):
            text = f"{arm}: the best learned unit is more selective than the best random one on {stimuli} (paired)"
            gain = values(found[arm], "learned", where) - by_chance(found[arm], where)
            verdicts.append(stats_ci.positive(f"{arm}: {where}", text, gain))
    for arm in BOTH:
        text = f"{arm}: the best sum or difference of two units is more selective than the best random one (paired)"
        gain = paired_values(found[arm]) - by_chance(found[arm], "gratings")
        verdicts.append(stats_ci.positive(f"{arm}: pairs", text, gain))
    return verdicts
