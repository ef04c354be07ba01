"""Collect demonstrations of an Asteroids expert: frames, actions and scores of its games.

Reads      nothing               Writes  data/asteroids_<expert>_s<seed>_n<frames>.{npy,npz}
Run        python src/collect_asteroids_demos.py                  (60,000 frames, 30 s on 2 cores)
           python src/collect_asteroids_demos.py 100000 --expert sweeping --seed 3
           python src/collect_asteroids_demos.py --smoke          (seconds, proves nothing)
"""

from dataclasses import dataclass
from typing import Literal

import tyro

import players
from stage_io import guard, parse_config, require_positive
from stage_run import start_run

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


def main(argv: list[str] | None = None) -> None:
    """Collect (or find) the demonstrations and say what is in them."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "n_frames")
    run = start_run(__file__, config)
    c = run.config
    buffer = run.timed(
        "collect", lambda: players.demonstrations(run.data, GAME, c.expert, c.n_frames, c.seed, c.sticky)
    )
    run.finish([players.summary(buffer, GAME)])


if __name__ == "__main__":
    guard(main)
