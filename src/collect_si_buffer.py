"""Collect Space Invaders under random play, with the truth of every step from the console's memory beside the frames.

Reads      nothing               Writes  data/space_invaders_random_s<seed>_n<frames>.{npy,npz}: what was seen and done
                                         data/space_invaders_labels_s<seed>_n<frames>.npz: the truth, NaN where absent
Run        python src/collect_si_buffer.py                  (60,000 frames, 30 s on 2 cores)
           python src/collect_si_buffer.py 200000 --seed 3
           python src/collect_si_buffer.py --smoke          (seconds, proves nothing)
"""

from dataclasses import dataclass

import numpy as np
import tyro

import resu_files
import si_labels
from atari_play import random_play
from resu_moments import changed_fraction
from stage_io import guard, parse_config, require_positive
from stage_run import start_run


@dataclass(frozen=True)
class Config:
    """Options."""

    n_frames: tyro.conf.Positional[int] = 60_000  # frames in all [agent steps]
    seed: int = 0  # root seed of the games
    smoke: bool = False  # a few games, kept apart from real data


SMOKE = {"n_frames": 2000}


def main(argv: list[str] | None = None) -> None:
    """Collect (or find) the buffer, store its labels and say what is in both."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "n_frames")
    run = start_run(__file__, config)
    c = run.config
    buffer = run.timed("collect", lambda: random_play(run.data, "space_invaders", c.n_frames, c.seed))
    objects = si_labels.from_ram(buffer.ram)
    path = run.data / f"space_invaders_labels_s{c.seed}_n{c.n_frames}.npz"
    resu_files.write_npz(path, compress=True, starts=buffer.starts, **objects._asdict())
    scores = [buffer.rewards[game].sum() for game in buffer.episodes()[:-1]]

    def share(present: np.ndarray) -> str:
        return f"{100 * present.mean():.1f} %"

    row = {
        "frames": len(buffer),
        "games": len(buffer.starts),
        "mean score of whole games": float(np.mean(scores)) if scores else float("nan"),
        "ship": share(np.isfinite(objects.ship_x)),
        "aliens": share(objects.alive > 0),
        "our bullet": share(np.isfinite(objects.bullet_x)),
        "an enemy bullet": share(np.isfinite(objects.enemy_bullet_x).any(axis=1)),
        "saucer": share(np.isfinite(objects.ufo_x)),
        "pixels changed per step": f"{100 * changed_fraction(buffer.frames.reshape(len(buffer), -1)):.2f} %",
        "seconds": run.timings["collect"],
    }
    run.finish([row])


if __name__ == "__main__":
    guard(main)
