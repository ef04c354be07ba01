"""The whole path in one script: watch an expert, fit the encoder in closed form, train a small head, play Pong.

emulator -> 60,000 expert frames -> ReSU encoder (moments, one SVD) -> MLP head -> 20 games each of random policy and
clone, beside the games in which the expert was watched -> table, log, GIF. One seed: the intervals here are over games,
so they say nothing about another run of the same recipe; `bc_pong.py` replicates it over seeds.

Reads      data/pong_reactive_s0_*          Writes  results/demo_pong.{npz,json,log,png}, media/demo_pong.gif
Run        python src/demo_pong.py            (1 min on 2 cores)
           python src/demo_pong.py --smoke    (15 s, proves nothing)
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from typing import Any, Literal

import numpy as np

import atari_play
import cloning
import figures
import films
import resu_files
import stats_ci
import workers
from pong_expert import CLASS_NAMES, EXPERTS
from resu_conv import ReSUEncoder
from stage_io import guard, require_positive, timed
from stage_report import Report
from stage_run import Run, Stage, measured

EPOCHS = 6  # passes over the demonstrations, as in `bc_pong.py`


@dataclass(frozen=True)
class Config:
    """Options."""

    expert: Literal["reactive", "winning"] = "reactive"  # who is imitated
    n_frames: int = 60_000  # frames of expert play [agent steps]
    games: int = 20  # per policy
    seed: int = 0
    head: Literal["mlp", "linear", "ridge"] = "mlp"
    smoke: bool = False


SMOKE = {"n_frames": 1500, "games": 2}


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(config, "n_frames", "games")


@measured()
def measure(run: Run, c: Config) -> dict[str, Any]:
    """Collect, fit, train, play, draw.

    Returns   seconds of each step; filters (K, m) and correlations (K,); of each player scores per game and mean length
    """
    seconds: dict[str, float] = {}
    done = workers.progress(None, "demo", 6, "step")

    @contextlib.contextmanager
    def step(name: str) -> Iterator[None]:
        done.set_description(name)
        with timed(seconds, name):
            yield
        done.update()

    make_expert = EXPERTS[c.expert]
    with step("collect expert frames"):
        demonstrations = atari_play.load_or_collect(run.data, f"pong_{c.expert}", make_expert, c.n_frames, c.seed)
    with step("fit encoder"):
        encoder = ReSUEncoder().fit(demonstrations.episode_frames())
    run.log(f"{encoder.n_features} features per frame, canonical correlations {np.round(encoder.correlations_, 3)}")
    with step("encode frames, train head"):
        clone, accuracies = cloning.clone_policy(
            encoder, demonstrations, CLASS_NAMES, c.head, c.seed, epochs=EPOCHS, game="pong"
        )
    run.log(f"validation accuracy {accuracies[-1]:.3f}, {clone.head.n_parameters:,} parameters in the head")
    players = {"expert": _watched(demonstrations)}
    for name, policy in (("random", atari_play.RandomPolicy()), ("clone", clone)):
        with step(f"play {c.games} games: {name}"):
            games = atari_play.play(policy, c.games, (c.seed, atari_play.EVALUATION), description=name)
        lengths = [game.length for game in games]
        players[name] = {"scores": [game.score for game in games], "steps_per_game": np.mean(lengths)}
    with step("draw media/demo_pong.gif"):
        title = f"Pong: a ReSU clone of the {c.expert} expert"
        gif = films.film(clone, c.seed, 6.0, 1.0 if c.smoke else 15.0, title, "pong")
        resu_files.write_atomically(run.media / "demo_pong.gif", methodcaller("write", gif))
    done.close()
    return {
        "seconds": seconds,
        "filters": encoder.filters_,
        "correlations": encoder.correlations_,
        "players": players,
    }


def _watched(demonstrations: atari_play.Buffer) -> dict[str, Any]:
    """The expert's games that were learned from, without the last one, which may be cut."""
    games = demonstrations.episodes()[:-1] or demonstrations.episodes()
    scores = [float(demonstrations.rewards[game].sum()) for game in games]
    return {"scores": scores, "steps_per_game": np.mean([game.stop - game.start for game in games])}


def cells(run: Run) -> dict[str, Any]:
    """One cell, measured in every run: its times are part of what it shows."""
    return run.cell(measure, run.config, makes=[run.media / "demo_pong.gif"], fresh=True)


def report(c: Config, found: dict[str, Any]) -> Report:
    """Table, times, the filters."""
    players = {name: found["players"][name] for name in ("random", "expert", "clone")}
    scores = {name: np.array(player["scores"]) for name, player in players.items()}
    rows = [
        {
            "policy": f"{c.expert} expert (watched)" if name == "expert" else name,
            "score [95 % interval over games]": stats_ci.estimate(scores[name]),
            "best game": f"{scores[name].max():+.0f}",
            "steps per game": f"{player['steps_per_game']:.0f}",
            "games": len(scores[name]),
        }
        for name, player in players.items()
    ]
    filters, correlations = np.array(found["filters"]), np.array(found["correlations"])
    title = f"Layer 1 on {c.n_frames:,} frames of Pong"
    return Report(
        rows,
        figures={"": partial(figures.filter_bank, filters, correlations, title)},
        arrays={"filters": filters, "correlations": correlations, **scores},
        timings=found["seconds"],
    )


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
