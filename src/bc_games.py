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

from dataclasses import dataclass
from typing import Any, Literal

import clone_cells
from atari_env import MAX_STEPS
from clone_cells import ArmName
from players import TASKS, expert_of
from resu_conv import ReSUEncoder
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage

ORIGINAL: dict[str, dict[ArmName, str]] = {  # of an expert of its own, like `Task.first`
    "space_invaders": {"expert": "about 350", "resu mlp": "352"},
    "breakout": {"expert": "38", "resu mlp": "17.4 +- 2.1"},
    "asteroids": {"expert": "sweeps and fires at random", "resu mlp": "validation accuracy .25"},
}
REPORTED: dict[str, dict[ArmName, float]] = {
    "space_invaders": {"expert": 350.0, "resu mlp": 352.0},
    "breakout": {"expert": 38.0, "resu mlp": 17.4},
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
    dagger_rounds: int = 0  # rounds of dataset aggregation (ReSU MLP, and random filters where --memory exceeds 4)
    dagger_frames: int = 50_000  # frames per round
    epochs: int = 6  # passes over the demonstrations, the same for every head that is trained
    grid: tuple[int, int] = (16, 8)  # pooling cells (rows, columns)
    memory: int = 8  # frames in the past of a filter
    rows: tuple[ArmName, ...] = (
        "random",
        "expert",
        "pooled mlp",
        "filters mlp",
        "pca mlp",
        "resu ridge",
        "resu linear",
        "resu mlp",
    )
    max_steps: int = MAX_STEPS  # games are cut here [agent steps]
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


def check(config: Config) -> None:
    """Refuse what cannot be fitted, and unknown experts, before anything is computed."""
    require_positive(config, "seeds", "n_frames", "games", "dagger_frames", "epochs")
    ReSUEncoder(memory=config.memory, grid=config.grid)
    expert_of(config.game, config.expert)


def imitated(config: Config) -> str:
    """The expert's name."""
    return config.expert or TASKS[config.game].best


def variant(config: Config) -> str:
    """A result per game, expert and way of imitating."""
    if config.smoke:
        return ""
    name = f"_{config.game}" + ("" if imitated(config) == TASKS[config.game].best else f"_{imitated(config)}")
    name += "" if config.sticky == 0.25 else f"_sticky{config.sticky:g}"
    selects = config.dagger_rounds and config.memory > clone_cells.N_UNITS
    return name + ("_dagger" if config.dagger_rounds else "") + ("_selecting" if selects else "")


def cells(run: Run) -> dict[ArmName, list[dict[str, Any]]]:
    """A cell per arm and seed."""
    c = run.config
    options = {name: value for name, value in vars(c).items() if name not in ("seeds", "rows", "smoke")}
    return clone_cells.cells(run, clone_cells.plan(c.rows, range(c.seeds), **options | {"expert": imitated(c)}))


def report(c: Config, found: dict[ArmName, list[dict[str, Any]]]) -> Report:
    """Table, verdicts, figure."""
    task = TASKS[c.game]
    its = imitated(c) == task.first  # an expert of the original's kind: with another its figures are no comparison
    return clone_cells.report(
        found,
        task.margin,
        clone_cells.title(task.label, imitated(c), c),
        original=ORIGINAL.get(c.game) if its else None,
        left_out=() if c.dagger_rounds or c.smoke else [arm for arm in Config.rows if arm not in found],
        target=TARGETS.get(c.game) if imitated(c) == task.best else None,
        reported=REPORTED.get(c.game) if its else None,
        reported_label="original (an expert of its own)",
    )


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check, variant=variant)

if __name__ == "__main__":
    guard(STAGE.main)
