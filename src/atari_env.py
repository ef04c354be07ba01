"""Atari games under the evaluation protocol: the only home of ale-py.

One agent step = 4 emulated frames (1/15 s) of one action; the observation is the maximum over the last two frames,
84 x 84 grey values. Sticky actions .25, minimal action set, full games, unclipped score, 1 to 30 emulated no-op frames
at the start, 27,000 agent steps at most (Machado et al. 2018 and the ALE v5 settings). The emulator is driven
directly: Gymnasium's own wrappers fetch a screen for every emulated frame, which costs a third of the step rate;
tests/test_atari_env.py holds the frames, rewards and ends against theirs, bit for bit.
"""

import difflib
import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import cv2
import gymnasium
import numpy as np
from ale_py import Action, ALEInterface, ALEState, LoggerMode, roms
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers.vector import TransformAction

from resu_threads import n_cores

GAMES = ("pong", "breakout", "space_invaders", "asteroids", "enduro")  # what the investigation plays
SIDE = 84  # of an observation [pixels]
_WAITS_FOR_FIRE = {"breakout": 101}  # game -> byte of the memory that is 0 while no ball is in play
STEPS_PER_SECOND = 15  # agent steps per second of play
MAX_STEPS = 27_000  # of a full game at most [agent steps]


def _rom(game: str) -> Path:
    path = roms.get_rom_path(game)
    assert path is not None  # it is one of `all_games`
    return path


@functools.cache
def all_games() -> tuple[str, ...]:
    """The games that ale-py ships and that one player can play, 104 in ale-py 0.12.1, by name.

    It ships four more, for two players: loading one of them would end the process.
    """
    return tuple(game for game in sorted(roms.get_all_rom_ids()) if ALEInterface.isSupportedROM(_rom(game)))


def _refuse_unknown(game: str) -> None:
    if game in all_games():
        return
    close = difflib.get_close_matches(str(game), all_games())
    hint = " or ".join(close) if close else f"one of {', '.join(GAMES)}"
    raise ValueError(f"unknown game '{game}': choose {hint}, or another of the {len(all_games())} in all_games()")


def _listed(known: tuple[int, ...]) -> str:
    return str(known[0]) if len(known) == 1 else f"{', '.join(map(str, known[:-1]))} or {known[-1]}"


def _generator(seed: int) -> bytes:
    """How ale-py writes a freshly seeded generator of sticky actions: a length, then a Mersenne twister as text."""
    state: dict[str, Any] = np.random.RandomState(seed % 2**32).get_state(legacy=False)
    text = " ".join(map(str, [*state["state"]["key"].tolist(), state["state"]["pos"]])).encode()
    return len(text).to_bytes(4, "little") + text


def _reseeded(state: bytes, old: int, new: int) -> bytes | None:
    """A saved state of an emulator loaded with random seed `old`, as if it had been loaded with seed `new`.

    state    `ALEState.serialize()`: at byte 24 the length of what begins at byte 28 and ends in `_generator(old)`
    Returns  None where the state is not so; loading the game with the new seed does the same, only slower.
    """
    before, after = _generator(old), _generator(new)
    stop = 28 + int.from_bytes(state[24:28], "little")
    if not state[28:stop].endswith(before):
        return None
    body = state[28:stop].removesuffix(before) + after
    return state[:24] + len(body).to_bytes(4, "little") + body + state[stop:]


class AtariEnv(gymnasium.Env):
    """One Atari game as a Gymnasium environment.

    game        one of `all_games`
    sticky      probability that the emulator repeats the previous action, per emulated frame  [1]
    frame_skip  emulated frames per agent step
    noop_max    most no-op frames at the start; their number is drawn from 1 .. noop_max  [emulated frames]
    max_steps   agent steps after which a game is truncated
    max_over    2: observe the maximum over the last two emulated frames; 1: the newest alone (games that draw objects
                in every second frame then flicker)
    size        side of the square observation  [pixels]; 0: the screen as it is, 210 x 160 (13 games have more rows)
    colours     keep the colour screen of the last emulated frame but one, too, for `render`
    mode, difficulty   variants of the game that the console has (`modes`, `difficulties`)
    press_fire  while the game waits for FIRE (Breakout, before the first ball and after every lost one), a step presses
                it whatever the action; games that do not wait are left alone
    Observation (size, size) or (210, 160) uint8. Actions are indices into the game's minimal action set, named by
    `action_names`.
    Raises      ValueError for an unknown game or an option out of range.
    """

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": STEPS_PER_SECOND}  # type: ignore[misc]

    def __init__(
        self,
        game: str,
        sticky: float = 0.25,
        frame_skip: int = 4,
        noop_max: int = 30,
        max_steps: int = MAX_STEPS,
        size: int = SIDE,
        max_over: int = 2,
        press_fire: bool = False,
        colours: bool = False,
        mode: int = 0,
        difficulty: int = 0,
    ) -> None:
        _refuse_unknown(game)
        if not 0 <= sticky < 1:
            raise ValueError(f"sticky must lie in [0, 1), not {sticky}")
        for name, value in (("frame_skip", frame_skip), ("noop_max", noop_max), ("max_steps", max_steps)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if max_over not in (1, 2):
            raise ValueError(f"max_over must be 1 or 2, not {max_over}")
        self.game, self.render_mode, self._max_over = game, "rgb_array", max_over
        self._frame_skip, self._noop_max, self._max_steps, self._size = frame_skip, noop_max, max_steps, size
        ALEInterface.setLoggerMode(LoggerMode.Error)
        self._ale = ALEInterface()
        self._ale.setFloat("repeat_action_probability", sticky)
        self._mode, self._difficulty = mode, difficulty
        self._load(0)
        self._just_loaded, self._unseeded = self._ale.cloneSystemState().serialize(), True
        self._actions = self._ale.getMinimalActionSet()
        self.action_names = tuple(action.name for action in self._actions)
        self._ball_byte = _WAITS_FOR_FIRE.get(game) if press_fire else None
        self.action_space = gymnasium.spaces.Discrete(len(self._actions))
        height, width = self._ale.getScreenDims()
        self.observation_space = gymnasium.spaces.Box(0, 255, (size, size) if size else (height, width), np.uint8)
        self._newest, self._previous = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
        self._colours = np.zeros((height, width, 3), np.uint8) if colours else None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start a game; a seed fixes the no-op count and every sticky action of it (as ale-py derives them)."""
        super().reset(seed=seed)
        if seed is not None:
            words = np.random.SeedSequence(seed).generate_state(2)
            self._np_random, _ = seeding.np_random(int(words[0]))
            self._seed_emulator(int(words[1].astype(np.int32)))
        elif self._unseeded:
            self._seed_emulator(int(self.np_random.integers(2**31)))
        self._ale.reset_game()
        for _ in range(self.np_random.integers(1, self._noop_max + 1)):
            self._ale.act(Action.NOOP)  # not every minimal set has it
        self._ale.getScreenGrayscale(self._newest)
        self._previous[:] = 0
        if self._colours is not None:
            self._colours[:] = 0
        self._steps = 0
        return self._observation(), {"lives": self._ale.lives()}

    def _load(self, seed: int) -> None:
        self._ale.setInt("random_seed", seed)
        self._ale.loadROM(_rom(self.game))
        if self._mode == self._difficulty == 0:
            return  # as the console is switched on; some games have no other
        for name, value, known in (
            ("mode", self._mode, self.modes),
            ("difficulty", self._difficulty, self.difficulties),
        ):
            if value not in known:
                raise ValueError(f"{self.game} has no {name} {value}: choose {_listed(known)}")
        self._ale.setMode(self._mode)
        self._ale.setDifficulty(self._difficulty)

    @property
    def modes(self) -> tuple[int, ...]:
        """Those that the game has."""
        return tuple(self._ale.getAvailableModes())

    @property
    def difficulties(self) -> tuple[int, ...]:
        """Those that the game has."""
        return tuple(self._ale.getAvailableDifficulties())

    def _seed_emulator(self, seed: int) -> None:
        """Loading the game is how ale-py takes a seed, at the price of 250 steps; its state just after can be had."""
        self._unseeded = False
        state = _reseeded(self._just_loaded, 0, seed)
        if state is None:
            self._load(seed)
        else:
            self._ale.restoreSystemState(ALEState(state))

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One agent step. The reward is the change of score, unclipped; a lost life is not an end."""
        move, reward = self._actions[action], 0
        if self._ball_byte is not None and self._ale.getRAM()[self._ball_byte] == 0:
            move = self._actions[self.action_names.index("FIRE")]
        for i in range(self._frame_skip):
            reward += self._ale.act(move)
            if self._ale.game_over():
                break
            if i == self._frame_skip - 2:
                self._ale.getScreenGrayscale(self._previous)
                if self._colours is not None:
                    self._ale.getScreenRGB(self._colours)
            elif i == self._frame_skip - 1:
                self._ale.getScreenGrayscale(self._newest)
        self._steps += 1
        terminated = self._ale.game_over()
        truncated = not terminated and self._steps >= self._max_steps
        return self._observation(), float(reward), terminated, truncated, {"lives": self._ale.lives()}

    def _observation(self) -> np.ndarray:
        seen = self._newest if self._max_over == 1 else np.maximum(self._previous, self._newest, out=self._previous)
        if not self._size:
            return seen.copy()
        return cv2.resize(seen, (self._size, self._size), interpolation=cv2.INTER_AREA)

    def ram(self) -> np.ndarray:
        """(128,) uint8: the console's memory after the last emulated frame."""
        return self._ale.getRAM()

    def render(self) -> np.ndarray:
        """(210, 160, 3) uint8 in colour: the last emulated frame, or with `colours` the maximum over the last two."""
        screen = self._ale.getScreenRGB()
        return screen if self._colours is None else np.maximum(screen, self._colours)


class AtariVectorEnv(VectorEnv):
    """B games side by side, stepped by a few threads: the emulator runs outside of Python's lock.

    A game that ends begins anew in the same step (AutoresetMode.SAME_STEP); its last observation is in
    info["final_obs"], an object array with None elsewhere.
    n_envs     B          n_threads   default: one per core; results do not depend on it
    options    of `AtariEnv`
    Raises     ValueError as `AtariEnv`, or if n_envs or n_threads is not positive.
    """

    metadata: ClassVar = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_fps": STEPS_PER_SECOND}  # type: ignore[misc]

    def __init__(self, game: str, n_envs: int, n_threads: int | None = None, **options: Any) -> None:
        n_threads = n_cores() if n_threads is None else n_threads
        if n_envs < 1 or n_threads < 1:
            raise ValueError(f"n_envs and n_threads must be at least 1, not {n_envs} and {n_threads}")
        self.envs = [AtariEnv(game, **options) for _ in range(n_envs)]
        self.num_envs = n_envs
        self.action_names = self.envs[0].action_names
        self.single_observation_space = self.envs[0].observation_space
        self.single_action_space = self.envs[0].action_space
        self.observation_space = batch_space(self.single_observation_space, n_envs)
        self.action_space = batch_space(self.single_action_space, n_envs)
        self._groups = [group for group in np.array_split(np.arange(n_envs), n_threads) if len(group)]
        self._pool = ThreadPoolExecutor(len(self._groups))
        self._frames: np.ndarray | None = None  # what each game showed last

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin all games; seed s gives environment i the seed s + i, a list gives each its own.

        options   "reset_mask", (B,) bool: begin these games alone, as Gymnasium's vector environments do
        Raises    ValueError for a mask of another kind, one that holds no game, or one before the first reset; for
                  seeds that are no whole numbers from 0 on, one per game. Then no game has begun.
        """
        mask = (options or {}).get("reset_mask")
        if mask is None:
            mask = np.ones(self.num_envs, bool)
        elif not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(f"reset_mask must be a boolean array of {self.num_envs} flags, at least one of them True")
        elif self._frames is None:
            raise ValueError("reset all games before some of them")
        if isinstance(seed, (int, np.integer)):
            seeds: list[int | None] = [int(seed) + i for i in range(self.num_envs)]
        else:
            seeds = [None] * self.num_envs if seed is None else list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"a list of seeds needs one for each of the {self.num_envs} games, not {len(seeds)}")
        wrong = [s for s in seeds if s is not None and not (isinstance(s, (int, np.integer)) and s >= 0)]
        if wrong:
            raise ValueError(f"a seed must be a whole number from 0 on, not {wrong[0]}")
        old = np.zeros(self.observation_space.shape or (), np.uint8) if self._frames is None else self._frames
        games = zip(self.envs, seeds, mask, old, strict=True)
        self._frames = np.stack([env.reset(seed=s)[0] if begins else frame for env, s, begins, frame in games])
        return self._frames.copy(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One agent step of every game.

        Raises   ValueError before the first reset, or unless actions are B numbers of actions that there are.
        """
        if self._frames is None:
            raise ValueError("call reset before step")
        actions = self._checked(actions)
        frames = np.empty(self._frames.shape, np.uint8)
        rewards = np.empty(self.num_envs)
        terminated, truncated = np.empty(self.num_envs, bool), np.empty(self.num_envs, bool)
        finals = np.full(self.num_envs, None, object)

        def advance(group: np.ndarray) -> None:
            for b in group:
                env = self.envs[b]
                frame, rewards[b], terminated[b], truncated[b], _ = env.step(int(actions[b]))
                if terminated[b] or truncated[b]:
                    finals[b] = frame
                    frame, _ = env.reset()
                frames[b] = frame

        list((self._pool.map if len(self._groups) > 1 else map)(advance, self._groups))
        ended = terminated | truncated
        info = {"final_obs": finals, "_final_obs": ended} if ended.any() else {}
        self._frames = frames.copy()
        return frames, rewards, terminated, truncated, info

    def _checked(self, actions: Any) -> np.ndarray:
        found, n_actions = np.asarray(actions), len(self.action_names)
        if found.shape != (self.num_envs,) or found.dtype.kind not in "iu":
            raise ValueError(
                f"actions must be {self.num_envs} whole numbers, one per game, not {found.dtype} of shape {found.shape}"
            )
        if found.min() < 0 or found.max() >= n_actions:
            wrong = found[(found < 0) | (found >= n_actions)][0]
            raise ValueError(
                f"there is no action {wrong}: choose 0 to {n_actions - 1} ({', '.join(self.action_names)})"
            )
        return found

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the threads."""
        self._pool.shutdown()


def with_actions(env: VectorEnv, names: tuple[str, ...]) -> VectorEnv:
    """Games that know only the named actions, in this order.

    env      an `AtariVectorEnv`
    Raises   ValueError for an action that the game lacks.
    """
    known = env.unwrapped.action_names  # type: ignore[attr-defined]
    strange = [name for name in names if name not in known]
    if strange:
        raise ValueError(f"the game has no action {strange[0]}: choose among {', '.join(known)}")
    chosen = np.array([known.index(name) for name in names])
    return TransformAction(env, chosen.__getitem__, single_action_space=gymnasium.spaces.Discrete(len(names)))
