"""Stage 10: GIFs of policies at play: the game, the score, the action, and the ON/OFF maps of the code beside it.

With them comes a picture of the code at work in Pong.

Asteroids has a script of its own, record_asteroids.py. FIRE is pressed when Breakout waits for it.

Reads      results/clones/<game>_<player>_*      Writes  media/<film>.gif, results/record_gameplay.{json,log,png}
Run        python src/record_gameplay.py                       (2 min)
           python src/record_gameplay.py --films pong --seconds 10
           python src/record_gameplay.py --smoke               (needs python src/bc_pong.py --smoke first)
"""

from dataclasses import dataclass
from operator import methodcaller
from typing import Literal

import resu_files
from atari_env import STEPS_PER_SECOND
from cloning import CLONED_BY, Clone, at_work, film
from players import TASKS
from stage_io import guard, parse_config
from stage_run import start_run

Name = Literal["pong", "pong_ppo", "breakout", "breakout_ppo", "space_invaders", "space_invaders_ppo", "enduro"]
# What is shown: game, whose clone ("ppo" learned from reward), seconds left out at the start, seconds of play; GIFs of
# at most 3 MB
FILMS: dict[Name, tuple[str, str, float, float]] = {
    "pong": ("pong", "winning", 6.0, 40.0),
    "pong_ppo": ("pong", "ppo", 6.0, 30.0),
    "breakout": ("breakout", "predictive_dagger", 4.0, 30.0),
    "breakout_ppo": ("breakout", "ppo", 4.0, 30.0),
    "space_invaders": ("space_invaders", "dodging_dagger", 6.0, 25.0),
    "space_invaders_ppo": ("space_invaders", "ppo", 6.0, 25.0),
    "enduro": ("enduro", "planning", 6.0, 12.0),
}


@dataclass(frozen=True)
class Config:
    """Options."""

    films: tuple[Name, ...] = tuple(FILMS)
    expert: str = ""  # whose clone plays, where there are several
    seconds: float = 0.0  # of play, 0 for each game's own choice [s]
    seed: int = 0  # of the game
    smoke: bool = False


SMOKE = {"films": ("pong",), "seconds": 1.0, "expert": "reactive"}


def main(argv: list[str] | None = None) -> None:
    """Play, draw, write the GIFs."""
    config = parse_config(Config, argv, SMOKE)
    if config.seconds < 0:
        raise ValueError(f"--seconds must not be negative, not {config.seconds:g}")
    run = start_run(__file__, config)
    c = run.config
    rows, figure = [], None
    for name in c.films:
        game, player, skip, seconds = FILMS[name]
        player, skip, seconds = c.expert or player, min(skip, 1.0) if c.smoke else skip, c.seconds or seconds
        saved = f"{game}_{player}"
        remedy = CLONED_BY.get(saved, f"there is no clone of {saved}") + (" --smoke" if c.smoke else "")
        clone = Clone.load(run.results / "clones" / saved, remedy)
        who = "PPO on frozen ReSU features" if player == "ppo" else f"a ReSU clone of the {player.split('_')[0]} expert"
        gif = film(clone, c.seed, skip, seconds, f"{TASKS[game].label}: {who}", game, **TASKS[game].env)
        if name == "pong":
            caption = "ReSU, learned in closed form, at work in Pong"
            figure = at_work(clone, c.seed, round(skip * STEPS_PER_SECOND), caption, game)
        path = run.media / f"{name}.gif"
        resu_files.write_atomically(path, methodcaller("write", gif))
        rows.append({"file": path.name, "player": player, "seconds of play": seconds, "MB": len(gif) / 1e6})
        run.log(str(rows[-1]))
    run.finish(rows, figure=figure)


if __name__ == "__main__":
    guard(main)
