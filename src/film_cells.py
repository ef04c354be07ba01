"""GIFs of saved clones at play, as the stages that record them make them."""

from __future__ import annotations

from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path
from typing import Any

import films
import resu_files
from cloning import saved
from players import TASKS
from stage_run import Run, measured


@dataclass(frozen=True)
class Film:
    """One GIF.

    name             of its file
    clone            who plays: a name of `cloning.SAVED`
    skip, seconds    what is left out at the start, what is shown  [s]
    seed             of the game
    """

    name: str
    clone: str
    skip: float
    seconds: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and self.skip >= 0):
            raise ValueError(
                f"--seconds must be above 0 and --skip not below 0, not {self.seconds:g} and {self.skip:g}"
            )

    def path(self, run: Run) -> Path:
        """Its file."""
        return run.media / f"{self.name}.gif"


@measured()
def measure(run: Run, film: Film) -> dict[str, float]:
    """Play, draw, write the file. Returns its size  [MB]."""
    of = saved(film.clone)
    task, path = TASKS[of.game], film.path(run)
    title = f"{task.label}: {of.label}"
    gif = films.film(of.load(run.results, run.smoke), film.seed, film.skip, film.seconds, title, of.game, **task.env)
    resu_files.write_atomically(path, methodcaller("write", gif))
    run.log(f"{path.name}: {len(gif) / 1e6:.2f} MB")
    return {"megabytes": len(gif) / 1e6}


def cell(run: Run, film: Film) -> dict[str, float]:
    """Drawn in every run: the clone may be another one by now."""
    return run.cell(measure, film, makes=[film.path(run)], fresh=True)


def row(film: Film, found: dict[str, float]) -> dict[str, Any]:
    """Of the table."""
    return {
        "file": f"{film.name}.gif",
        "player": saved(film.clone).player,
        "seconds of play": film.seconds,
        "MB": found["megabytes"],
    }
