"""The cloning table: codes and heads that imitate one expert, measured in the game beside their controls."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

import atari_play
import cloning
import figures
import figures_rows
import player_cells
import resu_controls
import stats_ci
from atari_env import MAX_STEPS
from player_cells import Player
from players import TASKS, demonstrations
from resu_conv import ReSUEncoder
from stage_report import Report
from stage_run import Run, late, measured
from stats_ci import Verdict

ArmName = Literal[
    "random", "expert", "raw linear", "raw mlp", "pooled mlp", "filters mlp", "pca mlp", "resu ridge", "resu linear",
    "resu mlp",
]  # fmt: skip


@dataclass(frozen=True)
class Arm:
    """A row of the table: a code and a head on it; without a code a player by itself."""

    name: ArmName
    label: str
    code: Literal["", "raw", "pooled", "filters", "pca", "resu"] = ""
    head: Literal["", "ridge", "linear", "mlp"] = ""


N_UNITS = 4  # filters of every code, `ReSUEncoder`'s default
ARMS = {
    arm.name: arm
    for arm in (
        Arm("random", "random policy"),
        Arm("expert", "expert"),
        Arm("raw linear", "raw(t,t-1), linear", "raw", "linear"),
        Arm("raw mlp", "raw(t,t-1), MLP 256x2", "raw", "mlp"),
        Arm("pooled mlp", "pooled raw pixels, MLP 256x2", "pooled", "mlp"),
        Arm("filters mlp", "random filters, MLP 256x2", "filters", "mlp"),
        Arm("pca mlp", "temporal PCA, MLP 256x2", "pca", "mlp"),
        Arm("resu ridge", "ReSU L1, closed-form ridge", "resu", "ridge"),
        Arm("resu linear", "ReSU L1, linear", "resu", "linear"),
        Arm("resu mlp", "ReSU L1, MLP 256x2", "resu", "mlp"),
    )
}


@dataclass(frozen=True)
class Setting:
    """One cell: whom an arm imitates, in which game, and how.

    row           name of the arm                      seed       of demonstrations, fit, head and games
    n_frames      demonstrations  [agent steps]        games      evaluation games
    dagger_rounds, dagger_frames   of dataset aggregation, frames per round
    epochs, grid, memory           of every trained head; of every ReSU-like code
    max_steps     games are cut here  [agent steps]    source     what the expert looks at
    """

    row: ArmName
    seed: int
    game: str
    expert: str
    n_frames: int
    games: int
    sticky: float
    dagger_rounds: int
    dagger_frames: int
    epochs: int
    grid: tuple[int, int]
    memory: int
    max_steps: int = MAX_STEPS
    source: str = late("ram")

    @property
    def limit(self) -> dict[str, int]:
        """The option that cuts games, if they are cut."""
        return {} if self.max_steps == MAX_STEPS else {"max_steps": self.max_steps}

    @property
    def env(self) -> dict[str, Any]:
        """Options of `AtariEnv`."""
        return {"sticky": self.sticky, **self.limit, **TASKS[self.game].env}

    @property
    def kept(self) -> bool:
        """Whether its clone is one of those that are kept: of a usual expert, and memory for its way of imitating."""
        usual = self.expert in (TASKS[self.game].first, TASKS[self.game].best)
        return usual and self.memory == (N_UNITS if self.dagger_rounds else 8)

    @property
    def clone(self) -> str:
        """Name under results/clones/."""
        aggregated = "_dagger" if self.dagger_rounds and self.game != "pong" else ""
        return f"{self.game}_{self.expert}{aggregated}" + ("" if self.sticky == 0.25 else f"_sticky{self.sticky:g}")

    def teacher(self) -> atari_play.Policy:
        """A new player to imitate."""
        make = TASKS[self.game].experts[self.expert]
        return make() if self.source == "ram" else make(self.source)

    def demonstrations(self, folder: Path) -> atari_play.Buffer:
        """Its recorded games, collected first if they are not there."""
        if self.source == "ram":
            return demonstrations(folder, self.game, self.expert, self.n_frames, self.seed, self.sticky, **self.limit)
        name = f"{self.game}_{self.expert}_{self.source}" + ("" if self.sticky == 0.25 else f"_sticky{self.sticky:g}")
        return atari_play.load_or_collect(folder, name, self.teacher, self.n_frames, self.seed, self.game, **self.env)


def make_code(arm: Arm, buffer: atari_play.Buffer, seed: int, grid: tuple[int, int], memory: int) -> cloning.Code:
    """The features of an arm, fitted on the demonstrations' frames where they need fitting."""
    if arm.code == "raw":
        return resu_controls.RawPixels(2)
    if arm.code == "pooled":  # as many numbers as a code of 4 filters, ON and OFF
        return resu_controls.RawPixels(2 * N_UNITS, grid=grid)
    encoder = ReSUEncoder(memory=memory, grid=grid).fit(buffer.episode_frames())
    if arm.code == "filters":
        return resu_controls.random_filters(encoder, seed)
    return resu_controls.temporal_pca(encoder) if arm.code == "pca" else encoder


@measured(shelf="clones")
def measure(run: Run, setting: Setting) -> dict[str, Any]:
    """Fit on this seed's demonstrations, then play its evaluation games.

    Returns   scores and lengths per game, fit_seconds, and accuracies before and after each round
    """
    return _measure(run, setting)[0]


@measured(shelf="clones")
def measure_and_save(run: Run, setting: Setting) -> dict[str, Any]:
    """The same cell; the clone itself is kept under results/clones/."""
    result, clone = _measure(run, setting)
    clone.save(run.results / "clones" / setting.clone)
    return result


def _measure(run: Run, s: Setting) -> tuple[dict[str, Any], cloning.Clone]:
    arm, task = ARMS[s.row], TASKS[s.game]
    buffer = s.demonstrations(run.data)
    started = time.perf_counter()
    clone, accuracies = cloning.clone_policy(
        make_code(arm, buffer, s.seed, s.grid, s.memory),
        buffer,
        task.classes(s.expert),
        arm.head,
        s.seed,
        teacher=s.teacher(),
        rounds=s.dagger_rounds,
        n_frames=s.dagger_frames,
        epochs=s.epochs,
        report=run.log,
        game=s.game,
        **s.env,
    )
    seconds = time.perf_counter() - started
    seeds = (s.seed, atari_play.EVALUATION)
    games = atari_play.play(clone, s.games, seeds, s.game, f"{s.row}, seed {s.seed}", **s.env)
    scores = [game.score for game in games]
    run.log(f"{arm.label}, seed {s.seed}: {np.mean(scores):.2f} {accuracies}")
    lengths = [game.length for game in games]
    return {"accuracies": accuracies, "fit_seconds": seconds, "scores": scores, "lengths": lengths}, clone


def cells(run: Run, settings: Mapping[ArmName, Sequence[Setting]]) -> dict[ArmName, list[dict[str, Any]]]:
    """Everything the table needs: a cell per arm and seed. The first seed's ReSU + MLP clone is kept."""

    def cell(arm: Arm, s: Setting, first: bool) -> dict[str, Any]:
        if not arm.code:
            who = "random" if arm.name == "random" else s.expert
            source = s.source if arm.name == "expert" else "ram"
            player = Player(s.seed, s.games, s.game, who, source, s.sticky, s.max_steps)
            return run.cell(player_cells.measure, player)
        if not (first and arm.name == "resu mlp" and s.kept):
            return run.cell(measure, s)
        return run.cell(measure_and_save, s, makes=cloning.Clone.files(run.results / "clones" / s.clone))

    return {name: [cell(ARMS[name], s, i == 0) for i, s in enumerate(its)] for name, its in settings.items()}


def plan(arms: Sequence[ArmName], seeds: Sequence[int], **options: Any) -> dict[ArmName, list[Setting]]:
    """The settings of some arms: with dataset aggregation the ReSU + MLP clone alone, beside the players.

    Random filters as well where they could differ: as many filters as frames (4 and 4) span all windows, whatever they
    are.
    """
    if options["dagger_rounds"]:
        learners = ("resu mlp",) if options["memory"] <= N_UNITS else ("filters mlp", "resu mlp")
        arms = [arm for arm in arms if arm in ("random", "expert", *learners)]
    return {arm: [Setting(arm, seed, **options) for seed in seeds] for arm in ARMS if arm in arms}


def title(label: str, expert: str, c: Any) -> str:
    """Of a figure: who is imitated where, and how.

    c   the options of a stage: sticky, dagger_rounds, memory
    """
    how = f", aggregation in {c.dagger_rounds} rounds, memory {c.memory}" if c.dagger_rounds else ""
    return f"{label}, imitating the {expert} expert{how}, sticky {c.sticky:g}"


def report(
    found: Mapping[ArmName, Sequence[Mapping[str, Any]]],
    margin: float,
    title: str,
    *,
    original: Mapping[ArmName, str] | None = None,
    left_out: Sequence[ArmName] = (),
    target: float | None = None,
    reported: Mapping[ArmName, float] | None = None,
    reported_label: str = "original",
) -> Report:
    """Table, verdicts, figure and arrays (scores by arm) of finished cells.

    found     arm: one result per seed, the same seeds for every arm
    margin    within which two scores count as equivalent  [points]
    original  what the original investigation reports of an arm
    left_out  arms that are shown as missing
    target    points that the clone should exceed, if it is a claim
    reported, reported_label   scores among what the original reports, for the figure, and what they are
    """
    means = {name: stats_ci.mean_over_games([cell["scores"] for cell in its]) for name, its in found.items()}
    estimates = {name: stats_ci.estimate(values) for name, values in means.items()}
    some = next(iter(found.values()))
    size = f"{len(some)} x {len(some[0]['scores'])}"
    rows = [_row(ARMS[name], found[name], estimates[name], size, original) for name in found]
    rows += [dict.fromkeys(rows[0], "missing") | {"policy": ARMS[name].label} for name in left_out]
    verdicts = _verdicts(means, margin)
    if target is not None and "resu mlp" in means:
        verdicts.append(judge_target(means["resu mlp"], target))
    panel = figures_rows.Panel(
        "",
        {ARMS[name].label: values for name, values in means.items()},
        {ARMS[name].label: value for name, value in (reported or {}).items() if name in means},
        reported_label,
        figures_rows.around(means["expert"], margin) if "expert" in means else None,
        f"the expert +- {margin:g}",
        {} if target is None else {f"target {target:g}": target},
        "score per game",
    )
    figure = partial(
        figures.page, f"{title}, n = {len(some)} seeds x {len(some[0]['scores'])} games", [figures_rows.Rows([panel])]
    )
    scores = {name.replace(" ", "_"): np.array([cell["scores"] for cell in its]) for name, its in found.items()}
    return Report(rows, verdicts, {"": figure}, arrays=scores)


def _row(
    arm: Arm,
    cells: Sequence[Mapping[str, Any]],
    score: stats_ci.Estimate,
    size: str,
    original: Mapping[ArmName, str] | None,
) -> dict[str, Any]:
    accuracy = [cell["accuracies"][-1] for cell in cells if "accuracies" in cell]
    scores = [cell["scores"] for cell in cells]
    return {
        "policy": arm.label,
        **({"original": original.get(arm.name, "")} if original else {}),
        "validation accuracy": f"{np.mean(accuracy):.3f}" if accuracy else "",
        "score [95 % interval over seeds]": score,
        "worst and best game": f"{np.min(scores):.0f} .. {np.max(scores):.0f}",
        "seeds x games": size,
    }


def _verdicts(means: Mapping[ArmName, np.ndarray], margin: float) -> list[Verdict]:
    verdicts = []
    if "expert" in means and "resu mlp" in means:
        gap = stats_ci.paired_difference(means["resu mlp"], means["expert"])
        text = f"the clone is equivalent to its expert (within {margin:g})"
        verdicts.append(Verdict("clone = expert", text, gap, stats_ci.verdict_equivalent(gap, margin), margin))
        text = f"the clone is no worse than its expert by {margin:g}"
        verdicts.append(Verdict("clone not below expert", text, gap, stats_ci.verdict_not_worse(gap, margin), margin))
    for name in means:
        if name not in ("expert", "resu mlp") and "resu mlp" in means:
            gap = stats_ci.paired_difference(means["resu mlp"], means[name])
            text = f"ReSU L1 with an MLP scores above: {ARMS[name].label}"
            verdicts.append(Verdict(f"resu mlp > {name}", text, gap, stats_ci.verdict_positive(gap)))
    if "raw linear" in means and "resu linear" in means:
        gap = stats_ci.paired_difference(means["resu linear"], means["raw linear"])
        text = "linear heads: ReSU L1 scores above raw(t,t-1)"
        verdicts.append(Verdict("resu linear > raw linear", text, gap, stats_ci.verdict_positive(gap)))
    return verdicts


def judge_target(means: np.ndarray, target: float) -> Verdict:
    """The verdict on "the clone scores more than the target"; means (seeds,)."""
    found, above = stats_ci.estimate(means), stats_ci.estimate(means - target)
    text = f"the clone scores more than {target:+g}"
    return Verdict("clone > target", text, found, stats_ci.verdict_positive(above), target)
