"""The cloning table: codes and heads that imitate one expert, measured in the game beside their controls."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

import atari_play
import cloning
import figures
import resu_controls
import stats_ci
from resu_conv import ReSUEncoder
from stage_io import Run

Row = Literal[
    "random", "expert", "raw linear", "raw mlp", "filters mlp", "pca mlp", "resu ridge", "resu linear", "resu mlp"
]
ROWS: tuple[Row, ...] = get_args(Row)
LABELS = {
    "random": "random policy",
    "expert": "expert",
    "raw linear": "raw(t,t-1), linear",
    "raw mlp": "raw(t,t-1), MLP 256x2",
    "filters mlp": "random filters, MLP 256x2",
    "pca mlp": "temporal PCA, MLP 256x2",
    "resu ridge": "ReSU L1, closed-form ridge",
    "resu linear": "ReSU L1, linear",
    "resu mlp": "ReSU L1, MLP 256x2",
}


@dataclass(frozen=True)
class Imitation:
    """One expert to imitate and how.

    game, env        what is played: `AtariEnv(game, **env)`
    expert           makes the policy that is imitated; class_names  the actions it uses
    demonstrations   its recorded games, by seed
    games            evaluation games per seed
    epochs, grid, memory   of every trained head; of every ReSU-like code
    rounds, round_frames   of dataset aggregation
    save_as          name under results/clones/ for the first seed's ReSU + MLP clone
    """

    game: str
    env: Mapping[str, Any]
    expert: Callable[[], atari_play.Policy]
    class_names: tuple[str, ...]
    demonstrations: Callable[[int], atari_play.Buffer]
    games: int
    epochs: int
    grid: tuple[int, int]
    memory: int
    rounds: int
    round_frames: int
    save_as: str


def make_code(
    row: str, demonstrations: atari_play.Buffer, seed: int, grid: tuple[int, int], memory: int
) -> cloning.Code:
    """The features of a row, fitted on the demonstrations' frames where they need fitting."""
    if row.startswith("raw"):
        return resu_controls.RawPixels(2)
    encoder = ReSUEncoder(memory=memory, grid=grid).fit(demonstrations.episode_frames())
    if row.startswith("filters"):
        return resu_controls.random_filters(encoder, seed)
    return resu_controls.temporal_pca(encoder) if row.startswith("pca") else encoder


def measure(run: Run, task: Imitation, row: Row, seed: int, save: bool) -> dict[str, Any]:
    """One cell: fit on this seed's demonstrations, then play its evaluation games.

    save      keep the clone if it is a ReSU + MLP one
    Returns   scores and lengths per game; of clones also fit_seconds and accuracies, before and after each round
    """
    result: dict[str, Any] = {}
    if row == "random":
        policy: atari_play.Policy = atari_play.RandomPolicy()
    elif row == "expert":
        policy = task.expert()
    else:
        demonstrations = task.demonstrations(seed)
        started = time.perf_counter()
        policy, accuracies = cloning.clone_policy(
            make_code(row, demonstrations, seed, task.grid, task.memory),
            demonstrations,
            task.class_names,
            row.split()[-1],
            seed,
            teacher=task.expert(),
            rounds=task.rounds,
            n_frames=task.round_frames,
            epochs=task.epochs,
            report=run.log,
            game=task.game,
            **task.env,
        )
        result = {"accuracies": accuracies, "fit_seconds": time.perf_counter() - started}
        if save and row == "resu mlp":
            policy.save(run.results / "clones" / task.save_as)
    games = atari_play.play(
        policy, task.games, (seed, atari_play.EVALUATION), task.game, f"{row}, seed {seed}", **task.env
    )
    result |= {"scores": [g.score for g in games], "lengths": [g.length for g in games]}
    run.log(f"{LABELS[row]}, seed {seed}: {np.mean(result['scores']):.2f} {result.get('accuracies', '')}")
    return result


def tabulate(
    cells: Mapping[Row, Sequence[Mapping[str, Any]]],
    margin: float,
    title: str,
    original: Mapping[Row, str] | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], figures.Figure, dict[str, Any]]:
    """Table, verdicts, figure and arrays (scores by row) of finished cells.

    cells    row: one result of `measure` per seed, the same seeds in every row
    margin   within which two scores count as equivalent  [points]
    original what the original investigation reports of a row
    """
    rng = np.random.default_rng(0)
    rows = list(cells)
    means = {row: stats_ci.mean_over_games([cell["scores"] for cell in cells[row]]) for row in rows}
    estimates = {row: stats_ci.estimate(means[row], rng) for row in rows}
    n_seeds, n_games = len(cells[rows[0]]), len(cells[rows[0]][0]["scores"])
    table = []
    for row in rows:
        accuracy = [cell["accuracies"][-1] for cell in cells[row] if "accuracies" in cell]
        table.append(
            {
                "policy": LABELS[row],
                **({"original": original.get(row, "")} if original else {}),
                "validation accuracy": f"{np.mean(accuracy):.3f}" if accuracy else "",
                "score [95 % interval over seeds]": str(estimates[row]),
                "worst and best game": f"{min(min(x['scores']) for x in cells[row]):.0f} .. "
                f"{max(max(x['scores']) for x in cells[row]):.0f}",
                "seeds x games": f"{n_seeds} x {n_games}",
            }
        )
    verdicts = []

    def judge(claim: str, difference: stats_ci.Estimate, verdict: str) -> None:
        verdicts.append({"claim": claim, "estimate": str(difference), "verdict": verdict})

    if "expert" in rows and "resu mlp" in rows:
        difference = stats_ci.paired_difference(means["resu mlp"], means["expert"], rng)
        judge(
            f"the clone is equivalent to its expert (within {margin:g})",
            difference,
            stats_ci.verdict_equivalent(difference, margin),
        )
        judge(
            f"the clone is no worse than its expert by {margin:g}",
            difference,
            stats_ci.verdict_not_worse(difference, margin),
        )
    for row in rows:
        if row not in ("expert", "resu mlp") and "resu mlp" in rows:
            difference = stats_ci.paired_difference(means["resu mlp"], means[row], rng)
            judge(f"ReSU L1 with an MLP scores above: {LABELS[row]}", difference, stats_ci.verdict_positive(difference))
    if "raw linear" in rows and "resu linear" in rows:
        difference = stats_ci.paired_difference(means["resu linear"], means["raw linear"], rng)
        judge("linear heads: ReSU L1 scores above raw(t,t-1)", difference, stats_ci.verdict_positive(difference))
    figure = figures.score_intervals(
        [LABELS[row] for row in rows],
        [estimates[row] for row in rows],
        [means[row] for row in rows],
        f"{title}: mean of {n_games} games per seed",
        f"score per game; dots: {n_seeds} seeds, black: mean and 95 % bootstrap interval",
    )
    scores = {row.replace(" ", "_"): np.array([cell["scores"] for cell in cells[row]]) for row in rows}
    return table, verdicts, figure, scores


def judge_target(cells: Sequence[Mapping[str, Any]], target: float) -> dict[str, Any]:
    """The verdict on "the clone scores more than the target"."""
    means = stats_ci.mean_over_games([cell["scores"] for cell in cells])
    rng = np.random.default_rng(0)
    return {
        "claim": f"the clone scores more than {target:+g}",
        "estimate": str(stats_ci.estimate(means, rng)),
        "verdict": stats_ci.verdict_positive(stats_ci.estimate(means - target, rng)),
    }
