"""Figures: as wide as the page, no letter below 8 pt, nothing hidden, everything that is drawn explained once."""

import importlib

import matplotlib.legend
import matplotlib.text
import numpy as np
import pytest

import figures
import figures_curves
import figures_rows
import report_steps
import resu_files
from figures_curves import Plot, Plots
from figures_rows import Panel, Rows
from stage_io import ROOT
from stage_run import Run

SMALLEST = 8  # [pt]
TALLEST = 10  # [inches]
DRAWN = [step for step in report_steps.STEPS if (ROOT / "results" / f"{step.name}.json").is_file()]


def letters(figure):
    """Every text that is seen: no labels of ticks beyond the axis."""
    figure.draw_without_rendering()
    beyond = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ticks = (*axis.get_major_ticks(), *axis.get_minor_ticks())
        beyond |= {tick.label1 for tick in ticks if not low <= tick.get_loc() <= high}
    found = figure.findobj(matplotlib.text.Text)
    return [text for text in found if text.get_visible() and text.get_text().strip() and text not in beyond]


def check(figure):
    assert figure.get_figwidth() == figures.WIDTH and figure.get_figheight() <= TALLEST
    found = letters(figure)
    assert found
    for text in found:
        assert text.get_fontsize() >= SMALLEST, text
        assert "$" not in text.get_text(), f"raised letters are smaller: {text}"
        box = text.get_window_extent()
        assert box.x0 >= -1 and box.x1 <= figure.bbox.width + 1, f"runs off the page: {text}"
    return figure


def key(figure):
    """What the key of a page says; every label once, and all that is drawn under a label."""
    (legend,) = figure.findobj(matplotlib.legend.Legend)
    found = [text.get_text() for text in legend.get_texts()]
    assert len(found) == len(set(found))
    assert set(found) == {label for axes in figure.axes for label in axes.get_legend_handles_labels()[1]}
    return set(found)


def frozen(value):
    return tuple(map(frozen, value)) if isinstance(value, list) else value


@pytest.mark.parametrize("step", DRAWN, ids=lambda step: step.name)
def test_every_figure_of_the_results(step):
    """Drawn from the committed cells, with the options that they were made with."""
    stage = importlib.import_module(step.script).STAGE
    document = resu_files.read_json(ROOT / "results" / f"{step.name}.json")
    config = stage.config(**{name: frozen(value) for name, value in document["config"].items()})
    found = stage.cells(Run(stage.script, config, stage.variant(config), reading=True, small=stage.smoke))
    for draw in stage.report(config, found).figures.values():
        figure = check(draw())
        if figure.subfigs:
            key(figure)


def rng():
    return np.random.default_rng(0)


def test_a_unit_at_work_and_filters():
    maps = rng().random((8, 12, 10))
    filters, frames = rng().standard_normal((4, 4)), rng().integers(0, 256, (4, 12, 10)).astype(np.uint8)
    figure = figures.unit_at_work(frames, filters, np.linspace(0.9, 0.1, 4), maps, "at work")
    check(figure)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[-8:] == ["ON 1", "ON 2", "ON 3", "ON 4", "OFF 1", "OFF 2", "OFF 3", "OFF 4"]
    check(figures.filter_bank(filters, np.linspace(0.9, 0.1, 4), "filters"))


def test_marks_margins_and_the_original():
    rows = {"a": np.array([1.0, 2, 3, 2, 1]), "b": np.array([4.0, 4, 5, 3, 4])}
    panel = Panel("", rows, {"b": (4.5, 0.5)}, "original", (1.0, 3.0), "within 1", {"target 5": 5.0}, "points")
    figure = figures.page("title", [Rows([panel])])
    check(figure)
    (axes,) = figure.axes
    diamonds = [line for line in axes.lines if line.get_marker() == "D"]
    assert [line.get_xydata().tolist() for line in diamonds] == [[[4.5, 1.0]]]
    assert diamonds[0].get_markerfacecolor() == "none"
    assert key(figure) == {"within 1", "target 5", figures.INTERVAL, "one seed", "original"}
    dots = [line for line in axes.lines if line.get_marker() == "."]
    for row, line in enumerate(dots):  # below the interval: no dot is hidden
        assert sorted(line.get_xdata()) == sorted(rows["ab"[row]])
        assert (np.array(line.get_ydata()) > row + 0.2).all()


def test_a_row_that_dwarfs_the_others_is_cut_off_and_written_out():
    cases = (
        ((0, 2000, 30, 120), True),
        ((-21, -3, -20, -13), False),
        ((1, 9, 4, 5), False),
        ((1, 500, 150), False),
        ((60, 2000, 90), True),
    )
    for means, far in cases:
        rows = {f"row {mean}": mean + np.linspace(-1, 1, 5) for mean in means}
        figure = figures.page("t", [Rows([Panel("", rows)])])
        (axes,) = figure.axes
        low, high = axes.get_xlim()
        assert axes.get_xscale() == "linear" and (high < max(means)) == far and low <= min(means)
        written = [text.get_text() for text in axes.texts]
        assert written == (["2,000 [1,999, 2,001] \N{RIGHTWARDS ARROW}"] if far else [])


def test_an_interval_beyond_the_axis_ends_in_an_arrow_and_none_beyond_what_can_be():
    rows = {name: np.linspace(0.9, 0.98, 5) for name in "abc"} | {"wide": np.array([0.97, 0.97, 0.97, 0.97, 0.3])}
    figure = figures_rows.quantities("t", {"q": rows}, {"q": {"a": 0.85}}, "R2")
    (axes,) = figure.axes
    assert [line.get_marker() for line in axes.lines if line.get_marker() in ("<", ">")] in (["<"], [])
    ends = np.concatenate([line.get_xdata() for line in axes.lines if line.get_linestyle() == "-"])
    assert ends.max() <= 1.0 and len(axes.texts) + sum(line.get_marker() == "<" for line in axes.lines) == 1


def test_panels_that_share_an_axis_hide_nothing():
    low, high = {"a": np.zeros(3), "b": np.ones(3)}, {"a": np.full(3, 50.0), "b": np.full(3, 90.0)}
    for panels in ([Panel("", low), Panel("", high)], [Panel("", high), Panel("", low)]):
        figure = figures.page("t", [Rows(panels, alike=True)])
        for axes in figure.axes:
            assert axes.get_xlim()[0] < 0 and axes.get_xlim()[1] > 90


def test_a_logarithmic_axis_bears_an_interval_that_reaches_below_0():
    figure = figures.page(
        "t", [Rows([Panel("", {"a": np.array([1.0, 400.0]), "b": np.array([90.0, 110.0])}, log=True)])]
    )
    check(figure)
    (axes,) = figure.axes
    assert axes.get_xscale() == "log" and axes.get_xlim()[0] > 0
    assert [line.get_marker() for line in axes.lines].count("<") == 1


def test_curves_show_seeds_or_their_interval():
    x = np.array([0.0, 10, 20])
    for n_seeds, n_lines, n_bands in ((1, 1, 0), (5, 6, 0), (8, 1, 1)):
        figure = figures.page(
            "t", [Plots([Plot("p", {"c": (x, rng().random((n_seeds, 3)))}, original=[(10, 0.5, 0.1)])])]
        )
        check(figure)
        (axes,) = figure.axes
        curves = [line for line in axes.lines if line.get_marker() != "D"]
        assert len(curves) == n_lines and len(axes.collections) - 1 == n_bands


def test_a_curve_may_lack_points():
    values = np.array([[np.nan, 1.0, 2.0], [np.nan, np.nan, 4.0]])
    figure = figures_curves.learning(
        "t", {"steps": {"c": (np.arange(3), values)}}, {"c": np.ones(2)}, {"target 3": 3.0}
    )
    mean = next(line for line in figure.axes[0].lines if line.get_label() == "c")
    assert mean.get_xydata().tolist() == [[1.0, 1.0], [2.0, 3.0]]


def test_a_title_breaks_into_lines_of_about_the_same_length():
    assert figures.in_lines("short") == "short"
    lines = figures.in_lines("word " * 24).splitlines()
    assert len(lines) == 2 and abs(len(lines[0]) - len(lines[1])) < 25 and max(map(len, lines)) <= 84
