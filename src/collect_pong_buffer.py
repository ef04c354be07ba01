"""Collect Pong under random play: the buffer that layer-1 filters and probes are fitted on.

Reads      nothing               Writes  data/pong_random_s<seed>_n<frames>.{npy,npz}
Run        python src/collect_pong_buffer.py                  (60,000 frames, 15 s on 2 cores)
           python src/collect_pong_buffer.py 200000 --seed 3
           python src/collect_pong_buffer.py --smoke          (seconds, proves nothing)
"""

from dataclasses import dataclass

import numpy as np
import tyro

import atari_play
from resu_moments import changed_fraction
from stage_io import guard, parse_config, require_positive
from stage_run import start_run


@dataclass(frozen=True)
class Config:
    """Options."""

    n_frames: tyro.conf.Positional[int] = 60_000  # frames in all [agent steps]
    seed: int = 0  # root seed of the games
    sticky: float = 0.25  # probability that the emulator repeats an action
    smoke: bool = False  # a few games, kept apart from real data


SMOKE = {"n_frames": 3000}


def main(argv: list[str] | None = None) -> None:
    """Collect (or find) the buffer and say what is in it."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "n_frames")
    run = start_run(__file__, config)
    c = run.config
    name = "pong_random" if c.sticky == 0.25 else f"pong_random_sticky{c.sticky:g}"
    buffer = run.timed(
        "collect",
        lambda: atari_play.load_or_collect(
            run.data, name, atari_play.RandomPolicy, c.n_frames, c.seed, sticky=c.sticky
        ),
    )
    scores = [buffer.rewards[game].sum() for game in buffer.episodes()[:-1]]
    flat = buffer.frames.reshape(len(buffer), -1)
    row = {
        "frames": len(buffer),
        "games": len(buffer.starts),
        "mean score of whole games": float(np.mean(scores)) if scores else float("nan"),
        "pixels changed per step": f"{100 * changed_fraction(flat):.2f} %",
        "seconds": run.timings["collect"],
    }
    run.finish([row])


if __name__ == "__main__":
    guard(main)
