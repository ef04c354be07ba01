"""What the page may say, and how it is answered: small JSON commands, checked here alone; pictures as bytes.

A command is a JSON object with its name under "do" and its fields beside it, e.g. {"do": "speed", "rate": 30}. An
answer is JSON text, or bytes: the length of a JSON header (4 bytes, the lowest first), the header, then the arrays
whose shapes its "blocks" name, one after the other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

import numpy as np

import game_shifts
from atari_env import GAMES

LONGEST = 4096  # of a command  [characters]
KEYS = ("UP", "DOWN", "LEFT", "RIGHT", "FIRE")
MODES = ("off", "photometric", "full")
SOURCES = ("random", "policy")
NONE, OTHER_GAME = "none", "another game"
T = TypeVar("T", bound="Command")


def _whole(low: int, high: int, default: Any = MISSING) -> Any:
    return field(default=default, metadata={"kind": int, "low": low, "high": high})


def _number(low: float, high: float, default: Any = MISSING) -> Any:
    return field(default=default, metadata={"kind": float, "low": low, "high": high})


def _word(choices: Sequence[str] = (), default: Any = MISSING) -> Any:
    return field(default=default, metadata={"kind": str, "choices": tuple(choices)})


def _words(choices: Sequence[str]) -> Any:
    return field(metadata={"kind": list, "choices": tuple(choices)})


def _flag() -> Any:
    return field(metadata={"kind": bool})


@dataclass(frozen=True)
class Command:
    """Something to be done."""


@dataclass(frozen=True)
class Ack(Command):
    """The picture of this number was drawn: the next one may come."""

    number: int = _whole(0, 2**53)


@dataclass(frozen=True)
class Play(Command):
    """Begin a game with a policy: the name of a saved clone, "expert ..." with its name, "random" or "keyboard"."""

    game: str = _word(GAMES)
    policy: str = _word()


@dataclass(frozen=True)
class Speed(Command):
    """Agent steps per second."""

    rate: float = _number(1, 240)


@dataclass(frozen=True)
class Pause(Command):
    """Stop the game's clock, or let it run."""

    on: bool = _flag()


@dataclass(frozen=True)
class Advance(Command):
    """One step; the game is paused then."""


@dataclass(frozen=True)
class Keys(Command):
    """The keys that are held down now."""

    down: tuple[str, ...] = _words(KEYS)


@dataclass(frozen=True)
class Disturb(Command):
    """A disturbance from now on, or "none"; `game` is the other one of "another game"."""

    name: str = _word((NONE, OTHER_GAME, *game_shifts.NAMES))
    strength: float = _number(0, 2, 1.0)
    game: str = _word(GAMES, GAMES[0])


@dataclass(frozen=True)
class Adapt(Command):
    """How the live agent's code adapts, and after how many frames each time."""

    mode: str = _word(MODES)
    clock: int = _whole(8, 2000, 30)


@dataclass(frozen=True)
class Fit(Command):
    """Fit a code on the spot: on frames of random play or of the present policy."""

    memory: int = _whole(2, 32, 8)
    units: int = _whole(1, 8, 4)
    rows: int = _whole(1, 42, 16)
    columns: int = _whole(1, 42, 8)
    frames: int = _whole(100, 20_000, 2000)
    source: str = _word(SOURCES, "random")

    def __post_init__(self) -> None:
        if self.units > self.memory:
            raise ValueError(f"units must be at most memory = {self.memory}, not {self.units}")


@dataclass(frozen=True)
class Reset(Command):
    """Begin the same game again, undisturbed."""


@dataclass(frozen=True)
class Film(Command):
    """A GIF of the last 30 seconds."""


COMMANDS: Mapping[str, type[Command]] = {
    kind.__name__.lower(): kind for kind in (Ack, Play, Speed, Pause, Advance, Keys, Disturb, Adapt, Fit, Reset, Film)
}


def parse(text: str) -> Command:
    """A command from its JSON text.

    Raises   ValueError in one sentence if it is no JSON object, is unknown, lacks a field, has one too many, or a value
             of another kind or out of range.
    """
    if len(text) > LONGEST:
        raise ValueError(f"a command has at most {LONGEST} characters, not {len(text)}")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"a command must be JSON, not {text[:40]!r}") from error
    if not isinstance(said, dict) or not isinstance(said.get("do"), str) or said["do"] not in COMMANDS:
        raise ValueError(f'a command must be an object whose "do" is one of {", ".join(COMMANDS)}')
    kind = COMMANDS[said.pop("do")]
    known = {f.name: f for f in fields(kind)}
    name = kind.__name__.lower()
    strange = sorted(set(said) - set(known))
    missing = sorted(n for n, f in known.items() if f.default is MISSING and n not in said)
    if strange or missing:
        raise ValueError(f"{name} {'knows no' if strange else 'needs'} {(strange or missing)[0]!r}")
    return kind(**{n: _checked(f"{name}: {n}", value, known[n].metadata) for n, value in said.items()})


def _checked(name: str, value: Any, rule: Mapping[str, Any]) -> Any:
    kind, choices = rule["kind"], rule.get("choices", ())
    if kind in (int, float):
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        whole = not number or float(value).is_integer()
        if not number or not rule["low"] <= value <= rule["high"] or (kind is int and not whole):
            what = "a whole number" if kind is int else "a number"
            raise ValueError(f"{name} must be {what} from {rule['low']:g} to {rule['high']:g}, not {value!r:.40}")
        return kind(value)
    if kind is list:
        if not isinstance(value, list) or not all(isinstance(word, str) and word in choices for word in value):
            raise ValueError(f"{name} must be a list of {', '.join(choices)}, not {value!r:.40}")
        return tuple(dict.fromkeys(value))
    if not isinstance(value, kind) or (choices and value not in choices):
        allowed = f"one of {', '.join(choices)}" if choices else "true or false" if kind is bool else "text"
        raise ValueError(f"{name} must be {allowed}, not {value!r:.40}")
    return value


def pack(header: Mapping[str, Any], arrays: Sequence[np.ndarray] = ()) -> bytes:
    """An answer in bytes: uint8 arrays behind a header that gets their shapes as "blocks"."""
    text = json.dumps({**header, "blocks": [list(array.shape) for array in arrays]}, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    return b"".join([len(text).to_bytes(4, "little"), text, *(np.ascontiguousarray(a).tobytes() for a in arrays)])


def unpack(message: bytes) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What was packed: the header and the arrays."""
    begin = 4 + int.from_bytes(message[:4], "little")
    header, arrays = json.loads(message[4:begin]), []
    for shape in header["blocks"]:
        end = begin + math.prod(shape)
        arrays.append(np.frombuffer(message[begin:end], np.uint8).reshape(shape))
        begin = end
    return header, arrays
