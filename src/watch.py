"""Watch it think: a page on this machine that plays Atari games and shows the ON/OFF maps of the code that plays.

Choose who plays (a saved clone, an expert, random play, your keyboard), fit a code on the spot, disturb what it sees
and look how a code that adapts fares beside one that does not, save the last 30 seconds as a GIF, or show a video of
your own. The page listens on 127.0.0.1 alone, at an address that nobody can guess. Ctrl-C ends it.

Reads      results/clones/<game>_<player>_*      Writes  nothing; with --smoke results/smoke/watch.{json,log}
Run        python src/watch.py                   (Pong, by the clone that wins)
           python src/watch.py --game breakout --clone breakout_predictive_dagger --port 8765
           python src/watch.py --smoke           (10 s, proves nothing: a visit without a browser)
"""

import asyncio
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import watch_players
import watch_server
from atari_env import GAMES
from cloning import SAVED, saved
from players import TASKS
from stage_io import ROOT, guard, parse_config
from stage_report import Report
from stage_run import Run, Stage, measured
from watch_server import Site
from watch_session import Session
from watch_visitor import Visitor


@dataclass(frozen=True)
class Config:
    """Options."""

    game: str = ""  # that is played first: pong, breakout, space_invaders, asteroids or enduro; by default the clone's
    clone: str = ""  # that plays it, a name under results/clones; by default the best of the game
    port: int = 8765  # of the page, 0 for any that is free
    open: bool = True  # a browser
    seed: int = 0  # of the games
    smoke: bool = False


SMOKE = {"port": 0, "open": False}


def check(config: Config) -> None:
    """Refuse what there is not. Raises ValueError naming what there is."""
    if config.game and config.game not in GAMES:
        raise ValueError(f"unknown game '{config.game}': choose one of {', '.join(GAMES)}")
    if config.clone and config.clone not in SAVED:
        raise ValueError(f"there is no clone {config.clone}: choose one of {', '.join(SAVED)}")
    if config.clone and config.game and saved(config.clone).game != config.game:
        its = ", ".join(name for name, one in SAVED.items() if one.game == config.game)
        raise ValueError(f"{config.clone} does not play {TASKS[config.game].label}: choose one of {its}")
    if not 0 <= config.port < 65536:
        raise ValueError(f"--port must be a number from 0 to 65535, not {config.port}")


def first(c: Config, results: Path) -> tuple[str, str]:
    """Game and player to begin with. Raises FileNotFoundError, with the remedy, if the clone's files are not there."""
    game = c.game or (saved(c.clone).game if c.clone else GAMES[0])
    if c.clone and c.clone not in watch_players.clones_of(game, results):
        saved(c.clone).load(results)
    return game, c.clone


@measured()
def measure(run: Run, c: Config) -> dict[str, Any]:
    """One window without a browser, which does a little of everything."""
    results = run.results if c.clone else run.results / "no clones"
    make = partial(Session, *first(c, results), results, c.seed)
    return asyncio.run(Visitor(Site(make, c.port)).visit())


def cells(run: Run) -> dict[str, Any]:
    """One visit, made in every run."""
    return run.cell(measure, run.config, fresh=True)


def report(c: Config, found: dict[str, Any]) -> Report:
    """One row."""
    row = {name: found[name] for name in ("pictures", "steps", "films", "errors", "seconds")}
    return Report([row | {"CPU ms per step": 1000 * found["cpu_seconds"] / max(found["steps"], 1)}])


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve the page; with --smoke visit it once, without a browser."""
    config = parse_config(Config, argv, SMOKE)
    if config.smoke:
        STAGE.main(argv)
        return
    check(config)
    watch_server.log_to_stderr()
    results = ROOT / "results"
    site = Site(partial(Session, *first(config, results), results, config.seed), config.port)

    def begun(address: str) -> None:
        print(f"watch it think at {address}    (Ctrl-C ends it)", flush=True)
        if config.open:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    asyncio.run(site.until_stopped(begun))


if __name__ == "__main__":
    guard(main)
