"""Collect demonstrations of an Asteroids expert: frames, actions and scores of its games.

Reads      nothing               Writes  data/asteroids_<expert>_s<seed>_n<frames>.{npy,npz}
Run        python src/collect_asteroids_demos.py                  (60,000 frames, 30 s on 2 cores)
           python src/collect_asteroids_demos.py 100000 --expert sweeping --seed 3
           python src/collect_asteroids_demos.py --smoke          (seconds, proves nothing)
"""

from dataclasses import dataclass
from typing import Any, Literal

import tyro

import collect_cells
from collect_cells import Recording
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage

GAME = "asteroids"


@dataclass(frozen=True)
class Config:
    """Options."""

    n_frames: tyro.conf.Positional[int] = 60_000  # frames in all [agent steps]
    expert: Literal["sweeping", "aiming"] = "aiming"  # who plays
    seed: int = 0  # root seed of the games
    sticky: float = 0.25  # probability that the emulator repeats an action
    smoke: bool = False  # a few games, kept apart from real data


SMOKE = {"n_frames": 1500}


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(config, "n_frames")


def cells(run: Run) -> dict[str, Any]:
    """What is in the demonstrations, collected if they are not there."""
    c = run.config
    return collect_cells.cell(run, Recording(GAME, c.expert, c.n_frames, c.seed, c.sticky))


def report(c: Config, found: dict[str, Any]) -> Report:
    """One row."""
    return collect_cells.report_demonstrations(found)


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
