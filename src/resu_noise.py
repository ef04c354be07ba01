"""What noise does to rectified responses, in closed form.

Every pixel of every frame gets noise of its own, of variance v. Where nothing moves, the response of filter f_k is
then Gaussian (if the noise is; nearly so as a sum over m taps) with deviation s_k = sqrt(v) |f_k|, and rectified. With
rho the correlation of two responses (of ON and OFF of one filter -1) and theta = arccos rho (Cho and Saul 2009, the
kernel of order 1)

    mean        s_k / sqrt(2 pi)
    second      s_k s_l (sin theta + (pi - theta) rho) / (2 pi)

A cell that averages over n pixels keeps the mean and has 1 / n of the covariance. Where something moves strongly the
rectifier is passed and the mean stays as it was: there the closed form is an upper bound.

So a feature of mean mu and variance v without noise can be told from the noisy one x, by least squares (the Wiener
filter of one number; d, w mean and variance of its noise):   mu + v / (v + w) (x - d - mu).   It needs nothing of the
noisy game but the variance of its pixels, and of the old one two numbers a feature.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from resu_conv import ReSUEncoder


class RectifiedNoise(NamedTuple):
    """Of the 2K rectified responses to noise alone, ON first."""

    mean: np.ndarray  # (2K,)
    covariance: np.ndarray  # (2K, 2K)


def rectified_noise(filters: np.ndarray, variance: float) -> RectifiedNoise:
    """Mean and covariance of relu(f x) and relu(-f x) for white noise x.

    filters    (K, m), none of them 0      variance   of each pixel and frame, at least 0  [grey values^2]
    Raises     ValueError if they are out of range.

    >>> found = rectified_noise(np.array([[3.0, 4.0]]), 4.0)          # deviation 2 x 5
    >>> found.mean.round(3)
    array([3.989, 3.989])
    >>> found.covariance.round(3)                                     # ON and OFF are never there at once
    array([[ 34.085, -15.915],
           [-15.915,  34.085]])
    """
    filters = np.asarray(filters, np.float64)
    if filters.ndim != 2 or not np.isfinite(filters).all() or not np.abs(filters).max(axis=1, initial=0).all():
        raise ValueError("filters must be (K, m), finite, and none of them 0")
    if not (np.isfinite(variance) and variance >= 0):
        raise ValueError(f"the variance of noise must be at least 0, not {variance}")
    both = np.concatenate([filters, -filters])
    unit = both / np.linalg.norm(both, axis=1, keepdims=True)
    size = np.sqrt(variance) * np.linalg.norm(both, axis=1)
    rho = np.clip(unit @ unit.T, -1.0, 1.0)
    theta = np.arccos(rho)
    mean = size / np.sqrt(2 * np.pi)
    second = np.outer(size, size) * (np.sin(theta) + (np.pi - theta) * rho) / (2 * np.pi)
    return RectifiedNoise(mean, second - np.outer(mean, mean))


def wiener(encoder: ReSUEncoder, mean: np.ndarray, variance: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """How clean features are estimated from noisy ones: scale * features + offset.

    encoder          of one layer
    mean, variance   (D,) of its features without noise
    noise            variance of the noise of each pixel and frame  [grey values^2]
    Returns          scale (D,), in 0 .. 1, and offset (D,)
    Raises           ValueError if the encoder has more layers, or a number is out of range.

    >>> frames = np.random.default_rng(0).integers(0, 9, (300, 12, 10)).cumsum(axis=0).astype(np.uint8)
    >>> encoder = ReSUEncoder(memory=4, horizon=2, n_units=2, grid=(3, 2)).fit([frames])
    >>> clean = encoder.encode(frames)
    >>> scale, offset = wiener(encoder, clean.mean(axis=0), clean.var(axis=0), 0.0)
    >>> bool((scale == 1).all() and (offset == 0).all())
    True
    """
    mean, variance = np.asarray(mean, np.float64), np.asarray(variance, np.float64)
    size = (encoder.n_features,)
    if mean.shape != size or variance.shape != size or not (variance >= 0).all() or not np.isfinite(mean).all():
        raise ValueError(f"mean and variance must be of {size} features, finite, and no variance below 0")
    found, pixels = rectified_noise(encoder.filters_, noise), _pixels(encoder)
    added = np.repeat(found.mean, len(pixels))
    spread = (np.diag(found.covariance)[:, None] / pixels).ravel()
    scale = np.divide(variance, variance + spread, out=np.ones(size), where=variance + spread > 0)
    return scale, mean - scale * (mean + added)


def _pixels(encoder: ReSUEncoder) -> np.ndarray:
    """(C,) how many each cell has. Raises ValueError for an encoder of more than one layer."""
    if encoder.n_layers != 1:
        raise ValueError("the closed form is that of the first layer: n_layers must be 1")
    return np.bincount(encoder.layers_.first.bank.cell_of)


def noisy_features(features: np.ndarray, encoder: ReSUEncoder, variance: float, seed: int) -> np.ndarray:
    """Features as noisy frames would give them: those of clean ones, with the noise of every cell drawn and added.

    features   (N, D) float32 of clean frames under the encoder, which has one layer      seed   of the draw
    Returns    (N, D) float32; cells are independent of each other, and Gaussian
    Raises     ValueError if the features are not the encoder's, it has more layers, or the variance is out of range.

    >>> frames = np.random.default_rng(0).integers(0, 9, (300, 12, 10)).cumsum(axis=0).astype(np.uint8)
    >>> encoder = ReSUEncoder(memory=4, horizon=2, n_units=2, grid=(3, 2)).fit([frames])
    >>> clean = encoder.encode(frames)
    >>> bool((noisy_features(clean, encoder, 0.0, 0) == clean).all())
    True
    """
    pixels = _pixels(encoder)
    if features.ndim != 2 or features.shape[1] != encoder.n_features:
        raise ValueError(f"expected features (N, {encoder.n_features}), not {features.shape}")
    mean, covariance = rectified_noise(encoder.filters_, variance)
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))).astype(np.float32)
    drawn = np.random.default_rng(seed).standard_normal((len(features), len(pixels), len(mean)), np.float32)
    noise = drawn @ root.T / np.sqrt(pixels, dtype=np.float32)[:, None] + mean.astype(np.float32)
    return features + noise.transpose(0, 2, 1).reshape(features.shape)
