"""Pictures of estimates: a row for each, its seeds as dots, its mean and interval, margins, the original's value."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

import stats_ci
from figures import BAND, GREY, INTERVAL, MEDIUM, ORIGINAL, OURS, SEEDS, logarithmic, page, panels_of
from stats_ci import Estimate

FAR, FAR_OF_THREE = 2.5, 8.0  # times: a row that stretches the axis by more is cut off, and says so
LONGEST = 44  # characters of a label's line
WIDE = 2  # panels beside each other at most for which an estimate that is cut off is written out


@dataclass(frozen=True)
class Panel:
    """Estimates of one quantity, one row each.

    rows       label: (n,) one value per seed
    original   label: what the original investigation reports: a value, or (value, standard error); original_label
               explains it
    band       (low, high): the margin within which nothing is decided, or equality is; band_label explains it
    lines      label: where a dashed line stands, such as a target
    unit       of the axis          log   logarithmic; all values must be above 0
    most       that the quantity can be: intervals end there
    grey       labels of rows that are drawn in grey: controls
    marks      label: {row's label: value}: other people's values, a mark in each row that has one
    replication   what a value is of
    """

    title: str
    rows: Mapping[str, np.ndarray]
    original: Mapping[str, float | tuple[float, float]] = field(default_factory=dict)
    original_label: str = "original"
    band: tuple[float, float] | None = None
    band_label: str = ""
    lines: Mapping[str, float] = field(default_factory=dict)
    unit: str = ""
    log: bool = False
    most: float = np.inf
    grey: Collection[str] = ()
    marks: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    replication: str = "seed"

    def reach(self, label: str) -> tuple[float, float]:
        """The ends of what a row shows."""
        found = stats_ci.estimate(self.rows[label])
        shown = [found.mean, *np.asarray(self.rows[label], float)]
        shown += [] if np.isnan(found.low) else [found.low, min(found.high, self.most)]
        value, error = _reported(self.original.get(label, found.mean))
        shown += [value - error, value + error, *(its[label] for its in self.marks.values() if label in its)]
        return min(shown), max(shown)


@dataclass(frozen=True)
class Rows:
    """A block of panels beside each other that share the labels of their rows; `alike`: they share their axis, too.

    title, foot   above and below all of them
    """

    panels: Sequence[Panel]
    alike: bool = False
    title: str = ""
    foot: str = ""

    @property
    def names(self) -> list[str]:
        """All labels, in the panels' order."""
        return list(dict.fromkeys(label for panel in self.panels for label in panel.rows))

    @property
    def height(self) -> float:
        """[inches]"""
        lines = sum(max(wrapped(name).count("\n") + 1, 1.45) for name in self.names)
        titles = any(panel.title for panel in self.panels) + bool(self.title)
        units = max((panel.unit.count("\n") + 1 if panel.unit else 0) for panel in self.panels)
        return 0.42 + 0.17 * lines + 0.2 * titles + 0.15 * (units + bool(self.foot))

    def draw(self, area: SubFigure) -> None:
        """All panels."""
        names = self.names
        found = panels_of(area, len(self.panels), sharey=True, sharex="all" if self.alike else "none")
        limits = [_limits(panel) for panel in self.panels]
        if self.alike:
            limits = [(min(low for low, _ in limits), max(high for _, high in limits))] * len(limits)
        for axes, panel, ends in zip(found, self.panels, limits, strict=True):
            if panel.log:
                axes.set_xscale("log")
            axes.set_xlim(*ends)
            _draw(axes, panel, names, len(self.panels))
        found[0].set_yticks(range(len(names)), [wrapped(name) for name in names])
        found[0].set_ylim(len(names) - 0.4, -0.6)
        for axes in found:
            axes.tick_params(axis="y", length=0)
        if self.title:
            area.suptitle(self.title, fontsize=MEDIUM)
        if self.foot:
            area.supxlabel(self.foot)


def quantities(
    title: str,
    values: Mapping[str, Mapping[str, np.ndarray]],
    original: Mapping[str, Mapping[str, float]],
    unit: str,
    grey: Collection[str] = (),
) -> Figure:
    """A page with a panel per quantity that is at most 1, and a row per name.

    values   quantity: {name: (n,) a value per seed}       original   quantity: {name: value}, where there is one
    grey     names of controls
    """
    panels = [
        Panel(quantity, its, original.get(quantity, {}), most=1.0, grey=grey, original_label="original (1 seed)")
        for quantity, its in values.items()
    ]
    return page(title, [Rows(panels, foot=unit)])


def wrapped(label: str) -> str:
    """A label in lines of bearable length."""
    return textwrap.fill(label, LONGEST)


def around(values: np.ndarray, margin: float) -> tuple[float, float]:
    """The band of a margin around a mean."""
    return float(np.mean(values)) - margin, float(np.mean(values)) + margin


def _reported(value: float | tuple[float, float]) -> tuple[float, float]:
    """Value and standard error, 0 where none is known."""
    return value if isinstance(value, tuple) else (value, 0.0)


def _draw(axes: Axes, panel: Panel, names: Sequence[str], n_panels: int) -> None:
    low, high = axes.get_xlim()
    if panel.band is not None and panel.band[0] < high and panel.band[1] > low:
        axes.axvspan(*np.clip(panel.band, low, high), color=BAND, zorder=0, linewidth=0, label=panel.band_label or None)
    for i, (label, at) in enumerate(panel.lines.items()):
        axes.axvline(at, color=GREY, linestyle=("--", ":", "-.")[i % 3], linewidth=1.2, label=label or None, zorder=1)
    for label in panel.rows:
        row = names.index(label)
        _row(axes, panel, label, row, n_panels)
        if label in panel.original:
            value, error = _reported(panel.original[label])
            if error:
                axes.plot([value - error, value + error], [row, row], color=ORIGINAL["color"], linewidth=1.2, zorder=4)
            axes.plot(value, row, label=panel.original_label, **ORIGINAL)
    for i, (label, its) in enumerate(panel.marks.items()):
        where = [names.index(row) for row in panel.rows if row in its]
        axes.plot([its[names[row]] for row in where], where, "sv"[i % 2], color=GREY, markersize=4.5, label=label)
    if not panel.log:
        most = {1: 7, 2: 6, 3: 4, 4: 3}.get(n_panels, 2)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], min_n_ticks=2))
    else:
        logarithmic(axes.xaxis, low, high)
    axes.set_title(panel.title)
    axes.set_xlabel(panel.unit)


def _row(axes: Axes, panel: Panel, label: str, row: int, n_panels: int) -> None:
    """Seeds below the line, so that none hides another; what leaves the axis ends in an arrow, or is written out."""
    values, colour = np.asarray(panel.rows[label], float), GREY if label in panel.grey else OURS
    found = stats_ci.estimate(values)
    low, high = axes.get_xlim()
    inside = values[(values >= low) & (values <= high)]
    beside = row + 0.24 + 0.07 * (np.argsort(np.argsort(inside, kind="stable")) % 3)
    if len(values) > 1:
        axes.plot(inside, beside, ".", color=SEEDS, markersize=4.5, zorder=2, label=f"one {panel.replication}")
    ends = [min(max(end, low), high) for end in _ends(found, panel.most)]
    if not low <= found.mean <= high:
        side = found.mean > high
        place = (_reported(panel.original.get(label, np.nan))[0] - low) / (high - low)
        apart = (place > 0.6) if side else (place < 0.4)  # the original's value stands where this is written
        text = _written(found) if n_panels <= WIDE else f"{found.mean:.2g}"
        beside_axis = f"{text} \N{RIGHTWARDS ARROW}" if side else f"\N{LEFTWARDS ARROW} {text}"
        axes.annotate(
            beside_axis, (0.99 if side else 0.01, row + 0.38 * apart), xycoords=("axes fraction", "data"), va="center",
            ha="right" if side else "left", color=colour, zorder=6,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5} if apart else None,
        )  # fmt: skip
        return
    key = (INTERVAL if colour == OURS else f"{INTERVAL}, control") if found.n > 1 else "one run"
    axes.plot([ends[0], found.mean, ends[1]], [row] * 3, "-o", color=colour, markevery=[1], markersize=4.5,
              linewidth=1.6, zorder=3, label=key)  # fmt: skip
    for end, edge, marker in ((found.low, low, "<"), (min(found.high, panel.most), high, ">")):
        if (end < edge) if marker == "<" else (end > edge):
            axes.plot(edge, row, marker, color=colour, markersize=5, clip_on=False, zorder=4, linestyle="none",
                      label="the interval goes on")  # fmt: skip


def _written(found: Estimate) -> str:
    if abs(found.mean) < 100 or np.isnan(found.low):
        return str(found)
    return f"{found.mean:,.0f} [{found.low:,.0f}, {found.high:,.0f}]"


def _ends(found: Estimate, most: float) -> tuple[float, float]:
    return (found.mean, found.mean) if np.isnan(found.low) else (found.low, min(found.high, most))


def _limits(panel: Panel) -> tuple[float, float]:
    """Of the axis: all rows but one or two that would squeeze all others; targets; the band where it is near."""
    reaches = dict(zip(panel.rows, map(panel.reach, panel.rows), strict=True))
    if panel.log:
        shown = [*np.ravel(list(reaches.values())), *panel.lines.values()]
        return 0.8 * min(value for value in shown if value > 0), 1.25 * max(shown)
    for _ in range(2):
        if len(reaches) > 2:
            spans = {label: _span([reaches[other] for other in reaches if other != label]) for label in reaches}
            worst = min(spans, key=spans.__getitem__)
            if (FAR if len(reaches) > 3 else FAR_OF_THREE) * spans[worst] < _span(list(reaches.values())):
                del reaches[worst]
    shown = [*np.ravel(list(reaches.values())), *panel.lines.values()]
    shown += [_reported(panel.original[label])[0] for label in panel.rows if label in panel.original]
    span = max(shown) - min(shown)
    near = (min(shown) - span, max(shown) + span)
    shown += [end for end in panel.band or () if near[0] <= end <= near[1]]
    edge = 0.06 * ((max(shown) - min(shown)) or 1.0)
    return min(shown) - edge, max(shown) + edge


def _span(reaches: Sequence[tuple[float, float]]) -> float:
    return max(high for _, high in reaches) - min(low for low, _ in reaches)
