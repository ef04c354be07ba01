"""Collect Pong under random play: the buffer that layer-1 filters and probes are fitted on.

Reads      nothing               Writes  data/pong_random_s<seed>_n<frames>.{npy,npz}
Run        python src/collect_pong_buffer.py                  (60,000 frames, 15 s on 2 cores)
           python src/collect_pong_buffer.py 200000 --seed 3
           python src/collect_pong_buffer.py --smoke          (seconds, proves nothing)
"""

from dataclasses import dataclass
from typing import Any

import tyro

import collect_cells
from collect_cells import RANDOM, Recording
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage


@dataclass(frozen=True)
class Config:
    """Options."""

    n_frames: tyro.conf.Positional[int] = 60_000  # frames in all [agent steps]
    seed: int = 0  # root seed of the games
    sticky: float = 0.25  # probability that the emulator repeats an action
    smoke: bool = False  # a few games, kept apart from real data


SMOKE = {"n_frames": 3000}


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(config, "n_frames")


def cells(run: Run) -> dict[str, Any]:
    """What is in the buffer, collected if it is not there."""
    c = run.config
    return collect_cells.cell(run, Recording("pong", RANDOM, c.n_frames, c.seed, c.sticky))


def report(c: Config, found: dict[str, Any]) -> Report:
    """One row."""
    return collect_cells.report_random(found)


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
