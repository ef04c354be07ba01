"""Stage 5: does streaming a Pong encoder on Breakout match fitting anew?

Claim      Clones of the tracking Breakout expert on a Pong encoder that was streamed on the demonstrations score like
           clones on an encoder fitted on Breakout (equivalent within +-5 points), and better than on the frozen one.
Falsified  if the interval of the paired difference over seeds lies outside the margin, or below 0 for "better".
Original   frozen 14.8 +- 1.7, streamed 19.2 +- 2.5, scratch 17.4 +- 2.1; validation accuracy
           .825, .817, .843; expert 38
Reads      data/{pong,breakout}_*          Writes  results/bc_breakout.{npz,json,log,png}, results/clones/
Run        python src/bc_breakout.py                   (2 h on 2 cores; FIRE is pressed when the game waits for it)
           python src/bc_breakout.py --smoke           (1 min, proves nothing)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

import figures
import figures_curves
import figures_rows
import recipes
import stats_ci
import transfer_cells
from atari_env import MAX_STEPS
from cloning import Clone
from filter_shapes import cosine
from players import TASKS
from recipes import RecipeName
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage, late, measured
from stats_ci import Verdict
from trained_cache import Setup, clone_of, fit

SOURCE, TARGET = "pong", "breakout"


@dataclass(frozen=True)
class Arm:
    """A row: how Breakout's encoder comes about; alpha: the stream's clock per chunk (the original's .99)."""

    label: str
    kind: transfer_cells.Arm
    alpha: float = 1.0

    @property
    def streamed(self) -> bool:
        """Its filters moved."""
        return self.kind == "streamed"


ARMS = (
    Arm("random filters", "random filters"),
    Arm("Pong encoder, frozen", "frozen"),
    Arm("Pong filters, Breakout's pixel means", "frozen filters"),
    Arm("Pong encoder, streamed, alpha .99", "streamed", 0.99),
    Arm("Pong encoder, streamed, alpha 1", "streamed"),
    Arm("fitted on Breakout", "native"),
)
FROZEN, STREAMED, ADDED, FITTED = (ARMS[i].label for i in (1, 3, 4, 5))
ORIGINAL = {
    FROZEN: "14.8 +- 1.7 (acc .825)",
    STREAMED: "19.2 +- 2.5 (acc .817)",
    FITTED: "17.4 +- 2.1 (acc .843)",
    "expert": "38",
}
REPORTED: dict[str, float | tuple[float, float]] = {
    FROZEN: (14.8, 1.7),
    STREAMED: (19.2, 2.5),
    FITTED: (17.4, 2.1),
    "expert": 38.0,
}


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 20  # replications: own demonstrations, own fit, own heads, own games
    n_frames: int = 60_000  # demonstrations per game and seed [agent steps]
    games: int = 20  # evaluation games per seed
    epochs: int = 6  # passes over the demonstrations
    sticky: float = 0.25  # probability that the emulator repeats an action
    experts: Literal["original", "best"] = "original"  # who is imitated: experts of the original's kind, or the best
    recipe: RecipeName = "ours"  # of fitting and streaming: ours, or the original's as near as it can be inferred
    max_steps: int = MAX_STEPS  # games are cut here [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"seeds": 2, "n_frames": 1200, "games": 1, "epochs": 1, "max_steps": 150}


@dataclass(frozen=True)
class Drift:
    """How filters move in a stream with one clock."""

    part: str = field(default="drift", init=False)
    alpha: float
    seed: int
    n_frames: int
    chunk: int
    sticky: float
    experts: Literal["original", "best"] = late("original")
    max_steps: int = late(MAX_STEPS)
    recipe: RecipeName = late("ours")

    @property
    def setup(self) -> Setup:
        """Whose games are streamed."""
        same = {name: getattr(self, name) for name in ("chunk", "sticky", "experts", "max_steps", "recipe")}
        return Setup(self.n_frames, **same)


@dataclass(frozen=True)
class Saved:
    """The clone of the target's expert that is kept under results/clones/: seed 0's, on the native encoder."""

    name: str
    setup: Setup


@dataclass(frozen=True)
class Cells:
    """Of each row, and of each clock of a stream, a result per seed."""

    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    drifts: Mapping[float, Sequence[Mapping[str, Any]]]


@measured()
def drift(run: Run, s: Drift) -> dict[str, list]:
    """|cosine| of each filter with its Pong twin after 0, 1, 2, 4, ... chunks: {"frames": (n,), "cosine": (n, K)}."""
    first = fit(s.setup, run.data, SOURCE, s.seed)
    frames_seen, cosines = [0], [[1.0] * first.n_units]
    buffer = s.setup.demonstrations(run.data, TARGET, s.seed)
    for n, now in transfer_cells.milestones(first, buffer, s.alpha, s.chunk, recipe=s.recipe):
        frames_seen.append(n)
        cosines.append([cosine(a, b) for a, b in zip(now.filters_, first.filters_, strict=True)])
    return {"frames": frames_seen, "cosine": cosines}


def arms_of(c: Config) -> list[Arm]:
    """The rows: a clock that adds needs a recipe whose streams can."""
    return [arm for arm in ARMS if not arm.streamed or arm.alpha < 1 or recipes.adds(c.recipe)]


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(config, "seeds", "n_frames", "games", "epochs")


def setup_of(c: Config) -> Setup:
    """What all clones share."""
    return Setup(
        c.n_frames, c.games, c.epochs, sticky=c.sticky, experts=c.experts, max_steps=c.max_steps, recipe=c.recipe
    )


def variant(config: Config) -> str:
    """Other experts, games without sticky actions and another recipe are results of their own."""
    return setup_of(config).variant


@measured()
def save_clone(run: Run, s: Saved) -> str:
    """Keep it; trained once for all stages."""
    clone = clone_of(s.setup, run.data, fit(s.setup, run.data, TARGET, 0), TARGET, 0).result
    clone.save(run.results / "clones" / s.name)
    return s.name


def cells(run: Run) -> Cells:
    """Everybody's games, the saved clone, and how filters drift."""
    c, setup = run.config, setup_of(run.config)
    rows = {
        "random policy": transfer_cells.references(run, setup, TARGET, "random"),
        "expert": transfer_cells.references(run, setup, TARGET, "expert"),
    }
    for arm in arms_of(c):
        n_stream = c.n_frames if arm.streamed else 0
        rows[arm.label] = transfer_cells.cells(run, setup, SOURCE, TARGET, arm.kind, n_stream, arm.alpha)
    name = f"{TARGET}_{setup.expert(TARGET)}" + ("" if c.sticky == Config.sticky else f"_sticky{c.sticky:g}")
    if c.recipe == Config.recipe:
        run.cell(save_clone, Saved(name, setup), makes=Clone.files(run.results / "clones" / name))
    same = c.n_frames, setup.chunk, c.sticky, c.experts, c.max_steps, c.recipe
    drifts = {
        arm.alpha: [run.cell(drift, Drift(arm.alpha, seed, *same)) for seed in range(c.seeds)]
        for arm in arms_of(c)
        if arm.streamed
    }
    return Cells(rows, drifts)


def report(c: Config, found: Cells) -> Report:
    """Table, verdicts and figures."""
    means = {label: stats_ci.mean_over_games([cell["scores"] for cell in its]) for label, its in found.rows.items()}
    estimates = {label: stats_ci.estimate(values) for label, values in means.items()}
    accuracies = {arm.label: np.array([cell["accuracy"] for cell in found.rows[arm.label]]) for arm in arms_of(c)}
    moved = {arm.label for arm in arms_of(c) if arm.streamed}
    rows = [
        {
            "policy": label,
            "original": ORIGINAL.get(label, ""),
            "score [95 % interval over seeds]": estimates[label],
            "validation accuracy": stats_ci.estimate(accuracies[label]) if label in accuracies else "",
            "|cosine| of filters with Pong's": " ".join(
                f"{x:.3f}" for x in np.mean([cell["twins"] for cell in its], axis=0)
            )
            if label in moved
            else "",
            "steps per game": f"{np.mean([cell['lengths'] for cell in its]):.0f}",
            "seeds x games": f"{c.seeds} x {c.games}",
        }
        for label, its in found.rows.items()
    ]
    verdicts = _verdicts(c, found, means, accuracies)
    curves = {
        f"alpha = {alpha:g}": (its[0]["frames"], np.array([cell["cosine"] for cell in its]))
        for alpha, its in found.drifts.items()
    }
    drawn = {"": partial(_scores, c, means), "__filters": partial(_drift, c, curves)}
    arrays: dict[str, Any] = {
        label.replace(" ", "_").replace(",", ""): np.array([cell["scores"] for cell in its])
        for label, its in found.rows.items()
    }
    arrays |= {f"drift_{a:g}": v[1] for a, v in zip(found.drifts, curves.values(), strict=True)}
    return Report(rows, verdicts, drawn, arrays=arrays)


def _scores(c: Config, means: Mapping[str, np.ndarray]) -> figures.Figure:
    margin = TASKS[TARGET].margin
    panel = figures_rows.Panel(
        "", means, REPORTED, "original (bar: its standard error)", figures_rows.around(means[FITTED], margin),
        f"fitted on Breakout +- {margin:g}", unit="score per game",
    )  # fmt: skip
    title = f"Breakout, imitating the {setup_of(c).expert(TARGET)} expert, sticky {c.sticky:g}{recipes.label(c.recipe)}"
    return figures.page(f"{title}, n = {c.seeds} seeds x {c.games} games", [figures_rows.Rows([panel])])


def _drift(c: Config, curves: Mapping[str, tuple[Sequence[int], np.ndarray]]) -> figures.Figure:
    """Above the filters that stay, magnified; below those that drift away."""
    blocks = []
    for pair, bound, y_range in (((0, 1), 0.99, (0.955, 1.002)), ((2, 3), 0.9, (0.0, 1.02))):
        plots = [
            figures_curves.Plot(
                f"{name}: filters {pair[0] + 1} and {pair[1] + 1}",
                {f"filter {k + 1}": (frames, values[:, :, k]) for k in pair},
                "frames streamed, logarithmic" if pair[0] else "", x_scale="from 0", y_range=y_range, first=pair[0],
                lines={f"bound {bound:g} of filter{' 1' if not pair[0] else 's 3, 4'}": bound},
                original=() if pair[0] else [(frames[-1], 0.99, 0.0)],
            )
            for name, (frames, values) in curves.items()
        ]  # fmt: skip
        blocks.append(figures_curves.Plots(plots, "|cosine| with the Pong twin", 2.3))
    title = f"A Pong encoder streamed on Breakout, sticky {c.sticky:g}, n = {c.seeds} seeds{recipes.label(c.recipe)}"
    return figures.page(f"{title}\nits filters and their Pong twins", blocks)


def _verdicts(
    c: Config, found: Cells, means: Mapping[str, np.ndarray], accuracies: Mapping[str, np.ndarray]
) -> list[Verdict]:
    margin, verdicts = TASKS[TARGET].margin, []

    def better(id: str, claim: str, a: np.ndarray, b: np.ndarray) -> Verdict:
        difference = stats_ci.paired_difference(a, b)
        return Verdict(id, claim, difference, stats_ci.verdict_positive(difference))

    for arm in (arm for arm in arms_of(c) if arm.streamed):
        label, clock = arm.label, f"streamed {arm.alpha:g}"
        difference = stats_ci.paired_difference(means[label], means[FITTED])
        text = f"{label}: equivalent to fitting anew (within {margin:g})"
        word = stats_ci.verdict_equivalent(difference, margin)
        verdicts.append(Verdict(f"{clock} = native", text, difference, word, margin))
        verdicts.append(better(f"{clock} > frozen", f"{label}: better than frozen", means[label], means[FROZEN]))
        twins = np.array([cell["twins"] for cell in found.rows[label]])
        for which, kept, bound in ((" 1", twins[:, 0], 0.99), ("s 3, 4", twins[:, 2:].max(axis=1), 0.9)):
            word = stats_ci.verdict_positive(stats_ci.estimate(kept - bound))
            text = f"{label}: filter{which} keep{'s' * (which == ' 1')} a cosine of {bound:g} or more with Pong's"
            id = f"{clock}: filter{which} kept"
            verdicts.append(Verdict(id, text, stats_ci.estimate(kept), word, bound))
    text = "fitting on Breakout: better than the frozen Pong encoder"
    verdicts.append(better("native > frozen", text, means[FITTED], means[FROZEN]))
    text, other = "fitting on Breakout: better than random filters", "random filters"
    verdicts.append(better("native > random", text, means[FITTED], means[other]))
    text = "the same for validation accuracy"
    verdicts.append(better("accuracy: native > random", text, accuracies[FITTED], accuracies[other]))
    return verdicts


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check, variant=variant)

if __name__ == "__main__":
    guard(STAGE.main)
