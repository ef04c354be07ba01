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

from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal

import atari_play
import clone_cells
from atari_env import SIDE
from clone_cells import LABELS, ROWS, Row
from pong_expert import CLASS_NAMES, EXPERTS
from resu_conv import ReSUEncoder
from stage_io import Run, guard, parse_config, require_positive, start_run

MARGIN = 2.0  # Pong points within which two policies count as equivalent
TARGET = 8.0  # the winning clone's score


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


# Table B of the original: one seed, 5 games; it imitated an expert like ours that reacts.
ORIGINAL: dict[Row, str] = {
    "expert": "-13.4",
    "raw linear": "accuracy .426, score -21.0",
    "raw mlp": "accuracy .338, score -21.0",
    "resu linear": "accuracy .657, score -19.0",
    "resu mlp": "accuracy .857, score -12.6",
}
SMOKE = {"seeds": 2, "n_frames": 1500, "games": 2, "dagger_frames": 800}


def check_code(c: Config) -> None:
    """Refuse a code that cannot be fitted before anything is computed."""
    ReSUEncoder(memory=c.memory, grid=c.grid)
    if max(c.grid) > SIDE:
        raise ValueError(f"a grid of {c.grid} cells does not fit frames of {SIDE} x {SIDE} pixels")


def load_demonstrations(run: Run, seed: int) -> atari_play.Buffer:
    """This seed's frames of the expert at play, collected first if they are not there."""
    c = run.config
    name = f"pong_{c.expert}" + ("" if c.source == "ram" else "_pixels")
    name += "" if c.sticky == 0.25 else f"_sticky{c.sticky:g}"
    return atari_play.load_or_collect(
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
    not_of_a_cell = ("seeds", "first_seed", "rows", "smoke")
    options = {name: value for name, value in asdict(c).items() if name not in not_of_a_cell}
    task = clone_cells.Imitation(
        game="pong",
        env={"sticky": c.sticky},
        expert=lambda: EXPERTS[c.expert](c.source),
        class_names=CLASS_NAMES,
        demonstrations=lambda seed: load_demonstrations(run, seed),
        games=c.games,
        epochs=c.epochs,
        grid=c.grid,
        memory=c.memory,
        rounds=c.dagger_rounds,
        round_frames=c.dagger_frames,
        save_as=f"pong_{c.expert}" + ("" if c.sticky == 0.25 else f"_sticky{c.sticky:g}"),
    )
    cells = {
        row: [
            run.cell(
                partial(clone_cells.measure, run, task, row, seed, save=seed == c.first_seed),
                row=row, seed=seed, **options,
            )
            for seed in seeds
        ]
        for row in rows_wanted
    }  # fmt: skip
    table, verdicts, figure, scores = clone_cells.tabulate(
        cells,
        MARGIN,
        f"Pong, imitating the {c.expert} expert, sticky {c.sticky:g}",
        ORIGINAL if c.expert == "reactive" else None,
    )
    if not c.dagger_rounds and c.sticky == 0.25:  # what was left out is shown as missing
        table += [
            dict.fromkeys(table[0], "missing") | {"policy": LABELS[row]} for row in ROWS if row not in rows_wanted
        ]
    if c.expert == "winning" and "resu mlp" in cells:
        verdicts.append(clone_cells.judge_target(cells["resu mlp"], TARGET))
    run.finish(table, verdicts, figure, **scores)


if __name__ == "__main__":
    guard(main)
