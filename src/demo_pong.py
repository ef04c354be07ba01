"""The whole path in one script: watch an expert, fit the encoder in closed form, train a small head, play Pong.

emulator -> 60,000 expert frames -> ReSU encoder (moments, one SVD) -> MLP head -> 20 games each of random policy,
expert and clone -> table, log, GIF. One seed: the intervals here are over games, so they say nothing about another
run of the same recipe; `bc_pong.py` replicates it over seeds.

Reads      data/pong_reactive_s0_*          Writes  results/demo_pong.{npz,json,log,png}, media/demo_pong.gif
Run        python src/demo_pong.py            (2 min on 2 cores)
           python src/demo_pong.py --smoke    (15 s, proves nothing)
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

import atari_play
import cloning
import figures
import resu_files
import stats_ci
from pong_expert import CLASS_NAMES, EXPERTS
from resu_conv import ReSUEncoder
from stage_io import guard, parse_config, require_positive
from stage_report import markdown_table
from stage_run import start_run


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


def main(argv: list[str] | None = None) -> None:
    """Collect, fit, train, play, print."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "n_frames", "games")
    run = start_run(__file__, config)
    c = run.config
    make_expert = EXPERTS[c.expert]
    demonstrations = run.timed(
        "collect expert frames",
        lambda: atari_play.load_or_collect(run.data, f"pong_{c.expert}", make_expert, c.n_frames, c.seed),
    )
    encoder = run.timed("fit encoder", lambda: ReSUEncoder().fit(demonstrations.episode_frames()))
    run.log(f"{encoder.n_features} features per frame, canonical correlations {np.round(encoder.correlations_, 3)}")
    clone, accuracies = run.timed(
        "encode frames, train head",
        lambda: cloning.clone_policy(encoder, demonstrations, CLASS_NAMES, c.head, c.seed, game="pong"),
    )
    run.log(f"validation accuracy {accuracies[-1]:.3f}, {clone.head.n_parameters:,} parameters in the head")

    rng = np.random.default_rng(0)
    rows = []
    scores: dict[str, Any] = {}
    for name, policy in (("random", atari_play.RandomPolicy()), ("expert", make_expert()), ("clone", clone)):
        games = run.timed(
            f"play {c.games} games: {name}",
            partial(atari_play.play, policy, c.games, (c.seed, atari_play.EVALUATION), description=name),
        )
        scores[name] = np.array([game.score for game in games])
        rows.append(
            {
                "policy": f"{c.expert} expert" if name == "expert" else name,
                "score [95 % interval over games]": str(stats_ci.estimate(scores[name], rng)),
                "best game": f"{scores[name].max():+.0f}",
                "steps per game": f"{np.mean([game.length for game in games]):.0f}",
                "games": c.games,
            }
        )

    def record() -> None:
        title = f"Pong: a ReSU clone of the {c.expert} expert"
        gif = cloning.film(clone, c.seed, 6.0, 1.0 if c.smoke else 20.0, title, "pong")
        resu_files.write_atomically(run.media / "demo_pong.gif", lambda file: file.write(gif))

    run.timed("draw media/demo_pong.gif", record)
    run.log("\n" + markdown_table([{"step": k, "seconds": f"{s:.1f}"} for k, s in run.timings.items()]))
    figure = figures.filter_bank(encoder.filters_, encoder.correlations_, f"Layer 1 on {c.n_frames:,} frames of Pong")
    run.finish(rows, figure=figure, filters=encoder.filters_, correlations=encoder.correlations_, **scores)


if __name__ == "__main__":
    guard(main)
