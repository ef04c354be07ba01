"""Stage 10: GIFs of policies at play: the game, the score, the action, and the ON/OFF maps of the code beside it.

With them comes a picture of the code at work in Pong.

Asteroids has a script of its own, record_asteroids.py. FIRE is pressed when Breakout waits for it.

Reads      results/clones/<game>_<player>_*      Writes  media/<film>.gif, results/record_gameplay.{json,log,png}
Run        python src/record_gameplay.py                       (2 min)
           python src/record_gameplay.py --films pong --seconds 10
           python src/record_gameplay.py --smoke               (needs python src/bc_pong.py --smoke first)
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import film_cells
import films
import resu_files
from atari_env import STEPS_PER_SECOND
from cloning import saved
from film_cells import Film
from players import TASKS
from stage_io import guard
from stage_report import Report
from stage_run import Run, Stage, measured

Name = Literal["pong", "pong_ppo", "breakout", "breakout_ppo", "space_invaders", "space_invaders_ppo", "enduro"]
FILMS: dict[Name, Film] = {  # GIFs of at most 3 MB
    "pong": Film("pong", "pong_winning", 6.0, 40.0),
    "pong_ppo": Film("pong_ppo", "pong_ppo", 6.0, 30.0),
    "breakout": Film("breakout", "breakout_predictive_dagger", 4.0, 30.0),
    "breakout_ppo": Film("breakout_ppo", "breakout_ppo", 4.0, 30.0),
    "space_invaders": Film("space_invaders", "space_invaders_dodging_dagger", 6.0, 25.0),
    "space_invaders_ppo": Film("space_invaders_ppo", "space_invaders_ppo", 6.0, 25.0),
    "enduro": Film("enduro", "enduro_planning", 6.0, 12.0),
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


def chosen(c: Config) -> list[Film]:
    """What is recorded. Raises ValueError for a clone that nothing makes."""
    found = []
    for film in (FILMS[name] for name in c.films):
        clone = f"{saved(film.clone).game}_{c.expert}" if c.expert else film.clone
        skip = min(film.skip, 1.0) if c.smoke else film.skip
        found.append(replace(film, clone=saved(clone).name, skip=skip, seconds=c.seconds or film.seconds, seed=c.seed))
    return found


def check(config: Config) -> None:
    """Refuse unknown clones and times below 0."""
    chosen(config)


@dataclass(frozen=True)
class Picture:
    """Of a clone's code at one step of a game with this seed."""

    clone: str
    step: int
    seed: int


@measured()
def draw_code(run: Run, picture: Picture) -> None:
    """Play that far, draw, write results/record_gameplay.png."""
    of = saved(picture.clone)
    caption = f"ReSU, learned in closed form, at work in {TASKS[of.game].label}"
    clone = of.load(run.results, run.smoke)
    figure = films.at_work(clone, picture.seed, picture.step, caption, of.game, **TASKS[of.game].env)
    resu_files.write_atomically(run.path(".png"), partial(figure.savefig, format="png", dpi=120))


def cells(run: Run) -> list[dict[str, float]]:
    """A cell per film; the picture comes with Pong's."""
    its = chosen(run.config)
    for film in its:
        if film.name == "pong":
            picture = Picture(film.clone, round(film.skip * STEPS_PER_SECOND), film.seed)
            run.cell(draw_code, picture, makes=[run.path(".png")], fresh=True)
    return [film_cells.cell(run, film) for film in its]


def report(c: Config, found: list[dict[str, float]]) -> Report:
    """A row per film."""
    rows: list[dict[str, Any]] = [film_cells.row(film, cell) for film, cell in zip(chosen(c), found, strict=True)]
    return Report(rows)


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
