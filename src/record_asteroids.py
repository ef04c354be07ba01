"""Stage 11: a GIF of an Asteroids clone at play: the game, the score, the action, and the ON/OFF maps of the code.

Reads      results/clones/asteroids_<expert>_*      Writes  media/asteroids.gif, results/record_asteroids.{json,log}
Run        python src/record_asteroids.py                       (30 s)
           python src/record_asteroids.py --seconds 10
           python src/record_asteroids.py --smoke               (a clone of a few frames, proves nothing)
"""

from dataclasses import dataclass

import resu_files
from cloning import CLONED_BY, Clone, clone_policy, film
from players import TASKS, demonstrations
from resu_conv import ReSUEncoder
from stage_io import guard, parse_config
from stage_run import start_run

GAME = "asteroids"


@dataclass(frozen=True)
class Config:
    """Options."""

    seconds: float = 20.0  # of play [s]
    skip: float = 4.0  # left out at the start [s]
    seed: int = 0  # of the game
    smoke: bool = False


SMOKE = {"seconds": 1.0, "skip": 1.0}


def main(argv: list[str] | None = None) -> None:
    """Play, draw, write the GIF."""
    run = start_run(__file__, parse_config(Config, argv, SMOKE))
    c = run.config
    task = TASKS[GAME]
    if c.smoke:
        buffer = demonstrations(run.data, GAME, task.best, 1500, 0)
        encoder = ReSUEncoder().fit(buffer.episode_frames())
        clone, _ = clone_policy(encoder, buffer, task.classes(task.best), "ridge", 0, game=GAME)
    else:
        name = f"{GAME}_{task.best}"
        clone = Clone.load(run.results / "clones" / name, CLONED_BY[name])
    gif = film(clone, c.seed, c.skip, c.seconds, f"{task.label}: a ReSU clone of the {task.best} expert", GAME)
    path = run.media / f"{GAME}.gif"
    resu_files.write_atomically(path, lambda file: file.write(gif))
    run.finish([{"file": path.name, "seconds of play": c.seconds, "MB": len(gif) / 1e6}])


if __name__ == "__main__":
    guard(main)
