"""How the cost of fitting and encoding grows: with pixels, with memory length, with frames, with files and machines.

Claim      Cost grows with motion, not with pixels: from 84 x 84 to 210 x 160 pixels (4.8 times as many) encoding Pong
           takes less than 3 times as long. Per frame it stays the same from 10,000 to 60,000 frames (within 30 %).
           Fitting from files in shards takes at most twice as long as in memory, at a peak under 500 MB.
Falsified  by a larger ratio.
Reads      data/pong_random_s0_*          Writes  results/bench_scale.{npz,json,log,png}
Run        python src/bench_scale.py            (3 min on 2 cores)
           python src/bench_scale.py --smoke    (20 s, proves nothing)
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import atari_play
import figures
import resu_sharding
import workers
from players import TASKS
from resu_conv import ReSUEncoder
from resu_moments import LagMoments, changed_fraction
from stage_io import duration, guard, parse_config, peak_memory, require_positive, seconds
from stage_run import start_run

SIZES = {"84 x 84": 84, "168 x 168": 168, "210 x 160": 0}
MEMORIES = (4, 8, 16, 32)
GRID = (12, 8)
FUTURE = (10**9, 10**12)  # frames whose cost is computed from the measured rates


@dataclass(frozen=True)
class Config:
    """Options."""

    games: tuple[str, ...] = ("pong", "enduro")  # little motion, and much
    n_frames: int = 60_000  # of random play in files and for the growth with frames [agent steps]
    sized_frames: int = 6_000  # for the growth with pixels and with memory length [agent steps]
    repeats: int = 3  # timings; the best counts
    smoke: bool = False  # few frames


SMOKE = {"n_frames": 1500, "sized_frames": 600, "repeats": 1}


def play(game: str, size: int, n_frames: int) -> np.ndarray:
    """Frames of random play at some resolution, (n, H, W) uint8, the same games at each."""
    env = atari_play.environment(game=game, **TASKS[game].env, size=size)
    rng = np.random.default_rng(0)
    frame, _ = env.reset(seed=0)
    frames: list[np.ndarray] = []
    while len(frames) < n_frames:
        frames.append(frame)
        frame, _, terminated, truncated, _ = env.step(int(rng.integers(len(env.action_names))))
        if terminated or truncated:
            frame, _ = env.reset()
    return np.stack(frames)


def times_of(frames: np.ndarray, memory: int, repeats: int) -> tuple[float, float]:
    """Seconds to sum the moments of all frames and to encode them."""
    encoder = ReSUEncoder(memory=memory, horizon=4, n_units=4, grid=GRID).fit([frames])  # compiles, too
    encoder.encode(frames[: 2 * memory])
    pixels = frames.reshape(len(frames), -1)
    return (
        seconds(lambda: LagMoments(memory, 4).update(pixels), repeats),
        seconds(lambda: encoder.encode(frames), repeats),
    )


def main(argv: list[str] | None = None) -> None:
    """Files first, for the peak of memory; then pixels, memory length and frames."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "n_frames", "sized_frames", "repeats")
    run = start_run(__file__, config)
    c = run.config
    path = run.data / f"pong_random_s0_n{c.n_frames}.npy"
    atari_play.random_play(run.data, "pong", c.n_frames, 0)
    options: dict[str, Any] = {"memory": 8, "horizon": 4, "n_units": 4, "grid": GRID}
    shard = max(c.n_frames // 8, 1)
    resu_sharding.fit([path], shard=shard, **options)  # compiles
    from_files = {
        n_jobs: seconds(partial(resu_sharding.fit, [path], shard=shard, n_jobs=n_jobs, **options), c.repeats)
        for n_jobs in sorted({1, workers.n_cores()})
    }
    peak = peak_memory()
    run.log(f"peak memory of fitting from files: {peak:.0f} MB")

    rows: list[dict[str, Any]] = []
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {"pixels": {}, "memory": {}, "frames": {}}

    def note(game: str, what: str, axis: str, at: float, frames: np.ndarray, memory: int) -> tuple[float, float]:
        moments, encode = (1e6 * value / len(frames) for value in times_of(frames, memory, c.repeats))
        for kind, value in (("moments", moments), ("encode", encode)):
            panels[axis].setdefault(f"{TASKS[game].label}, {kind}", []).append((at, value))
        share = changed_fraction(frames.reshape(len(frames), -1))
        rows.append(
            {
                "game": TASKS[game].label,
                "what": what,
                "changed pixels per frame": f"{share * frames[0].size:,.0f}",
                "moments [us/frame]": f"{moments:.2f}",
                "encode [us/frame]": f"{encode:.2f}",
            }
        )
        return moments, encode

    growth: dict[tuple[str, str], float] = {}
    for game in c.games:
        by_size = {}
        for label, size in SIZES.items():
            frames = play(game, size, c.sized_frames)
            by_size[label] = note(game, f"{label} pixels", "pixels", frames[0].size, frames, 8)
            if size == 84:
                for memory in MEMORIES:
                    note(game, f"memory {memory}", "memory", memory, frames, memory)
        growth[game, "pixels"] = by_size["210 x 160"][1] / by_size["84 x 84"][1]
        long = np.array(atari_play.random_play(run.data, game, c.n_frames, 0, **TASKS[game].env).frames)
        counts = [c.n_frames // 6, c.n_frames // 3, c.n_frames]
        per_frame = [note(game, f"{n:,} frames", "frames", n, long[:n], 8) for n in counts]
        growth[game, "frames"] = max(sum(p) for p in per_frame) / min(sum(p) for p in per_frame)
        in_memory = per_frame[-1][0] * c.n_frames / 1e6
        if game == "pong":
            growth[game, "files"] = from_files[1] / in_memory
        del long
    for n_jobs, value in from_files.items():
        rows.append({"game": "Pong", "what": f"from files, {n_jobs} processes",
                     "moments [us/frame]": f"{1e6 * value / c.n_frames:.2f}"})  # fmt: skip
    seconds_each = from_files[max(from_files)] / c.n_frames
    for n in FUTURE:
        costs = {f"on {machines} like this" if machines > 1 else "on one machine": duration(n * seconds_each / machines)
                 for machines in (1, 100)}  # fmt: skip
        rows.append({"game": "Pong", "what": f"fit on 10^{len(str(n)) - 1} frames (computed)", **costs})
    columns = list(dict.fromkeys(column for row in rows for column in row))
    rows = [{column: row.get(column, "") for column in columns} for row in rows]
    first = c.games[0]
    claims = [
        (f"{TASKS[first].label}: 4.8 times the pixels, encoding takes less than 3 times as long",
         growth[first, "pixels"], growth[first, "pixels"] < 3),
        (f"{TASKS[first].label}: cost per frame the same from a sixth to all frames (within 30 %)",
         growth[first, "frames"], growth[first, "frames"] < 1.3),
        ("fitting from files takes at most twice as long as in memory, one process",
         growth["pong", "files"], growth["pong", "files"] <= 2),
        ("fitting from files needs less than 500 MB", peak, peak < 500),
    ]  # fmt: skip
    verdicts = [
        {"claim": claim, "measured": value, "verdict": "supported" if holds else "refuted"}
        for claim, value, holds in claims
    ]
    labels = {"pixels": "pixels per frame", "memory": "memory [steps]", "frames": "frames"}
    figure = figures.growth({labels[axis]: curves for axis, curves in panels.items()}, "us per frame")
    run.finish(
        rows, verdicts, figure, ["The frames of an axis are those of random play, the same games at every point."]
    )


if __name__ == "__main__":
    guard(main)
