"""Fit an encoder on any number of recorded buffers or videos, on all cores or on a cluster: the same bits every time.

Buffers are .npy files of frames (T, H, W) uint8, with <name>.npz beside them for the episodes' starts if there are
several. Clips are videos, GIFs, folders of pictures, .npz and .npy files in colour: each is one episode, read by this
process alone; colour becomes grey (.299 R + .587 G + .114 B). Memory does not grow with their length. Both may be URLs
(https, s3, gs, memory: what fsspec knows). No file is replaced that this very command did not write, unless --force is
given; a buffer, or the index beside it, never is.

Reads      what matches      Writes  an encoder (.npz), with --encode its features, with --film a GIF,
           results/fit_encoder.json
Run        python src/fit_encoder.py "data/pong_random_s*_n60000.npy" --out pong.npz
           python src/fit_encoder.py holiday.mp4 --size 120 160 --out holiday.npz --film holiday.gif
           python src/fit_encoder.py "data/*.npy" --out all.npz --dask tcp://127.0.0.1:8786
           python src/fit_encoder.py --smoke          (5 s, proves nothing)
Dask       dask scheduler &   and, on every machine,   PYTHONPATH=src dask worker tcp://127.0.0.1:8786
"""

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from tqdm import tqdm

import atari_play
import films
import resu_files
import resu_sharding
import resu_urls
import resu_video
import workers
from resu_conv import ReSUEncoder
from resu_video import Clip
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage, measured


@dataclass(frozen=True)
class Config:
    """Options."""

    buffers: tyro.conf.Positional[tuple[str, ...]] = ()  # files, folders, URLs, or globs of them in quotes
    out: str = "encoder.npz"  # where the encoder goes
    encode: bool = False  # write the features of every file to <name>_features.npy beside the encoder
    size: tuple[int, int] | None = None  # resize every frame to (height, width)
    film: str = ""  # where a GIF goes: the first clip beside the maps of its code
    film_seconds: float = 10.0  # of it
    memory: int = 8  # frames in the past of a filter
    horizon: int = 4  # frames in its future
    n_units: int = 4  # filters
    grid: tuple[int, int] = (16, 8)  # pooling cells (rows, columns)
    workers: int = -1  # processes on this machine, -1 for all cores
    method: str = "auto"  # or dense, events, torch:cpu, torch:cuda
    shard: int = resu_sharding.SHARD  # frames of one task
    keep: str = ""  # a folder for the moments of finished shards of buffers: none is counted twice, whatever ends
    force: bool = field(default=False, compare=False)  # replace files that something else wrote
    smoke: bool = False  # a buffer of its own


SMOKE = {"encode": True, "workers": 1, "shard": 300, "film_seconds": 1.0}


def check(config: Config) -> None:
    """Refuse empty shards and films."""
    require_positive(config, "shard", "film_seconds")


def feature_files(paths: Iterable[str], out: str) -> dict[str, str]:
    """Where the features of each buffer go: beside the encoder."""
    return {path: str(Path(out).with_name(f"{Path(path).stem}_features.npy")) for path in paths}


def inputs(patterns: tuple[str, ...], out: str) -> tuple[str, ...]:
    """The files that match, each once, without the features that earlier runs left among them.

    Raises   ValueError if there are none.
    """
    paths = {path for pattern in patterns for path in resu_urls.expand(pattern)}
    ours = {os.path.realpath(path) for path in feature_files(paths, out).values()}
    paths -= {path for path in paths if os.path.realpath(path) in ours and not resu_sharding.holds_frames(path)}
    if not paths:
        raise ValueError(f"no file matches {' '.join(patterns) or 'nothing'}: give files, or globs in quotes")
    return tuple(sorted(paths))


def indices(path: str) -> tuple[str, ...]:
    """The index that belongs to a buffer, there or not."""
    return (resu_sharding.index_of(path),) if resu_urls.suffix(path) == ".npy" else ()


def stamp(path: str) -> list[int] | None:
    """What tells whether somebody else wrote a file: its size and time; None if there is none."""
    return [os.stat(path).st_size, os.stat(path).st_mtime_ns] if os.path.exists(path) else None


def require_free(paths: Iterable[str], outputs: Mapping[str, str], written: Mapping[str, Any], force: bool) -> None:
    """Refuse to replace anything of value, before anything is computed.

    outputs   the files to be written, by what goes into them: a buffer's path or "the encoder"
    written   stamps of what the last run of this command left, by path
    force     replace what something else wrote; buffers and their indices stay
    Raises    ValueError naming the file.
    """
    buffers = {os.path.realpath(name) for path in paths for name in (path, *indices(path))}
    makers: dict[str, str] = {}
    for maker, path in outputs.items():
        real = os.path.realpath(path)
        if real in buffers:
            raise ValueError(f"{path} belongs to a buffer that is read: choose another place with --out")
        if real in makers:
            raise ValueError(f"{path} would be written twice, for {makers[real]} and for {maker}: rename one of them")
        makers[real] = maker
        if not force and os.path.exists(path) and stamp(path) != written.get(path):
            raise ValueError(f"{path} is there and was not written by this command: give --force to replace it")


def clips_of(paths: Iterable[str], size: tuple[int, int] | None) -> dict[str, Clip]:
    """Every file as a clip, unless all of them are buffers: these need none."""
    if size is None and all(resu_urls.suffix(path) == ".npy" and resu_sharding.holds_frames(path) for path in paths):
        return {}
    return {path: Clip(path, size) for path in paths}


def bar(what: str, clips: Iterable[Clip]) -> tqdm:
    """How many frames are done, and how fast."""
    known = [clip.n_frames for clip in clips]
    return workers.progress(None, what, None if None in known else sum(filter(None, known)), "frame")


def fit(s: Config, paths: tuple[str, ...], clips: dict[str, Clip]) -> tuple[ReSUEncoder, int]:
    """The encoder of all, and how many frames they have."""
    options: dict[str, Any] = {"memory": s.memory, "horizon": s.horizon, "n_units": s.n_units, "grid": s.grid}
    if clips:
        if s.keep:
            raise ValueError("--keep is for buffers, .npy files of (T, H, W) without --size: a clip is read as a whole")
        with bar("moments", clips.values()) as done:
            return resu_video.fit(clips.values(), method=s.method, progress=done.update, **options), done.n
    encoder = resu_sharding.fit(
        paths, n_jobs=s.workers, shard=s.shard, method=s.method, keep=s.keep or None,
        progress=lambda parts, n: workers.progress(parts, "moments", n, "shard"), **options,
    )  # fmt: skip
    return encoder, sum(len(resu_sharding.FrameFile(path)) for path in paths)


@measured()
def measure(run: Run, s: Config) -> dict[str, Any]:
    """Fit, write, say how fast it was."""
    paths = inputs(s.buffers, s.out)
    features = feature_files(paths, s.out) if s.encode else {}
    outputs = {"the encoder": s.out, **features, **({"the film": s.film} if s.film else {})}
    require_free(paths, outputs, (run.known(measure, s) or {}).get("written", {}), s.force)
    clips = clips_of(paths, s.size)
    started = time.perf_counter()
    encoder, n_frames = fit(s, paths, clips)
    seconds = time.perf_counter() - started
    encoder.save(s.out)
    for path, target in features.items():
        if clips:
            with bar("features", [clips[path]]) as done:
                resu_video.encode_file(encoder, clips[path], target, progress=done.update)
        else:
            resu_sharding.encode_file(encoder, path, target)
    if s.film:
        gif = films.of_clip(encoder, clips.get(paths[0]) or Clip(paths[0]), s.film_seconds, Path(paths[0]).name)
        resu_files.write_atomically(s.film, lambda file: file.write(gif))
    run.log(f"{', '.join(outputs.values())} written")
    return {
        "files": len(paths),
        "frames": n_frames,
        "windows": encoder.moments_.n_windows,
        "seconds": seconds,
        "correlations": encoder.correlations_,
        "encoder": Path(s.out).name,
        "filters": encoder.filters_,
        "written": {path: stamp(path) for path in outputs.values()},
    }


def cells(run: Run) -> dict[str, Any]:
    """One fit, made in every run."""
    c = run.config
    if c.smoke:
        buffers, out = (str(run.data / "pong_random_s0_n1000.npy"),), str(run.data / "encoder.npz")
        c = replace(c, buffers=buffers, out=out, film=str(run.data / "film.gif"))
        if not run.reading:
            atari_play.random_play(run.data, "pong", 1000, 0)
    return run.cell(measure, c, fresh=True)


def report(c: Config, found: dict[str, Any]) -> Report:
    """One row."""
    row = {name: found[name] for name in ("files", "frames", "windows", "seconds")}
    row["frames/s"] = f"{found['frames'] / found['seconds']:,.0f}"
    row["correlations"] = " ".join(f"{value:.4f}" for value in found["correlations"])
    return Report([row | {"encoder": found["encoder"]}], arrays={"filters": np.array(found["filters"])})


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
