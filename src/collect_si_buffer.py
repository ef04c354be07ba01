"""Collect Space Invaders under random play, with the truth of every step from the console's memory beside the frames.

Reads      nothing               Writes  data/space_invaders_random_s<seed>_n<frames>.{npy,npz}: what was seen and done
                                         data/space_invaders_labels_s<seed>_n<frames>.npz: the truth, NaN where absent
Run        python src/collect_si_buffer.py                  (60,000 frames, 30 s on 2 cores)
           python src/collect_si_buffer.py 200000 --seed 3
           python src/collect_si_buffer.py --smoke          (seconds, proves nothing)
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

import collect_cells
import resu_files
import si_labels
from collect_cells import RANDOM, Recording
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage, measured


@dataclass(frozen=True)
class Config:
    """Options."""

    n_frames: tyro.conf.Positional[int] = 60_000  # frames in all [agent steps]
    seed: int = 0  # root seed of the games
    smoke: bool = False  # a few games, kept apart from real data


SMOKE = {"n_frames": 2000}
GAME = "space_invaders"


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(config, "n_frames")


@dataclass(frozen=True)
class Labels:
    """The truth beside a buffer of this size and seed."""

    n_frames: int
    seed: int

    def path(self, folder: Path) -> Path:
        """Where it lies."""
        return folder / f"space_invaders_labels_s{self.seed}_n{self.n_frames}.npz"


@measured()
def label(run: Run, labels: Labels) -> dict[str, float]:
    """Read the memory, write the truth. Returns in which share of the steps each kind of object is there."""
    buffer = Recording(GAME, RANDOM, labels.n_frames, labels.seed).buffer(run.data)
    objects = si_labels.from_ram(buffer.ram)
    resu_files.write_npz(labels.path(run.data), compress=True, starts=buffer.starts, **objects._asdict())
    return {
        "ship": np.isfinite(objects.ship_x).mean(),
        "aliens": (objects.alive > 0).mean(),
        "our bullet": np.isfinite(objects.bullet_x).mean(),
        "an enemy bullet": np.isfinite(objects.enemy_bullet_x).any(axis=1).mean(),
        "saucer": np.isfinite(objects.ufo_x).mean(),
    }


def cells(run: Run) -> tuple[dict[str, Any], dict[str, float]]:
    """What is in the buffer, and in its labels."""
    c = run.config
    buffer = collect_cells.cell(run, Recording(GAME, RANDOM, c.n_frames, c.seed))
    labels = Labels(c.n_frames, c.seed)
    return buffer, run.cell(label, labels, makes=[labels.path(run.data)])


def report(c: Config, found: tuple[dict[str, Any], dict[str, float]]) -> Report:
    """One row."""
    buffer, shares = found
    return collect_cells.report_random(buffer, {name: f"{100 * share:.1f} %" for name, share in shares.items()})


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
