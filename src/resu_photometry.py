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
"""

from __future__ import annotations

import copy
from typing import NamedTuple, Self

import numpy as np

from resu_checks import as_count
from resu_conv import ReSUEncoder
from resu_layers import as_episode

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
