"""Pictures of courses: learning curves, filters in a stream, spectra, cost against size; and filters themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

import figures
import stats_ci
from figures import BAND, COLOURS, GREY, ORIGINAL, OURS, SMALL, STROKES, WIDTH, page, panels_of, styled
from figures_rows import Panel, Rows

FEW = 5  # seeds that are drawn one by one; of more the interval of their mean
Curve = tuple[Sequence[float] | np.ndarray, np.ndarray]  # x (p,), values (seeds, p); NaN where there is none
Scale = Literal["linear", "log", "from 0"]  # "from 0": logarithmic above the second point


@dataclass(frozen=True)
class Plot:
    """Curves against one axis.

    curves     name: x (p,), values (seeds, p)
    original   points (x, y, standard error or 0) of the original investigation
    lines      label: height of a dashed line             across   label: place of an upright one
    band       (low, high) heights; band_label explains it
    x_ticks    {place: text}; chosen by the scale without
    y_range    of the axis
    mean       of the seeds, as a thick line; without it the seeds alone
    marked     points are marked: there is nothing between them
    black      the one curve is ours
    """

    title: str
    curves: Mapping[str, Curve]
    x_label: str = ""
    original: Sequence[tuple[float, float, float]] = ()
    lines: Mapping[str, float] = field(default_factory=dict)
    across: Mapping[str, float] = field(default_factory=dict)
    band: tuple[float, float] | None = None
    band_label: str = ""
    x_scale: Scale = "linear"
    y_scale: Literal["linear", "log"] = "linear"
    x_ticks: Mapping[float, str] = field(default_factory=dict)
    y_range: tuple[float, float] | None = None
    mean: bool = True
    marked: bool = False
    black: bool = False
    first: int = 0  # colour and stroke of the first curve


@dataclass(frozen=True)
class Plots:
    """A block of plots beside each other; `alike`: they share the upright axis."""

    plots: Sequence[Plot]
    y_label: str = ""
    height: float = 2.3
    alike: bool = True

    def draw(self, area: SubFigure) -> None:
        """All plots."""
        found = panels_of(area, len(self.plots), sharey="all" if self.alike else "none")
        for axes, plot in zip(found, self.plots, strict=True):
            _draw(axes, plot)
        found[0].set_ylabel(self.y_label)


def _draw(axes: Axes, plot: Plot) -> None:
    if plot.band is not None:
        axes.axhspan(*plot.band, color=BAND, zorder=0, linewidth=0, label=plot.band_label or None)
    for i, (label, level) in enumerate(plot.lines.items()):
        axes.axhline(level, color=GREY, linestyle=("--", ":", "-.")[i % 3], linewidth=1.2, label=label or None)
    for label, at in plot.across.items():
        axes.axvline(at, color=GREY, linestyle=":", linewidth=1, label=label or None)
    for i, (name, (x, values)) in enumerate(plot.curves.items(), plot.first):
        colour, stroke = (OURS, "-") if plot.black else (COLOURS[i % len(COLOURS)], STROKES[i % len(STROKES)])
        _curve(axes, plot, np.asarray(x, float), np.asarray(values, float), (name, colour, stroke))
    for at, y, error in plot.original:
        axes.errorbar(at, y, error or None, ecolor=ORIGINAL["color"], elinewidth=1.2, fmt="none", zorder=4)
        axes.plot(at, y, clip_on=False, label="original" + (" (bar: its standard error)" if error else ""), **ORIGINAL)
    _scale(axes, plot)
    axes.set_title(plot.title)
    axes.set_xlabel(plot.x_label)


def _curve(axes: Axes, plot: Plot, x: np.ndarray, values: np.ndarray, look: tuple[str, str, str]) -> None:
    name, colour, stroke = look
    n_seeds = len(values)
    seen = np.isfinite(values).any(axis=0)
    marker = "o" if plot.marked else ""
    if not plot.mean:
        for s, row in enumerate(values):
            axes.plot(x, row, stroke, color=colour, linewidth=0.9, alpha=0.8, marker=marker, markersize=2.5,
                      label=name if s == 0 else None)  # fmt: skip
        return
    if 1 < n_seeds <= FEW:
        axes.plot(x, values.T, color=colour, linewidth=0.7, alpha=0.45)
    elif n_seeds > FEW:
        found = [stats_ci.estimate(column[np.isfinite(column)]) for column in values[:, seen].T]
        axes.fill_between(x[seen], [e.low for e in found], [e.high for e in found], color=colour, alpha=0.25,
                          linewidth=0)  # fmt: skip
    mean = np.nanmean(values[:, seen], axis=0)
    axes.plot(x[seen], mean, stroke, color=colour, linewidth=1.8, label=name, marker=marker, markersize=4)


def _scale(axes: Axes, plot: Plot) -> None:
    if plot.y_scale == "log":
        axes.set_yscale("log")
    if plot.y_range is not None:
        axes.set_ylim(*plot.y_range)
    if plot.y_scale == "log":
        figures.logarithmic(axes.yaxis, *axes.get_ylim())
    if plot.x_scale == "log":
        axes.set_xscale("log")
    elif plot.x_scale == "from 0":
        first = next(iter(plot.curves.values()))[0]
        axes.set_xscale("symlog", linthresh=first[1], linscale=0.5)
        if not plot.x_ticks:
            axes.set_xticks([0, first[1], first[-1]], ["0", _short(first[1]), _short(first[-1])])
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.set_xlim(-0.3 * first[1], 1.25 * first[-1])
    if plot.x_ticks:
        axes.set_xticks(list(plot.x_ticks), list(plot.x_ticks.values()))
        axes.xaxis.set_minor_locator(ticker.NullLocator())
    elif plot.x_scale == "linear":
        axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=_whole(plot)))


def _whole(plot: Plot) -> bool:
    return all(np.equal(np.mod(x, 1), 0).all() for x, _ in plot.curves.values())


def _short(n: float) -> str:
    return f"{n / 1000:g} k" if n >= 1000 and n % 100 == 0 else f"{n:,.0f}"


def learning(
    title: str,
    curves: Mapping[str, Mapping[str, Curve]],
    finals: Mapping[str, np.ndarray],
    lines: Mapping[str, float],
    original: Mapping[str, float] | None = None,
) -> Figure:
    """Returns of training games against what was spent, and what is judged: final policies in full games.

    curves    label of the axis: {name: curve}, the names alike on all axes
    finals    policy: (n,) a mean score per seed
    lines     label: a level in points                original   policy: what the original reports of it
    """
    plots = [
        Plot("training games", its, label, lines=lines, x_scale="linear") for label, its in curves.items()
    ]  # fmt: skip
    panel = Panel("full games of the final policies", finals, original or {}, lines=lines, unit="score per game")
    return page(title, [Plots(plots, "return per game [points]", 2.6), Rows([panel])])


def filter_shapes(banks: Mapping[str, np.ndarray], games: Sequence[str], title: str) -> Figure:
    """Filters of several games, one row per recipe, one column per game: every replication a thin line.

    banks   recipe: (seeds, games, K, m), newest tap first; each filter is drawn divided by its largest tap
    """
    blocks = []
    for recipe, bank in banks.items():
        lags = -np.arange(bank.shape[-1])
        shapes = bank / np.abs(bank).max(axis=-1, keepdims=True)
        last = recipe == list(banks)[-1]
        plots = [
            Plot(
                game, {f"filter {k + 1}": (lags, shapes[:, g, k]) for k in range(bank.shape[2])},
                "lag [steps]" if last else "", lines={"": 0.0}, mean=False, y_range=(-1.1, 1.1),
                x_ticks={lag: str(lag) for lag in (-(bank.shape[-1] - 1) // 2 * 2 + 2, 0)},
            )
            for g, game in enumerate(games)
        ]  # fmt: skip
        blocks.append(Plots(plots, f"{recipe}: tap / largest tap", 2.1))
    return page(title + "\na line per seed; a step is 1/15 s", blocks)


@styled
def filters_by_noise(filters: np.ndarray, noise: Sequence[float], title: str, threshold: float = 0.05) -> Figure:
    """The first filters at several noise levels, one panel per filter: means over seeds, intervals shaded.

    filters    (noise levels, seeds, K, m), newest tap first, each divided by its largest tap
    noise      standard deviation of each level, in those of the signal
    threshold  dotted lines at +- this fraction of the peak: beyond them a lobe counts
    """
    _, n_seeds, n_units, memory = filters.shape
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    panels = figure.subplots(1, n_units, sharey=True, squeeze=False)
    lags = np.arange(memory)
    colours = mpl.colormaps.get_cmap("viridis")(np.linspace(0.05, 0.8, len(noise)))
    for unit, axes in enumerate(panels[0]):
        for i, (sd, colour) in enumerate(zip(noise, colours, strict=True)):
            taps = filters[i, :, unit]
            axes.plot(lags, taps.mean(axis=0), STROKES[i % 3], color=colour, linewidth=1.4, label=f"noise {sd:g}")
            if n_seeds > 1:
                bands = [stats_ci.estimate(values) for values in taps.T]
                axes.fill_between(
                    lags, [b.low for b in bands], [b.high for b in bands], color=colour, alpha=0.35, linewidth=0
                )
        axes.axhline(0, color="grey", linewidth=0.8)
        for level in (-threshold, threshold):
            label = f"+- {100 * threshold:g} %: lobes count" if level > 0 else None
            axes.axhline(level, color="grey", linewidth=0.8, linestyle=":", label=label)
        axes.set(title=f"filter {unit + 1}", xlabel="lag [steps]")
        axes.tick_params(labelsize=SMALL)
        axes.grid(alpha=0.25)
        axes.legend(title=f"sd of noise / signal, n = {n_seeds} seeds")
    panels[0][0].set_ylabel("tap / largest tap")
    figure.suptitle(figures.in_lines(title))
    return figure
