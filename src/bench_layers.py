"""Speed of the layers above the first and of collecting, and what taking fewer windows would do to the correlations.

Claim      Layers 1 and 2 are fitted on all windows and positions of 60,000 frames of Pong in at most 8 s on 2 cores;
           layer 2 encodes 20,000 frames/s, and one online step takes at most 100 microseconds; taking every second run
           of windows would move a canonical correlation by more than 1e-3; 60,000 frames of any of the five games are
           collected in at most 45 s. Three layers are fitted and encoded at 210 x 160 in less than 4 GB.
Falsified  by a longer time, a lower rate (or a smaller move).
Reads      data/pong_random_s*          Writes  results/bench_layers.{json,log}
Run        python src/bench_layers.py              (4 min on 2 cores)
           python src/bench_layers.py --smoke      (30 s, proves nothing)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import atari_play
import stats_ci
from atari_env import GAMES
from resu_conv import ReSUEncoder
from stage_io import guard, peak_memory, require_positive, timed
from stage_io import seconds as seconds_of
from stage_report import Report
from stage_run import Run, Stage, measured

FIT_SECONDS, COLLECT_SECONDS, MOVE = 8.0, 45.0, 1e-3
PEAK = 4000  # MB, at 210 x 160
REPEATS = 3  # timings of encoding and of steps; the best counts
ENCODE_RATE, STEP = 20_000, 100.0  # of layer 2: frames/s, and microseconds of an online step
HALF = "2, every second run"  # name of the fit on half of the windows


@dataclass(frozen=True)
class Config:
    """Options."""

    n_frames: int = 60_000  # of Pong to fit on, and of each game to collect [agent steps]
    screen_frames: int = 6_000  # of Pong at 210 x 160 [agent steps]
    seed: int = 0
    layers: int = 3  # how many layers to fit and encode
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"n_frames": 1200, "screen_frames": 300, "layers": 2}


def check(config: Config) -> None:
    """Refuse empty runs, and those without the layer that is judged."""
    require_positive(config, "n_frames", "screen_frames", "layers")
    if config.layers < 2:
        raise ValueError("--layers must be at least 2: the claim is about layer 2")


@dataclass(frozen=True)
class Layers:
    """Fits on Pong under random play, and encoding with them; options as in `Config`."""

    n_frames: int
    seed: int
    layers: int


@dataclass(frozen=True)
class Collecting:
    """Random play of one game; options as in `Config`."""

    game: str
    n_frames: int
    seed: int


@dataclass(frozen=True)
class Screen:
    """The whole screen; options as in `Config`."""

    n_frames: int
    layers: int


@measured()
def time_screen(run: Run, s: Screen) -> dict[str, float]:
    """Seconds to fit and to encode at 210 x 160 pixels, and the peak of memory until then, frames included  [MB]."""
    frames = atari_play.random_frames("pong", 0, s.n_frames)
    encoder = ReSUEncoder(n_layers=s.layers)
    times: dict[str, float] = {}
    with timed(times, "fit"):
        encoder.fit([frames])
    with timed(times, "encode"):
        encoder.encode(frames)
    return {**times, "peak": peak_memory()}


@measured()
def time_layers(run: Run, s: Layers) -> dict[str, Any]:
    """Fit and encode with 1, 2, ... layers.

    Returns   fits: {name: seconds, correlations of the last layer above the first}; encode: seconds by layers; encoded:
              how many frames; step: seconds of an online step by layers; moved: the largest difference of layer 2's
              correlations when every second run is taken
    """
    buffer = atari_play.random_play(run.data, "pong", s.n_frames, s.seed)
    episodes = buffer.episode_frames()
    np.sum(buffer.frames[:, ::84], dtype=np.int64)  # from disk into memory
    few = ReSUEncoder(n_layers=s.layers, n_windows2=300).fit(episodes[:2])  # compiles
    few.encode_layers(episodes[0][:50], (s.layers,))
    whole: dict[str, dict[str, Any]] = {str(n): {"n_layers": n} for n in range(1, s.layers + 1)}
    fits: dict[str, ReSUEncoder] = {}
    seconds: dict[str, float] = {}
    for name, options in {**whole, HALF: {"n_layers": 2, "n_windows2": s.n_frames // 2}}.items():
        with timed(seconds, name):
            fits[name] = ReSUEncoder(**options).fit(episodes)
        run.log(f"fit, layers to {name}: {seconds[name]:.1f} s")
    some = episodes[: max(1, len(episodes) // 4)]
    encode = {name: seconds_of(partial(_encode_all, fits[name], some), REPEATS) for name in whole}
    steps = {name: _step_seconds(fits[name], episodes[0]) for name in whole}
    upper = {name: fit.upper_[-1].correlations if fit.upper_ else np.empty(0) for name, fit in fits.items()}
    return {
        "fits": {name: {"seconds": seconds[name], "correlations": upper[name]} for name in fits},
        "encode": encode,
        "step": steps,
        "encoded": sum(len(frames) for frames in some),
        "moved": np.abs(np.subtract(upper["2"], upper[HALF])).max(),
    }


def _encode_all(encoder: ReSUEncoder, episodes: Sequence[np.ndarray]) -> None:
    for frames in episodes:
        encoder.encode(frames)


def _step_seconds(encoder: ReSUEncoder, frames: np.ndarray) -> float:
    """Of one environment, over the first 800 steps of an episode."""
    game, n = encoder.online(1), min(800, len(frames) - 1)

    def play() -> None:
        game.reset(frames[:1])
        for t in range(1, n + 1):
            game.step(frames[t : t + 1])

    play()  # compiles
    return seconds_of(play, REPEATS) / (n + 1)


@measured()
def time_collecting(run: Run, s: Collecting) -> float:
    """Seconds to collect a game's frames."""
    times: dict[str, float] = {}
    with timed(times, s.game):
        atari_play.collect(atari_play.RandomPolicy(), s.n_frames, (s.seed, 9), s.game, description=s.game)
    return times[s.game]


def cells(run: Run) -> dict[str, Any]:
    """The whole screen first, for the peak of memory; the layers, and every game; all timed in every run."""
    c = run.config
    return {
        "screen": run.cell(time_screen, Screen(c.screen_frames, c.layers), fresh=True),
        "layers": run.cell(time_layers, Layers(c.n_frames, c.seed, c.layers), fresh=True),
        "collect": {
            game: run.cell(time_collecting, Collecting(game, c.n_frames, c.seed), fresh=True) for game in GAMES
        },
    }


def report(c: Config, found: dict[str, Any]) -> Report:
    """Times and rates, verdicts."""
    layers, collect, screen = found["layers"], found["collect"], found["screen"]

    def row(what: str, seconds: float, n: int, more: str = "") -> dict[str, str]:
        return {
            "what": what,
            "seconds": f"{seconds:.1f}" if seconds > 0.1 else f"{seconds:.3g}",
            "frames/s": f"{n / seconds:,.0f}",
            "correlations of the topmost layer": more,
        }

    rows = []
    for name in ("1", "2", HALF, *(str(n) for n in range(3, c.layers + 1))):
        fit = layers["fits"][name]
        rows.append(row(f"fit, layers to {name}", fit["seconds"], c.n_frames, _digits(fit["correlations"])))
    rows += [row(f"encode, layers to {name}", t, layers["encoded"]) for name, t in layers["encode"].items()]
    rows += [row(f"online step, layers to {name}", t, 1) for name, t in layers["step"].items()]
    rows += [
        row(f"{what} at 210 x 160, layers to {c.layers}", screen[what], c.screen_frames) for what in ("fit", "encode")
    ]
    rows += [row(f"collect {game}", t, c.n_frames) for game, t in collect.items()]
    rate, step = layers["encoded"] / layers["encode"]["2"], layers["step"]["2"] * 1e6
    fitted, moved, slowest = layers["fits"]["2"]["seconds"], layers["moved"], max(collect.values())
    verdicts = [
        stats_ci.measured(
            "fit", f"layers 1 and 2 fitted on everything within {FIT_SECONDS:g} s", fitted, fitted <= FIT_SECONDS,
            FIT_SECONDS,
        ),
        stats_ci.measured(
            "encode", f"layer 2 encodes at least {ENCODE_RATE:,} frames/s", rate, rate >= ENCODE_RATE, ENCODE_RATE
        ),
        stats_ci.measured(
            "step", f"layer 2: an online step within {STEP:g} microseconds", step, step <= STEP, STEP
        ),
        stats_ci.measured(
            "moved", f"every second run would move a correlation by more than {MOVE:g}", moved, moved > MOVE, MOVE
        ),
        stats_ci.measured(
            "screen", f"{c.layers} layers at 210 x 160: peak memory below {PEAK:,} MB", screen["peak"],
            screen["peak"] < PEAK, PEAK,
        ),
        stats_ci.measured(
            "collect", f"each game's frames collected within {COLLECT_SECONDS:g} s", slowest,
            slowest <= COLLECT_SECONDS, COLLECT_SECONDS,
        ),
    ]  # fmt: skip
    return Report(rows, verdicts)


def _digits(correlations: list[float]) -> str:
    return " ".join(f"{value:.5f}" for value in correlations)


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
