"""Pictures: the only home of matplotlib. Arrays in, a Figure or an RGB image out; nothing is read or written here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import stats_ci
from stats_ci import Estimate

ON_COLOUR, OFF_COLOUR = (255, 170, 40), (70, 170, 255)  # RGB
BACKGROUND = 18


def _subplots(rows: int, columns: int, *, figsize: tuple[float, float], **options: Any) -> tuple[Figure, Any]:
    """As pyplot's, but nothing keeps the figure alive."""
    figure = Figure(figsize=figsize, layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def filter_bank(filters: np.ndarray, correlations: np.ndarray, title: str) -> Figure:
    """Temporal filters (K, m), newest tap first, one line each, with their canonical correlations (K,)."""
    figure, axes = _subplots(1, 1, figsize=(6.4, 3.6))
    lags = -np.arange(filters.shape[1])
    for i, (taps, correlation) in enumerate(zip(filters, correlations, strict=True)):
        axes.plot(lags, taps, "o-", label=f"filter {i + 1}: correlation {correlation:.3f}")
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set(title=title, xlabel="lag [agent steps, 1/15 s]", ylabel="tap [1 / grey level]")
    axes.legend(fontsize=8)
    return figure


def filters_by_noise(filters: np.ndarray, noise: Sequence[float], title: str, threshold: float = 0.05) -> Figure:
    """The first filters at several noise levels, one panel per filter: means over seeds, intervals shaded.

    filters    (noise levels, seeds, K, m), newest tap first, each divided by its largest tap
    noise      standard deviation of each level, in those of the signal
    threshold  dotted lines at +- this fraction of the peak: beyond them a lobe counts
    """
    _, n_seeds, n_units, memory = filters.shape
    figure, panels = _subplots(1, n_units, figsize=(4.8 * n_units, 3.9), sharey=True, squeeze=False)
    lags = np.arange(memory)
    styles = ["-", "--", "-."] * len(noise)
    colours = mpl.colormaps.get_cmap("viridis")(np.linspace(0.05, 0.8, len(noise)))
    for unit, axes in enumerate(panels[0]):
        for sd, taps, colour, style in zip(noise, filters[:, :, unit], colours, styles, strict=False):
            axes.plot(lags, taps.mean(axis=0), style, color=colour, linewidth=1.4, label=f"noise {sd:g}")
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
        axes.grid(alpha=0.25)
        axes.legend(fontsize=9, title=f"sd of noise / signal, n = {n_seeds} seeds", title_fontsize=8)
    panels[0][0].set_ylabel("tap / largest tap")
    figure.suptitle(title, fontsize=10)
    return figure


def score_intervals(
    names: Sequence[str], estimates: Sequence[Estimate], scores: Sequence[np.ndarray], title: str, xlabel: str
) -> Figure:
    """One row per policy: every replication's mean as a dot, the mean and its 95 % interval in black."""
    return score_panels({"": (names, estimates, scores)}, title, xlabel)


def score_panels(
    panels: Mapping[str, tuple[Sequence[str], Sequence[Estimate], Sequence[np.ndarray]]], title: str, xlabel: str
) -> Figure:
    """`score_intervals` for several games, one below the other: {game: (names, estimates, scores)}."""
    heights = [0.7 + 0.42 * len(names) for names, _, _ in panels.values()]
    figure, column = _subplots(len(panels), 1, figsize=(7.6, 0.5 + sum(heights)), height_ratios=heights, squeeze=False)
    for axes, (game, (names, estimates, scores)) in zip(column[:, 0], panels.items(), strict=True):
        for row, (estimate, values) in enumerate(zip(estimates, scores, strict=True)):
            spread = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else np.zeros(1)
            axes.plot(values, row + spread, ".", color="tab:blue", alpha=0.55, markersize=7)
            if np.isfinite(estimate.low):
                axes.plot([estimate.low, estimate.high], [row, row], color="black", linewidth=2)
            axes.plot(estimate.mean, row, "D", color="black", markersize=5)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)
        axes.set_title(game, fontsize=10)
        _log_if_dwarfed(axes, np.concatenate(scores))
    figure.supxlabel(xlabel, fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure


def _log_if_dwarfed(axes: Axes, values: np.ndarray) -> None:
    """A logarithmic axis, linear near 0, for scores of which half would share a twelfth of a linear one."""
    usual = np.median(values)
    if not (values.min() >= 0 < usual < values.max() / 12):
        return
    power = max(int(np.floor(np.log10(np.quantile(values[values > 0], 0.1)))), 0)
    linear = 10**power
    axes.set_xscale("symlog", linthresh=linear, linscale=0.4)
    ticks = [step * 10**k for k in range(power, int(np.log10(values.max())) + 1) for step in (1, 3)]
    axes.set_xticks([0, *ticks], [f"{tick:,}" for tick in (0, *ticks)])
    axes.minorticks_off()
    axes.set_xlim(-0.3 * linear, 1.4 * values.max())
    axes.set_xlabel(f"logarithmic above {linear:,.0f}", fontsize=8)


def dots_by_panel(
    panels: Mapping[str, Sequence[Estimate]],
    names: Sequence[str],
    references: Mapping[str, Mapping[str, float]],
    title: str,
    xlabel: str,
    highlighted: Collection[str] = (),
) -> Figure:
    """One panel per quantity, one row per name: mean and interval, and what others reported as an open circle.

    panels       quantity: one Estimate per name       references   quantity: {name: value}, where there is one
    highlighted  names that are drawn in another colour
    """
    height = 1.5 + 0.27 * len(names)
    figure, axes = _subplots(1, len(panels), figsize=(2.4 + 2.3 * len(panels), height), sharey=True, squeeze=False)
    _dots(axes[0], panels, names, references, highlighted)
    figure.suptitle(title, fontsize=10)
    figure.supxlabel(xlabel, fontsize=9)
    return figure


def _dots(axes, panels, names, references, highlighted) -> None:
    """The panels of `dots_by_panel` on given axes."""
    for axis, (panel, estimates) in zip(axes, panels.items(), strict=True):
        for row, (name, estimate) in enumerate(zip(names, estimates, strict=True)):
            colour = "tab:orange" if name in highlighted else "tab:blue"
            if np.isfinite(estimate.low):
                axis.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=2.5)
            axis.plot(estimate.mean, row, "|", color=colour, markersize=11, markeredgewidth=2)
            if name in references.get(panel, {}):
                axis.plot(references[panel][name], row, "o", markerfacecolor="none", color="black", markersize=6)
        _cut_off_outliers(axis, estimates, list(references.get(panel, {}).values()))
        axis.set_title(panel, fontsize=9)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=8)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()


def _cut_off_outliers(axis: Axes, estimates: Sequence[Estimate], references: Sequence[float]) -> None:
    """Let no interval that is 15 times as wide as the usual one squeeze all others: its end is written at the edge."""
    widths = np.array([estimate.high - estimate.low for estimate in estimates])
    if not np.isfinite(widths).all():
        return
    usual = [e for e, width in zip(estimates, widths, strict=True) if width <= 15 * np.median(widths)]
    shown = [*references, *(e.low for e in usual), *(e.high for e in usual)]
    edge = min(shown) - 0.06 * (max(shown) - min(shown))
    cut = [row for row, estimate in enumerate(estimates) if estimate.low < edge]
    if cut:
        axis.set_xlim(edge, max(shown) + 0.06 * (max(shown) - min(shown)))
    for row in cut:
        estimate = estimates[row]
        text = f"mean {estimate.mean:.2f}, down to {estimate.low:.2f}"
        axis.annotate(text, (edge, row), xytext=(3, 4), textcoords="offset points", fontsize=7)


def dots_and_spectra(
    panels: Mapping[str, Sequence[Estimate]],
    names: Sequence[str],
    references: Mapping[str, Mapping[str, float]],
    spectra: Mapping[str, np.ndarray],
    n_kept: Sequence[int],
    limits: Mapping[str, tuple[str, Sequence[float]]],
    title: str,
    xlabel: str,
    highlighted: Collection[str] = (),
) -> Figure:
    """`dots_by_panel`, and below it how far each canonical correlation of each layer stays below 1.

    spectra   layer: (seeds, correlations) in [0, 1), descending       n_kept  how many of them become units, per layer
    limits    layer: (label, what others reported of the kept ones), one value each or one for all
    """
    height = 1.3 + 0.27 * len(names)
    figure = Figure(figsize=(2.4 + 1.9 * len(panels), height + 3.4), layout="constrained")
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=(height, 3.4))[:, 0]
    _dots(upper.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, names, references, highlighted)
    upper.suptitle(title, fontsize=10)
    upper.supxlabel(xlabel, fontsize=9)
    axes = lower.subplots(1, len(spectra), sharey=True, squeeze=False)[0]
    for axis, kept, (layer, correlations) in zip(axes, n_kept, spectra.items(), strict=True):
        number = np.arange(1, correlations.shape[1] + 1)
        for row in 1 - correlations:
            axis.plot(number, row, "-", color="tab:blue", linewidth=0.8, alpha=0.6)
            axis.plot(number[:kept], row[:kept], ".", color="tab:orange", markersize=6)
            axis.plot(number[kept:], row[kept:], ".", color="tab:blue", markersize=4)
        if layer in limits:
            label, values = limits[layer]
            line, at = ("--", number[[0, kept - 1]]) if len(values) == 1 else ("o", number[: len(values)])
            reported = np.broadcast_to(values, len(at))
            axis.plot(at, 1 - reported, line, color="black", markerfacecolor="none", markersize=6, label=label)
            axis.legend(fontsize=8, loc="lower right")
        axis.set_yscale("log")
        axis.set_title(f"{layer}: {kept} of {len(number)} kept (orange)", fontsize=9)
        axis.set_xlabel("number of the correlation", fontsize=9)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=8)
    axes[0].set_ylabel("1 - canonical correlation", fontsize=9)
    lower.suptitle(f"Spectra of the layers, one line per seed, n = {len(correlations)}", fontsize=10)
    return figure


def filter_shapes(banks: Mapping[str, np.ndarray], games: Sequence[str], title: str) -> Figure:
    """Filters of several games, one row per recipe, one column per game: every replication a thin line.

    banks   recipe: (seeds, games, K, m), newest tap first; each filter is drawn divided by its largest tap
    """
    figure, axes = _subplots(
        len(banks), len(games), figsize=(2.5 * len(games), 2.3 * len(banks) + 0.8), sharex=True, sharey=True,
        squeeze=False,
    )  # fmt: skip
    for row, (recipe, bank) in enumerate(banks.items()):
        lags = -np.arange(bank.shape[-1])
        for column, game in enumerate(games):
            axis = axes[row, column]
            for k in range(bank.shape[2]):
                shapes = bank[:, column, k] / np.abs(bank[:, column, k]).max(axis=1, keepdims=True)
                style = {"linewidth": 1.6 if k < 2 else 0.7, "linestyle": "-" if k < 2 else ":"}
                for s, taps in enumerate(shapes):
                    axis.plot(
                        lags, taps, color=f"C{k}", alpha=0.6, label=f"filter {k + 1}" if s == 0 else None, **style
                    )
            axis.axhline(0, color="grey", linewidth=0.6)
            axis.set_title(f"{game} ({recipe})", fontsize=9)
    axes[0, -1].legend(fontsize=7)
    figure.supxlabel("lag [agent steps, 1/15 s]", fontsize=9)
    figure.supylabel("tap / largest tap", fontsize=9)
    figure.suptitle(title + "; one line per seed", fontsize=10)
    return figure


def stream_curves(
    curves: Mapping[str, tuple[Sequence[int], np.ndarray]], title: str, ylabel: str = "|cosine| with the native filter"
) -> Figure:
    """|cosine| of streamed filters with others against frames streamed.

    curves   panel: frames (n,), values (seeds, n, K)
    """
    figure, axes = _subplots(1, len(curves), figsize=(1 + 2.4 * len(curves), 3.4), sharey=True, squeeze=False)
    for axis, (name, (frames, values)) in zip(axes[0], curves.items(), strict=True):
        for k in range(values.shape[2]):
            axis.plot(frames, values[:, :, k].T, color=f"C{k}", linewidth=0.6, alpha=0.5)
            axis.plot(frames, values[:, :, k].mean(axis=0), color=f"C{k}", linewidth=2, label=f"filter {k + 1}")
        axis.set_xscale("symlog", linthresh=frames[1])
        axis.set_xticks([0, frames[1], frames[-1]], ["0", f"{frames[1]:,}", f"{frames[-1]:,}"])
        axis.minorticks_off()
        axis.set_title(name, fontsize=9)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=8)
    axes[0, 0].set_ylabel(ylabel)
    axes[0, 0].legend(fontsize=8)
    figure.supxlabel("frames streamed; thin: seeds, thick: their mean", fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure


def learning_curves(curves: Mapping[str, np.ndarray], steps: int, lines: Mapping[str, float], title: str) -> Figure:
    """Return against agent steps: every replication a thin line, their mean a thick one.

    curves   name: (seeds, points) over equal parts of `steps`, NaN where no game ended
    lines    label: level of a dashed horizontal line
    """
    figure, axes = _subplots(1, 1, figsize=(7.2, 3.8))
    for i, (name, values) in enumerate(curves.items()):
        _learning(axes, values, steps, f"C{i}", name)
    for label, level in lines.items():
        axes.axhline(level, color="black", linestyle="--", linewidth=1, label=f"{label} {level:.4g}")
    axes.set(xlabel="agent steps [millions; 1 step = 4 frames]", ylabel="return per game [points]")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def learning_panels(
    curves: Mapping[str, np.ndarray], reference: str, steps: int, lines: Mapping[str, float], title: str
) -> Figure:
    """`learning_curves` with one panel for each arm but the reference, whose mean is grey in all of them."""
    arms = [arm for arm in curves if arm != reference] or [reference]
    n_columns = min(4, len(arms))
    n_rows = -(-len(arms) // n_columns)
    figure, axes = _subplots(
        n_rows, n_columns, figsize=(2.6 * n_columns, 0.8 + 2.2 * n_rows), sharex=True, sharey=True,
        squeeze=False)  # fmt: skip
    for axis in axes.flat[len(arms) :]:
        axis.set_visible(False)
    for axis, arm in zip(axes.flat, arms, strict=False):
        axis.tick_params(labelsize=8, labelbottom=arm in arms[-n_columns:])
        if reference in curves:
            _learning(axis, curves[reference], steps, "0.55", reference, replications=False)
        _learning(axis, curves[arm], steps, "C0", "")
        for label, level in lines.items():
            axis.axhline(level, color="black", linestyle="--", linewidth=1, label=f"{label} {level:.4g}")
        axis.set_title(arm, fontsize=9)
        axis.grid(alpha=0.3)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower right", ncols=2, fontsize=8)
    figure.supxlabel("agent steps [millions; 1 step = 4 frames]", fontsize=9)
    figure.supylabel("return per game [points]", fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure


def _learning(axes: Axes, values: np.ndarray, steps: int, color: str, label: str, *, replications: bool = True) -> None:
    """(seeds, points) over equal parts of `steps`: their mean as a thick line, perhaps every seed as a thin one."""
    at = (np.arange(values.shape[1]) + 0.5) * steps / values.shape[1] / 1e6
    if replications:
        axes.plot(at, values.T, color=color, linewidth=0.8, alpha=0.5)
    seen = np.isfinite(values).any(axis=0)
    axes.plot(at[seen], np.nanmean(values[:, seen], axis=0), color=color, linewidth=2.2, label=label)


def growth(panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], unit: str) -> Figure:
    """Cost against size, one panel per axis, both scales logarithmic.

    panels   label of the axis: name of the curve: (size, cost) pairs
    """
    figure, axes = _subplots(1, len(panels), figsize=(3.6 * len(panels), 3.4), squeeze=False)
    for axis, (label, curves) in zip(axes[0], panels.items(), strict=True):
        for i, (name, pairs) in enumerate(curves.items()):
            size, cost = np.array(pairs).T
            axis.loglog(size, cost, "o-" if "encode" in name else "s--", color=f"C{i // 2}", markersize=4, label=name)
        sizes = sorted({size for pairs in curves.values() for size, _ in pairs})
        axis.set_xticks(sizes, [f"{size:,.0f}" for size in sizes], fontsize=8, rotation=30)
        axis.xaxis.set_minor_locator(ticker.NullLocator())
        axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_locator(ticker.NullLocator())
        axis.set(xlabel=label)
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel(unit)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncol=4)
    figure.suptitle("Cost of the moments and of encoding", fontsize=10)
    return figure


def unit_at_work(
    frames: np.ndarray, filters: np.ndarray, correlations: np.ndarray, maps: np.ndarray, title: str
) -> Figure:
    """From the past to the code: the newest frames, the filters that each pixel's past is weighted with, their maps.

    frames (m, H, W) uint8, newest first; filters (K, m), newest tap first; correlations (K,); maps (2K, H, W), ON first
    """
    memory, n_units = len(frames), len(filters)
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    widths = [memory * 0.55, 3.4, n_units * 1.05]
    past, middle, code = figure.subfigures(1, 3, squeeze=False, width_ratios=widths)[0]
    rows = 2 if memory > 2 else 1
    for j, axes in enumerate(past.subplots(rows, -(-memory // rows), squeeze=False).flat):
        axes.axis("off")
        if j < memory:
            axes.imshow(frames[j], cmap="gray", vmin=0, vmax=255)
            axes.set_title("now" if j == 0 else f"{j} step{'s' if j > 1 else ''} ago", fontsize=8)
    past.suptitle("past of every pixel", fontsize=10)
    axes = middle.subplots()
    for k, (taps, correlation) in enumerate(zip(filters, correlations, strict=True)):
        axes.plot(-np.arange(memory), taps / np.abs(taps).max(), "o-", label=f"{k}: correlation {correlation:.3f}")
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set(xlabel="lag [steps]", xticks=-np.arange(memory), ylabel="tap / largest tap", ylim=(-1.1, 1.75))
    axes.legend(fontsize=8, title="filter", title_fontsize=8, ncol=2, loc="upper center")
    middle.suptitle("canonical directions: what predicts the future best", fontsize=10)
    grid = code.subplots(2, n_units, squeeze=False)
    for i, image in enumerate(maps):
        row, k = divmod(i, n_units)
        full = max(float(maps[k].max()), float(maps[n_units + k].max()), 1e-12)
        level = np.sqrt(np.clip(image / full, 0, 1))[..., None]
        colour = np.array(OFF_COLOUR if row else ON_COLOUR)
        grid[row, k].imshow((BACKGROUND + level * (colour - BACKGROUND)).astype(np.uint8))
        grid[row, k].set_title(f"{'OFF' if row else 'ON'} {k}", fontsize=8)
        grid[row, k].axis("off")
    code.suptitle("rectified responses", fontsize=10)
    figure.suptitle(title, fontsize=11)
    return figure
