"""What a page may say: commands are checked in one place, and refused in one sentence."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import watch_messages as told


@pytest.mark.parametrize(
    ("said", "command"),
    [
        ({"do": "ack", "number": 3}, told.Ack(3)),
        ({"do": "speed", "rate": 30}, told.Speed(30.0)),
        ({"do": "pause", "on": True}, told.Pause(True)),
        ({"do": "keys", "down": ["UP", "FIRE", "UP"]}, told.Keys(("UP", "FIRE"))),
        ({"do": "disturb", "name": "noise", "strength": 0.5}, told.Disturb("noise", 0.5, "pong")),
        ({"do": "adapt", "mode": "full", "clock": 60}, told.Adapt("full", 60)),
        ({"do": "fit", "memory": 4, "units": 4}, told.Fit(memory=4)),
        ({"do": "reset"}, told.Reset()),
    ],
)
def test_commands_are_read(said, command):
    assert told.parse(json.dumps(said)) == command


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("", "must be JSON"),
        ("[" * 3000, "must be JSON|must be an object"),
        ("[1]", 'an object whose "do" is one of ack, play'),
        ('{"do": "format"}', 'an object whose "do" is one of'),
        ('{"do": ["speed"]}', 'an object whose "do" is one of'),
        ('{"do": "video", "path": "/etc/passwd", "name": "x"}', 'an object whose "do" is one of'),
        ('{"do": "speed"}', "speed needs 'rate'"),
        ('{"do": "speed", "rate": 1, "x": 2}', "speed knows no 'x'"),
        ('{"do": "speed", "rate": 0}', "rate must be a number from 1 to 240, not 0"),
        ('{"do": "speed", "rate": NaN}', "rate must be a number"),
        ('{"do": "speed", "rate": true}', "rate must be a number"),
        ('{"do": "adapt", "mode": "full", "clock": 9.5}', "clock must be a whole number from 8 to 2000, not 9.5"),
        ('{"do": "adapt", "mode": "wild"}', "mode must be one of off, photometric, full, not 'wild'"),
        ('{"do": "pause", "on": 1}', "on must be true or false"),
        ('{"do": "keys", "down": "UP"}', "down must be a list of UP"),
        ('{"do": "keys", "down": [["UP"]]}', "down must be a list of UP"),
        ('{"do": "play", "game": "pong", "policy": 3}', "policy must be text"),
        ('{"do": "fit", "memory": 3, "units": 4}', "units must be at most memory = 3"),
        ('{"do": "fit", "frames": 1e9}', "frames must be a whole number from 100 to 20000"),
        (json.dumps({"do": "play", "game": "x" * 5000, "policy": ""}), "at most 4096 characters"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(said, words):
    with pytest.raises(ValueError, match=words) as caught:
        told.parse(said)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(sorted(told.COMMANDS)), st.dictionaries(st.text(max_size=6), values, max_size=4), st.data())
def test_whatever_comes_is_a_command_or_a_sentence(do, extra, data):
    fields = {name: data.draw(values) for name in told.COMMANDS[do].__dataclass_fields__ if data.draw(st.booleans())}
    for said in (json.dumps({**fields, "do": do}), json.dumps({**extra, **fields, "do": do})):
        try:
            assert isinstance(told.parse(said), told.COMMANDS[do])
        except ValueError as error:
            assert str(error)


def test_answers_come_back_as_they_were_packed():
    arrays = [np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.zeros((0, 5), np.uint8), np.full((7,), 9, np.uint8)]
    header, found = told.unpack(told.pack({"kind": "ü", "n": 1}, arrays))
    assert header["kind"] == "ü" and all(np.array_equal(a, b) for a, b in zip(found, arrays, strict=True))
