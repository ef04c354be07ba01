"""Disturbances of frames: what each does, and what all of them keep."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from game_shifts import MOST, NAMES, PHOTOMETRIC, Shift
from screens import screens

FRAMES = screens(np.random.default_rng(0), 6, (9, 7), 0.3)
shifts = st.builds(
    lambda name, share, seed: Shift(name, float(round(share)) if name == "inversion" else share * MOST[name], seed),
    st.sampled_from(NAMES), st.floats(0, 1), st.integers(0, 2**31),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(shifts, st.integers(0, 5000))
def test_shape_dtype_and_bytes_are_kept(shift, t):
    before = FRAMES.copy()
    out = shift.apply(FRAMES, t)
    assert out.shape == FRAMES.shape and out.dtype == np.uint8 and out is not FRAMES
    assert np.array_equal(out, Shift(shift.name, shift.strength, shift.seed).apply(FRAMES, t))
    assert np.array_equal(out[2], shift.apply(FRAMES[2], t + 2)), "a frame by itself is what it is among others"
    assert np.array_equal(FRAMES, before)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 99), st.integers(0, 5000))
def test_strength_0_changes_nothing(name, seed, t):
    assert np.array_equal(Shift(name, 0, seed).apply(FRAMES, t), FRAMES)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.integers(0, 2**31), st.integers(0, 10_000))
def test_a_drift_keeps_the_order_of_grey_values_and_begins_at_none(strength, seed, t):
    shift = Shift("palette drift", strength, seed)
    assert (np.diff(shift.table(t).astype(int)) >= 0).all()
    assert np.array_equal(shift.table(0), np.arange(256))
    step = np.abs(shift.table(t + 1).astype(int) - shift.table(t))
    assert step.max() <= 6, "it is smooth"


def test_each_does_what_it_says():
    x = np.arange(256, dtype=np.uint8)[None]
    assert np.array_equal(Shift("inversion").apply(Shift("inversion").apply(x)), x)
    assert Shift("inversion").apply(x)[0, 7] == 248
    assert Shift("contrast").apply(x)[0].tolist() == np.rint(x[0] / 2).tolist()
    assert Shift("offset").apply(x)[0, [0, 100, 255]].tolist() == [80, 140, 233]
    flicker = Shift("flicker").apply(np.stack([x, x, x, x]))
    assert np.array_equal(flicker[0], x) and np.array_equal(flicker[2], x)
    assert np.array_equal(flicker[1], flicker[3]) and flicker[1, 0, 200] == 100
    drift = Shift("palette drift", seed=3)
    assert np.abs(drift.table(300).astype(int) - np.arange(256)).max() > 20


def test_noise_is_uniform_clipped_and_another_in_each_frame():
    grey = np.full((200, 200), 128, np.uint8)
    noise = Shift("noise", seed=5)
    one = noise.apply(grey, 3).astype(int) - 128
    assert one.min() == -25 and one.max() == 25 and abs(one.mean()) < 0.5
    counts = np.bincount((one + 25).ravel())
    assert counts.std() < 0.1 * counts.mean()
    assert not np.array_equal(noise.apply(grey, 4), noise.apply(grey, 3))
    assert not np.array_equal(Shift("noise", seed=6).apply(grey, 3), noise.apply(grey, 3))
    assert noise.apply(np.zeros((20, 20), np.uint8)).max() == 25, "clipped at 0, not wrapped"


def test_photometric_ones_are_lines_and_others_are_not():
    """Negative control included: rounding apart, three are a x + b."""
    x = np.arange(256.0)
    for name in NAMES:
        if name == "noise":
            continue
        table = Shift(name).table(301)
        rest = np.abs(table - np.polyval(np.polyfit(x, table, 1), x)).max()
        assert rest < 0.6 if name in (*PHOTOMETRIC, "flicker") else rest > 2, name


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Shift("fog"), "no disturbance 'fog': choose one of contrast, offset, inversion"),
        (lambda: Shift("contrast", 1.5), "strength of contrast must be a number from 0 to 1, not 1.5"),
        (lambda: Shift("noise", float("nan")), "strength of noise must be a number from 0 to 2, not nan"),
        (lambda: Shift("inversion", 0.5), "its strength must be 0 or 1, not 0.5"),
        (lambda: Shift("noise", 1, -1), "seed must be at least 0"),
        (lambda: Shift("noise").apply(FRAMES.astype(float)), "frames must be uint8"),
        (lambda: Shift("noise").apply(FRAMES[0, 0]), "frames must be uint8"),
        (lambda: Shift("noise").apply(FRAMES, -1), "must be at least 0, not -1"),
        (lambda: Shift("noise").table(), "no table"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(make, words):
    with pytest.raises(ValueError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)
