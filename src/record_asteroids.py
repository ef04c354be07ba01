"""Stage 11: a GIF of an Asteroids clone at play: the game, the score, the action, and the ON/OFF maps of the code.

Reads      results/clones/asteroids_<expert>_*      Writes  media/asteroids.gif, results/record_asteroids.{json,log}
Run        python src/record_asteroids.py                       (30 s)
           python src/record_asteroids.py --seconds 10
           python src/record_asteroids.py --smoke               (a clone of a few frames, proves nothing)
"""

from dataclasses import dataclass

import cloning
import film_cells
from film_cells import Film
from players import TASKS, demonstrations
from resu_conv import ReSUEncoder
from stage_io import guard
from stage_report import Report
from stage_run import Run, Stage, measured

CLONE = cloning.SAVED["asteroids_aiming"]


@dataclass(frozen=True)
class Config:
    """Options."""

    seconds: float = 20.0  # of play [s]
    skip: float = 4.0  # left out at the start [s]
    seed: int = 0  # of the game
    smoke: bool = False


SMOKE = {"seconds": 1.0, "skip": 1.0}


@dataclass(frozen=True)
class Lesson:
    """Frames that a clone for smoke runs is taught."""

    n_frames: int


@measured()
def teach(run: Run, lesson: Lesson) -> float:
    """A clone of a few frames, for a smoke run, saved where a real one would be. Returns its validation accuracy."""
    buffer = demonstrations(run.data, CLONE.game, CLONE.expert, lesson.n_frames, 0)
    encoder = ReSUEncoder().fit(buffer.episode_frames())
    classes = TASKS[CLONE.game].classes(CLONE.expert)
    clone, accuracies = cloning.clone_policy(encoder, buffer, classes, "ridge", 0, game=CLONE.game)
    clone.save(run.results / "clones" / CLONE.name)
    return accuracies[-1]


def film(c: Config) -> Film:
    """What is recorded."""
    return Film("asteroids", CLONE.name, c.skip, c.seconds, c.seed)


def check(config: Config) -> None:
    """Refuse times below 0."""
    film(config)


def cells(run: Run) -> dict[str, float]:
    """One film."""
    if run.smoke:
        run.cell(teach, Lesson(1500), makes=cloning.Clone.files(run.results / "clones" / CLONE.name))
    return film_cells.cell(run, film(run.config))


def report(c: Config, found: dict[str, float]) -> Report:
    """Its row."""
    row = film_cells.row(film(c), found)
    return Report([{name: row[name] for name in ("file", "seconds of play", "MB")}])


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
