"""Who can play on the page: saved clones, experts, random play, and whoever sits at the keyboard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atari_play import Policy, RandomPolicy
from cloning import SAVED, Clone, saved
from dense_head import DenseHead
from players import TASKS, expert_of
from resu_conv import ReSUEncoder

KEYBOARD = "keyboard"


@dataclass(frozen=True)
class Player:
    """Who chooses the actions: a policy, a head on the code, or (neither) the keys that are held down."""

    name: str
    label: str
    policy: Policy | None = None
    head: DenseHead | None = None
    class_names: tuple[str, ...] = ()


def clones_of(game: str, results: Path) -> list[str]:
    """The saved clones of a game whose files are there, the best last, PPO first."""
    its = sorted((one for one in SAVED.values() if one.game == game), key=lambda one: bool(one.expert))
    return [one.name for one in its if all(path.is_file() for path in Clone.files(results / "clones" / one.name))]


def best_clone(game: str, results: Path) -> str:
    """The best saved clone of a game's experts whose files are there; "" if there is none."""
    return next((name for name in reversed(clones_of(game, results)) if SAVED[name].expert), "")


def players_of(game: str, results: Path) -> dict[str, str]:
    """Names and labels of all that can play a game: clones, experts, random play, the keyboard."""
    clones = {name: SAVED[name].label.removeprefix("a ") + (" (aggregated)" if SAVED[name].aggregated else "")
              for name in reversed(clones_of(game, results))}  # fmt: skip
    experts = {f"expert {name}": f"the {name} expert" for name in reversed(list(TASKS[game].experts))}
    return clones | experts | {"random": "random play", "keyboard": "your keyboard"}


def player_of(game: str, name: str, results: Path) -> tuple[Player, ReSUEncoder | None]:
    """A player by its name, and its code if it has one.

    Raises   ValueError for a name that is none of `players_of`, listing those; or if a clone's files are damaged.
    """
    known = players_of(game, results)
    if name not in known:
        raise ValueError(f"nobody called '{name}' plays {TASKS[game].label}: choose one of {', '.join(known)}")
    if name in SAVED:
        clone = saved(name).load(results)
        assert isinstance(clone.code, ReSUEncoder)
        return Player(name, known[name], None, clone.head, clone.class_names), clone.code
    if name == "keyboard":
        return Player(name, known[name]), None
    return Player(name, known[name], RandomPolicy() if name == "random" else expert_of(game, name.split()[1])), None


def pressed(keys: Sequence[str], action_names: tuple[str, ...]) -> int:
    """The action that keys (UP, DOWN, LEFT, RIGHT, FIRE) stand for; if there is none, that of as many as can be.

    Where a game has no UP, the upward key is RIGHT and the downward one LEFT: so Pong moves its paddle.
    """
    held = set(keys)
    if "UP" not in action_names and not held & {"RIGHT", "LEFT"}:
        held = {{"UP": "RIGHT", "DOWN": "LEFT"}.get(key, key) for key in held}
    up, side = ("".join(held & pair) if len(held & pair) == 1 else "" for pair in ({"UP", "DOWN"}, {"RIGHT", "LEFT"}))
    fire = "FIRE" if "FIRE" in held else ""
    wanted = (up + side + fire, side and side + fire, up and up + fire, up + side, side, up, fire, "NOOP")
    return next((action_names.index(name) for name in wanted if name in action_names), 0)
