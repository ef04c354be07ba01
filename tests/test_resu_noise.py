"""Noise in rectified responses: closed forms against noisy frames, and what the Wiener estimate is worth."""

import numpy as np
import pytest

from encoders import UPPER, fitted
from resu_conv import ReSUEncoder
from resu_noise import noisy_features, rectified_noise, wiener

VARIANCE = 36.0 + 1 / 12  # of `noisy`: rounding adds a twelfth


def still(n: int, shape=(12, 10)) -> np.ndarray:
    """The same picture again and again, far enough from black and white."""
    return np.repeat(np.random.default_rng(3).integers(60, 190, (1, *shape), np.uint8), n, axis=0)


def noisy(frames: np.ndarray, seed=0) -> np.ndarray:
    """Gaussian noise of deviation 6, anew in every pixel and frame."""
    added = np.random.default_rng(seed).normal(0, 6, frames.shape)
    return np.clip(np.rint(frames + added), 0, 255).astype(np.uint8)


def about_the_picture(seed=0, shape=(12, 10), grid=(3, 4)) -> ReSUEncoder:
    """Filters of some frames about the means of the still picture: without noise no feature is there."""
    encoder, _ = fitted(shape, grid, seed=seed)
    return encoder.with_filters(encoder.filters_, still(1, shape)[0].astype(float))


def test_the_closed_form_is_that_of_noisy_frames():
    """Independent reference: frames with noise, encoded."""
    encoder = about_the_picture(grid=(3, 5))
    seen = encoder.encode(noisy(still(60_000)))[encoder.memory :].astype(np.float64)
    found = rectified_noise(encoder.filters_, VARIANCE)
    n = len(found.mean)
    maps = seen.reshape(len(seen), n, -1)  # features are ordered (map, row, column)
    assert np.allclose(maps.mean(axis=0), found.mean[:, None], rtol=0.02)
    pixels = 12 * 10 / maps.shape[2]  # all cells have the same
    for cell in range(maps.shape[2]):
        covariance = np.cov(maps[..., cell].T) * pixels
        assert np.allclose(covariance, found.covariance, atol=0.06 * found.covariance.max())


def test_drawn_noise_is_that_of_noisy_frames_in_cells_of_unequal_size():
    encoder = about_the_picture(shape=(11, 10), grid=(3, 4))
    seen = encoder.encode(noisy(still(20_000, (11, 10))))[encoder.memory :]
    drawn = noisy_features(np.zeros_like(seen), encoder, VARIANCE, 0)
    assert np.allclose(drawn.mean(axis=0), seen.mean(axis=0), rtol=0.03)
    assert np.allclose(drawn.std(axis=0), seen.std(axis=0), rtol=0.06)
    sizes = seen.std(axis=0).reshape(-1, 12)[0]
    assert sizes.max() > 1.2 * sizes.min(), "cells do differ"
    assert np.array_equal(drawn[:9], noisy_features(np.zeros_like(seen), encoder, VARIANCE, 0)[:9])
    assert not np.array_equal(drawn, noisy_features(np.zeros_like(seen), encoder, VARIANCE, 1))


def test_the_wiener_estimate_is_closer_to_the_clean_features_than_any_other_line():
    encoder, frames = fitted(moving=0.02, n_frames=4000)
    frames = np.clip(frames, 40, 215)
    clean = encoder.encode(frames).astype(np.float64)
    seen = encoder.encode(noisy(frames)).astype(np.float64)
    mean, variance = clean.mean(axis=0), clean.var(axis=0)

    def left(scale, offset):
        return np.square(scale * seen + offset - clean).mean()

    scale, offset = wiener(encoder, mean, variance, VARIANCE)
    assert (scale > 0).all() and (scale < 1).all()
    best = left(scale, offset)
    added = np.repeat(rectified_noise(encoder.filters_, VARIANCE).mean, 12)
    standard = np.sqrt(scale)
    assert best < 0.95 * left(1.0, 0.0), "as it comes"
    assert best < left(1.0, -added), "without the mean"
    assert best < left(standard, mean - standard * (mean + added)), "as batch normalisation has it"


def test_without_noise_nothing_changes():
    encoder, frames = fitted()
    clean = encoder.encode(frames)
    scale, offset = wiener(encoder, clean.mean(axis=0), np.zeros(encoder.n_features), 0.0)
    assert (scale == 1).all() and (offset == 0).all()
    assert np.array_equal(noisy_features(clean, encoder, 0.0, 0), clean)


def test_what_cannot_be_is_refused():
    encoder, frames = fitted()
    clean = encoder.encode(frames)
    for filters in (np.zeros((2, 4)), np.full((2, 4), np.nan), np.ones(4)):
        with pytest.raises(ValueError, match="none of them 0"):
            rectified_noise(filters, 1.0)
    for variance in (-1.0, np.nan):
        with pytest.raises(ValueError, match="must be at least 0"):
            rectified_noise(encoder.filters_, variance)
    with pytest.raises(ValueError, match="expected features"):
        noisy_features(clean[:, 1:], encoder, 1.0, 0)
    with pytest.raises(ValueError, match="no variance below 0"):
        wiener(encoder, clean.mean(axis=0), -clean.var(axis=0), 1.0)
    deep, _ = fitted(n_layers=2, **UPPER)
    with pytest.raises(ValueError, match="n_layers must be 1"):
        wiener(deep, clean.mean(axis=0), clean.var(axis=0), 1.0)
