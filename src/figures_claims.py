"""Pictures of claims: a forest of all of them in common units, and what canonical directions contribute by game."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from figures import BAND, GREY, ORIGINAL, SMALL, WIDTH, in_lines, page, styled
from figures_rows import Panel, Rows
from stats_ci import Estimate

REACH = 3.0  # units; intervals that go on end in an arrow
LINE = 0.155  # height of a line of text [inches]
LEAST = 0.118  # below it lines of text touch each other [inches]
TALLEST = 10.0  # [inches]
LABEL = 58  # characters of a line
VERDICTS = {  # word: colour, marker
    "stands": ("#0072B2", "o"),
    "smaller": ("#009E73", "v"),
    "falls": ("#D55E00", "X"),
    "undecided": (GREY, "s"),
    "not comparable": ("#AAAAAA", "_"),
    "missing": ("#AAAAAA", "."),
}


@dataclass(frozen=True)
class Claim:
    """One line of the forest.

    stage     of the investigation: claims of a stage stand together
    text      the claim
    verdict   a word of VERDICTS
    estimate  ours, divided by the unit; None if it has no unit: the verdict alone is shown
    original  its own value, divided by the unit; None if it gives none
    holds     (low, high) in units where the claim holds: of an effect, the unit, at least half of it, (.5, inf); of
              equality within a margin, the unit, (-1, 1); of "at most" a bound, the unit, (-inf, 1)
    """

    stage: str
    text: str
    verdict: str
    estimate: Estimate | None = None
    original: float | None = None
    holds: tuple[float, float] | None = None

    @property
    def lines(self) -> list[str]:
        """The text as it is drawn."""
        return in_lines(self.text, LABEL).splitlines()


@styled
def forest(claims: Sequence[Claim], title: str, unit: str = "1 = the original's effect, or the margin") -> Figure:
    """All claims below each other, grouped by stage: ours with its interval, the original's value, the verdict.

    claims   in reading order; those of a stage next to each other
    unit     what 1 on the axis is

    Each line is shaded where its claim holds. The verdict is told by colour, by the mean's shape, and by its word at
    the right end. What lies beyond +-3 ends in an arrow at the edge. At most 10 inches high: about 50 claims.
    Raises   ValueError for an unknown verdict, if there is no claim, or more than a page holds.
    """
    unknown = {claim.verdict for claim in claims} - set(VERDICTS)
    if unknown or not claims:
        raise ValueError(f"a forest needs claims with verdicts of {', '.join(VERDICTS)}, not {sorted(unknown)}")
    heights = np.array([0.15 + len(claim.lines) for claim in claims])
    begins = np.array([i > 0 and a.stage != claims[i - 1].stage for i, a in enumerate(claims)])
    middles = np.cumsum(heights) - heights / 2 + 0.3 * np.cumsum(begins)
    total = middles[-1] + heights[-1] / 2
    line = min(LINE, (TALLEST - 1.2) / total)
    if line < LEAST:
        raise ValueError(f"{len(claims)} claims do not fit on a page of {TALLEST:g} inches: shorten their texts")
    figure = Figure(figsize=(WIDTH, line * total + 1.2))
    high = figure.get_figheight()
    axes = figure.add_axes((0.545, 0.85 / high, 0.3, line * total / high))
    for claim, y, height, begun in zip(claims, middles, heights, begins, strict=True):
        _line(axes, claim, float(y), float(height))
        if begun:
            axes.plot([-1.83, 1.5], [y - height / 2 - 0.15] * 2, color="#CCCCCC", linewidth=0.6, clip_on=False,
                      transform=axes.get_yaxis_transform())  # fmt: skip
    for i, (claim, y) in enumerate(zip(claims, middles, strict=True)):
        if i == 0 or begins[i]:
            axes.text(-1.81, y, claim.stage, transform=axes.get_yaxis_transform(), va="center", weight="bold")
    axes.set(xlim=(-REACH, REACH), ylim=(total, 0), yticks=[], xlabel=unit, xticks=range(-3, 4))
    axes.tick_params(labelsize=SMALL)
    axes.spines["left"].set_visible(False)
    figure.text(0.5, 1 - 0.17 / high, title, ha="center", va="center", fontsize=10)
    used = [word for word in VERDICTS if word in {claim.verdict for claim in claims}]
    handles = [Line2D([], [], color=VERDICTS[w][0], marker=VERDICTS[w][1], markersize=6, label=w) for w in used]
    original = Line2D([], [], label="original", **ORIGINAL)
    figure.legend(handles=[*handles, original, Patch(color=BAND, label="where the claim holds")], loc="lower center",
                  ncols=4, frameon=False, borderpad=0.2)  # fmt: skip
    return figure


def _line(axes: Axes, claim: Claim, y: float, height: float) -> None:
    colour, marker = VERDICTS[claim.verdict]
    aside = axes.get_yaxis_transform()
    axes.text(-0.02, y, "\n".join(claim.lines), transform=aside, ha="right", va="center", linespacing=1.05)
    shown = GREY if marker in "_." else colour
    axes.text(1.04, y, claim.verdict, transform=aside, ha="left", va="center", color=shown)
    if claim.holds is not None:
        low, high = np.clip(claim.holds, -REACH, REACH)
        axes.fill_between([low, high], y - height / 2 + 0.04, y + height / 2 - 0.04, color=BAND, linewidth=0, zorder=0)
    if claim.original is not None:
        axes.plot(np.clip(claim.original, -REACH, REACH), y, clip_on=False, **ORIGINAL)
    found = claim.estimate
    if found is None:
        axes.text(0, y, "no common unit", ha="center", va="center", color=GREY, style="italic")
        return
    axes.plot([0, 0], [y - height / 2, y + height / 2], color="black", linewidth=0.7, zorder=1)
    low, high = (found.mean, found.mean) if np.isnan(found.low) else (found.low, found.high)
    if -REACH <= found.mean <= REACH:
        axes.plot(found.mean, y, marker, color=colour, markersize=5.5, zorder=4)
    else:
        side = "right" if found.mean > 0 else "left"
        axes.text(np.sign(found.mean) * 0.93 * REACH, y, f"{found.mean:.2g}", color=colour, va="center", ha=side)
    axes.plot(np.clip([low, high], -REACH, REACH), [y, y], color=colour, linewidth=1.6, zorder=3)
    if low < -REACH:
        axes.plot(-REACH, y, "<", color=colour, markersize=6, clip_on=False, zorder=4)
    if high > REACH:
        axes.plot(REACH, y, ">", color=colour, markersize=6, clip_on=False, zorder=4)


def contributions(
    differences: Mapping[str, Mapping[str, np.ndarray]], margins: Mapping[str, float], title: str
) -> Figure:
    """What canonical directions are worth: canonical minus each control, by game, in the game's margins.

    differences   game: {"random filters": (n,) canonical minus control, paired by seed [points], "temporal PCA": ...,
                  "raw pixels": ...}; a game may lack a control
    margins       game: points within which two scores count as equivalent (players.TASKS[game].margin)
    title         names the player's head, n and sticky

    A panel per control, a row per game: a dot per seed, mean and 95 % interval; shaded where the two are equivalent.
    Raises   KeyError for a game without a margin.
    """
    controls = list(dict.fromkeys(control for its in differences.values() for control in its))
    panels = [
        Panel(
            f"- {control}",
            {game: np.asarray(its[control], float) / margins[game] for game, its in differences.items()
             if control in its},
            band=(-1.0, 1.0),
            band_label="within the game's margin",
            lines={"": 0.0},
            unit="margins of the game",
        )
        for control in controls
    ]  # fmt: skip
    margins_text = ", ".join(f"{game} {margins[game]:g}" for game in differences)
    return page(f"{title}\nmargins in points: {margins_text}", [Rows(panels, title="score on canonical filters")])
