"""Clips: grey frames of anybody's video, GIF, folder of pictures or array, read from start to end, block by block.

    *.npy, *.npz      (T, H, W) or (T, H, W, 3) uint8; of an archive the array `frames`, or its only one of that kind
    a folder          its pictures in the order of their names, numbers within them counted: 2 before 10
    *.gif             as a browser shows it
    anything else     as a video: its first one, what FFmpeg decodes, as it is stored, sound left out

Colour becomes grey as OpenCV and ITU-R BT.601 have it, .299 R + .587 G + .114 B; what is transparent counts as opaque.
Other sizes are averaged over areas, as Atari's screens are. A clip is one episode, and memory does not grow with its
length. Paths may be URLs that fsspec knows: such a clip is fetched first, into a file that goes away.
"""

from __future__ import annotations

import contextlib
import os
import re
import weakref
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import resu_files
import resu_urls
from resu_checks import as_count
from resu_conv import ReSUEncoder
from resu_moments import LagMoments

try:
    import av
    import cv2
    import imageio.v3 as iio
except ImportError as error:
    raise ImportError("resu_video needs OpenCV, imageio and PyAV: pip install 'resu-features[video]'") from error

BLOCK, LARGE = 256, 1 << 26  # frames in memory at a time, and bytes of them, but 16 frames at least
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
SHORT = 0.9  # a video that says how long it takes, not how many frames it has, is cut short below this share of them


class Clip:
    """A clip, opened; of its pictures nothing is kept.

    size     (H, W) to which every frame is resized; None: as it is
    Attributes
    path     where it is, or where it came from
    shape    (H, W) of the frames as `blocks` gives them
    n_frames T as far as the file tells beforehand (of some videos from their duration), else None
    fps      frames per second, if the file tells, else None
    Raises   FileNotFoundError; ValueError naming the path if it holds no pictures, is damaged, is no kind of clip or is
             of another dtype than uint8, if size is no pair of sizes, or if a URL cannot be fetched.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/a.npy", np.zeros((30, 40, 60, 3), np.uint8))
    ...     clip = Clip(f"{folder}/a.npy", size=(20, 30))
    ...     clip.n_frames, clip.shape, [block.shape for block in clip.blocks(16)]
    (30, (20, 30), [(16, 20, 30), (14, 20, 30)])
    """

    def __init__(self, path: resu_files.PathLike, size: Sequence[int] | None = None) -> None:
        self.path = str(path)
        size = None if size is None else _as_size(size)
        kept = contextlib.ExitStack()
        weakref.finalize(self, kept.close)  # what was fetched goes when this clip goes
        local = Path(kept.enter_context(resu_urls.fetched(path)))
        if not local.exists():
            raise FileNotFoundError(f"{path} not found")
        with self._one_sentence():
            self._source = _source(local)
        self.n_frames, self.fps = self._source.n_frames, self._source.fps
        first = next(self.pictures(), None)
        if first is None:
            raise ValueError(f"{path} holds no pictures")
        self.shape: tuple[int, int] = size or (first.shape[0], first.shape[1])

    def pictures(self) -> Iterator[np.ndarray]:
        """The pictures as the file has them: (h, w) or (h, w, 3) uint8, one after the other, from the first.

        Raises   ValueError naming the clip if one cannot be read, is of another size than the first, or is missing.
        """
        n, first = 0, None
        with self._one_sentence():
            for picture in map(_as_picture, self._source.read()):
                first = first or picture.shape[:2]
                if picture.shape[:2] != first:
                    raise ValueError(f"picture {n} has {_text(picture.shape)} pixels, the first one {_text(first)}")
                n += 1
                yield picture
            if n < self._source.least:
                raise ValueError(f"it is cut short: it ends after {n} pictures, and should have {self.n_frames}")

    def blocks(self, n: int | None = None) -> Iterator[np.ndarray]:
        """All frames in order, (n, H, W) uint8 grey, the last block shorter; n is 256, less if they are large.

        Raises   ValueError as `pictures`.
        """
        height, width = self.shape
        n, frames = as_count("n", n or min(BLOCK, max(16, LARGE // (height * width)))), []
        for picture in self.pictures():
            frames.append(self.grey(picture))
            if len(frames) == n:
                yield np.stack(frames)
                frames = []
        if frames:
            yield np.stack(frames)

    def grey(self, picture: np.ndarray) -> np.ndarray:
        """A picture as a frame (H, W)."""
        if picture.ndim == 3:
            picture = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
        if picture.shape != self.shape:
            picture = cv2.resize(picture, self.shape[::-1], interpolation=cv2.INTER_AREA)
        return picture

    @contextlib.contextmanager
    def _one_sentence(self) -> Iterator[None]:
        """What decoders raise, as a ValueError that names the clip."""
        try:
            yield
        except (FileNotFoundError, MemoryError):
            raise
        except Exception as error:  # FFmpeg, Pillow and zlib have a dozen kinds; all of them mean the same
            if isinstance(error, ValueError) and not isinstance(error, av.FFmpegError):
                raise ValueError(f"{self.path}: {error}") from error
            why = error.strerror if isinstance(error, av.FFmpegError) else error
            kinds = "a video, a GIF, a folder of pictures, .npy or .npz"
            raise ValueError(f"{self.path} is damaged or not {kinds} ({why})") from error


# --- fitting and encoding ---


def fit(
    clips: resu_files.PathLike | Clip | Iterable[resu_files.PathLike | Clip],
    *,
    size: Sequence[int] | None = None,
    method: str = "auto",
    progress: Callable[[int], object] | None = None,
    **options: Any,
) -> ReSUEncoder:
    """A one-layer encoder fitted on all frames of some clips, each an episode: bitwise `ReSUEncoder.fit` on arrays.

    size      (H, W) to which frames are resized      options   of `ReSUEncoder`
    progress  called with the number of frames that were counted, block by block
    Raises    ValueError if there are no clips, if their frames differ in size, if one cannot be read to its end, for
              more than one layer, or as `ReSUEncoder.fit_moments`.
    """
    encoder = ReSUEncoder(**options)
    if encoder.n_layers != 1:
        raise ValueError("only the first layer is fitted from clips: n_layers must be 1")
    listed = [clips] if isinstance(clips, (str, os.PathLike, Clip)) else clips
    opened = [clip if isinstance(clip, Clip) else Clip(clip, size) for clip in listed]
    if not opened:
        raise ValueError("no clips to fit on")
    for clip in opened:
        if clip.shape != opened[0].shape:
            raise ValueError(
                f"{clip.path} has frames of {_text(clip.shape)} pixels, {opened[0].path} of {_text(opened[0].shape)}: "
                "give a size to resize all to"
            )
    moments = LagMoments(encoder.memory, encoder.horizon, encoder.center)
    for clip in opened:
        for i, frames in enumerate(clip.blocks()):
            moments.update(frames.reshape(len(frames), -1), new_episode=i == 0, method=method)
            if progress:
                progress(len(frames))
        moments.end_episode()
    if not moments.n_windows:
        raise ValueError(f"no clip has memory + horizon = {moments.n_lags} frames")
    return encoder.fit_moments(moments, opened[0].shape)


def with_past(blocks: Iterable[np.ndarray], most: int) -> Iterator[tuple[np.ndarray, int]]:
    """Blocks of frames, each behind those before it (`most`, or as many as there are), and how many these are."""
    past: np.ndarray | None = None
    for frames in blocks:
        n = 0 if past is None else len(past)
        frames = frames if past is None else np.concatenate([past, frames])
        yield frames, n
        past = frames[len(frames) - min(most, len(frames)) :]


def encode_blocks(encoder: ReSUEncoder, clip: Clip) -> Iterator[np.ndarray]:
    """Features (n, D) float32 of a clip's frames, in order, some hundred frames at a time: those of `encode`."""
    for frames, n_past in with_past(clip.blocks(), encoder.memory - 1):
        yield encoder.encode(frames)[n_past:]


def encode_file(
    encoder: ReSUEncoder,
    clip: resu_files.PathLike | Clip,
    target: resu_files.PathLike,
    *,
    size: Sequence[int] | None = None,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Write the features (T, D) float32 of a clip to an .npy file, whole or not at all.

    size, progress   as in `fit`        Returns   T
    Raises   ValueError as `Clip` and `ReSUEncoder.encode`, or for more than one layer; OSError as
             `resu_files.write_atomically`.
    """
    if encoder.n_layers > 1:
        raise ValueError("only the first layer is encoded from clips: n_layers must be 1")
    opened = clip if isinstance(clip, Clip) else Clip(clip, size)

    def blocks() -> Iterator[np.ndarray]:
        for features in encode_blocks(encoder, opened):
            yield features
            if progress:
                progress(len(features))

    return resu_files.write_rows(target, blocks(), encoder.n_features)


# --- what can be read ---


@dataclass(frozen=True)
class _Source:
    """Pictures of one kind of clip.

    read      gives them, from the first, as the decoder has them
    n_frames  as far as known beforehand      least   fewer of them are too few      fps   frames per second, if known
    """

    read: Callable[[], Iterable[np.ndarray]]
    n_frames: int | None
    least: float
    fps: float | None = None


def _source(path: Path) -> _Source:
    if path.is_dir():
        return _folder(path)
    return {".npy": _array, ".npz": _array, ".gif": _gif}.get(path.suffix.lower(), _video)(path)


def _folder(path: Path) -> _Source:
    def key(file: Path) -> list[Any]:  # numbers by their size
        return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d+)", file.name)]

    files = sorted((file for file in path.iterdir() if file.suffix.lower() in PICTURES), key=key)

    def read() -> Iterator[np.ndarray]:
        for file in files:
            try:
                yield iio.imread(file, plugin="pillow", index=0)
            except (OSError, SyntaxError) as error:
                raise ValueError(f"{file.name} is damaged or no picture ({error})") from error

    return _Source(read, len(files), len(files))


def _gif(path: Path) -> _Source:
    n = iio.improps(path, plugin="pillow", index=...).n_images  # type: ignore[arg-type]
    milliseconds = iio.immeta(path, plugin="pillow").get("duration")
    return _Source(
        lambda: iio.imiter(path, plugin="pillow", mode="RGB"), n, n or 0, 1000 / milliseconds if milliseconds else None
    )


def _video(path: Path) -> _Source:
    @contextlib.contextmanager
    def opened() -> Iterator[tuple[Any, Any]]:
        """The file and the first of its videos."""
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError("there is no video in it")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise ValueError("FFmpeg has no decoder for it here")
            yield container, stream

    def read() -> Iterator[np.ndarray]:
        with opened() as (container, stream):
            stream.thread_type = "AUTO"
            n = 0
            try:
                for frame in container.decode(stream):
                    n += 1
                    yield frame.to_ndarray(format="rgb24")
            except av.error.InvalidDataError:  # of half a picture one thread says this, several say nothing
                if not 0 < n < least:
                    raise

    with opened() as (container, stream):
        exact, fps = stream.frames, float(stream.average_rate or 0)
        about = round((container.duration or 0) / av.time_base * fps)
    least = exact or SHORT * about - 1
    return _Source(read, exact or about or None, least, fps or None)


def _array(path: Path) -> _Source:
    @contextlib.contextmanager
    def opened() -> Iterator[tuple[BinaryIO, tuple[int, ...]]]:
        """What holds the numbers, read up to them; their shape."""
        with contextlib.ExitStack() as stack:
            if path.suffix.lower() == ".npy":
                file: Any = stack.enter_context(open(path, "rb"))
            else:
                archive = stack.enter_context(zipfile.ZipFile(path))
                file = stack.enter_context(archive.open(_member(archive)))
            yield file, _array_shape(file)

    def read() -> Iterator[np.ndarray]:
        with opened() as (file, (n, *shape)):
            for _ in range(n):
                content = file.read(int(np.prod(shape)))
                if len(content) < np.prod(shape):
                    return
                yield np.frombuffer(content, np.uint8).reshape(shape)

    with opened() as (_, (n, *_)):
        return _Source(read, n, n)


def _array_shape(file: Any) -> tuple[int, ...]:
    """Of the array that begins here. Raises ValueError if it cannot be frames."""
    shape, fortran, dtype = resu_files.read_npy_header(file)
    if dtype != np.uint8 or fortran or not (len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3, 4))):
        raise ValueError(f"expected uint8 frames (T, H, W) or (T, H, W, 3), not {dtype} of shape {shape}")
    return shape


def _member(archive: zipfile.ZipFile) -> str:
    """The array `frames`, or the only one that could be frames."""
    names = archive.namelist()
    if "frames.npy" in names:
        return "frames.npy"
    found = []
    for name in names:
        with archive.open(name) as file, contextlib.suppress(ValueError):
            _array_shape(file)
            found.append(name)
    if len(found) != 1:
        raise ValueError(f"{len(found)} of its arrays could be frames, and none is called 'frames'")
    return found[0]


def _as_picture(picture: np.ndarray) -> np.ndarray:
    """(h, w) or (h, w, 3) uint8 of what decoders give: flags, one channel, transparency."""
    if picture.dtype == bool:
        picture = picture.astype(np.uint8) * np.uint8(255)
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or not picture.size:
        raise ValueError(f"8 bits a channel are read, not pictures of {picture.dtype} and shape {picture.shape}")
    if picture.ndim == 2:
        return picture
    return picture[..., 0] if picture.shape[2] < 3 else picture[..., :3]


def _as_size(size: Sequence[int]) -> tuple[int, int]:
    if np.shape(size) != (2,):
        raise ValueError(f"size must be (height, width), not {size!r}")
    return as_count("height", size[0]), as_count("width", size[1])


def _text(shape: Sequence[int]) -> str:
    return f"{shape[0]} x {shape[1]}"
