"""The parts of a session: keys, eyes, adaptation, the names of filters."""

import numpy as np
import pytest

from encoders import fitted
from live_eyes import Adaptation
from watch_agents import Moment
from watch_eyes import Eye, filter_name
from watch_film import maps_of
from watch_players import pressed


@pytest.mark.parametrize(
    ("keys", "names", "action"),
    [
        ((), ("NOOP", "FIRE"), "NOOP"),
        (("UP",), ("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE"), "RIGHT"),
        (("DOWN", "FIRE"), ("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE"), "LEFTFIRE"),
        (("UP", "LEFT"), ("NOOP", "FIRE", "RIGHT", "LEFT"), "LEFT"),
        (("LEFT", "FIRE"), ("NOOP", "FIRE", "RIGHT", "LEFT"), "LEFT"),
        (("LEFT", "RIGHT"), ("NOOP", "FIRE", "RIGHT", "LEFT"), "NOOP"),
        (("UP", "RIGHT", "FIRE"), ("NOOP", "UP", "RIGHT", "UPRIGHT", "UPRIGHTFIRE"), "UPRIGHTFIRE"),
        (("DOWN", "LEFT"), ("NOOP", "DOWN", "LEFT", "DOWNLEFT"), "DOWNLEFT"),
        (("FIRE",), ("UP", "DOWN"), "UP"),
    ],
)
def test_keys_become_actions(keys, names, action):
    assert names[pressed(keys, names)] == action


def test_what_adaptation_cannot_use_is_said_and_nothing_changes():
    encoder, _ = fitted()
    adaptation = Adaptation("photometric", 8, encoder)
    found = [adaptation.look(np.full(encoder.mean_.shape, 9, np.uint8), i == 0) for i in range(8)]
    assert found == [None] * 8 and "the same everywhere" in adaptation.said


def test_an_eye_with_another_encoder_sees_as_if_it_had_always_been_there():
    encoder, frames = fitted()
    other, _ = fitted(seed=5)
    eye = Eye(encoder, "")
    for i, frame in enumerate(frames[:30]):
        eye.look(frame, i == 0)
    assert np.array_equal(eye.features, encoder.encode(frames[:30])[-1])
    eye.become(other)
    eye.look(frames[30], False)
    assert np.array_equal(eye.features, other.encode(frames[:31])[-1])
    maps = other.maps(frames[:31])[-1]
    full = np.maximum(maps[:4].max(axis=(1, 2)), maps[4:].max(axis=(1, 2)))
    expected = 255 * np.sqrt(maps / np.tile(full, 2)[:, None, None])
    assert np.abs(eye.maps() - expected).max() <= 1.001


@pytest.mark.parametrize(
    ("taps", "name"),
    [
        ([1, 0.4, 0.3, 0.2], "low-pass"),
        ([1, -0.1, 0.1, 0], "low-pass"),
        ([-1, 0.3, 0.4, 0.5], "derivative"),
        ([1, 0.1, -0.2, -0.2, -0.2, -0.2, -0.2], "derivative"),
        ([1, -1, 1, -1], "other"),
        ([-0.4, 1, 0.7, -0.9], "other"),
        ([-0.7, 0.35, 1, 0.5], "other"),
    ],
)
def test_filters_have_plain_names(taps, name):
    assert filter_name(np.array(taps, float)) == filter_name(-np.array(taps, float)) == name


def test_maps_of_a_film_begin_anew_with_each_game_and_follow_the_encoder():
    (encoder, frames), (other, _) = fitted(), fitted(seed=5)
    moments = [
        Moment(frame, frame, i in (0, 20), encoder if i < 30 else other, None, 0, "")
        for i, frame in enumerate(frames[:50])
    ]
    maps = maps_of(moments)
    assert np.array_equal(maps[:20], encoder.maps(frames[:20]))
    assert np.array_equal(maps[20:30], encoder.maps(frames[20:30]))
    assert np.array_equal(maps[30:], other.maps(frames[20:50])[10:])
