"""Tone maps: frames get their old grey values again, whatever curve took them, while most of a picture stands still."""

import numpy as np
import pytest

from game_shifts import Shift
from resu_photometry import ToneMap, noise_variance

LEVELS = (30, 90, 150, 220)


def scene(n=40, shape=(20, 24)) -> np.ndarray:
    """Four grey bands and a block that moves across them."""
    frames = np.repeat(np.repeat(np.array(LEVELS, np.uint8), 6)[None, None], shape[0], axis=1).repeat(n, axis=0)
    for t in range(n):
        frames[t, 4 + t % 12 : 7 + t % 12, t % 20 : t % 20 + 3] = 190
    return frames


@pytest.mark.parametrize("shift", [Shift("inversion"), Shift("contrast", 0.0)], ids=lambda shift: shift.name)
def test_what_loses_nothing_is_taken_back_exactly(shift):
    frames = scene()
    tone = ToneMap(np.median(frames, axis=0))
    assert tone.levels.tolist() == list(LEVELS)
    for t, frame in enumerate(frames):
        assert np.array_equal(tone.restored(shift.apply(frame, t)), frame)


@pytest.mark.parametrize("name", ["contrast", "offset", "palette drift", "flicker"])
def test_every_curve_is_taken_back_up_to_rounding(name):
    """Levels come back exactly; what lies between them within what the bend and the rounding leave open."""
    frames, shift = scene(600), Shift(name, seed=4)
    tone = ToneMap(np.median(frames[:40], axis=0))
    seen = shift.apply(frames)
    found = np.stack([tone.restored(frame) for frame in seen])
    bands = np.isin(frames, LEVELS)
    assert np.array_equal(found[bands], frames[bands])
    apart = np.abs(found.astype(int) - frames)[~bands]
    assert apart.max() <= (12 if name == "palette drift" else 3)
    before = np.abs(seen.astype(int) - frames)[~bands]
    assert apart.mean() < 0.2 * before.mean(), "negative control"


def test_noise_moves_no_level_where_it_is_expected():
    frames = Shift("noise", seed=1).apply(scene())
    tone, variance = ToneMap(np.median(scene(), axis=0)), (51**2 - 1) / 12
    kept = [np.array_equal(tone.restored(frame, variance), frame) for frame in frames]
    bent = [np.array_equal(tone.restored(frame), frame) for frame in frames]
    assert np.mean(kept) > 0.9 and np.mean(bent) < 0.1
    darker = Shift("contrast").apply(frames[0])
    assert abs(np.median(tone.restored(darker, variance)[:, 12:18].astype(float)) - 150) < 12, "a real change is seen"


def test_medians_are_those_of_numpy():
    rng = np.random.default_rng(0)
    picture = rng.choice(np.array(LEVELS), (15, 17), p=(0.4, 0.3, 0.2, 0.1))
    tone, frame = ToneMap(picture), rng.integers(0, 256, (15, 17), np.uint8)
    expected = [np.sort(frame[picture == level])[(np.sum(picture == level) - 1) // 2] for level in LEVELS]
    assert tone.now(frame).tolist() == expected


def test_tables_that_were_kept_are_those_that_are_made():
    frames = Shift("palette drift", seed=2).apply(scene(300))
    one = ToneMap(np.median(scene(), axis=0))
    for frame in frames:
        fresh = ToneMap(np.median(scene(), axis=0))
        assert np.array_equal(one.table(frame), fresh.table(frame))


def test_pictures_and_frames_that_tell_nothing_are_refused():
    with pytest.raises(ValueError, match="two grey values that stand still, the reference has 1"):
        ToneMap(np.full((9, 9), 7.0))
    for picture in (np.zeros(9), np.full((9, 9), np.nan), np.full((9, 9), 300.0)):
        with pytest.raises(ValueError, match="must be a picture"):
            ToneMap(picture)
    tone = ToneMap(np.median(scene(), axis=0))
    for frame in (np.zeros((9, 9), np.uint8), np.zeros((20, 24))):
        with pytest.raises(ValueError, match="frames must be uint8 of shape"):
            tone.restored(frame)


def test_the_variance_of_noise_is_found_beside_what_moves():
    for strength, reach in ((0.2, 5), (1.0, 25)):
        frames = Shift("noise", strength, seed=3).apply(scene(200))
        variance = ((2 * reach + 1) ** 2 - 1) / 12
        assert noise_variance(np.clip(frames, 0, 255)) == pytest.approx(variance, rel=0.15)
    assert noise_variance(scene(50)) == 0.0
    with pytest.raises(ValueError, match="give two at least"):
        noise_variance(scene(1))
