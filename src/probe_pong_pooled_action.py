"""Stage 3b: does it pay to give the agent's actions to a layer that sees pooled features?

Claim      1. In the past of a VectorReSU on layer 1's pooled features they help to read where Pong's paddle is 4
           steps on, above plain layer 1. 2 (primary). It pays: above the same code with the actions beside it.
           3. As a forward model it is better than copying the present, at every step, and no better than a ridge.
Falsified  by a 95 % t interval over seeds (paired R2 gain) wholly on the other side; 2 also where they are equivalent
           within +-.02.
Original   an open question: it tried layer 1 alone, .660 on actions and .651 without (stage 3)
Reads      data/<game>_random_s*     Writes  results/probe_pong_pooled_action.{npz,json,log,png}, ...__forward.png
Run        python src/probe_pong_pooled_action.py            (1 h on 2 cores, by the plan's sum; 13 GB of frames)
           python src/probe_pong_pooled_action.py --smoke    (30 s, proves nothing)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import figures
import figures_rows
import pooled_action_cells as pooled
import stats_ci
from figures_curves import Plot, Plots
from players import TASKS
from pooled_action_cells import CODES, COPYING, FORECASTS, RIDGE_ON, STEPS, TARGETS, VECTOR, VECTOR_ON, Setting
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage
from stats_ci import EQUIVALENT, REFUTED, SUPPORTED, UNDECIDED, Estimate, Verdict

MARGIN = 0.02  # R2 within which two codes, and two forecasts, count as equivalent
INSIDE, BESIDE = "VectorReSU on actions now", "VectorReSU + actions now"
ALL_INSIDE, ALL_BESIDE = "VectorReSU, all units on actions now", "VectorReSU, all units + actions now"
FIRST, *OTHERS = TARGETS  # Pong, which the claims are about, and the games that stand beside it
GAINS = (  # in Pong; claim 1, claim 2, and what explains them
    ("VectorReSU on actions", "L1"),
    (INSIDE, "L1"),
    (INSIDE, BESIDE),
    (ALL_INSIDE, ALL_BESIDE),
    ("L1 + actions now", "L1"),
    ("VectorReSU", "L1"),
    (INSIDE, "L1 on actions now"),
    ("L1, " + INSIDE, "L1 + actions now"),
    ("L1, " + INSIDE, "L1, " + BESIDE),
)
EQUAL = (
    (INSIDE, BESIDE),
    (ALL_INSIDE, ALL_BESIDE),
    ("VectorReSU on other actions", "VectorReSU"),
)  # in Pong; and a negative control
Found = Mapping[str, Sequence[Mapping[str, Any]]]  # of each game a result per seed
Judge = Callable[[Estimate], str]


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 10  # replications: own frames, own fit, own probe
    n_frames: int = 60_000  # per seed [agent steps]
    components: int = 256  # of layer 1's 1,024 features
    units: int = 512  # of VectorReSU as a code: 1,024 numbers, as many as layer 1 has
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"seeds": 1, "n_frames": 4000, "components": 12, "units": 24}


def check(c: Config) -> None:
    """Refuse what measures nothing, or cannot be fitted, before anything is computed."""
    require_positive(c, "seeds", "n_frames", "components", "units")
    most = min(pooled.MEMORY, pooled.HORIZON) * c.components
    if c.units > most:
        raise ValueError(f"--units must be at most {most}, {most // c.components} times --components, not {c.units}")


def cells(run: Run) -> Found:
    """Of every game a cell per seed, side by side."""
    c = run.config
    settings = {game: [Setting(game, seed, c.n_frames, c.components, c.units) for seed in range(c.seeds)]
                for game in TARGETS}  # fmt: skip
    return run.cells(pooled.measure, settings)


def report(c: Config, found: Found) -> Report:
    """Table, verdicts, figures."""
    r2 = {game: {code: _stacked(its, "r2", code) for code in CODES} for game, its in found.items()}
    forward = {game: {name: _stacked(its, "forward", name) for name in FORECASTS} for game, its in found.items()}
    rows = [row for game in TARGETS for row in (*_code_rows(c, game, found, r2), *_forward_rows(game, forward))]
    seeds = f"{c.n_frames:,} frames of random play, n = {c.seeds} seeds"
    own = {f"{TASKS[game].label}: {TARGETS[game][0]}": {code: its[:, 0] for code, its in r2[game].items()}
           for game in TARGETS}  # fmt: skip
    title = f"The agent's own object {pooled.AHEAD} steps on\n{seeds}"
    grey = [code for code in CODES if "VectorReSU" not in code]
    arrays = {f"r2_{game}": np.stack(list(its.values())) for game, its in r2.items()}
    arrays |= {f"forward_{game}": np.stack(list(its.values())) for game, its in forward.items()}
    return Report(
        rows,
        [*_code_verdicts(r2), *_forward_verdicts(forward)],
        {"": partial(figures_rows.quantities, title, own, {}, "R2 on test episodes", grey),
         "__forward": partial(draw_forecasts, forward, seeds)},
        _notes(c, found),
        arrays,
    )  # fmt: skip


def _stacked(cells: Sequence[Mapping[str, Any]], what: str, name: str) -> np.ndarray:
    """(n seeds, .) of a code or a forecast."""
    return np.array([cell[what][name] for cell in cells], np.float64)


# --- tables ---


def _code_rows(c: Config, game: str, found: Found, r2: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for label in CODES:
        its, acts = r2[game][label], _stacked(found[game], "acts", label)
        rows.append(
            {"game": TASKS[game].label, "code": label}
            | {"R2, own place, t+4": stats_ci.estimate(its[:, 0])}
            | {"R2, ball, t+4": stats_ci.estimate(its[:, 1]) if its.shape[1] > 1 else ""}
            | {f"R2, {name}": stats_ci.estimate(acts[:, i]) for i, name in enumerate(("action before", "action now"))}
            | dict.fromkeys(map(_ahead, STEPS), "")
        )
    return rows


def _forward_rows(game: str, forward: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"game": TASKS[game].label, "code": f"forecast: {name}"}
        | dict.fromkeys(("R2, own place, t+4", "R2, ball, t+4", "R2, action before", "R2, action now"), "")
        | {_ahead(n): stats_ci.estimate(forward[game][name][:, i]) for i, n in enumerate(STEPS)}
        for name in FORECASTS
    ]


def _ahead(n: int) -> str:
    return f"R2, features, t+{n}"


def _notes(c: Config, found: Found) -> list[str]:
    kept = ", ".join(
        f"{np.mean([cell['kept'] for cell in its]):.1%} in {TASKS[game].label}" for game, its in found.items()
    )
    return [
        f"Own places: {'; '.join(f'{TASKS[game].label} {names[0]}' for game, names in TARGETS.items())}. Codes with "
        "'+ actions' have one-hot actions of 8 steps beside them, those 'on actions' have them in their past; 'now': "
        "the newest is the one about to be taken. 'Action before' and 'action now': how well the same probe reads the "
        "last action and the one about to be taken off the code.",
        f"VectorReSU sees {c.components} principal components of layer 1's standardised features ({kept} of the "
        f"variance) over {pooled.MEMORY} steps, and gives {2 * c.units:,} numbers, ON and OFF; with all units "
        f"{2 * pooled.MEMORY * c.components:,}. Codes that begin with 'L1,' are layer 1 and VectorReSU together.",
        "Forecasts are of these components, on test episodes; R2 is 1 less all squared errors over all squared "
        f"deviations, so that each counts by its variance. On actions: the last {pooled.GIVEN} before the step that is "
        "forecast. VectorReSU: regression on as many canonical responses as there are components, of a fit that "
        "predicts all steps up to that one.",
    ]  # fmt: skip


# --- verdicts ---


def _code_verdicts(r2: Mapping[str, Mapping[str, np.ndarray]]) -> list[Verdict]:
    def gain(game: str, code: str, other: str) -> np.ndarray:
        return np.asarray(r2[game][code][:, 0] - r2[game][other][:, 0])

    own, made = TARGETS[FIRST][0] + "[t+4]", []
    for code, other in GAINS:
        claim = f"Pong, {own}: {code} above {other}"
        made.append(stats_ci.positive(f"{code} > {other}", claim, gain(FIRST, code, other)))
    for code, other in EQUAL:
        found = stats_ci.estimate(gain(FIRST, code, other))
        claim = f"Pong, {own}: {code} equivalent to {other} (within {MARGIN})"
        made.append(Verdict(f"{code} = {other}", claim, found, _equal(found), MARGIN))
    for id, words, other in ((">", "above", "L1"), (">", "above", BESIDE), ("=", "equivalent to", BESIDE)):
        its = {TASKS[game].label: stats_ci.estimate(gain(game, INSIDE, other)) for game in OTHERS}
        claim = f"own place in the other games: {INSIDE} {words} {other}" + f" (within {MARGIN})" * (id == "=")
        judge, margin = (_equal, MARGIN) if id == "=" else (stats_ci.verdict_positive, None)
        made.append(_all(f"elsewhere: {INSIDE} {id} {other}", claim, its, judge, margin))
    return made


def _forward_verdicts(forward: Mapping[str, Mapping[str, np.ndarray]]) -> list[Verdict]:
    def every(its: Mapping[str, Mapping[str, np.ndarray]], a: str, b: str) -> dict[str, Estimate]:
        gains = {game: its[game][a] - its[game][b] for game in its}
        return {f"{TASKS[game].label}, {n} step{'s' * (n > 1)}": stats_ci.estimate(gains[game][:, i])
                for game in its for i, n in enumerate(STEPS)}  # fmt: skip

    not_worse, above = partial(stats_ci.verdict_not_worse, margin=MARGIN), stats_ci.verdict_positive
    always = ", in every game at every step; the closest"
    made = [
        _all("forward: > copying", f"forecasts: {VECTOR_ON} above {COPYING}{always}",
             every(forward, VECTOR_ON, COPYING), above, shown=1),
        _all("forward: ridge no worse", f"forecasts: {RIDGE_ON} no worse than {VECTOR_ON} by {MARGIN}{always}",
             every(forward, RIDGE_ON, VECTOR_ON), not_worse, MARGIN, shown=1),
    ]  # fmt: skip
    for game in TARGETS:
        claim = f"forecasts in {TASKS[game].label}: {VECTOR_ON} above {VECTOR}, at every step"
        made.append(_all(f"forward: actions, {game}", claim, every({game: forward[game]}, VECTOR_ON, VECTOR), above))
    return made


def _equal(its: Estimate) -> str:
    return stats_ci.verdict_equivalent(its, MARGIN)


def _all(
    id: str, claim: str, its: Mapping[str, Estimate], judge: Judge, margin: float | None = None, shown: int = 0
) -> Verdict:
    """Holds if it holds for every estimate, refuted if it is for one; shows so many of the lowest, by default all."""
    words = {judge(each) for each in its.values()}
    word = REFUTED if REFUTED in words else UNDECIDED if UNDECIDED in words else words.pop()
    assert word in (SUPPORTED, EQUIVALENT, REFUTED, UNDECIDED)
    lowest = sorted(its, key=lambda label: its[label].mean)[: shown or len(its)]
    return Verdict(id, claim, {label: its[label] for label in its if label in lowest}, word, margin,
                   min(each.n for each in its.values()))  # fmt: skip


# --- figures ---


def draw_forecasts(forward: Mapping[str, Mapping[str, np.ndarray]], seeds: str) -> figures.Figure:
    """R2 of the features against the steps ahead, by game."""
    ticks: dict[float, str] = {n: str(n) for n in STEPS}
    plots = [
        Plot(TASKS[game].label, {name: (STEPS, its[name]) for name in FORECASTS}, "steps ahead", x_scale="log",
             x_ticks=ticks, marked=True)
        for game, its in forward.items()
    ]  # fmt: skip
    return figures.page(
        f"Layer 1's features, forecast\n{seeds}", [Plots(plots, "R2 on test episodes", 2.6, alike=False)]
    )


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
