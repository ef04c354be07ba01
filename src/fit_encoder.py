"""Fit an encoder on any number of recorded buffers, on all cores or on a cluster; the result is the same, bit for bit.

Buffers are .npy files of frames (T, H, W) uint8, with <name>.npz beside them for the episodes' starts if there are
several; memory does not grow with their length.

Reads      the files that match      Writes  an encoder (.npz), with --encode its features, results/fit_encoder.json
Run        python src/fit_encoder.py "data/pong_random_s*_n60000.npy" --out pong.npz
           python src/fit_encoder.py "data/*.npy" --out all.npz --dask tcp://127.0.0.1:8786
           python src/fit_encoder.py --smoke          (5 s, proves nothing)
Dask       dask scheduler &   and, on every machine,   PYTHONPATH=src dask worker tcp://127.0.0.1:8786
"""

import glob
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

import atari_play
import resu_sharding
import workers
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage, measured


@dataclass(frozen=True)
class Config:
    """Options."""

    buffers: tyro.conf.Positional[tuple[str, ...]] = ()  # globs of .npy files
    out: str = "encoder.npz"  # where the encoder goes
    encode: bool = False  # write the features of every file to <name>_features.npy beside the encoder
    memory: int = 8  # frames in the past of a filter
    horizon: int = 4  # frames in its future
    n_units: int = 4  # filters
    grid: tuple[int, int] = (16, 8)  # pooling cells (rows, columns)
    workers: int = -1  # processes on this machine, -1 for all cores
    method: str = "auto"  # or dense, events, torch:cpu, torch:cuda
    shard: int = resu_sharding.SHARD  # frames of one task
    smoke: bool = False  # a buffer of its own


SMOKE = {"encode": True, "workers": 1, "shard": 300}


@dataclass(frozen=True)
class Setting:
    """One fit; options as in `Config`."""

    paths: tuple[str, ...]
    out: str
    encode: bool
    memory: int
    horizon: int
    n_units: int
    grid: tuple[int, int]
    workers: int
    method: str
    shard: int


def check(config: Config) -> None:
    """Refuse empty shards."""
    require_positive(config, "shard")


def inputs(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The files that match, each once.

    Raises   ValueError if there are none.
    """
    paths = sorted({path for pattern in patterns for path in glob.glob(pattern)})
    if not paths:
        raise ValueError(f"no file matches {' '.join(patterns) or 'nothing'}: give globs of .npy files, in quotes")
    return tuple(paths)


@measured()
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """Fit, write, say how fast it was."""
    out = Path(s.out)
    started = time.perf_counter()
    encoder = resu_sharding.fit(
        s.paths, n_jobs=s.workers, shard=s.shard, method=s.method,
        progress=lambda parts, n: workers.progress(parts, "moments", n, "shard"),
        memory=s.memory, horizon=s.horizon, n_units=s.n_units, grid=s.grid,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    encoder.save(out)
    for path in s.paths if s.encode else ():
        resu_sharding.encode_file(encoder, path, out.with_name(f"{Path(path).stem}_features.npy"))
    return {
        "files": len(s.paths),
        "frames": sum(len(resu_sharding.FrameFile(path)) for path in s.paths),
        "windows": encoder.moments_.n_windows,
        "seconds": seconds,
        "correlations": encoder.correlations_,
        "encoder": out.name,
        "filters": encoder.filters_,
    }


def cells(run: Run) -> dict[str, Any]:
    """One fit, made in every run."""
    c = run.config
    patterns, out = c.buffers, c.out
    if c.smoke:
        out = str(run.data / "encoder.npz")
        patterns = (str(run.data / "pong_random_s0_n1000.npy"),)
        if not run.reading:
            atari_play.random_play(run.data, "pong", 1000, 0)
    setting = Setting(
        inputs(patterns), out, c.encode, c.memory, c.horizon, c.n_units, c.grid, c.workers, c.method, c.shard
    )
    return run.cell(measure, setting, fresh=True)


def report(c: Config, found: dict[str, Any]) -> Report:
    """One row."""
    row = {name: found[name] for name in ("files", "frames", "windows", "seconds")}
    row["frames/s"] = f"{found['frames'] / found['seconds']:,.0f}"
    row["correlations"] = " ".join(f"{value:.4f}" for value in found["correlations"])
    return Report([row | {"encoder": found["encoder"]}], arrays={"filters": np.array(found["filters"])})


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
