"""How the cost of fitting and encoding grows: with pixels, with memory length, with frames, with files and machines.

Claim      Cost grows with motion, not with pixels: from 84 x 84 to 210 x 160 pixels (4.8 times as many) encoding Pong
           takes less than 3 times as long. Per frame it stays the same from 10,000 to 60,000 frames (within 30 %).
           Fitting from files in shards takes at most twice as long as in memory, at a peak under 500 MB.
Falsified  by a larger ratio.
Reads      data/pong_random_s0_*          Writes  results/bench_scale.{npz,json,log,png}
Run        python src/bench_scale.py            (3 min on 2 cores)
           python src/bench_scale.py --smoke    (20 s, proves nothing)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import atari_play
import figures
import resu_sharding
import stats_ci
import workers
from players import TASKS
from resu_conv import ReSUEncoder
from resu_moments import LagMoments, changed_fraction
from stage_io import duration, guard, peak_memory, require_positive, seconds
from stage_report import Report
from stage_run import Run, Stage, measured
from stats_ci import Verdict

SIZES = {"84 x 84": 84, "168 x 168": 168, "210 x 160": 0}
MEMORIES = (4, 8, 16, 32)
GRID = (12, 8)
AXES = {"pixels": "pixels per frame", "memory": "memory [steps]", "frames": "frames"}
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


@dataclass(frozen=True)
class Files:
    """Fits from one file of random play in Pong; options as in `Config`."""

    n_frames: int
    repeats: int


@dataclass(frozen=True)
class Growth:
    """One game along all axes; options as in `Config`."""

    game: str
    n_frames: int
    sized_frames: int
    repeats: int


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


@measured()
def time_files(run: Run, s: Files) -> dict[str, Any]:
    """Seconds by number of processes, and the peak of memory until then  [MB]."""
    path = run.data / f"pong_random_s0_n{s.n_frames}.npy"
    atari_play.random_play(run.data, "pong", s.n_frames, 0)
    options: dict[str, Any] = {"memory": 8, "horizon": 4, "n_units": 4, "grid": GRID}
    shard = max(s.n_frames // 8, 1)
    resu_sharding.fit([path], shard=shard, **options)  # compiles
    times = {
        str(n_jobs): seconds(partial(resu_sharding.fit, [path], shard=shard, n_jobs=n_jobs, **options), s.repeats)
        for n_jobs in sorted({1, workers.n_cores()})
    }
    peak = peak_memory()
    run.log(f"peak memory of fitting from files: {peak:.0f} MB")
    return {"seconds": times, "peak": peak}


@measured()
def time_growth(run: Run, s: Growth) -> list[dict[str, Any]]:
    """Points: what, on which axis and where, pixels that change per frame, us per frame of moments and encoding."""
    points = []

    def note(what: str, axis: str, at: float, frames: np.ndarray, memory: int = 8) -> None:
        moments, encode = (1e6 * value / len(frames) for value in times_of(frames, memory, s.repeats))
        changed = changed_fraction(frames.reshape(len(frames), -1)) * frames[0].size
        points.append({"what": what, "axis": axis, "at": at, "changed": changed, "moments": moments, "encode": encode})

    for label, size in SIZES.items():
        frames = play(s.game, size, s.sized_frames)
        note(f"{label} pixels", "pixels", frames[0].size, frames)
        if size == 84:
            for memory in MEMORIES:
                note(f"memory {memory}", "memory", memory, frames, memory)
    long = np.array(atari_play.random_play(run.data, s.game, s.n_frames, 0, **TASKS[s.game].env).frames)
    for n in (s.n_frames // 6, s.n_frames // 3, s.n_frames):
        note(f"{n:,} frames", "frames", n, long[:n])
    return points


Points = Mapping[str, Sequence[Mapping[str, Any]]]  # by game


@dataclass(frozen=True)
class Cells:
    """What was timed."""

    files: Mapping[str, Any]
    points: Points


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(config, "n_frames", "sized_frames", "repeats")


def cells(run: Run) -> Cells:
    """Files first, for the peak of memory; then every game; all timed in every run."""
    c = run.config
    return Cells(
        run.cell(time_files, Files(c.n_frames, c.repeats), fresh=True),
        {
            game: run.cell(time_growth, Growth(game, c.n_frames, c.sized_frames, c.repeats), fresh=True)
            for game in c.games
        },
    )


def report(c: Config, found: Cells) -> Report:
    """Times, costs computed from them, verdicts, curves."""
    rows: list[dict[str, Any]] = [
        {
            "game": TASKS[game].label,
            "what": point["what"],
            "changed pixels per frame": f"{point['changed']:,.0f}",
            "moments [us/frame]": f"{point['moments']:.2f}",
            "encode [us/frame]": f"{point['encode']:.2f}",
        }
        for game, points in found.points.items()
        for point in points
    ]
    times = found.files["seconds"]
    for n_jobs, value in times.items():
        each = f"{1e6 * value / c.n_frames:.2f}"
        rows.append({"game": "Pong", "what": f"from files, {n_jobs} processes", "moments [us/frame]": each})
    seconds_each = times[max(times, key=int)] / c.n_frames
    for n in FUTURE:
        costs = {"on one machine": duration(n * seconds_each), "on 100 like this": duration(n * seconds_each / 100)}
        rows.append({"game": "Pong", "what": f"fit on 10^{len(str(n)) - 1} frames (computed)", **costs})
    columns = list(dict.fromkeys(column for row in rows for column in row))
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {label: {} for label in AXES.values()}
    for game, points in found.points.items():
        for point in points:
            for kind in ("moments", "encode"):
                curve = panels[AXES[point["axis"]]].setdefault(f"{TASKS[game].label}, {kind}", [])
                curve.append((point["at"], point[kind]))
    return Report(
        [{column: row.get(column, "") for column in columns} for row in rows],
        _verdicts(c, found),
        {"": partial(figures.growth, panels, "us per frame")},
        ["The frames of an axis are those of random play, the same games at every point."],
    )


def _verdicts(c: Config, found: Cells) -> list[Verdict]:
    label, points = TASKS[c.games[0]].label, found.points[c.games[0]]
    encode = [point["encode"] for point in points if point["axis"] == "pixels"]
    per_frame = [point["moments"] + point["encode"] for point in points if point["axis"] == "frames"]
    pixels, frames, peak = encode[-1] / encode[0], max(per_frame) / min(per_frame), found.files["peak"]
    verdicts = [
        stats_ci.measured(
            "pixels", f"{label}: 4.8 times the pixels, encoding takes less than 3 times as long", pixels, pixels < 3, 3
        ),
        stats_ci.measured(
            "frames", f"{label}: cost per frame the same from a sixth to all frames (within 30 %)", frames,
            frames < 1.3, 1.3,
        ),
    ]  # fmt: skip
    if "pong" in found.points:
        in_memory = found.points["pong"][-1]["moments"] * c.n_frames / 1e6
        ratio = found.files["seconds"]["1"] / in_memory
        text = "fitting from files takes at most twice as long as in memory, one process"
        verdicts.append(stats_ci.measured("files", text, ratio, ratio <= 2, 2))
    text = "fitting from files needs less than 500 MB"
    return [*verdicts, stats_ci.measured("peak", text, peak, peak < 500, 500)]


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
