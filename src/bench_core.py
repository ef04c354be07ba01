"""Benchmark of the core: exact moments and encoding against the obvious torch versions, in one run.

Claim      Moments of 60,000 Pong frames take at most 1/50 of the time of the windowed Gram matrix in torch, encoding
           at most 1/30 of conv2d + ReLU + average pooling, with equal results, under 1.5 GB of memory.
Falsified  if a ratio is lower, a result differs, or the peak is higher.
Reads      data/pong_random_s0_*          Writes  results/bench_core.{npz,json,log}
Run        python src/bench_core.py            (2 min on 2 cores; most of it is torch)
           python src/bench_core.py --smoke    (15 s, proves nothing)
"""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import tqdm
from torch.nn import functional

import rollouts
from lag_moments import LagMoments
from resu_conv import ReSUEncoder
from resu_streaming import StreamingReSU
from stage_io import guard, parse_config, require_positive, start_run


@dataclass(frozen=True)
class Config:
    """Options."""

    n_frames: int = 60_000  # frames of random play [agent steps]
    repeats: int = 5  # timings of each of our kernels; the median counts. Torch runs once
    chunk: int = 256  # frames per torch batch
    smoke: bool = False  # few frames


SMOKE = {"n_frames": 3000, "repeats": 2}
MEMORY, HORIZON, N_UNITS, GRID = 8, 4, 4, (12, 12)  # 12 x 12 cells of 7 x 7 pixels: what avg_pool2d can do too


def seconds(compute: Callable[[], object], repeats: int = 1) -> float:
    """Median wall-clock time of compute()."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        compute()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def torch_gram(frames: np.ndarray, chunk: int) -> np.ndarray:
    """Windowed Gram matrix (L, L) in float32 batches, summed in float64: unfold, flatten, multiply."""
    lags = MEMORY + HORIZON
    gram = torch.zeros(lags, lags, dtype=torch.float64)
    for start in tqdm.trange(0, len(frames) - lags + 1, chunk, desc="torch Gram", mininterval=5):
        part = torch.from_numpy(frames[start : start + chunk + lags - 1].astype(np.float32)).flatten(1)
        windows = part.unfold(0, lags, 1).permute(2, 0, 1).reshape(lags, -1)
        gram += (windows @ windows.T).double()
    return gram.numpy()


def torch_encode(encoder: ReSUEncoder, frames: np.ndarray, chunk: int) -> np.ndarray:
    """The same features by conv2d over lags as channels, ReLU of both signs and average pooling."""
    weight = torch.from_numpy(encoder.filters_.astype(np.float32))[:, :, None, None]
    mean = torch.from_numpy(encoder.mean_.astype(np.float32))
    out = np.empty((len(frames), encoder.n_features), np.float32)
    for start in tqdm.trange(0, len(frames), chunk, desc="torch conv2d", mininterval=5):
        stop = min(start + chunk, len(frames))
        rows = np.maximum(np.arange(start - MEMORY + 1, stop), 0)
        part = torch.from_numpy(frames[rows].astype(np.float32)) - mean
        past = part.unfold(0, MEMORY, 1).permute(0, 3, 1, 2).flip(1)
        z = functional.conv2d(past, weight)
        maps = torch.cat([functional.relu(z), functional.relu(-z)], dim=1)
        out[start:stop] = functional.avg_pool2d(maps, 84 // GRID[0]).flatten(1).numpy()
    return out


def peak_memory() -> float:
    """Largest resident size of this process so far [GB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main(argv: list[str] | None = None) -> None:
    """Time our kernels, then torch's, compare results and print ratios."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "n_frames", "repeats", "chunk")
    run = start_run(__file__, config)
    c = run.config
    buffer = rollouts.load_or_collect(run.data, "pong_random", rollouts.RandomPolicy, c.n_frames, seed=0)
    frames = np.array(buffer.frames)  # in memory, and one episode for this purpose: torch has no episode boundaries
    del buffer
    pixels = frames.reshape(len(frames), -1)
    encoder = ReSUEncoder(MEMORY, HORIZON, N_UNITS, GRID).fit([frames])  # compiles the kernels, too
    for method in ("events", "dense"):
        encoder.encode(frames[:2000], method)

    def moments(method: str = "auto") -> LagMoments:
        return LagMoments(MEMORY, HORIZON).update(pixels, method=method)

    ours = {
        "one numpy pass over the bytes": seconds(pixels.sum, c.repeats),
        "moments": seconds(moments, c.repeats),
        "moments, dense": seconds(lambda: moments("dense"), c.repeats),
        "moments, event-driven": seconds(lambda: moments("events"), c.repeats),
        "canonical directions": seconds(lambda: encoder.fit_moments(encoder.moments_, (84, 84)), c.repeats),
        "encode": seconds(lambda: encoder.encode(frames), c.repeats),
        "encode, dense": seconds(lambda: encoder.encode(frames, "dense"), c.repeats),
        "encode, event-driven": seconds(lambda: encoder.encode(frames, "events"), c.repeats),
    }
    encoder.reset(frames[:1])
    steps = range(1, min(5000, len(frames)))
    ours["online step, 1 environment"] = seconds(lambda: [encoder.step(frames[t : t + 1]) for t in steps]) / len(steps)
    stream = StreamingReSU(memory=MEMORY, horizon=HORIZON, n_units=N_UNITS, grid=GRID).update(frames[:1000])
    ours["update by one frame + refit"] = seconds(lambda: (stream.update(frames[1000:1001]), stream.refit()), 50)
    exact, features = moments(), encoder.encode(frames)
    peak = peak_memory()
    run.log(f"peak memory of our part: {peak:.2f} GB")

    results: dict[str, np.ndarray] = {}
    theirs = {
        "moments": seconds(lambda: results.update(gram=torch_gram(frames, c.chunk))),
        "encode": seconds(lambda: results.update(features=torch_encode(encoder, frames, c.chunk))),
    }
    gram_error = float(np.abs(results["gram"] / exact.gram - 1).max())
    feature_error = float(np.abs(results["features"] - features).max() / np.abs(features).max())
    per_frame = {"online step, 1 environment", "update by one frame + refit", "canonical directions"}
    rows = [
        {
            "what": name,
            "ours [s]": value,
            "frames/s": "" if name in per_frame else f"{c.n_frames / value:,.0f}",
            "torch [s]": theirs.get(name, ""),
            "torch / ours": theirs[name] / value if name in theirs else "",
        }
        for name, value in ours.items()
    ]
    moments_ratio, encode_ratio = (theirs[name] / ours[name] for name in ("moments", "encode"))
    claims = [
        ("moments at least 50 times faster than torch", moments_ratio, moments_ratio >= 50),
        ("encoding at least 30 times faster than torch", encode_ratio, encode_ratio >= 30),
        ("peak memory of our part under 1.5 GB", peak, peak < 1.5),
        (
            "Gram matrices agree: largest relative difference below 1e-4 (torch in float32)",
            gram_error,
            gram_error < 1e-4,
        ),
        ("features agree: largest difference below 1e-4 of the largest", feature_error, feature_error < 1e-4),
    ]
    verdicts = [
        {"claim": claim, "measured": value, "verdict": "supported" if holds else "refuted"}
        for claim, value, holds in claims
    ]
    if gram_error > 1e-4 or feature_error > 1e-4:
        raise ValueError(f"results differ from torch's: {gram_error:.1e} and {feature_error:.1e}; timings mean nothing")
    run.finish(rows, verdicts, gram=exact.gram)


if __name__ == "__main__":
    guard(main)
