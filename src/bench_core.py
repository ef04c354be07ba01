"""Benchmark of the core: exact moments and encoding against what people would otherwise use, in one run.

Claim      Pong, 60,000 frames under random play, 2 CPU cores: the moments take at most 10 times one numpy pass over the
           bytes and 1/60 of the windowed Gram matrix in torch; encoding takes 1/40 of conv2d + ReLU + average pooling;
           one online step at most 60 microseconds; an update by one frame and a refit at most 1 ms; equal results,
           under 1.5 GB. Enduro, where most pixels move: never slower than the dense loops.
Falsified  if a ratio is lower or a time longer, a result differs, or the peak is higher.
Reads      data/<game>_random_s0_*          Writes  results/bench_core.{npz,json,log}
Run        python src/bench_core.py                    (4 min on 2 cores; most of it is the peers)
           python src/bench_core.py --device cuda      (also in torch on a GPU)
           python src/bench_core.py --smoke            (30 s, proves nothing)
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import atari_play
import peers
from players import TASKS
from resu_conv import ReSUEncoder
from resu_moments import LagMoments, changed_fraction
from resu_streaming import StreamingReSU
from stage_io import guard, parse_config, peak_memory, require_positive, seconds
from stage_run import LegacyRun, start_run

MEMORY, HORIZON, N_UNITS, GRID = 8, 4, 4, (12, 12)  # 12 x 12 cells of 7 x 7 pixels: what avg_pool2d can do too
OPTIONS: dict[str, Any] = {"memory": MEMORY, "horizon": HORIZON, "n_units": N_UNITS, "grid": GRID}
PARALLEL = 16  # environments stepped together


@dataclass(frozen=True)
class Config:
    """Options."""

    games: tuple[str, ...] = tuple(TASKS)  # their motion differs; the first is compared with the peers
    n_frames: int = 60_000  # frames of random play [agent steps]
    repeats: int = 5  # timings of each of our kernels; the best counts
    torch_repeats: int = 3  # timings of torch; the other peers run once
    chunk: int = 256  # frames per torch batch
    windows: int = 4_000_000  # windows of one pixel for the libraries, which cannot hold all; their times are scaled up
    network_frames: int = 6_400  # frames for the network, whose time is scaled up
    device: str = ""  # of torch, e.g. cuda: the same calls there, too
    smoke: bool = False  # few frames


SMOKE = {
    "games": ("pong", "enduro"),
    "n_frames": 3000,
    "repeats": 2,
    "torch_repeats": 1,
    "windows": 20_000,
    "network_frames": 256,
}


def load(run: LegacyRun, game: str) -> np.ndarray:
    """Frames of random play in memory, as one episode: torch has no episode boundaries."""
    buffer = atari_play.random_play(run.data, game, run.config.n_frames, 0, **TASKS[game].env)
    return np.array(buffer.frames)


def our_times(frames: np.ndarray, encoder: ReSUEncoder, repeats: int, device: str) -> dict[str, float]:
    """name: seconds for all frames."""
    pixels = frames.reshape(len(frames), -1)

    def moments(method: str = "auto") -> LagMoments:
        return LagMoments(MEMORY, HORIZON).update(pixels, method=method)

    found: dict[str, Callable[[], object]] = {
        "one numpy pass over the bytes": pixels.sum,
        "moments": moments,
        "moments, dense": lambda: moments("dense"),
        "moments, event-driven": lambda: moments("events"),
        "encode": lambda: encoder.encode(frames),
        "encode, dense": lambda: encoder.encode(frames, "dense"),
        "encode, event-driven": lambda: encoder.encode(frames, "events"),
    }
    if device:
        found[f"moments, torch on {device}"] = lambda: moments(f"torch:{device}")
        found[f"encode, torch on {device}"] = lambda: encoder.encode(frames, f"torch:{device}")
    return {name: seconds(compute, repeats) for name, compute in found.items()}


def step_times(frames: np.ndarray, encoder: ReSUEncoder) -> dict[str, float]:
    """name: seconds per step, per update or per fit."""
    n = min(5000, len(frames) - 1)
    one, many = encoder.online(1), encoder.online(PARALLEL)
    one.reset(frames[:1])
    alone = seconds(lambda: [one.step(frames[t : t + 1]) for t in range(1, n)]) / (n - 1)
    apart = np.linspace(0, len(frames) - n // 4 - 1, PARALLEL).astype(int)  # each environment at its own place
    many.reset(frames[apart])
    together = seconds(lambda: [many.step(frames[apart + t]) for t in range(1, n // 4)]) / (n // 4 - 1)
    stream = StreamingReSU(**OPTIONS).update(frames[: n // 2])
    places = iter(range(n // 2, len(frames)))

    def update_and_refit() -> None:
        t = next(places)
        stream.update(frames[t : t + 1])
        stream.refit()

    return {
        "canonical directions": seconds(lambda: encoder.fit_moments(encoder.moments_, frames.shape[1:]), 50),
        "online step, 1 environment": alone,
        f"online step, {PARALLEL} environments": together,
        "update by one frame + refit": seconds(update_and_refit, 50),
    }


def peer_times(
    run: LegacyRun, frames: np.ndarray, encoder: ReSUEncoder, found: dict[str, np.ndarray]
) -> dict[str, float]:
    """name: seconds for all frames; torch's results go into `found`."""
    c = run.config
    times = {
        "torch, windowed Gram": seconds(
            lambda: found.update(gram=peers.torch_gram(frames, MEMORY + HORIZON, c.chunk)), c.torch_repeats
        ),
        "torch, conv2d + ReLU + pooling": seconds(
            lambda: found.update(features=peers.torch_encode(encoder, frames, c.chunk)), c.torch_repeats
        ),
    }
    all_windows = (len(frames) - MEMORY - HORIZON + 1) * frames[0].size
    past, future = peers.windows(frames, MEMORY, HORIZON, c.windows)
    for name, fit in peers.library_fits(past, future).items():
        times[name] = seconds(fit) * all_windows / len(past)
    part = frames[: c.network_frames]
    times["DQN network, one epoch"] = seconds(lambda: peers.network_pass(part)) * len(frames) / len(part)
    steps = min(3000, len(frames))
    one_process = seconds(lambda: peers.bare_loop(c.games[0], 0, {**TASKS[c.games[0]].env, "max_steps": steps}))
    times["the emulator alone, one process"] = one_process * len(frames) / steps
    return times


def main(argv: list[str] | None = None) -> None:
    """Time our kernels on every game, then the peers on the first, compare results and print ratios."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "n_frames", "repeats", "torch_repeats", "chunk", "windows", "network_frames")
    run = start_run(__file__, config)
    c = run.config
    rows: list[dict[str, Any]] = []
    times: dict[str, dict[str, float]] = {}
    for game in c.games:
        frames = load(run, game)
        encoder = ReSUEncoder(**OPTIONS).fit([frames])
        for method in ("events", "dense"):
            encoder.encode(frames[:2000], method)  # compiles the kernels
        times[game] = our_times(frames, encoder, c.repeats, c.device) | step_times(frames, encoder)
        if game == c.games[0]:
            first, first_encoder = frames, encoder
            peak = peak_memory() / 1e3
            run.log(f"peak memory of our part: {peak:.2f} GB")
            deep = ReSUEncoder(**OPTIONS, n_layers=2)
            deep.fit([frames[:200]])  # compiles
            times[game]["moments and directions of layers 1 and 2"] = seconds(partial(deep.fit, [frames]))
        share = changed_fraction(frames.reshape(len(frames), -1))
        rows.append({"what": f"{TASKS[game].label}: pixels that change in a step", "seconds": "", "frames/s": "",
                     "a peer / ours": f"{share:.2%}"})  # fmt: skip
        rows += [
            {"what": f"{TASKS[game].label}: {name}", "seconds": value,
             "frames/s": f"{c.n_frames / value:,.0f}" if value > 0.02 else "", "a peer / ours": ""}
            for name, value in times[game].items()
        ]  # fmt: skip
    found: dict[str, np.ndarray] = {}
    theirs = peer_times(run, first, first_encoder, found)
    ours = times[c.games[0]]
    fit = ours["moments"] + ours["canonical directions"]
    against = {"torch, windowed Gram": ours["moments"], "torch, conv2d + ReLU + pooling": ours["encode"],
               "deeptime Covariance": ours["moments"], "the emulator alone, one process": ours["encode"]}  # fmt: skip
    rows += [
        {"what": name, "seconds": value, "frames/s": f"{c.n_frames / value:,.0f}",
         "a peer / ours": f"{value / against.get(name, fit):,.0f}"}
        for name, value in theirs.items()
    ]  # fmt: skip
    exact, features = LagMoments(MEMORY, HORIZON).update(first.reshape(len(first), -1)), first_encoder.encode(first)
    gram_error = float(np.abs(found["gram"] / exact.gram - 1).max())
    feature_error = float(np.abs(found["features"] - features).max() / np.abs(features).max())
    if gram_error > 1e-4 or feature_error > 1e-4:
        raise ValueError(f"results differ from torch's: {gram_error:.1e} and {feature_error:.1e}; timings mean nothing")
    busiest = times[c.games[-1]]
    per_pass = ours["moments"] / ours["one numpy pass over the bytes"]
    faster = theirs["torch, windowed Gram"] / ours["moments"], theirs["torch, conv2d + ReLU + pooling"] / ours["encode"]
    never = max(busiest[name] / busiest[f"{name}, dense"] for name in ("moments", "encode"))
    step, refit = ours["online step, 1 environment"] * 1e6, ours["update by one frame + refit"] * 1e3
    claims = [
        ("moments within 10 times one numpy pass over the bytes", per_pass, per_pass <= 10),
        ("moments at least 60 times faster than torch", faster[0], faster[0] >= 60),
        ("encoding at least 40 times faster than torch", faster[1], faster[1] >= 40),
        (f"{TASKS[c.games[-1]].label}: no slower than the dense loops (within 10 %)", never, never <= 1.1),
        ("online step of one environment within 60 microseconds", step, step <= 60),
        ("update by one frame and refit within 1 ms", refit, refit <= 1),
        ("peak memory of our part under 1.5 GB", peak, peak < 1.5),
        ("Gram matrices agree: largest relative difference below 1e-4 (torch in float32)", gram_error, True),
        ("features agree: largest difference below 1e-4 of the largest", feature_error, True),
    ]
    verdicts = [
        {"claim": claim, "measured": value, "verdict": "supported" if holds else "refuted"}
        for claim, value, holds in claims
    ]
    notes = [
        f"The libraries fit {c.windows:,} windows of single pixels drawn at random, the network {c.network_frames:,} "
        "frames, the emulator 3,000 steps; their times are scaled to all. What a peer's time is divided by: moments, "
        "encoding (also for the emulator), or moments and canonical directions together.",
    ]
    run.finish(rows, verdicts, None, notes, gram=exact.gram)


if __name__ == "__main__":
    guard(main)
