"""Stage 10: GIFs of clones at play: the game, the score, the chosen action, and the ON/OFF maps of the code beside it.

Reads      results/clones/pong_<expert>_*          Writes  media/pong.gif, results/record_gameplay.{json,log}
Run        python src/record_gameplay.py                       (30 s)
           python src/record_gameplay.py --expert reactive --seconds 10
           python src/record_gameplay.py --smoke               (needs python src/bc_pong.py --smoke first)
"""

from dataclasses import dataclass
from typing import Literal

import array_files
from cloning import CLONED_BY, Clone, film
from stage_io import guard, parse_config, start_run


@dataclass(frozen=True)
class Config:
    """Options."""

    expert: Literal["reactive", "winning"] = "winning"  # whose clone plays
    seconds: float = 40.0  # of play [s]
    skip: float = 6.0  # left out at the start [s]
    seed: int = 0  # of the game
    smoke: bool = False


SMOKE = {"seconds": 1.0, "skip": 1.0, "expert": "reactive"}


def main(argv: list[str] | None = None) -> None:
    """Play, draw, write the GIF."""
    run = start_run(__file__, parse_config(Config, argv, SMOKE))
    c = run.config
    clone = Clone.load(
        run.results / "clones" / f"pong_{c.expert}", CLONED_BY[c.expert] + (" --smoke" if c.smoke else "")
    )
    path = run.media / "pong.gif"
    gif = film(clone, c.seed, c.skip, c.seconds, f"Pong: a ReSU clone of the {c.expert} expert (right paddle)")
    array_files.write_atomically(path, lambda file: file.write(gif) and None)
    run.finish([{"file": path.name, "seconds of play": c.seconds, "MB": len(gif) / 1e6}])


if __name__ == "__main__":
    guard(main)
