"""Brightness and contrast in closed form: the encoder that sees a x + b as the old one saw x.

Let every pixel x of every frame become y = a x + b, the same a and b everywhere; an inversion is a = -1, b = 255. The
responses of layer 1 are sums over taps f_j of f_j (x_j - mean). With

    f' = f / a,     mean' = a mean + b:     f'_j (y_j - mean') = f_j (x_j - mean)

every response stays what it was, ON stays ON, and layers above and heads go on reading the same numbers, up to the
rounding of taps and grey values. Only means are needed to find a and b: by least squares over the pixels p of a mean
picture M of the new frames,

    a = cov_p(mean, M) / var_p(mean),     b = avg_p(M) - a avg_p(mean),
    residual = avg_p (M - a mean - b)^2 / var_p(M),

0 where one line explains the whole picture, 1 where it explains nothing. What is not photometric (noise, another game)
leaves a large residual, or changes no mean and is not seen at all.

What changes from frame to frame, or bends the grey scale, no filter can take back: `ToneMap` gives each frame its old
grey values again before it is encoded. How noisy frames are, `noise_variance` says; what noise does to a code,
resu_noise.py.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np

from resu_checks import as_count
from resu_conv import ReSUEncoder
from resu_layers import as_episode

LEVEL_SHARE = 0.01  # of all pixels: a grey value that fewer of them have is no level
TABLES_KEPT = 1024  # of a tone map
FAR = 4.0  # steps beyond it are no noise  [deviations, from the median of sizes as in a normal distribution]
LEAST_GAIN = 0.02  # |a| below it: taps would grow more than fifty times, and rounding to grey values with them


class Photometry(NamedTuple):
    """What `photometric` found: M ~ gain mean + offset."""

    encoder: ReSUEncoder
    gain: float  # a  [1]
    offset: float  # b  [grey values]
    residual: float  # share of the picture's variance that is left  [1]


def photometric(encoder: ReSUEncoder, mean_picture: np.ndarray, reference: np.ndarray | None = None) -> Photometry:
    """The encoder for frames that became brighter, darker, flatter or inverted.

    encoder       fitted, with `center`; it stays as it is. Layers above the first are kept.
    mean_picture  (H, W), mean of the new frames [grey values], as from `MeanPicture`
    reference     (H, W), mean of old frames to compare it with, if the encoder's own mean does not show the same scene
                  (a wall half gone, another level)  [grey values]; the encoder's mean is mapped like all the rest
    Returns       the new encoder (its correlations_ are NaN, its means clipped to 0 .. 255), gain, offset, residual
    Raises        ValueError if the encoder is not fitted or not centred, a picture is of another size, not finite or
                  the same everywhere, or |gain| is below LEAST_GAIN.

    >>> rng = np.random.default_rng(0)
    >>> frames = rng.integers(0, 9, (300, 12, 10)).cumsum(axis=0) % 251
    >>> frames = (frames * np.linspace(0.2, 1, 10)).astype(np.uint8)
    >>> old = ReSUEncoder(memory=4, horizon=2, n_units=2, grid=(3, 2)).fit([frames])
    >>> new, gain, offset, residual = photometric(old, 255 - old.mean_)
    >>> round(gain, 6), round(offset, 6), round(residual, 6)
    (-1.0, 255.0, 0.0)
    >>> bool(np.allclose(new.encode(255 - frames), old.encode(frames), atol=1e-5))
    True
    >>> seen = photometric(old, MeanPicture().add(255 - frames[:200]).mean)  # from fewer frames: about the same
    >>> round(seen.gain, 1), seen.residual < 0.1
    (-1.0, True)
    """
    mean = encoder.layers_.first.mean
    if not encoder.center:
        raise ValueError("an encoder without center has no mean picture to compare with: fit one with center=True")
    seen, old = (np.asarray(mean_picture, np.float64), mean if reference is None else np.asarray(reference))
    for name, picture in (("mean picture", seen), ("reference" if reference is not None else "encoder's mean", old)):
        if picture.shape != mean.shape or not np.isfinite(picture).all():
            raise ValueError(f"the {name} must be finite and of shape {mean.shape}, not of {picture.shape}")
        if np.ptp(picture) < 1e-9:
            raise ValueError(f"the {name} is the same everywhere: neither gain nor offset can be told from it")
    x, y = old - old.mean(), seen - seen.mean()
    gain = float((x * y).sum() / (x * x).sum())
    if abs(gain) < LEAST_GAIN:
        raise ValueError(f"the gain is {gain:.3g}: below {LEAST_GAIN} nothing of the old picture is left to be mapped")
    offset = float(seen.mean() - gain * old.mean())
    residual = float(np.square(y - gain * x).sum() / np.square(y).sum())
    found = copy.copy(encoder).with_filters(encoder.filters_ / gain, np.clip(gain * mean + offset, 0.0, 255.0))
    return Photometry(found, gain, offset, residual)


class MeanPicture:
    """The running mean of the first frames that come; exact, whatever the blocks.

    most   frames that count: those after them are left out; None for all
    n      frames that were counted
    Raises ValueError if most is no whole number of at least 1.

    >>> picture = MeanPicture(most=2)
    >>> for value in (10, 20, 90):
    ...     picture = picture.add(np.full((1, 2), value, np.uint8))
    >>> picture.n, picture.full, picture.mean
    (2, True, array([[15., 15.]]))
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = None if most is None else as_count("most", most)
        self.n = 0
        self._sum: np.ndarray | None = None

    @property
    def full(self) -> bool:
        """Whether all frames that count have come."""
        return self.n == self.most

    @property
    def mean(self) -> np.ndarray:
        """(H, W) float64 [grey values]. Raises ValueError before the first frame."""
        if self._sum is None:
            raise ValueError("no frames yet: call add first")
        return self._sum / self.n

    def add(self, frames: np.ndarray) -> Self:
        """Count a frame (H, W) or frames (T, H, W), uint8.

        Raises   ValueError if they are of another dtype or size than those before.
        """
        frames = as_episode(frames[None] if np.ndim(frames) == 2 else frames)
        if self._sum is not None and frames.shape[1:] != self._sum.shape:
            raise ValueError(f"frames are {frames.shape[1:]} pixels, those before {self._sum.shape}")
        frames = frames if self.most is None else frames[: self.most - self.n]
        if len(frames):
            added = frames.sum(axis=0, dtype=np.int64)
            self._sum = added if self._sum is None else self._sum + added
            self.n += len(frames)
        return self


class ToneMap:
    """The grey scale of single frames, read off what stands still: any curve of grey values, another in each frame.

    The levels of a picture of before are the grey values g that at least a hundredth of its pixels have. In a new
    frame the median of those pixels says what has become of g; between levels the curve is a straight line, beyond the
    first and last one it goes on with the slope of the line through all of them. A grey value becomes the one that the
    curve brings closest to it. Where most pixels of some level move or are noisy the curve is wrong.

    reference   (H, W) picture of before: the median of some frames, pixel by pixel  [grey values]
    levels      (L,) int64, the grey values g, rising
    Raises      ValueError if the picture is no finite one of 0 .. 255, or has fewer than two levels.

    >>> picture = np.repeat([[0, 100, 200]], 4, axis=0)
    >>> frame = picture.astype(np.uint8)
    >>> frame[1, 1] = 150                                         # something that moves
    >>> seen = 255 - frame // 2
    >>> ToneMap(picture).restored(seen)[1]
    array([  0, 150, 200], dtype=uint8)
    """

    def __init__(self, reference: np.ndarray) -> None:
        picture = np.asarray(reference)
        if picture.ndim != 2 or not np.isfinite(picture).all() or picture.min() < 0 or picture.max() > 255:
            raise ValueError(f"the reference must be a picture (H, W) of 0 .. 255, not of shape {picture.shape}")
        grey = np.rint(picture).astype(np.int64).ravel()
        counts = np.bincount(grey, minlength=256)
        self.levels = np.flatnonzero(counts >= LEVEL_SHARE * grey.size)
        if len(self.levels) < 2:
            raise ValueError(f"a tone map needs two grey values that stand still, the reference has {len(self.levels)}")
        self._shape, self._weights = picture.shape, counts[self.levels]
        rank = np.full(256, -1)
        rank[self.levels] = np.arange(len(self.levels))
        self._where = np.flatnonzero(rank[grey] >= 0)
        self._first = 256 * rank[grey[self._where]]  # where the histogram of a pixel's level begins
        self._tables: dict[bytes, np.ndarray] = {}

    def now(self, frame: np.ndarray) -> np.ndarray:
        """(L,) int64: what has become of each level in a frame (H, W) uint8, the (lower) median of its pixels.

        Raises   ValueError for a frame of another size or dtype.
        """
        if frame.dtype != np.uint8 or frame.shape != self._shape:
            raise ValueError(f"frames must be uint8 of shape {self._shape}, not {frame.dtype} of {frame.shape}")
        seen = np.bincount(self._first + frame.ravel()[self._where], minlength=256 * len(self.levels))
        below = seen.reshape(-1, 256).cumsum(axis=1)
        return (2 * below >= self._weights[:, None]).argmax(axis=1)

    def table(self, frame: np.ndarray, noise: float = 0.0) -> np.ndarray:
        """(256,) uint8: which grey value of before stands for each of this frame.

        noise   variance of every pixel  [grey values^2]: a level whose median has moved by less than three of its
                standard errors counts as unmoved
        """
        now = self.now(frame)
        if noise:
            error = np.sqrt(3 * noise / self._weights)  # of the median of uniform values; that of Gaussian ones is less
            now = np.where(np.abs(now - self.levels) <= 3 * error, self.levels, now)
        key = now.tobytes()
        if key not in self._tables:
            if len(self._tables) == TABLES_KEPT:
                self._tables.clear()
            curve = self._curve(now)
            self._tables[key] = np.abs(curve - np.arange(256)[:, None]).argmin(axis=1).astype(np.uint8)
        return self._tables[key]

    def restored(self, frame: np.ndarray, noise: float = 0.0) -> np.ndarray:
        """The frame in the grey values of before: (H, W) uint8, a fresh array; noise as `table` takes it."""
        return self.table(frame, noise)[frame]

    def _curve(self, now: np.ndarray) -> np.ndarray:
        """(256,) what has become of every grey value."""
        x, w = self.levels, self._weights / self._weights.sum()
        apart = x - w @ x
        slope = (w * apart) @ now / ((w * apart) @ apart)
        ends = now[0] - 256 * slope, now[-1] + 256 * slope
        return np.interp(np.arange(256), [x[0] - 256, *x, x[-1] + 256], [ends[0], *now, ends[1]])


def noise_variance(frames: np.ndarray) -> float:
    """Variance of what is drawn anew in every frame and pixel [grey values^2]: half the mean square of the steps from
    each frame to the next, without those beyond `FAR` robust deviations (what moves). Noise that leaves half of all
    values as they were is none.

    frames   (T, H, W) uint8 that follow each other, T at least 2
    Raises   ValueError for another shape or dtype, or fewer frames.

    >>> rng = np.random.default_rng(0)
    >>> still = np.full((500, 9, 9), 100, np.uint8)
    >>> noise_variance(still), round(noise_variance(still + rng.integers(0, 13, still.shape, np.uint8)))
    (0.0, 14)
    """
    frames = as_episode(frames)
    if len(frames) < 2:
        raise ValueError("noise is seen from one frame to the next: give two at least")
    count = np.zeros(256, np.int64)
    for before, after in pairwise(frames):
        step = np.maximum(before, after) - np.minimum(before, after)
        count += np.bincount(step.ravel(), minlength=256)
    size = np.arange(256)
    middle = int((2 * count.cumsum() >= count.sum()).argmax())
    near = size <= FAR * 1.4826 * middle
    return float(size[near] ** 2 @ count[near] / count[near].sum()) / 2
