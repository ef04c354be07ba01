"""Stages 4 and 11, playing: do layer-1 features suffice to imitate the experts of the other games?

Claim      A clone of the game's best expert on layer-1 ReSU features with an MLP scores like its expert (equivalent
           within the game's margin in demonstrations.TASKS), above controls of the same size, and above its target.
Falsified  if the 95 % interval over seeds of clone - expert (- control, - target) lies outside (below 0).
Original   Space Invaders 352 (clone); Asteroids: an expert at random, imitated at .25 validation accuracy; Enduro: none
Reads      data/<game>_<expert>_s*          Writes  results/bc_games_<game>.{npz,json,log,png}, results/clones/
Run        python src/bc_games.py --game space_invaders          (20 min on 2 cores; also breakout, asteroids)
           python src/bc_games.py --game enduro --games 4        (a good game lasts 24,000 steps)
           python src/bc_games.py --game breakout --dagger-rounds 8 --memory 4 --grid 28 12 --seeds 3
           (the same for space_invaders; 25 min)
           python src/bc_games.py --game asteroids --expert sweeping
           python src/bc_games.py --smoke                        (1 min, proves nothing)
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import clone_cells
import player_cells
from clone_cells import LABELS, ROWS, Row
from players import TASKS, demonstrations, expert_of
from resu_conv import ReSUEncoder
from stage_io import guard, parse_config, require_positive, start_run

ORIGINAL: dict[str, dict[Row, str]] = {  # of an expert of its own, see demonstrations.TASKS
    "space_invaders": {"expert": "about 350", "resu mlp": "352"},
    "breakout": {"expert": "38", "resu mlp": "17.4 +- 2.1"},
    "asteroids": {"expert": "sweeps and fires at random", "resu mlp": "validation accuracy .25"},
}
TARGETS = {"breakout": 40.0, "space_invaders": 450.0}  # points that a clone of the best expert should exceed


@dataclass(frozen=True)
class Config:
    """Options."""

    game: Literal["space_invaders", "breakout", "asteroids", "enduro"] = "space_invaders"
    expert: str = ""  # who is imitated; the game's best by default
    seeds: int = 5  # replications: own demonstrations, own fit, own head, own games
    n_frames: int = 60_000  # demonstrations per seed [agent steps]
    games: int = 20  # evaluation games per seed
    sticky: float = 0.25  # probability that the emulator repeats an action
    dagger_rounds: int = 0  # rounds of dataset aggregation (ReSU MLP only)
    dagger_frames: int = 50_000  # frames per round
    epochs: int = 6  # passes over the demonstrations, the same for every head that is trained
    grid: tuple[int, int] = (16, 8)  # pooling cells (rows, columns)
    memory: int = 8  # frames in the past of a filter
    rows: tuple[Row, ...] = ("random", "expert", "filters mlp", "pca mlp", "resu ridge", "resu linear", "resu mlp")
    max_steps: int = 27_000  # games are cut here [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {
    "game": "breakout",
    "seeds": 2,
    "n_frames": 1200,
    "games": 1,
    "dagger_frames": 600,
    "epochs": 1,
    "max_steps": 150,
    "rows": ("random", "expert", "pca mlp", "resu mlp"),
}


def main(argv: list[str] | None = None) -> None:
    """All cells, then the table, the verdicts and the figure."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "seeds", "n_frames", "games", "dagger_frames", "epochs")
    ReSUEncoder(memory=config.memory, grid=config.grid)
    expert_of(config.game, config.expert)
    task = TASKS[config.game]
    expert = config.expert or task.best
    variant = f"_{config.game}" + ("" if expert == task.best else f"_{expert}")
    variant += "" if config.sticky == 0.25 else f"_sticky{config.sticky:g}"
    variant += "_dagger" if config.dagger_rounds else ""
    run = start_run(__file__, config, "" if config.smoke else variant)
    c = run.config
    limit = {} if c.max_steps == Config.max_steps else {"max_steps": c.max_steps}
    imitated = clone_cells.Imitation(
        game=c.game,
        env={"sticky": c.sticky, **limit, **task.env},
        expert=lambda: expert_of(c.game, expert),
        class_names=task.classes(expert),
        demonstrations=lambda seed: demonstrations(run.data, c.game, expert, c.n_frames, seed, c.sticky, **limit),
        games=c.games,
        epochs=c.epochs,
        grid=c.grid,
        memory=c.memory,
        rounds=c.dagger_rounds,
        round_frames=c.dagger_frames,
        save_as=f"{c.game}_{expert}"
        + ("_dagger" if c.dagger_rounds else "")
        + ("" if c.sticky == 0.25 else f"_sticky{c.sticky:g}"),
    )
    rows_wanted = [row for row in ROWS if row in c.rows]
    if c.dagger_rounds:
        rows_wanted = [row for row in rows_wanted if row in ("random", "expert", "resu mlp")]
    options = {name: value for name, value in asdict(c).items() if name not in ("seeds", "rows", "smoke")}
    options["expert"] = expert

    def cell(row: Row, seed: int) -> dict[str, Any]:
        if row in ("random", "expert"):
            who = "random" if row == "random" else expert
            return player_cells.cell(run, player_cells.player(c.game, who, c.sticky, c.games, c.max_steps), seed)
        return run.cell(
            lambda: clone_cells.measure(run, imitated, row, seed, save=seed == 0),
            shelf="bc_games", row=row, seed=seed, **options,
        )  # fmt: skip

    cells = {row: [cell(row, seed) for seed in range(c.seeds)] for row in rows_wanted}
    table, verdicts, figure, scores = clone_cells.tabulate(
        cells,
        task.margin,
        f"{task.label}, imitating the {expert} expert, sticky {c.sticky:g}",
        ORIGINAL.get(c.game),
    )
    if not c.dagger_rounds:  # what was left out is shown as missing
        table += [
            dict.fromkeys(table[0], "missing") | {"policy": LABELS[row]}
            for row in Config.rows
            if row not in rows_wanted and not c.smoke
        ]
    if c.game in TARGETS and expert == task.best and "resu mlp" in cells:
        verdicts.append(clone_cells.judge_target(cells["resu mlp"], TARGETS[c.game]))
    run.finish(table, verdicts, figure, **scores)


if __name__ == "__main__":
    guard(main)
