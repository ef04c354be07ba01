"""Stage 12: when do canonical directions pay?

Claim      The gain of canonical directions over controls of equal size shrinks as K -> m and grows with the share of
           pixels that move. Beside it: is it the span or the unit (the same span in another basis)? What does a number
           of features buy? And a recommended code per purpose, measured in games that took no part in its choice.
Falsified  per claim by a 95 % interval over seeds (slope, or paired difference) wholly on the other side.
Original   nothing: it had no controls
Reads      data/<game>_<expert>_s*, data/heads/          Writes  results/span_ablation.{npz,json,log,png}
Run        python src/span_ablation.py             (4 h on 2 cores, by the plan's sum; 21 GB of recorded games)
           python src/span_ablation.py --smoke     (1 min, proves nothing)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

import figures
import span_advice_cells as advice
import span_cells
import span_design_cells as design
import span_gain_cells as gain
import stats_ci
from atari_env import MAX_STEPS
from figures_curves import Plot, Plots
from players import TASKS
from span_design_cells import CANONICAL, CENTRE, CODES, CONTROLS, PAIR, Point
from span_gain_cells import METRICS, MLP, OBJECTS, PLACES, RIDGE, SCORE, SPEEDS, Found
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage

Game = Literal["pong", "breakout", "space_invaders", "asteroids", "enduro"]
SHARE = "share of pixels that move"


@dataclass(frozen=True)
class Config:
    """Options."""

    games_asked: tuple[Game, ...] = design.GAMES  # type: ignore[assignment]
    seeds: int = 5  # replications away from the centre: own demonstrations, own fit, own heads, own games
    centre_seeds: int = 10  # replications at the centre
    network_seeds: int = 3  # of the DQN network, a line in a figure
    n_frames: int = 60_000  # demonstrations per seed [agent steps]
    games: int = 10  # of each clone that plays
    epochs: int = 6  # of each MLP
    network_epochs: int = span_cells.NETWORK_EPOCHS
    most_features: int = 8192  # points with more are left out
    max_steps: int = MAX_STEPS  # games are cut here [agent steps]; Enduro's at 4,000 at the latest
    smoke: bool = False  # seconds, proves nothing


SMOKE = {
    "games_asked": ("pong", "space_invaders"),
    "seeds": 1,
    "centre_seeds": 2,
    "network_seeds": 1,
    "n_frames": 840,
    "games": 1,
    "epochs": 1,
    "network_epochs": 1,
    "most_features": 1024,
    "max_steps": 120,
}


class Cells(NamedTuple):
    """Results by point and game, of the design and of what was recommended after it; of the network, by game."""

    design: Found
    more: Found
    networks: Mapping[str, Sequence[Mapping[str, Any]]]


def check(c: Config) -> None:
    """Refuse what measures nothing before anything is computed."""
    require_positive(c, "seeds", "centre_seeds", "network_seeds", "n_frames", "games", "epochs", "network_epochs")
    if not design.parts(c.games_asked, c.most_features):
        raise ValueError(f"--most-features must be at least 256 and some game be asked for, not {c.most_features}")


def cells(run: Run) -> Cells:
    """The design's cells; what they recommend, measured in the other games; the network."""
    c = run.config
    found = span_cells.cells(run, design.parts(c.games_asked, c.most_features))
    chosen = gain.choices(found, _among(c, design.CHOOSING))
    more = span_cells.cells(run, gain.lacking(found, chosen, _among(c, design.CONFIRMING)))
    return Cells(found, more, span_cells.networks(run, _among(c, design.CHOOSING)))


def _among(c: Config, games: Sequence[str]) -> list[str]:
    return [game for game in games if game in c.games_asked]


def report(c: Config, found: Cells) -> Report:
    """Table, verdicts, figures, conclusions."""
    verdicts = gain.verdicts(found.design, found.more, c.games_asked)
    n = f"n = {c.centre_seeds} seeds for the upper row, {c.seeds} for the lower one"
    return Report(
        [*_centre_rows(c, found.design), *_other_rows(c, found.design), *_network_rows(found)],
        verdicts,
        {
            "": partial(draw_gains, c, found.design, n),
            "__features": partial(draw_sizes, c, found, f"n = {c.seeds} seeds"),
        },
        [*advice.conclusions(found.design, c.games_asked, verdicts), *advice.REMARKS],
        _arrays(found.design),
    )


# --- tables ---


def _centre_rows(c: Config, found: Found) -> list[dict[str, Any]]:
    """By game: every metric at the centre."""
    moving, rows = gain.shares(found, c.games_asked), []
    for i, game in enumerate(c.games_asked):
        share = "" if moving is None else f", {np.mean(moving[:, i]):.2%} of the pixels move"
        for metric in (RIDGE, MLP, PLACES, SPEEDS, SCORE):
            rows.append(_row(f"centre: {TASKS[game].label}{share}", metric, found, CENTRE, [game]))
    return rows


def _other_rows(c: Config, found: Found) -> list[dict[str, Any]]:
    """By point: the mean over its games of every metric but the score, whose points differ from game to game."""
    rows = []
    for point in dict.fromkeys(part.point for part in design.parts(c.games_asked, c.most_features)):
        games = [game for game in c.games_asked if (point, game) in found]
        where = ("corner: " if point in design.CORNERS else "") + f"{point.label}: {advice.names(games)}"
        for metric in (RIDGE, MLP, PLACES, SPEEDS):
            its = [game for game in games if gain.values(found, point, game, CANONICAL, metric) is not None]
            if its and point != CENTRE:
                rows.append(_row(where, metric, found, point, its))
    return rows


def _row(where: str, metric: str, found: Found, point: Point, games: Sequence[str]) -> dict[str, Any]:
    value = gain.mean_over([gain.values(found, point, game, CANONICAL, metric) for game in games])
    row: dict[str, Any] = {"where": where, "metric": METRICS[metric], "canonical code": _estimate(value)}
    for control in CONTROLS:
        its = gain.mean_over([gain.gains(found, point, game, control, metric) for game in games])
        row[f"less {control}"] = _estimate(its)
    return row


def _network_rows(found: Cells) -> list[dict[str, Any]]:
    """The network's scores; the column of the canonical code holds them."""
    empty = {"canonical code": "", **{f"less {control}": "" for control in CONTROLS}}
    return [
        {"where": f"DQN network, no code: {TASKS[game].label}", "metric": METRICS[SCORE], **empty}
        | {"canonical code": stats_ci.estimate(stats_ci.mean_over_games([cell["scores"] for cell in its]))}
        for game, its in found.networks.items()
    ]


def _estimate(values: np.ndarray | None) -> Any:
    return "" if values is None else stats_ci.estimate(values)


def _arrays(found: Found) -> dict[str, np.ndarray]:
    """Of every point and game (codes, metrics, seeds), in the order of CODES and METRICS; NaN where not measured."""
    arrays = {}
    for (point, game), its in found.items():
        whole = np.full((len(CODES), len(METRICS), len(its)), np.nan)
        for i, code in enumerate(CODES):
            for j, metric in enumerate(METRICS):
                value = gain.values(found, point, game, code, metric)
                whole[i, j] = np.nan if value is None else value
        arrays[f"m{point.memory}_k{point.n_units}_n{point.n_features}_{game}"] = whole
        if point == CENTRE:
            arrays[f"moving_{game}"] = np.array([cell["moving"] for cell in its])
    return arrays


# --- figures ---


def draw_gains(c: Config, found: Found, n: str) -> figures.Figure:
    """Gain over each control: by the share of pixels that move, and by the number of filters."""
    metrics = (RIDGE, MLP, OBJECTS)
    by_units = [
        Plot(METRICS[metric], _by_units(c, found, metric), "filters K (m = 8)", lines={"": 0.0}, marked=True,
             x_scale="log", x_ticks={p.n_units: str(p.n_units) for p in design.UNITS})
        for metric in (RIDGE, OBJECTS)
    ]  # fmt: skip
    blocks = [Plots(by_units, "canonical less control", 2.5, alike=False)]
    moving, order = gain.shares(found, c.games_asked), ""
    if moving is not None:
        share = 100 * moving.mean(axis=0)
        ranks = np.argsort(share)
        order = "; ".join(f"{TASKS[c.games_asked[i]].label} {share[i]:.2g} %" for i in ranks)
        ticks = {at: f"{at:g}" for at in (0.1, 0.3, 1.0, 3.0, 10.0, 30.0) if share.min() / 2 < at < share.max() * 2}
        by_motion = [
            Plot(METRICS[metric], _by_motion(c, found, metric, share, ranks), f"{SHARE} [%]", lines={"": 0.0},
                 marked=True, x_scale="log", x_ticks=ticks)
            for metric in metrics
        ]  # fmt: skip
        blocks.insert(0, Plots(by_motion, "canonical less control", 2.5, alike=False))
    title = f"When canonical directions pay, {n}"
    return figures.page(title + (f"\n{SHARE}: {order}" if order else ""), blocks)


def _by_motion(c: Config, found: Found, metric: str, share: np.ndarray, ranks: np.ndarray) -> dict[str, Any]:
    curves = {}
    for control in CONTROLS:
        its = gain.beside([gain.gains(found, CENTRE, game, control, metric) for game in c.games_asked])
        curves[control] = share[ranks], _or_nothing(its, len(ranks))[:, ranks]
    return curves


def _by_units(c: Config, found: Found, metric: str) -> dict[str, Any]:
    curves = {}
    for control in CONTROLS:  # a single filter cannot be turned: that control begins at K = 2
        points = [p for p in design.UNITS if control in p.codes()]
        its = gain.across_points(found, points, c.games_asked, control, metric)
        curves[control] = [p.n_units for p in points], _or_nothing(its, len(points))
    return curves


def _or_nothing(its: np.ndarray | None, n: int) -> np.ndarray:
    """A curve without points where nothing was measured, so that each control keeps its colour on all plots."""
    return np.full((1, n), np.nan) if its is None else its


def draw_sizes(c: Config, found: Cells, n: str) -> figures.Figure:
    """Score of clones with an MLP against the number of features, by game, beside the DQN network's."""
    plots = []
    for game in _among(c, design.CHOOSING):
        curves, lines = {}, {}
        for code in PAIR:
            known = {p: gain.values(found.design, p, game, code, SCORE) for p in design.SIZES}
            points = [p for p, value in known.items() if value is not None]
            its = gain.beside([known[p] for p in points])
            if its is not None:
                curves[code] = [p.n_features for p in points], its
        if game in found.networks:
            scores = stats_ci.mean_over_games([cell["scores"] for cell in found.networks[game]])
            lines["the DQN network, from pixels"] = float(scores.mean())
        ticks: dict[float, str] = {p.n_features: f"{p.n_features:,}" for p in design.SIZES if p.n_features != 2048}
        plots.append(
            Plot(TASKS[game].label, curves, "features", lines=lines, x_scale="log", x_ticks=ticks, marked=True)
        )
    title = f"What features buy: clones with an MLP, {n}"
    return figures.page(title, [Plots(plots, "points per game", 2.6, alike=False)])


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
