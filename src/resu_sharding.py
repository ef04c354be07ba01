"""Fitting and encoding beyond memory and beyond one machine: files are read in blocks, moments of shards are added.

Moments are sums of integers, so the merged fit is bitwise that of one process, whatever the shards, the workers and
their order. A shard is a range of frames of one file; it counts the windows that start in it, and so reads a few frames
further. Workers come from joblib: processes of this machine, or those of a Dask scheduler.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any

import joblib
import numpy as np

import resu_files
import resu_urls
from resu_conv import ReSUEncoder
from resu_moments import LagMoments

BLOCK = 4096  # frames in memory at a time
SHARD = 100_000  # frames of one task
HEAD = 1 << 16  # bytes in which an .npy file says what it holds


class FrameFile:
    """Frames (T, H, W) uint8 in an .npy file, read block by block and never mapped: memory does not grow with T.

    Beside it may lie <name>.npz with `starts` (E,): the first index of each episode, as `atari_play.Buffer` writes it;
    otherwise the file is one episode. It may be behind a URL: blocks are read where they lie, if the server allows.
    Raises   FileNotFoundError, or ValueError if the file is truncated, no .npy file, or holds something else, or if
             `starts` are not the beginnings of episodes.
    """

    def __init__(self, path: resu_files.PathLike) -> None:
        self.path = os.fspath(path)
        with resu_urls.reading(self.path) as file:
            head, size = io.BytesIO(file.read(HEAD)), resu_urls.size(file)
        try:
            shape, fortran, dtype = resu_files.read_npy_header(head)
        except ValueError as error:
            raise ValueError(f"{self.path} is not an .npy file ({error})") from error
        self._offset = head.tell()
        if len(shape) != 3 or dtype != np.uint8 or fortran:
            raise ValueError(f"{self.path} must hold uint8 frames (T, H, W), not {dtype} of shape {shape}")
        self.shape: tuple[int, int, int] = shape
        if size < self._offset + int(np.prod(shape, dtype=object)):
            raise ValueError(f"{self.path} is truncated: {shape[0]} frames do not fit into it")
        index, self.starts = index_of(self.path), np.zeros(1, np.int64)
        if resu_urls.exists(index):
            with resu_urls.fetched(index) as local:
                starts = resu_files.read_npz(local, ("starts",))["starts"]
            self.starts = resu_files.episode_starts(starts, len(self), index)

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int, stop: int, into: np.ndarray | None = None) -> np.ndarray:
        """Frames start .. stop - 1, in the first rows of `into` if given: fresh memory costs as much as reading."""
        frames = np.empty((stop - start, *self.shape[1:]), np.uint8) if into is None else into[: stop - start]
        with resu_urls.reading(self.path) as file:
            file.seek(self._offset + start * self.shape[1] * self.shape[2])
            n = file.readinto(frames.data)
        if n != frames.nbytes:
            raise ValueError(f"{self.path} is truncated: frames {start} to {stop - 1} are not in it")
        return frames

    def blocks(self, ranges: Sequence[tuple[int, int]]) -> Iterator[np.ndarray]:
        """The frames of each (start, stop); while one block is used the next one is read.

        A block is good until the next one is asked for: two of them share the memory in turn.
        """
        longest = max((stop - start for start, stop in ranges), default=0)
        memory = np.empty((2, longest, *self.shape[1:]), np.uint8)
        with ThreadPoolExecutor(1) as reader:
            coming = [reader.submit(self.read, *ranges[0], memory[0])] if ranges else []
            for i in range(len(ranges)):
                frames = coming.pop().result()
                if i + 1 < len(ranges):
                    coming.append(reader.submit(self.read, *ranges[i + 1], memory[(i + 1) % 2]))
                yield frames

    def episodes(self) -> list[tuple[int, int]]:
        """(start, stop) of each."""
        return list(pairwise([*self.starts.tolist(), len(self)]))


def index_of(path: resu_files.PathLike) -> str:
    """Where the episodes' starts of a file of frames lie, if they do: <name>.npz beside it."""
    return os.path.splitext(path)[0] + ".npz"


def holds_frames(path: resu_files.PathLike) -> bool:
    """Whether a file is a buffer of frames, as far as its head says."""
    try:
        FrameFile(path)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Shard:
    """The windows of a file that start in frames start .. stop - 1."""

    path: str
    start: int
    stop: int


def shards(paths: resu_files.PathLike | Iterable[resu_files.PathLike], n_frames: int = SHARD) -> list[Shard]:
    """Every file cut into ranges of n_frames; a path that is not in a list is one file.

    Raises   ValueError if there are no files, if one is named twice (also by a link), if frames differ in size or a
             file is damaged, or n_frames is not an integer >= 1.
    """
    files = [FrameFile(path) for path in ([paths] if isinstance(paths, (str, os.PathLike)) else paths)]
    if not files:
        raise ValueError("no files to fit on")
    if not isinstance(n_frames, Integral) or n_frames < 1:
        raise ValueError(f"a shard needs a whole number of frames, at least one, not {n_frames}")
    found: list[Shard] = []
    known: dict[object, FrameFile] = {}
    for file in files:
        if file.shape[1:] != files[0].shape[1:]:
            raise ValueError(f"{file.path} has frames {file.shape[1:]}, {files[0].path} has {files[0].shape[1:]}")
        twin = known.setdefault(resu_urls.identity(file.path), file)
        if twin is not file:
            raise ValueError(f"{file.path} and {twin.path} are the same file: its frames would count twice")
        cuts = [*range(0, len(file), n_frames), len(file)]
        found += [Shard(resu_urls.absolute(file.path), start, stop) for start, stop in pairwise(cuts)]
    return found


def kept_in(keep: resu_files.PathLike, shard: Shard, memory: int, horizon: int, center: bool = True) -> str:
    """The file of a folder in which a shard's moments are kept: its name tells what was counted, and of which bytes.

    Raises   FileNotFoundError or ValueError if the file of frames cannot be looked at.
    """
    files = [resu_urls.state(path) for path in (shard.path, index_of(shard.path))]
    what = repr((*files, shard.start, shard.stop, int(memory), int(horizon), bool(center)))
    return os.path.join(keep, f"moments_{hashlib.sha256(what.encode()).hexdigest()[:32]}.npz")


def shard_moments(
    shard: Shard,
    memory: int,
    horizon: int,
    center: bool = True,
    method: str = "auto",
    keep: resu_files.PathLike | None = None,
) -> LagMoments:
    """Moments of the windows that start in a shard, with a few thousand frames in memory at a time.

    keep   a folder: they are read from there if they are there (`kept_in`), else counted and written
    """
    if keep is None:
        return _counted(shard, memory, horizon, center, method)
    path = kept_in(keep, shard, memory, horizon, center)
    if os.path.isfile(path):
        return LagMoments.load(path)
    moments = _counted(shard, memory, horizon, center, method)
    moments.save(path)
    return moments


def _counted(shard: Shard, memory: int, horizon: int, center: bool, method: str) -> LagMoments:
    file, moments = FrameFile(shard.path), LagMoments(memory, horizon, center)
    ranges, first = [], []
    for begin, end in file.episodes():
        start, stop = max(begin, shard.start), min(end, shard.stop + moments.n_lags - 1)
        if start < min(end, shard.stop):
            ranges += [(at, min(at + BLOCK, stop)) for at in range(start, stop, BLOCK)]
            first += [at == start for at in range(start, stop, BLOCK)]
    for frames, new_episode in zip(file.blocks(ranges), first, strict=True):
        moments.update(frames.reshape(len(frames), -1), new_episode=new_episode, method=method)
    moments.end_episode()
    return moments


def fit(
    paths: resu_files.PathLike | Iterable[resu_files.PathLike],
    *,
    n_jobs: int = 1,
    shard: int = SHARD,
    method: str = "auto",
    keep: resu_files.PathLike | None = None,
    progress: Callable[[Iterable[LagMoments], int], Iterable[LagMoments]] | None = None,
    **options: Any,
) -> ReSUEncoder:
    """A one-layer encoder fitted on all frames of some files: bitwise `ReSUEncoder.fit` on their episodes.

    paths     .npy files as `FrameFile`, or one
    n_jobs    processes (-1: all cores), where `joblib.parallel_config` has not chosen other workers
    shard     frames of one task           options   of `ReSUEncoder`
    keep      a folder that all workers see: moments of finished shards lie there, and are not counted again (as long as
              the files of frames are the same, of the same size and time)
    progress  wraps the parts as they come, given their number, e.g. `lambda parts, n: tqdm(parts, total=n)`
    Raises    ValueError as `shards` and `ReSUEncoder.fit_moments`, for more than one layer or n_jobs that is no integer
              or 0.
    """
    if not isinstance(n_jobs, Integral) or n_jobs == 0:
        raise ValueError(f"n_jobs must be a number of processes, or -1 for all cores, not {n_jobs}")
    encoder = ReSUEncoder(**options)
    if encoder.n_layers != 1:
        raise ValueError("only the first layer is fitted from files: n_layers must be 1")
    tasks, keep = shards(paths, shard), None if keep is None else os.path.abspath(keep)
    total = LagMoments(encoder.memory, encoder.horizon, encoder.center)
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1)
    parts = parallel(
        joblib.delayed(shard_moments)(task, encoder.memory, encoder.horizon, encoder.center, method, keep)
        for task in tasks
    )
    for part in progress(parts, len(tasks)) if progress else parts:
        total.merge(part)
    if not total.n_windows:
        raise ValueError(f"no episode has memory + horizon = {total.n_lags} frames")
    return encoder.fit_moments(total, FrameFile(tasks[0].path).shape[1:])


def encode_blocks(encoder: ReSUEncoder, file: FrameFile) -> Iterator[np.ndarray]:
    """Features (n, D) float32 of a file's frames, in order, a few thousand frames at a time: those of `encode`."""
    lead = encoder.memory - 1
    if encoder.n_layers > 1:
        raise ValueError("only the first layer is encoded from files: n_layers must be 1")
    new = [(at, min(at + BLOCK, end), min(lead, at - begin)) for begin, end in file.episodes()
           for at in range(begin, end, BLOCK)]  # fmt: skip
    blocks = file.blocks([(start - past, stop) for start, stop, past in new])
    for frames, (_, _, past) in zip(blocks, new, strict=True):
        yield encoder.encode(frames)[past:]


def encode_file(encoder: ReSUEncoder, path: resu_files.PathLike, target: resu_files.PathLike) -> None:
    """Write the features (T, D) float32 of a file of frames to an .npy file, whole or not at all.

    Raises   ValueError if the target is the file of frames itself or the index beside it, or as `FrameFile` and
             `encode_blocks`; OSError as `resu_files.write_atomically`.
    """
    file = FrameFile(path)
    if os.path.realpath(target) in (os.path.realpath(path), os.path.realpath(index_of(path))):
        raise ValueError(f"the features of {path} would replace its frames or their index: choose another target")

    resu_files.write_rows(target, encode_blocks(encoder, file), encoder.n_features)
