"""Many machines, tried on one: fitting and encoding by the workers of a Dask scheduler, and what happens when some end.

Claim      2 workers fit and encode 3.4 GB, more than 4 of them may hold together (800 MB each), at .9 times twice the
           rate of one, or more. The bits are those of one process: with 1, 2 and 4 workers, when a worker is killed and
           another one joins, and when the scheduler ends and the rest is done under the next one. No shard that was
           kept is counted again.
Falsified  by a lower rate, another bit, or a shard that is counted twice.
Reads      data/pong_random_s0_*, from which it makes 8 files in data/cluster/, removed at the end
Writes     results/bench_cluster.{json,log}
Run        make scale                                 (or: python src/bench_cluster.py; 5 min on 2 cores, 4 GB of disk)
           python src/bench_cluster.py --smoke        (40 s, proves nothing)
"""

import contextlib
import os
import pickle
import shutil
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np

import atari_play
import resu_files
import resu_sharding
import stats_ci
import workers
from players import TASKS
from resu_conv import ReSUEncoder
from resu_moments import LagMoments
from stage_io import duration, guard, require_positive, seconds
from stage_report import Report
from stage_run import Run, Stage, measured
from stats_ci import Verdict

OPTIONS: dict[str, Any] = {"memory": 8, "horizon": 4, "n_units": 4, "grid": (12, 8)}
EFFICIENT = 0.9
FUTURE, PART = (10**9, 10**10, 10**12), 10**6  # frames that are computed from the rates, and frames of a shard of them
TASKS_TIMED = 200  # empty ones
PIXELS = 84 * 84


@dataclass(frozen=True)
class Config:
    """Options."""

    n_frames: int = 60_000  # of random play of Pong in a file [agent steps]
    files: int = 8  # at most: the same games mirrored, upside down, backwards
    shard: int = 30_000  # frames of one task
    workers: tuple[int, ...] = (1, 2, 4)  # processes, one thread each
    memory: str = "800MB"  # that a worker may take
    repeats: int = 2  # timings; the best counts
    smoke: bool = False


SMOKE = {"n_frames": 1200, "files": 2, "shard": 300, "repeats": 1}


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(config, "n_frames", "files", "shard", "repeats")
    if not 1 <= config.files <= 8 or 1 not in config.workers or not all(n >= 1 for n in config.workers):
        raise ValueError("--files goes from 1 to 8, and --workers are whole numbers, 1 among them")


def write_files(folder: Path, buffer: atari_play.Buffer, n: int) -> list[str]:
    """The games of a buffer as n files of frames and their indices: as they are, mirrored, upside down, backwards."""
    frames, starts, paths = np.asarray(buffer.frames), buffer.starts, []
    ends = len(frames) - np.append(starts[1:], len(frames))[::-1]  # where episodes begin, backwards
    for i in range(n):
        path = folder / f"{i}.npy"
        its = frames[:, :: -1 if i & 1 else 1, :: -1 if i & 2 else 1][:: -1 if i & 4 else 1]
        resu_files.write_npy(path, np.ascontiguousarray(its))
        resu_files.write_npz(path.with_suffix(".npz"), starts=ends if i & 4 else starts)
        paths.append(str(path))
    return paths


@contextlib.contextmanager
def cluster_of(n: int, memory: str) -> Iterator[Any]:
    """A scheduler with n workers on this machine, a core each, used by joblib; yields Dask's LocalCluster."""
    from dask.distributed import Client, LocalCluster  # slow to import

    cluster = LocalCluster(
        n_workers=n, threads_per_worker=1, processes=True, memory_limit=memory, dashboard_address=None, silence_logs=50
    )
    try:
        cluster.wait_for_workers(n)
        with Client(cluster.scheduler_address) as client:
            for i, address in enumerate(client.scheduler_info()["workers"]):
                client.run(keep_to_core, i, workers=[address])
        with workers.cluster(cluster.scheduler_address):
            yield cluster
    finally:
        with contextlib.suppress(UnboundLocalError):  # what distributed says when closing was cancelled half way
            cluster.close()


def keep_to_core(i: int) -> None:
    """All threads of this process, one of which reads ahead, share a core, the i-th of those that it may use."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.sched_setaffinity(int(thread), {cores[i % len(cores)]})


def digest(encoder: ReSUEncoder, path: str) -> int:
    """A checksum of the features of a file, in order."""
    found = 0
    for features in resu_sharding.encode_blocks(encoder, resu_sharding.FrameFile(path)):
        found = zlib.crc32(features.data, found)
    return found


def digests(encoder: ReSUEncoder, paths: Sequence[str], n_jobs: int | None = None) -> list[int]:
    """Of all files, a task each, on whatever workers there are."""
    return joblib.Parallel(n_jobs=n_jobs, batch_size=1)(joblib.delayed(digest)(encoder, path) for path in paths)


@measured()
def measure(run: Run, c: Config) -> dict[str, Any]:
    """Everything; the files are removed at the end.

    Returns   {"cores": of this machine, "gigabytes": of all frames, "alone": seconds of {"fit", "encode"} here,
              "by": the same by number of workers, "same": whether the bits are those of this process, by what happened,
              "kept", "again", "shards": that were kept when the scheduler ended, counted after it, and all,
              "bytes": of a shard's moments, "merge", "task": seconds to add them, and of an empty task}
    """
    folder = run.data / "cluster"
    try:
        buffer = atari_play.random_play(run.data, "pong", c.n_frames, 0, **TASKS["pong"].env)
        paths = write_files(folder, buffer, c.files)
        return _measured(run, c, paths, folder / "kept")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(run: Run, c: Config, paths: list[str], keep: Path) -> dict[str, Any]:
    fit = partial(resu_sharding.fit, paths, shard=c.shard, **OPTIONS)
    encoder = resu_sharding.fit(paths[:1], **OPTIONS)  # compiles
    digest(encoder, paths[0])
    wanted = fit()
    codes = digests(wanted, paths)
    result: dict[str, Any] = {
        "alone": {"fit": seconds(fit, c.repeats), "encode": seconds(lambda: digests(wanted, paths), c.repeats)},
        "cores": workers.n_cores(),
        "gigabytes": sum(os.path.getsize(path) for path in paths) / 1e9,
        "by": {},
        "same": {},
    }
    part = resu_sharding.shard_moments(resu_sharding.shards(paths, c.shard)[0], OPTIONS["memory"], OPTIONS["horizon"])
    result["bytes"] = len(pickle.dumps(part))
    result["merge"] = seconds(lambda: part.copy().merge(part), 20)

    def note(event: str, found: ReSUEncoder) -> None:
        assert found.moments_ is not None
        result["same"][event] = bool(found.moments_ == wanted.moments_)
        run.log(f"{event}: {'the same bits' if result['same'][event] else 'OTHER BITS'}")

    for n in c.workers:
        with cluster_of(n, c.memory):
            note(f"{n} worker{'s' * (n > 1)}", fit())  # and every worker has its kernels
            coded = digests(wanted, paths)
            result["same"][f"{n} worker{'s' * (n > 1)}, features"] = coded == codes
            result["by"][str(n)] = {
                "fit": seconds(fit, c.repeats), "encode": seconds(lambda: digests(wanted, paths), c.repeats),
            }  # fmt: skip
            run.log(f"{n} workers: {result['by'][str(n)]}")
            empty = joblib.Parallel()
            result["task"] = seconds(lambda: empty(joblib.delayed(int)() for _ in range(TASKS_TIMED))) / TASKS_TIMED  # noqa: B023
    with cluster_of(2, c.memory) as cluster:
        note("a worker killed, another one added", fit(progress=after(3, partial(exchange_a_worker, cluster))))
    try:
        with cluster_of(2, c.memory) as cluster:
            fit(keep=keep, progress=after(3, cluster.close))
    except (ConnectionError, ValueError) as error:
        run.log(f"the scheduler ended: {error}")
    before = {path.name: path.stat().st_mtime_ns for path in keep.glob("*.npz")}
    with cluster_of(2, c.memory):
        note("the scheduler ended, the next one went on", fit(keep=keep))
    after_all = {path.name: path.stat().st_mtime_ns for path in keep.glob("*.npz")}
    counted = sum(before.get(name) != written for name, written in after_all.items())
    return result | {"kept": len(before), "again": counted, "shards": len(after_all)}


def after(n: int, event: Callable[[], object]) -> Callable[[Iterable[LagMoments], int], Iterator[LagMoments]]:
    """For `progress`: lets something happen, beside the work, once n parts are there."""

    def happens(parts: Iterable[LagMoments], _: int) -> Iterator[LagMoments]:
        for i, part in enumerate(parts):
            if i + 1 == n:
                threading.Thread(target=event).start()
            yield part

    return happens


def exchange_a_worker(cluster: Any) -> None:
    """Kill one, let another one join."""
    from dask.distributed import Client

    with Client(cluster.scheduler_address) as client:
        pids = client.run(os.getpid)
        cluster.scale(len(pids) + 1)
        os.kill(next(iter(pids.values())), signal.SIGKILL)
        time.sleep(0.1)


def cells(run: Run) -> dict[str, Any]:
    """One, timed in every run."""
    return run.cell(measure, run.config, fresh=True)


def report(c: Config, found: dict[str, Any]) -> Report:
    """Rates by number of workers, costs computed from them, what was the same."""
    n, one = c.n_frames * c.files, found["by"]["1"]
    rows: list[dict[str, Any]] = []
    timed = {"one process on all cores, no scheduler": (found["cores"], found["alone"])}
    for workers_, its in found["by"].items():
        timed[f"{workers_} worker{'s' * (workers_ != '1')}"] = (min(int(workers_), found["cores"]), its)
    for what, (cores, its) in timed.items():
        rates = {f"{kind}, frames/s": f"{n / value:,.0f}" for kind, value in its.items()}
        efficient = {f"{kind}: of one worker's, per core": f"{one[kind] / its[kind] / cores:.2f}" for kind in its}
        rows.append({"what": what, **rates, **efficient})
    rate = n / one["fit"]
    for future in FUTURE:
        parts = future / PART
        rows.append(
            {
                "what": f"fit on 10^{len(str(future)) - 1} frames (computed)",
                "frames": f"{future * PIXELS / 1e12:,.0f} TB",
                "1 worker": duration(future / rate),
                "1,000 workers": duration(future / rate / 1000),
                "over the network": f"{parts * found['bytes'] / 1e9:,.1f} GB",
                "scheduling and adding": duration(parts * (found["task"] + found["merge"])),
                "64 bits are enough": "yes" if future * PIXELS * 255**2 < 2**63 else "no: refused",
            }
        )
    columns = list(dict.fromkeys(column for row in rows for column in row))
    filled = [{column: row.get(column, "") for column in columns} for row in rows]
    return Report(filled, _verdicts(found), notes=_notes(found, rate))


def _verdicts(found: dict[str, Any]) -> list[Verdict]:
    verdicts, one, two = [], found["by"]["1"], found["by"].get("2", {})
    for kind, value in two.items():
        efficiency = one[kind] / value / min(2, found["cores"])
        text = f"{kind}: 2 workers at {EFFICIENT:g} times twice the rate of one, or more"
        verdicts.append(stats_ci.measured(f"2 workers: {kind}", text, efficiency, efficiency >= EFFICIENT, EFFICIENT))
    right = float(np.mean(list(found["same"].values())))
    twice = float(found["again"] - (found["shards"] - found["kept"]))
    text = "the bits of one process, whatever happened (share of cases)"
    return [
        *verdicts,
        stats_ci.measured("same bits", text, right, right == 1, 1),
        stats_ci.measured("kept", "shards counted again that were kept when the scheduler ended", twice, twice == 0, 0),
    ]


def _notes(found: dict[str, Any], rate: float) -> list[str]:
    most = 2**63 / PIXELS / 255**2
    cases = {right: "; ".join(event for event, its in found["same"].items() if its is right) for right in (True, False)}
    return [
        f"The data are {found['gigabytes']:.1f} GB. The same bits: {cases[True]}. Others: {cases[False] or 'never'}.",
        f"When the scheduler ended, {found['kept']} of {found['shards']} shards were kept; the next run counted the "
        f"other {found['again']}.",
        f"Computed with shards of 10^6 frames: the moments of one are {found['bytes'] / 1e3:,.0f} kB, scheduling one "
        f"takes {1e3 * found['task']:.1f} ms, adding its moments {1e3 * found['merge']:.2f} ms.",
        f"What ends first is reading: a worker takes {rate * PIXELS / 1e9:.1f} GB of frames a second, 1,000 of them as "
        f"many TB. Then exactness: 64 bits hold the sums of {most:.1e} frames of 84 x 84 pixels for certain.",
    ]


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
