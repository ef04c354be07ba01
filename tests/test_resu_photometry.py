"""Brightness and contrast in closed form: the mapped encoder sees a x + b as the old one saw x."""

import numpy as np
import pytest

from encoders import UPPER, fitted
from game_shifts import Shift
from resu_conv import ReSUEncoder
from resu_photometry import MeanPicture, photometric


def even_frames(**options) -> tuple[ReSUEncoder, np.ndarray]:
    """Frames of even grey values, of pixels that differ in their means; half of them is exact."""
    _, frames = fitted(moving=0.1, n_frames=300)
    frames = ((frames // 4 + np.arange(120).reshape(12, 10)) // 2 * 2).astype(np.uint8)
    return ReSUEncoder(grid=(3, 4), **options).fit([frames]), frames


@pytest.mark.parametrize(("gain", "offset"), [(-1, 255), (0.5, 0), (1, 40), (0.5, 80), (-0.5, 200)])
@pytest.mark.parametrize("options", [{}, {"n_layers": 2, **UPPER}], ids=["one layer", "two layers"])
def test_what_it_sees_is_what_the_old_one_saw(gain, offset, options):
    old, frames = even_frames(**options)
    moved = gain * frames.astype(float) + offset
    assert np.array_equal(moved, np.rint(moved)) and moved.min() >= 0 and moved.max() <= 255
    found = photometric(old, gain * old.mean_ + offset)
    assert found.gain == pytest.approx(gain, abs=1e-12) and found.offset == pytest.approx(offset, abs=1e-9)
    assert found.residual < 1e-20
    expected = old.encode(frames)
    assert np.abs(found.encoder.encode(moved.astype(np.uint8)) - expected).max() < 1e-4 * expected.max()
    assert np.abs(old.encode(moved.astype(np.uint8)) - expected).max() > 0.1 * expected.max(), "negative control"


def test_an_inversion_is_exact_to_a_rounding():
    """The taps of an inversion are the old ones with the other sign: only the means are rounded anew."""
    old, frames = even_frames()
    new = photometric(old, 255 - old.mean_).encoder
    assert np.allclose(new.filters_, -old.filters_, rtol=1e-12) and np.allclose(new.mean_, 255 - old.mean_)
    assert np.abs(new.encode(255 - frames) - old.encode(frames)).max() < 1e-6


def test_the_mean_of_some_frames_is_enough():
    old, frames = even_frames()
    seen = Shift("offset").apply(frames)
    found = photometric(old, MeanPicture().add(seen).mean)
    assert found.gain == pytest.approx(0.6, abs=0.02) and found.offset == pytest.approx(80, abs=2)
    exact = old.encode(frames)
    assert np.abs(found.encoder.encode(seen) - exact).mean() < 0.2 * np.abs(old.encode(seen) - exact).mean()


def test_a_reference_of_the_same_scene_tells_gain_and_offset_where_the_scene_has_changed():
    old, frames = even_frames()
    scene = frames[200:].mean(axis=0)
    scene[:4] = 250  # a wall that was not there
    apart, close = photometric(old, 0.5 * scene + 60), photometric(old, 0.5 * scene + 60, scene)
    assert close.gain == pytest.approx(0.5) and close.offset == pytest.approx(60) and close.residual < 1e-12
    assert abs(apart.gain - 0.5) > 0.1 and apart.residual > 0.1
    assert np.allclose(close.encoder.mean_, 0.5 * old.mean_ + 60), "it is the encoder's mean that is mapped"


def test_what_is_not_photometric_leaves_a_residual_or_is_not_seen():
    """Negative controls: a picture of noise; and noise that leaves the mean as it was."""
    old, frames = even_frames()
    noise = np.random.default_rng(1).uniform(0, 255, old.mean_.shape)
    try:
        found = photometric(old, noise)
        assert found.residual > 0.8
    except ValueError as error:
        assert "gain" in str(error)
    rough = Shift("noise").apply(frames)
    found = photometric(old, MeanPicture().add(rough).mean)
    assert found.gain == pytest.approx(1, abs=0.05) and found.residual < 0.05
    before = np.abs(old.encode(rough) - old.encode(frames)).mean()
    assert np.abs(found.encoder.encode(rough) - old.encode(frames)).mean() > 0.8 * before


def test_the_old_encoder_stays_as_it_is():
    old, frames = even_frames()
    before = old.encode(frames)
    new = photometric(old, 255 - old.mean_).encoder
    assert np.array_equal(old.encode(frames), before) and np.isnan(new.correlations_).all()
    assert new.options == old.options


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (np.full((12, 10), 7.0), "mean picture is the same everywhere"),
        (np.zeros((10, 12)), r"of shape \(12, 10\), not of \(10, 12\)"),
        (np.full((12, 10), np.nan), "must be finite"),
        ("faint", "the gain is 0.01: below 0.02"),
    ],
)
def test_pictures_that_tell_nothing_are_refused(picture, words):
    old, _ = even_frames()
    with pytest.raises(ValueError, match=words):
        photometric(old, 0.01 * old.mean_ + 100 if isinstance(picture, str) else picture)


def test_encoders_that_have_no_mean_are_refused():
    old, frames = even_frames()
    with pytest.raises(ValueError, match="without center"):
        photometric(ReSUEncoder(grid=(3, 4), center=False).fit([frames]), old.mean_)
    flat = ReSUEncoder(grid=(3, 4)).with_filters(old.filters_, np.full((12, 10), 9.0))
    with pytest.raises(ValueError, match="encoder's mean is the same everywhere"):
        photometric(flat, old.mean_)
    with pytest.raises(ValueError, match="not fitted"):
        photometric(ReSUEncoder(), old.mean_)


def test_a_mean_picture_does_not_depend_on_blocks_and_stops_when_it_is_full():
    _, frames = even_frames()
    whole, parts = MeanPicture().add(frames), MeanPicture()
    for begin, end in ((0, 1), (1, 100), (100, 300)):
        parts.add(frames[begin:end])
    assert np.array_equal(whole.mean, parts.mean) and parts.n == 300 and not parts.full
    first = MeanPicture(most=50).add(frames[:40]).add(frames[40:]).add(frames[0])
    assert first.full and first.n == 50 and np.array_equal(first.mean, frames[:50].mean(axis=0))
    with pytest.raises(ValueError, match="no frames yet"):
        _ = MeanPicture().mean
    with pytest.raises(ValueError, match="most must be an integer"):
        MeanPicture(0)
    with pytest.raises(ValueError, match="those before"):
        whole.add(np.zeros((3, 3), np.uint8))
