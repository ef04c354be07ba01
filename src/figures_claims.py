"""Pictures of claims: a forest of all that the original says, and what ReSU adds to its controls.

Rows in, a Figure out. Colours are those of Okabe and Ito; words have a marker of their own, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures import BAND, ORIGINAL, SMALL, WIDTH, styled

BLUE, SKY, VERMILION, ORANGE, GREEN, GREY = "#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73", "#777777"
STYLES = {  # of a claim's word
    "stands": (BLUE, "o"),
    "smaller": (SKY, "v"),
    "falls": (VERMILION, "X"),
    "undecided": (GREY, "s"),
    "not comparable": (GREY, "P"),
    "missing": (GREY, "."),
}
ROW = 0.172  # inches


@dataclass(frozen=True)
class ForestRow:
    """A line of a forest, in units of its own scale: NaN where there is nothing to draw."""

    label: str
    word: str
    mean: float
    low: float
    high: float
    original: float


@dataclass(frozen=True)
class Group:
    """Rows of one scale.

    title, axis   what it shows, and its unit
    band          (low, high) in which a claim of equality or a bound holds; None for effects
    lines         places of thin vertical lines
    """

    title: str
    axis: str
    rows: Sequence[ForestRow]
    band: tuple[float, float] | None = None
    lines: Sequence[float] = ()


@styled
def forest(groups: Sequence[Group], limits: tuple[float, float] = (-2.6, 3.6)) -> Figure:
    """All claims below each other, group by group; what lies beyond the limits ends in an arrow."""
    shown = [group for group in groups if group.rows]
    heights = [len(group.rows) for group in shown]
    figure = Figure(figsize=(WIDTH, 0.9 + ROW * sum(heights) + 0.62 * len(shown)), layout="constrained")
    panels = figure.subplots(len(shown), 1, height_ratios=[ROW * n + 0.3 for n in heights], squeeze=False)[:, 0]
    for axes, group in zip(panels, shown, strict=True):
        if group.band:
            axes.axvspan(*np.clip(group.band, *limits), color=BAND, linewidth=0)
        for place in group.lines:
            axes.axvline(place, color="black", linewidth=0.6, linestyle=":" if place else "-")
        for i, row in enumerate(group.rows):
            _line(axes, i, row, limits)
        _rows(axes, [row.label for row in group.rows])
        axes.set_xlim(*limits)
        axes.set_title(group.title, fontsize=SMALL + 1, loc="right")
        axes.set_xlabel(group.axis, fontsize=SMALL)
        if not group.axis:
            axes.set_xticks([])
    figure.legend(handles=_legend(panels[0], shown), fontsize=SMALL, ncol=4, loc="outside lower center")
    return figure


def _line(axes: Axes, i: int, row: ForestRow, limits: tuple[float, float]) -> None:
    colour, marker = STYLES[row.word]
    if np.isfinite(row.low):
        ends = np.clip([row.low, row.high], *limits)
        axes.plot(ends, [i, i], color=colour, linewidth=1.6)
    if np.isfinite(row.mean):
        inside = limits[0] <= row.mean <= limits[1]
        sign = "<" if row.mean < limits[0] else ">"
        place = min(max(row.mean, limits[0]), limits[1])
        axes.plot(place, i, marker if inside else sign, color=colour, markersize=5.5, clip_on=False)
    if np.isfinite(row.original):
        axes.plot(row.original, i, **ORIGINAL)


def _rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels, fontsize=SMALL)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="x", labelsize=SMALL)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)


def _legend(axes: Axes, groups: Sequence[Group]) -> list:
    words = {row.word for group in groups for row in group.rows}
    handles = []
    for word, (colour, marker) in STYLES.items():
        if word in words:
            (handle,) = axes.plot([], [], marker, color=colour, markersize=5.5, label=f"ours: {word}")
            handles.append(handle)
    (handle,) = axes.plot([], [], **ORIGINAL)
    handle.set_label("the original's value")
    return [*handles, handle]


@styled
def contributions(rows: Sequence[tuple[str, Sequence[tuple[str, ForestRow]]]], axis: str) -> Figure:
    """What ReSU scores above its controls: per label the rows by control; the band is that of equality.

    rows   (label, [(control, row), ...]); controls share their colours over labels
    """
    controls = list(dict.fromkeys(control for _, its in rows for control, _ in its))
    styles = dict(zip(controls, zip((BLUE, VERMILION, GREEN, ORANGE, GREY), "osD^v", strict=True), strict=False))
    figure = Figure(figsize=(WIDTH, 1.3 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(-1, 1, color=BAND, linewidth=0)
    axes.axvline(0, color="black", linewidth=0.6)
    for i, (_, its) in enumerate(rows):
        for control, row in its:
            place = i + 0.19 * (controls.index(control) - (len(controls) - 1) / 2)
            colour, marker = styles[control]
            axes.plot([row.low, row.high], [place, place], color=colour, linewidth=1.6)
            axes.plot(row.mean, place, marker, color=colour, markersize=5)
    _rows(axes, [label for label, _ in rows])
    axes.set_xlabel(axis, fontsize=SMALL)
    handles = [axes.plot([], [], styles[c][1] + "-", color=styles[c][0], label=f"ReSU less {c}")[0] for c in controls]
    if handles:
        figure.legend(handles=handles, fontsize=SMALL, ncol=2, loc="outside lower center")
    return figure
