"""What the cells of "When do canonical directions pay?" say: gains over controls, slopes, verdicts, choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import span_design_cells as design
import stats_ci
from span_design_cells import CANONICAL, CENTRE, PCA, RANDOM, ROTATED, Found, Part, Point
from stats_ci import Verdict

RIDGE, MLP, OBJECTS, PLACES, SPEEDS, SCORE = "ridge", "mlp", "objects", "places", "speeds", "score"
METRICS = {
    RIDGE: "accuracy, closed form",
    MLP: "accuracy, MLP",
    OBJECTS: "R2 of objects",
    PLACES: "R2 of places",
    SPEEDS: "R2 of speeds",
    SCORE: "points per game",
}
MARGINS = {RIDGE: 0.01, MLP: 0.01, OBJECTS: 0.02}  # within which two codes count as equally good
PURPOSES = {RIDGE: "a clone in closed form", MLP: "a clone with an MLP", OBJECTS: "reading objects"}
TESTED = (RANDOM, PCA)  # the controls that claims on slopes are about


def values(found: Found, point: Point, game: str, code: str, metric: str) -> np.ndarray | None:
    """(n seeds,) of one code; None where that was not measured.

    metric   RIDGE, MLP: accuracy; PLACES, SPEEDS: mean R2; OBJECTS: the mean of these two; SCORE: points per game
    """
    its = [cell["codes"].get(code, {}) for cell in found.get((point, game), ())]
    asked = {SCORE: "scores", OBJECTS: PLACES}.get(metric, metric)
    if not its or asked not in its[0]:
        return None
    if metric == OBJECTS:
        return np.array([(np.mean(cell[PLACES]) + np.mean(cell[SPEEDS])) / 2 for cell in its])
    return np.array([np.mean(cell[asked]) for cell in its])


def less(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    """a - b of the seeds that both have; None where one is missing."""
    if a is None or b is None:
        return None
    n = min(len(a), len(b))
    return a[:n] - b[:n]


def gains(found: Found, point: Point, game: str, control: str, metric: str, code: str = CANONICAL) -> np.ndarray | None:
    """(n seeds,) a code (the canonical one) less a control, seed by seed; None where one of them was not measured."""
    return less(values(found, point, game, code, metric), values(found, point, game, control, metric))


def mean_over(its: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """(n seeds,) mean over games (over points), of the seeds that all of them have; None where one is missing."""
    there = [one for one in its if one is not None]
    if not there or len(there) < len(its):
        return None
    n = min(map(len, there))
    return np.mean([one[:n] for one in there], axis=0)


def beside(its: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """(n seeds, p): the p side by side, of the seeds that all of them have; None where one is missing."""
    there = [one for one in its if one is not None]
    if len(there) < 2 or len(there) < len(its):
        return None
    n = min(map(len, there))
    return np.stack([one[:n] for one in there], axis=1)


def slopes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n seeds,) slopes of least squares: x (p,) or (n seeds, p), y (n seeds, p)."""
    x = np.broadcast_to(x, y.shape)
    centred = x - x.mean(axis=1, keepdims=True)
    return (centred * y).sum(axis=1) / (centred**2).sum(axis=1)


def shares(found: Found, games: Sequence[str]) -> np.ndarray | None:
    """(n seeds, games) share of pixels that move, from the centre's cells."""
    return beside([_moving(found, game) for game in games])


def _moving(found: Found, game: str) -> np.ndarray | None:
    its = [cell["moving"] for cell in found.get((CENTRE, game), ())]
    return np.array(its, np.float64) if its else None


def across_points(
    found: Found, points: Sequence[Point], games: Sequence[str], control: str, metric: str
) -> np.ndarray | None:
    """(n seeds, points) gain over a control, the mean over games."""
    return beside([mean_over([gains(found, p, g, control, metric) for g in games]) for p in points])


# --- what is recommended ---


@dataclass(frozen=True)
class Choice:
    """A configuration that is recommended for a purpose (the metric that it was chosen by)."""

    metric: str
    point: Point
    code: str

    @property
    def label(self) -> str:
        """For readers."""
        return f"{self.code}, {self.point.label}"


def choices(found: Found, games: Sequence[str]) -> list[Choice]:
    """A configuration per purpose, by the mean over some games alone: of those near the best the smallest code.

    Near: within half of the margin. Every code that is no random draw takes part, at every point that was measured in
    all of these games and has at most `MOST_RECOMMENDED` features; of each the seeds that all have.
    """
    codes = [code for code in design.CODES if code not in (RANDOM, ROTATED)]
    points = sorted({point for point, _ in found if point.n_features <= design.MOST_RECOMMENDED})
    chosen = []
    for metric in PURPOSES:
        its = {
            (point, code): mean
            for point in points
            for code in codes
            if (mean := mean_over([values(found, point, game, code, metric) for game in games])) is not None
        }
        if not its:
            continue
        n = min(map(len, its.values()))
        means = {key: float(mean[:n].mean()) for key, mean in its.items()}
        near = [key for key, mean in means.items() if mean >= max(means.values()) - MARGINS[metric] / 2]
        point, code = min(near, key=lambda key: (key[0].n_features, -means[key]))
        chosen.append(Choice(metric, point, code))
    return chosen


def lacking(found: Found, chosen: Sequence[Choice], games: Sequence[str]) -> list[Part]:
    """What is still to be measured of the choices in the games that took no part in them: clones with an MLP."""
    its: dict[tuple[Point, str], tuple[str, ...]] = {}
    for choice in chosen:
        open_games = [g for g in games if values(found, choice.point, g, choice.code, choice.metric) is None]
        if open_games:
            its[choice.point, choice.code] = tuple(open_games)
    return [Part(point, open_games, (code,), (code,), (code,)) for (point, code), open_games in its.items()]


def confirmed(found: Found, more: Found, choice: Choice, games: Sequence[str]) -> np.ndarray | None:
    """(n seeds,) the choice less the usual code (the centre's canonical one), the mean over games."""

    def its(game: str) -> np.ndarray | None:
        key = choice.point, game, choice.code, choice.metric
        known = values(found, *key)
        usual = values(found, CENTRE, game, CANONICAL, choice.metric)
        return less(values(more, *key) if known is None else known, usual)

    return mean_over([its(game) for game in games])


# --- verdicts ---


def verdicts(found: Found, more: Found, games: Sequence[str]) -> list[Verdict]:
    """On all claims; those whose cells are not there are missing.

    found, more   the design's cells, and those of the choices
    """
    return [
        *_units(found, games),
        *_motion(found, games),
        *_span_and_unit(found, games),
        _sizes(found, games),
        _corners(found, games),
        *_recommended(found, more, games),
    ]


def _positive(id: str, claim: str, its: np.ndarray | None) -> Verdict:
    return stats_ci.missing(id, claim) if its is None else stats_ci.positive(id, claim, its)


def _units(found: Found, games: Sequence[str]) -> list[Verdict]:
    steps = np.log2([point.n_units for point in design.UNITS])
    made = []
    for metric in (RIDGE, OBJECTS):
        for control in TESTED:
            its = across_points(found, design.UNITS, games, control, metric)
            claim = f"m = 8: the gain over {control} shrinks as K grows to m; loss per doubling of K, {METRICS[metric]}"
            made.append(_positive(f"K: {metric}: {control}", claim, None if its is None else -slopes(steps, its)))
    whole = mean_over([gains(found, design.UNITS[-1], game, RANDOM, RIDGE) for game in games])
    margin, id = MARGINS[RIDGE], "K = m: canonical = random"
    claim = f"K = m = 8: canonical and random filters are equivalent (within {margin:g}), {METRICS[RIDGE]}"
    if whole is None:
        return [*made, stats_ci.missing(id, claim, margin)]
    gap = stats_ci.estimate(whole)
    return [*made, Verdict(id, claim, gap, stats_ci.verdict_equivalent(gap, margin), margin)]


def _motion(found: Found, games: Sequence[str]) -> list[Verdict]:
    moving = shares(found, games)
    made = []
    for metric in (RIDGE, OBJECTS):
        for control in TESTED:
            its = beside([gains(found, CENTRE, game, control, metric) for game in games])
            slope = None if its is None or moving is None else slopes(np.log10(moving), its)
            claim = f"the gain over {control} grows with the share of pixels that move; per tenfold, {METRICS[metric]}"
            made.append(_positive(f"motion: {metric}: {control}", claim, slope))
    return made


def _span_and_unit(found: Found, games: Sequence[str]) -> list[Verdict]:
    made = []
    for metric in (RIDGE, MLP, OBJECTS):
        unit = mean_over([gains(found, CENTRE, game, ROTATED, metric) for game in games])
        span = mean_over([gains(found, CENTRE, game, RANDOM, metric, ROTATED) for game in games])
        claim = f"centre: the unit matters: canonical above its span in another basis, {METRICS[metric]}"
        made.append(_positive(f"unit: {metric}", claim, unit))
        claim = f"centre: the span matters: its span in another basis above random filters, {METRICS[metric]}"
        made.append(_positive(f"span: {metric}", claim, span))
    return made


def _sizes(found: Found, games: Sequence[str]) -> Verdict:
    its = across_points(found, design.SIZES, [g for g in games if g in design.CHOOSING], RANDOM, RIDGE)
    steps = np.log2([point.n_features for point in design.SIZES])
    claim = f"the gain over {RANDOM} shrinks with more features; loss per doubling, {METRICS[RIDGE]}"
    return _positive("features: ridge: random filters", claim, None if its is None else -slopes(steps, its))


def _corners(found: Found, games: Sequence[str]) -> Verdict:
    at = [game for game in games if game in design.ENDS]

    def side(few: bool) -> np.ndarray | None:
        corners = [point for point in design.CORNERS if (point.n_units == 1) == few]
        return mean_over([gains(found, point, game, RANDOM, RIDGE) for point in corners for game in at])

    claim = f"corners: the gain over {RANDOM} is larger at K = 1 than at K = m, {METRICS[RIDGE]}"
    return _positive("corners: ridge: random filters", claim, less(side(True), side(False)))


def _recommended(found: Found, more: Found, games: Sequence[str]) -> list[Verdict]:
    chosen = {choice.metric: choice for choice in choices(found, [g for g in games if g in design.CHOOSING])}
    made = []
    for metric, purpose in PURPOSES.items():
        id, margin = f"recommended: {metric}", MARGINS[metric]
        end = f"is no worse than the usual code by {margin:g} in games that took no part in the choice"
        its = None
        if metric in chosen:
            its = confirmed(found, more, chosen[metric], [g for g in games if g in design.CONFIRMING])
        if its is None:
            made.append(stats_ci.missing(id, f"what is recommended for {purpose} {end}", margin))
            continue
        gap = stats_ci.estimate(its)
        claim = f"for {purpose}: {chosen[metric].label} {end}"
        made.append(Verdict(id, claim, gap, stats_ci.verdict_not_worse(gap, margin), margin))
    return made
