"""How the cost of fitting and encoding grows: with pixels, with memory length, with frames, with files and machines.

Claim      Cost grows with motion, not with pixels: from 84 x 84 to 210 x 160 pixels (4.8 times as many) encoding Pong
           takes less than 3 times as long. Per frame it stays the same from 10,000 to 60,000 frames (within 30 %).
           Fitting from files in shards takes at most 1.3 times as long as fitting on the same episodes in memory, and
           encoding a file into a file at most 1.3 times as long as encoding and saving, in one process, at a peak
           under 500 MB.
Falsified  by a larger ratio.
Reads      data/pong_random_s0_*          Writes  results/bench_scale.{npz,json,log,png}
Run        python src/bench_scale.py            (3 min on 2 cores)
           python src/bench_scale.py --smoke    (20 s, proves nothing)
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import atari_play
import figures
import figures_curves
import figures_rows
import resu_files
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
BOUNDED = {  # what the verdicts are on, in the figure
    "pixels": "encode, 4.8 times the pixels",
    "frames": "cost per frame: most / least",
    "files": "fit from files / memory",
    "files, encode": "encode to files / memory",
    "peak": "peak memory [MB]",
}
FILES = 1.3  # times the time in memory
FUTURE = (10**9, 10**10)  # frames whose cost is computed from the measured rates; 64 bits hold twice as many


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
    """Fits and features of one file of random play; options as in `Config`."""

    game: str
    n_frames: int
    repeats: int


@dataclass(frozen=True)
class Growth:
    """One game along all axes; options as in `Config`."""

    game: str
    n_frames: int
    sized_frames: int
    repeats: int


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
    """Returns seconds: of fits from files by number of processes; encode: of one process; read: of reading alone;
    in_memory: {"fit", "encode"}, seconds of the same; peak: of memory before anything was held in it  [MB]."""
    buffer = atari_play.random_play(run.data, s.game, s.n_frames, 0, **TASKS[s.game].env)
    name = atari_play.buffer_name(s.game, "random", **TASKS[s.game].env)
    path = atari_play.Buffer.files(atari_play.buffer_path(run.data, name, s.n_frames, 0))[0]
    target = run.data / "bench_scale.npy"
    options: dict[str, Any] = {"memory": 8, "horizon": 4, "n_units": 4, "grid": GRID}
    shard = max(s.n_frames // 8, 1)
    encoder = resu_sharding.fit([path], shard=shard, **options)  # compiles
    times = {"1": seconds(partial(resu_sharding.fit, [path], **options), s.repeats)}
    if (n_jobs := workers.n_cores()) > 1:
        several = partial(resu_sharding.fit, [path], shard=shard, n_jobs=n_jobs, **options)
        times[str(n_jobs)] = seconds(several, s.repeats)
    encode = seconds(lambda: resu_sharding.encode_file(encoder, path, target), s.repeats)
    file = resu_sharding.FrameFile(path)
    pieces = [(at, min(at + resu_sharding.BLOCK, len(file))) for at in range(0, len(file), resu_sharding.BLOCK)]
    read = seconds(lambda: deque(file.blocks(pieces), maxlen=0), s.repeats)
    peak = peak_memory()
    run.log(f"{TASKS[s.game].label}: peak memory of fitting and encoding from files: {peak:.0f} MB")
    episodes = [np.array(frames) for frames in buffer.episode_frames()]

    def save() -> None:
        features = np.concatenate([encoder.encode(frames) for frames in episodes])
        resu_files.write_atomically(target, lambda out: np.save(out, features))

    in_memory = {
        "fit": seconds(lambda: ReSUEncoder(**options).fit(episodes), s.repeats),
        "encode": seconds(save, s.repeats),
    }
    target.unlink()
    return {"seconds": times, "encode": encode, "read": read, "in_memory": in_memory, "peak": peak}


@measured()
def time_growth(run: Run, s: Growth) -> list[dict[str, Any]]:
    """Points: what, on which axis and where, pixels that change per frame, us per frame of moments and encoding."""
    points = []

    def note(what: str, axis: str, at: float, frames: np.ndarray, memory: int = 8) -> None:
        moments, encode = (1e6 * value / len(frames) for value in times_of(frames, memory, s.repeats))
        changed = changed_fraction(frames.reshape(len(frames), -1)) * frames[0].size
        points.append({"what": what, "axis": axis, "at": at, "changed": changed, "moments": moments, "encode": encode})

    for label, size in SIZES.items():
        frames = atari_play.random_frames(s.game, size, s.sized_frames, **TASKS[s.game].env)
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

    files: Mapping[str, Mapping[str, Any]]  # by game
    points: Points


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(config, "n_frames", "sized_frames", "repeats")


def cells(run: Run) -> Cells:
    """Files first, for the peak of memory; then every game; all timed in every run."""
    c = run.config
    return Cells(
        {game: run.cell(time_files, Files(game, c.n_frames, c.repeats), fresh=True) for game in c.games},
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
    for game, files in found.files.items():
        label = TASKS[game].label
        for n_jobs, value in files["seconds"].items():
            each = f"{1e6 * value / c.n_frames:.2f}"
            rows.append(
                {
                    "game": label,
                    "what": f"from files, {n_jobs} process{'es' * (n_jobs != '1')}",
                    "moments [us/frame]": each,
                }
            )
        fit, encode = (f"{1e6 * files['in_memory'][what] / c.n_frames:.2f}" for what in ("fit", "encode"))
        rows[-len(files["seconds"])]["encode [us/frame]"] = f"{1e6 * files['encode'] / c.n_frames:.2f}"
        what = "the same in memory, and saved"
        rows.append({"game": label, "what": what, "moments [us/frame]": fit, "encode [us/frame]": encode})
    times = found.files[c.games[0]]["seconds"]
    seconds_each = times[max(times, key=int)] / c.n_frames
    label = TASKS[c.games[0]].label
    for n in FUTURE:
        costs = {"on one machine": duration(n * seconds_each), "on 100 like this": duration(n * seconds_each / 100)}
        rows.append(
            {"game": TASKS[c.games[0]].label, "what": f"fit on 10^{len(str(n)) - 1} frames (computed)", **costs}
        )
    columns = list(dict.fromkeys(column for row in rows for column in row))
    verdicts = _verdicts(c, found)
    return Report(
        [{column: row.get(column, "") for column in columns} for row in rows],
        verdicts,
        {"": partial(_figure, c, found, verdicts)},
        ["The frames of an axis are those of random play, the same games at every point.", _bound(found)],
    )


def _bound(found: Cells) -> str:
    """What fitting from files cannot beat: the cores share the work of reading with that of the sums."""
    least = []
    for game, files in found.files.items():
        memory, read, n_cores = files["in_memory"]["fit"], files["read"], max(map(int, files["seconds"]))
        least.append(f"{TASKS[game].label} {1 + read / memory / n_cores:.2f} (reading alone {1e3 * read:.0f} ms)")
    return f"Fitting from files takes at best, all cores sharing, this much of the time in memory: {'; '.join(least)}."


def _figure(c: Config, found: Cells, verdicts: Sequence[Verdict]) -> figures.Figure:
    """Cost along each axis, and every measured ratio as a share of the bound that it must not pass."""
    plots = []
    for axis, label in AXES.items():
        curves: dict[str, list[tuple[float, float]]] = {}
        for game, points in found.points.items():
            for kind in ("moments", "encode"):
                its = [(point["at"], point[kind]) for point in points if point["axis"] == axis]
                curves[f"{TASKS[game].label}, {kind}"] = its
        sizes = [at for at, _ in next(iter(curves.values()))]
        ticks = {at: f"{at:,.0f}" for at in (sizes if axis == "memory" else sizes[:: len(sizes) - 1])}
        first = curves[f"{TASKS[c.games[0]].label}, encode"]
        bound = f"bound at {sizes[-1]:,.0f} pixels: 3 times as long ({TASKS[c.games[0]].label}, encode)"
        plots.append(
            figures_curves.Plot(
                label, {name: (sizes, np.array([[cost for _, cost in its]])) for name, its in curves.items()},
                x_scale="log", y_scale="log", x_ticks=ticks, marked=True,
                lines={bound: 3 * first[0][1]} if axis == "pixels" else {},
            )
        )  # fmt: skip
    shares = {
        f"{BOUNDED[verdict.id]} (bound {verdict.margin:g})": np.array([verdict.estimate / verdict.margin])
        for verdict in verdicts
        if isinstance(verdict.estimate, float) and verdict.margin
    }
    panel = figures_rows.Panel(
        "measured / bound", shares, band=(0.0, 1.0), band_label="within the bound", lines={"": 1.0}
    )
    return figures.page(
        "Cost of the moments and of encoding, one run",
        [figures_curves.Plots(plots, "us per frame", 2.5), figures_rows.Rows([panel])],
    )


def _verdicts(c: Config, found: Cells) -> list[Verdict]:
    label, points = TASKS[c.games[0]].label, found.points[c.games[0]]
    encode = [point["encode"] for point in points if point["axis"] == "pixels"]
    per_frame = [point["moments"] + point["encode"] for point in points if point["axis"] == "frames"]
    pixels, frames = encode[-1] / encode[0], max(per_frame) / min(per_frame)
    first = found.files[c.games[0]]  # later ones come after frames were held in memory
    fit = max(files["seconds"]["1"] / files["in_memory"]["fit"] for files in found.files.values())
    features = max(files["encode"] / files["in_memory"]["encode"] for files in found.files.values())
    verdicts = [
        stats_ci.measured(
            "pixels", f"{label}: 4.8 times the pixels, encoding takes less than 3 times as long", pixels, pixels < 3, 3
        ),
        stats_ci.measured(
            "frames", f"{label}: cost per frame the same from a sixth to all frames (within 30 %)", frames,
            frames < 1.3, 1.3,
        ),
    ]  # fmt: skip
    text = f"files: {{}} takes at most {FILES} times as long as in memory, in one process, in each game"
    return [
        *verdicts,
        stats_ci.measured("files", text.format("fitting"), fit, fit <= FILES, FILES),
        stats_ci.measured("files, encode", text.format("encoding and writing"), features, features <= FILES, FILES),
        stats_ci.measured("peak", "files: less than 500 MB", first["peak"], first["peak"] < 500, 500),
    ]


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
