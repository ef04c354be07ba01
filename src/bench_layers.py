"""Speed of the layers above the first and of collecting, and what taking fewer windows would do to the correlations.

Claim      Layer 2 is fitted on all windows and positions of 60,000 frames in at most 60 s on 2 cores; taking every
           second run of windows would move a canonical correlation by more than 1e-3; 60,000 frames of any of the five
           games are collected in at most 45 s.
Falsified  by a longer time (or a smaller move).
Reads      data/pong_random_s*          Writes  results/bench_layers.{json,log}
Run        python src/bench_layers.py              (7 min on 2 cores)
           python src/bench_layers.py --smoke      (30 s, proves nothing)
"""

import time
from dataclasses import dataclass

import numpy as np

import atari_play
from atari_env import GAMES
from resu_conv import ReSUEncoder
from stage_io import guard, parse_config, require_positive
from stage_run import start_run

FIT_SECONDS, COLLECT_SECONDS, MOVE = 60.0, 45.0, 1e-3


@dataclass(frozen=True)
class Config:
    """Options."""

    n_frames: int = 60_000  # of Pong to fit on, and of each game to collect [agent steps]
    seed: int = 0
    layers: int = 3  # how many layers to fit and encode
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"n_frames": 2500, "layers": 2}


def timed(work):
    """(result, seconds)."""
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def main(argv: list[str] | None = None) -> None:
    """Fit, encode, collect; then the tables."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "n_frames", "layers")
    run = start_run(__file__, config)
    c = run.config
    buffer = atari_play.random_play(run.data, "pong", c.n_frames, c.seed)
    episodes = buffer.episode_frames()
    np.sum(buffer.frames[:, ::84], dtype=np.int64)  # from disk into memory
    few = ReSUEncoder(n_layers=c.layers, n_windows2=300).fit(episodes[:2])  # compiles
    few.encode_layers(episodes[0][:50], (c.layers,))
    table = []

    def note(what: str, seconds: float, n: int, more: str = "") -> None:
        table.append({"what": what, "seconds": f"{seconds:.1f}", "frames/s": f"{n / seconds:,.0f}", "": more})
        run.log(str(table[-1]))

    fits = {}
    for name, options in (
        ("1", {"n_layers": 1}),
        ("2", {"n_layers": 2}),
        ("2, every second run", {"n_layers": 2, "n_windows2": c.n_frames // 2}),
        *([("3", {"n_layers": 3})] if c.layers > 2 else []),
    ):
        fits[name], seconds = timed(lambda options=options: ReSUEncoder(**options).fit(episodes))
        upper = fits[name].upper_
        note(
            f"fit, layers to {name}",
            seconds,
            c.n_frames,
            " ".join(f"{x:.5f}" for x in upper[-1].correlations) if upper else "",
        )
        if name == "2":
            second_seconds = seconds
    some = episodes[: max(1, len(episodes) // 4)]
    n_some = sum(len(frames) for frames in some)
    for layer in range(1, c.layers + 1):
        encoder = fits[str(layer)]
        _, seconds = timed(lambda encoder=encoder: [encoder.encode(frames) for frames in some])
        note(f"encode, layers to {layer}", seconds, n_some)
    slowest = 0.0
    for game in GAMES:
        _, seconds = timed(
            lambda game=game: atari_play.collect(
                atari_play.RandomPolicy(), c.n_frames, (c.seed, 9), game, description=game
            )
        )
        note(f"collect {game}", seconds, c.n_frames)
        slowest = max(slowest, seconds)
    moved = np.abs(fits["2"].upper_[0].correlations - fits["2, every second run"].upper_[0].correlations).max()

    def verdict(claim: str, measured: float, holds: bool) -> dict[str, str]:
        return {"claim": claim, "measured": f"{measured:.3g}", "verdict": "supported" if holds else "refuted"}

    verdicts = [
        verdict(
            f"layer 2 fitted on everything within {FIT_SECONDS:g} s", second_seconds, second_seconds <= FIT_SECONDS
        ),
        verdict(f"every second run would move a correlation by more than {MOVE:g}", moved, moved > MOVE),
        verdict(f"each game's frames collected within {COLLECT_SECONDS:g} s", slowest, slowest <= COLLECT_SECONDS),
    ]
    run.finish(table, verdicts)


if __name__ == "__main__":
    guard(main)
