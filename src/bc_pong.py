"""Stage 4a: do ReSU features suffice to imitate a Pong expert, and to win?

Claim      A clone on layer-1 ReSU features (1,024 numbers per frame) scores like the reactive expert it imitates
           (equivalent within +-2 points), and clones on raw pixels, random filters or temporal PCA do not beat it.
           With --expert winning (2,688 numbers, dataset aggregation): the clone of a winner wins, +8 or more.
Falsified  if the 95 % interval over seeds of clone - expert lies wholly outside +-2 (or the winner's below +8).
Original   raw linear -21.0, raw MLP -21.0, ReSU linear -19.0, ReSU MLP -12.6, expert -13.4 (one seed, 5 games)
Reads      data/pong_<expert>_s*          Writes  results/bc_pong[_winning].{npz,json,log,png}, results/clones/
Run        python src/bc_pong.py                     (20 min on 2 cores)
           python src/bc_pong.py --expert winning --dagger-rounds 5 --memory 4 --grid 28 12 --seeds 3    (25 min)
           python src/bc_pong.py --smoke             (1 min, proves nothing)
"""

import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

import cloning
import controls
import figures
import rollouts
import stats_ci
from atari_env import SIDE
from pong_expert import CLASS_NAMES, EXPERTS
from resu_conv import ReSUEncoder
from stage_io import Run, guard, parse_config, require_positive, start_run

MARGIN = 2.0  # Pong points within which two policies count as equivalent
TARGET = 8.0  # the winning clone's score
Row = Literal[
    "random", "expert", "raw linear", "raw mlp", "filters mlp", "pca mlp", "resu ridge", "resu linear", "resu mlp"
]
ROWS: tuple[Row, ...] = Row.__args__  # type: ignore[attr-defined]
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
class Config:
    """Options."""

    expert: Literal["reactive", "winning"] = "reactive"  # who is imitated
    source: Literal["ram", "pixels"] = "ram"  # what the expert looks at
    seeds: int = 5  # replications: own demonstrations, own fit, own head, own games
    first_seed: int = 0
    n_frames: int = 60_000  # demonstrations per seed [agent steps]
    games: int = 20  # evaluation games per seed
    sticky: float = 0.25  # probability that the emulator repeats an action
    dagger_rounds: int = 0  # rounds of dataset aggregation (ReSU MLP only)
    dagger_frames: int = 50_000  # frames per round
    epochs: int = 6  # passes over the demonstrations, the same for every head that is trained
    grid: tuple[int, int] = (16, 8)  # pooling cells (rows, columns)
    memory: int = 8  # frames in the past of a filter
    rows: tuple[Row, ...] = ROWS  # rows of the table
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"seeds": 2, "n_frames": 1500, "games": 2, "dagger_frames": 800}


def check_code(c: Config) -> None:
    """Refuse a code that cannot be fitted before anything is computed."""
    ReSUEncoder(memory=c.memory, grid=c.grid)
    if max(c.grid) > SIDE:
        raise ValueError(f"a grid of {c.grid} cells does not fit frames of {SIDE} x {SIDE} pixels")


def make_code(row: Row, c: Config, demonstrations: rollouts.Buffer, seed: int) -> cloning.Code:
    """The features of a row, fitted on the demonstrations' frames where they need fitting."""
    if row.startswith("raw"):
        return controls.RawPixels(2)
    encoder = ReSUEncoder(memory=c.memory, grid=c.grid).fit(demonstrations.episode_frames())
    if row.startswith("filters"):
        return controls.random_filters(encoder, seed)
    return controls.temporal_pca(encoder) if row.startswith("pca") else encoder


def measure(run: Run, row: Row, seed: int) -> dict[str, Any]:
    """One cell: fit on this seed's demonstrations, then play its evaluation games."""
    c = run.config
    env = {"game": "pong", "sticky": c.sticky}
    result: dict[str, Any] = {}
    if row == "random":
        policy: rollouts.Policy = rollouts.RandomPolicy()
    elif row == "expert":
        policy = EXPERTS[c.expert](c.source)
    else:
        demonstrations = load_demonstrations(run, seed)
        started = time.perf_counter()
        policy, accuracies = cloning.clone_policy(
            make_code(row, c, demonstrations, seed),
            demonstrations,
            CLASS_NAMES,
            row.split()[-1],
            seed,
            teacher=EXPERTS[c.expert](c.source),
            rounds=c.dagger_rounds,
            n_frames=c.dagger_frames,
            epochs=c.epochs,
            report=run.log,
            **env,
        )
        result = {"accuracies": accuracies, "fit_seconds": time.perf_counter() - started}
        if row == "resu mlp" and seed == c.first_seed:
            policy.save(run.results / "clones" / f"pong_{c.expert}")
    games = rollouts.play(policy, c.games, (seed, rollouts.EVALUATION), description=f"{row}, seed {seed}", **env)
    result |= {"scores": [g.score for g in games], "lengths": [g.length for g in games]}
    run.log(f"{LABELS[row]}, seed {seed}: {np.mean(result['scores']):.2f} {result.get('accuracies', '')}")
    return result


def load_demonstrations(run: Run, seed: int) -> rollouts.Buffer:
    """This seed's frames of the expert at play, collected first if they are not there."""
    c = run.config
    name = f"pong_{c.expert}" + ("" if c.source == "ram" else "_pixels")
    name += "" if c.sticky == 0.25 else f"_sticky{c.sticky:g}"
    return rollouts.load_or_collect(
        run.data, name, lambda: EXPERTS[c.expert](c.source), c.n_frames, seed, sticky=c.sticky
    )


def main(argv: list[str] | None = None) -> None:
    """All cells, then the table, the verdicts and the figure."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "seeds", "n_frames", "games", "dagger_frames", "epochs")
    check_code(config)
    variant = "" if config.expert == "reactive" else f"_{config.expert}"
    variant += "" if config.sticky == 0.25 else f"_sticky{config.sticky:g}"
    run = start_run(__file__, config, variant)
    c = run.config
    rows_wanted = [row for row in ROWS if row in c.rows]
    if c.dagger_rounds:
        rows_wanted = [row for row in rows_wanted if row in ("random", "expert", "resu mlp")]
    seeds = range(c.first_seed, c.first_seed + c.seeds)
    options = {
        name: getattr(c, name)
        for name in (
            "expert",
            "source",
            "n_frames",
            "games",
            "sticky",
            "dagger_rounds",
            "dagger_frames",
            "epochs",
            "grid",
            "memory",
        )
    }
    cells = {
        row: [
            run.cell(lambda row=row, seed=seed: measure(run, row, seed), row=row, seed=seed, **options)
            for seed in seeds
        ]
        for row in rows_wanted
    }
    rng = np.random.default_rng(0)
    means = {row: stats_ci.mean_over_games([cell["scores"] for cell in cells[row]]) for row in rows_wanted}
    estimates = {row: stats_ci.estimate(means[row], rng) for row in rows_wanted}
    table, verdicts = [], []
    for row in rows_wanted:
        accuracy = [cell["accuracies"][-1] for cell in cells[row] if "accuracies" in cell]
        table.append(
            {
                "policy": LABELS[row],
                "validation accuracy": f"{np.mean(accuracy):.3f}" if accuracy else "",
                "score [95 % interval over seeds]": str(estimates[row]),
                "worst and best game": f"{min(min(x['scores']) for x in cells[row]):.0f} .. "
                f"{max(max(x['scores']) for x in cells[row]):.0f}",
                "seeds x games": f"{len(seeds)} x {c.games}",
            }
        )
    if not c.dagger_rounds:  # what was left out is shown as missing
        table += [
            dict.fromkeys(table[0], "missing") | {"policy": LABELS[row]} for row in ROWS if row not in rows_wanted
        ]
    if "expert" in means and "resu mlp" in means:
        difference = stats_ci.paired_difference(means["resu mlp"], means["expert"], rng)
        verdicts.append(
            {
                "claim": f"the clone is equivalent to its expert (within {MARGIN:g})",
                "estimate": str(difference),
                "verdict": stats_ci.verdict_equivalent(difference, MARGIN),
            }
        )
        verdicts.append(
            {
                "claim": f"the clone is no worse than its expert by {MARGIN:g}",
                "estimate": str(difference),
                "verdict": stats_ci.verdict_not_worse(difference, MARGIN),
            }
        )
    if c.expert == "winning" and "resu mlp" in means:
        above = stats_ci.estimate(means["resu mlp"] - TARGET, rng)
        verdicts.append(
            {
                "claim": f"the clone scores more than {TARGET:+g}",
                "estimate": str(estimates["resu mlp"]),
                "verdict": stats_ci.verdict_positive(above),
            }
        )
    for row in rows_wanted:
        if row not in ("random", "expert", "resu mlp") and "resu mlp" in means:
            difference = stats_ci.paired_difference(means["resu mlp"], means[row], rng)
            verdicts.append(
                {
                    "claim": f"ReSU L1 with an MLP scores above: {LABELS[row]}",
                    "estimate": str(difference),
                    "verdict": stats_ci.verdict_positive(difference),
                }
            )
    figure = figures.score_intervals(
        [LABELS[row] for row in rows_wanted],
        [estimates[row] for row in rows_wanted],
        [means[row] for row in rows_wanted],
        f"Pong, imitating the {c.expert} expert, sticky {c.sticky:g}: mean of {c.games} games per seed",
        f"score per game; dots: {len(seeds)} seeds, black: mean and 95 % bootstrap interval",
    )
    scores = {row.replace(" ", "_"): np.array([cell["scores"] for cell in cells[row]]) for row in rows_wanted}
    run.finish(table, verdicts, figure, **scores)


if __name__ == "__main__":
    guard(main)
