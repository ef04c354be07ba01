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

import numpy as np
import tyro

import atari_play
import resu_sharding
import workers
from stage_io import guard, parse_config, require_positive
from stage_run import start_run


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


def main(argv: list[str] | None = None) -> None:
    """Fit, write, say how fast it was."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "shard")
    run = start_run(__file__, config)
    c = run.config
    out = run.data / "encoder.npz" if c.smoke else Path(c.out)
    if c.smoke:
        atari_play.random_play(run.data, "pong", 1000, 0)
    patterns = (str(run.data / "pong_random_s0_n1000.npy"),) if c.smoke else c.buffers
    paths = sorted({path for pattern in patterns for path in glob.glob(pattern)})
    if not paths:
        raise ValueError(f"no file matches {' '.join(patterns) or 'nothing'}: give globs of .npy files, in quotes")
    started = time.perf_counter()
    encoder = resu_sharding.fit(
        paths, n_jobs=c.workers, shard=c.shard, method=c.method,
        progress=lambda parts, n: workers.progress(parts, "moments", n, "shard"),
        memory=c.memory, horizon=c.horizon, n_units=c.n_units, grid=c.grid,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    encoder.save(out)
    for path in paths if c.encode else ():
        resu_sharding.encode_file(encoder, path, out.with_name(f"{Path(path).stem}_features.npy"))
    n_frames = sum(len(resu_sharding.FrameFile(path)) for path in paths)
    row = {
        "files": len(paths),
        "frames": n_frames,
        "windows": encoder.moments_.n_windows,
        "seconds": seconds,
        "frames/s": f"{n_frames / seconds:,.0f}",
        "correlations": " ".join(f"{value:.4f}" for value in encoder.correlations_),
        "encoder": out.name,
    }
    run.finish([row], filters=np.asarray(encoder.filters_))


if __name__ == "__main__":
    guard(main)
