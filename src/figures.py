"""Pictures: the one style, and pages of blocks. Arrays in, a Figure or an RGB image out; nothing is read or written.

A page is as wide as the text, no letter on it is smaller than 8 pt, and its colours are told apart by everybody. Means
are black with their 95 % intervals, dots are seeds, light bands are margins, and an open diamond is what the original
investigation reports. The key at the foot of a page explains each of these once. With `figures_*` the only home of
matplotlib.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import matplotlib as mpl
import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure, SubFigure

ON_COLOUR, OFF_COLOUR = (255, 170, 40), (70, 170, 255)  # RGB
BACKGROUND = 18
WIDTH = 7.0  # of every page [inches]; at 120 dots per inch the 840 pixels of a text column
SMALL, MEDIUM = 8, 9  # sizes of letters [pt]
STYLE: Any = {
    "font.size": SMALL,
    "axes.titlesize": MEDIUM,
    "axes.labelsize": SMALL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.title_fontsize": SMALL,
    "figure.titlesize": MEDIUM + 1,
    "figure.labelsize": SMALL,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
styled = mpl.rc_context(STYLE)  # decorates whatever draws
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#666666")  # of curves; Okabe and Ito's
STROKES = ("-", "--", "-.", ":", "-", "--")
OURS, SEEDS, BAND, GREY = "black", "#56B4E9", "#DCE9F3", "#777777"
ORIGINAL: dict[str, Any] = {
    "marker": "D",
    "markersize": 6,
    "markerfacecolor": "none",
    "markeredgecolor": "#AA3377",
    "markeredgewidth": 1.5,
    "color": "#AA3377",
    "linestyle": "none",
    "zorder": 5,
}
INTERVAL = "mean and 95 % interval"


class Block(Protocol):
    """A part of a page: as high as it says [inches], drawn into an area of that size."""

    @property
    def height(self) -> float:
        """[inches]"""
        ...

    def draw(self, area: SubFigure) -> None:
        """Fill the area; what the key shall explain has a label."""
        ...


@styled
def page(title: str, blocks: Sequence[Block]) -> Figure:
    """Blocks one below the other, as wide as the text, below a title and above a key to all that has a label."""
    title = "\n".join(map(in_lines, title.splitlines()))
    top = 0.08 + 0.19 * (title.count("\n") + 1)
    figure = Figure(figsize=(WIDTH, 1))
    heights = [top, *(block.height for block in blocks), 1.0]
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    drawn = [figure.add_subfigure(grid[i, 0]) for i in range(len(heights))]
    drawn[0].text(0.5, 0.5, title, ha="center", va="center", fontsize=STYLE["figure.titlesize"])
    for block, area in zip(blocks, drawn[1:-1], strict=True):
        block.draw(area)
    explained: dict[str, Any] = {}
    for handle, label in _labelled(figure):
        explained.setdefault(label, handle)
    labels = sorted(explained, key=_place)
    n_columns = _columns(labels)
    heights[-1] = 0.12 + 0.19 * -(-len(labels) // n_columns) if labels else 0.02
    drawn[-1].legend(
        [explained[label] for label in labels], labels, loc="center", ncols=n_columns, frameon=False, borderpad=0,
        columnspacing=1.4,
    )  # fmt: skip
    grid.set_height_ratios(heights)
    figure.set_size_inches(WIDTH, sum(heights))
    figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.03)
    return figure


def in_lines(text: str, longest: int = 84) -> str:
    """A title in lines of about the same length."""
    n_lines = -(-len(text) // longest)
    return textwrap.fill(text, min(longest, len(text) // n_lines + 9)) if n_lines > 1 else text


def _place(label: str) -> int:
    """Of a label in the key: curves, then what every page has, the original last."""
    order = (INTERVAL, "one ", "the interval", "original")
    return next((i for i, start in enumerate(order, 1) if label.startswith(start)), 0)


def logarithmic(axis: Axis, low: float, high: float) -> None:
    """Ticks of a logarithmic axis without raised exponents, whose letters would be too small."""
    decades = np.log10(high / low)
    axis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0) if decades < 1.8 else (1.0,), numticks=12))
    axis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:,.0f}" if x >= 1 else f"{x:g}"))
    axis.set_minor_formatter(ticker.NullFormatter())


def _labelled(figure: Figure) -> Iterator[tuple[Any, str]]:
    for axes in figure.axes:
        yield from zip(*axes.get_legend_handles_labels(), strict=True)


def _columns(labels: Sequence[str]) -> int:
    """The most columns of a key that fit beside each other."""
    for n in range(len(labels), 1, -1):
        widths = [max(len(label) for label in labels[-(-len(labels) // n) * i :][: -(-len(labels) // n)] or ("",))
                  for i in range(n)]  # fmt: skip
        if sum(0.065 * width + 0.52 for width in widths) <= WIDTH:
            return n
    return 1


def panels_of(area: SubFigure, n: int, **options: Any) -> list[Axes]:
    """n axes beside each other, in the style."""
    found = list(area.subplots(1, n, squeeze=False, **options)[0])
    for axes in found:
        axes.tick_params(labelsize=SMALL)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
    return found


@styled
def filter_bank(filters: np.ndarray, correlations: np.ndarray, title: str) -> Figure:
    """Temporal filters (K, m), newest tap first, one line each, with their canonical correlations (K,)."""
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = figure.subplots()
    _filters(axes, filters, correlations)
    axes.set(xlabel="lag [agent steps, 1/15 s]", ylabel="tap [1 / grey level]")
    axes.legend(title="filter: correlation")
    figure.suptitle(title)
    return figure


def _filters(axes: Axes, filters: np.ndarray, correlations: np.ndarray) -> None:
    lags = -np.arange(filters.shape[1])
    for k, (taps, correlation) in enumerate(zip(filters, correlations, strict=True)):
        style: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "linestyle": STROKES[k % len(STROKES)]}
        axes.plot(lags, taps, marker="o", markersize=4, label=f"{k + 1}: {correlation:.3f}", **style)
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.tick_params(labelsize=SMALL)


@styled
def unit_at_work(
    frames: np.ndarray, filters: np.ndarray, correlations: np.ndarray, maps: np.ndarray, title: str
) -> Figure:
    """From the past to the code: the newest frames, the filters that each pixel's past is weighted with, their maps.

    frames (m, H, W) uint8, newest first; filters (K, m), newest tap first; correlations (K,); maps (2K, H, W), ON first
    """
    memory, n_units = len(frames), len(filters)
    figure = Figure(figsize=(WIDTH, 6.4), layout="constrained")
    upper, code = figure.subfigures(2, 1, squeeze=False, height_ratios=(2.8, 3.6))[:, 0]
    past, middle = upper.subfigures(1, 2, squeeze=False, width_ratios=(3.2, 3.8))[0]
    n_columns = -(-memory // 2) if memory > 2 else memory
    for j, axes in enumerate(past.subplots(-(-memory // n_columns), n_columns, squeeze=False).flat):
        axes.axis("off")
        if j < memory:
            axes.imshow(frames[j], cmap="gray", vmin=0, vmax=255)
            axes.set_title("now" if j == 0 else f"{j} step{'s' * (j > 1)} ago" if memory <= 4 else f"-{j}")
    past.suptitle("the past of every pixel", fontsize=MEDIUM)
    axes = middle.subplots()
    _filters(axes, filters / np.abs(filters).max(axis=1, keepdims=True), correlations)
    axes.set(xlabel="lag [steps]", xticks=-np.arange(memory), ylabel="tap / largest tap", ylim=(-1.1, 2.1))
    axes.legend(title="filter: correlation", ncols=2, loc="upper center")
    middle.suptitle("filters: what predicts the future best", fontsize=MEDIUM)
    grid = code.subplots(2, n_units, squeeze=False)
    for i, image in enumerate(maps):
        row, k = divmod(i, n_units)
        full = max(float(maps[k].max()), float(maps[n_units + k].max()), 1e-12)
        level = np.sqrt(np.clip(image / full, 0, 1))[..., None]
        colour = np.array(OFF_COLOUR if row else ON_COLOUR)
        grid[row, k].imshow((BACKGROUND + level * (colour - BACKGROUND)).astype(np.uint8))
        grid[row, k].set_title(map_name(i, n_units))
        grid[row, k].axis("off")
    code.suptitle("rectified responses", fontsize=MEDIUM)
    figure.suptitle(title)
    return figure


def map_name(i: int, n_units: int) -> str:
    """What the i-th of 2 n_units maps is called: ON maps first, filters numbered from 1."""
    return f"{'OFF' if i >= n_units else 'ON'} {i % n_units + 1}"
