"""One window's session: its agents, what it was told, and what takes longer than a step, in a thread beside it.

Nothing here knows of a network or of a clock: `do` takes commands, `step` advances, `picture` shows, `poll` gives what
has become ready. Calls come from one thread at a time.

While a disturbance is on there are two agents, which went the same way up to the moment at which it began: one is
frozen, the other one's code is live, it adapts. Otherwise there is one, and it is live.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import game_shifts
import watch_messages as told
import watch_players
from atari_env import GAMES
from atari_play import Policy
from cloning import Clone
from game_shifts import Shift
from live_eyes import Adaptation
from players import TASKS
from resu_conv import ReSUEncoder
from watch_agents import Agent
from watch_eyes import Eye
from watch_film import film_of
from watch_worlds import GameWorld, VideoWorld

Answer = tuple[dict[str, Any], list[np.ndarray]]
HORIZON = 4  # frames ahead that a code fitted on the spot predicts, more where it has more units
VIDEO_FRAMES = 3000  # of a video, at most, that its code is fitted on


@dataclass(frozen=True)
class Video(told.Command):
    """Show a file that was uploaded; it belongs to the session from now on, which deletes it."""

    path: Path
    name: str


@dataclass
class _Job:
    """Something that takes longer than a step."""

    kind: str  # what the page says of it
    future: Future[Any]
    then: Callable[[Any], None]
    stop: threading.Event


class Session:
    """What one window shows.

    game, policy   to begin with; an empty policy is the best saved clone, or without one the game's best expert
    results        folder that holds clones/
    seed           of all games, disturbances and fits: the same one and the same commands give the same bytes
    Raises         ValueError for an unknown game or policy, naming those that there are; or as `Clone.load`.
    """

    def __init__(self, game: str, policy: str, results: Path, seed: int = 0) -> None:
        if game not in GAMES:
            raise ValueError(f"unknown game '{game}': choose one of {', '.join(GAMES)}")
        self._results, self._seed = results, seed
        self.paused, self.rate = False, 15.0
        self.keys: tuple[str, ...] = ()
        self._shift: Shift | None = None
        self._other_game = ""
        self._mode, self._clock, self._automatic = "off", 30, False
        self._answers: list[Answer] = []
        self._jobs: list[_Job] = []
        self._videos: list[Path] = []
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="watch-job")
        self.agents: list[Agent] = []
        self._play(told.Play(game, policy or watch_players.best_clone(game, results) or f"expert {TASKS[game].best}"))

    # --- what the page shows ---

    @property
    def live(self) -> Agent:
        """The agent whose code may adapt; the only one while nothing is disturbed."""
        return self.agents[-1]

    def hello(self) -> dict[str, Any]:
        """What can be chosen."""
        players = {game: watch_players.players_of(game, self._results) for game in GAMES}
        return {
            "kind": "hello",
            "games": [[game, TASKS[game].label, list(players[game].items())] for game in GAMES],
            "shifts": [[name, game_shifts.MOST[name]] for name in game_shifts.NAMES],
            "modes": list(told.MODES),
        }

    def step(self) -> None:
        """One step of every agent."""
        for agent in self.agents:
            agent.step(self.keys)

    def picture(self) -> Answer:
        """All that is shown now: numbers and words, and the arrays of one agent after the other."""
        names = ("frozen", "live") if len(self.agents) == 2 else ("",)
        parts = [agent.shown(name) for agent, name in zip(self.agents, names, strict=True)]
        about = {
            "kind": "picture",
            "game": self._game,
            "policy": self._home[1].name,
            "paused": self.paused,
            "rate": self.rate,
            "disturbance": told.OTHER_GAME if self._other_game else self._shift.name if self._shift else told.NONE,
            "strength": self._shift.strength if self._shift else 1.0,
            "mode": self._mode,
            "clock": self._clock,
            "busy": [job.kind for job in self._jobs],
            "agents": [{**about, "arrays": len(arrays)} for about, arrays in parts],
        }
        return about, [array for _, arrays in parts for array in arrays]

    def poll(self) -> list[Answer]:
        """What became ready since the last call: notes, errors in one sentence, films."""
        for job in [job for job in self._jobs if job.future.done()]:
            self._jobs.remove(job)
            try:
                if not job.stop.is_set():
                    job.then(job.future.result())
            except (ValueError, OSError, MemoryError) as error:
                self._answers.append(({"kind": "error", "text": str(error) or "not enough memory"}, []))
        answers, self._answers = self._answers, []
        return answers

    @property
    def busy(self) -> bool:
        """Whether something is being made that `poll` will give."""
        return bool(self._jobs)

    def close(self) -> None:
        """The end: nothing more is made, temporary files go."""
        self._cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for path in self._videos:
            path.unlink(missing_ok=True)
        self.agents, self._jobs = [], []
        vars(self).pop("_home", None)  # an emulator that outlives the interpreter's shutdown is reported as a leak

    # --- what it is told ---

    def do(self, command: told.Command) -> None:
        """Carry out a command. Raises ValueError in one sentence if it cannot be; all stays as it was then."""
        doers: Mapping[type[told.Command], Callable[[Any], None]] = {
            told.Play: self._play,
            told.Speed: lambda c: setattr(self, "rate", c.rate),
            told.Pause: lambda c: setattr(self, "paused", c.on),
            told.Advance: self._advance,
            told.Keys: lambda c: setattr(self, "keys", c.down),
            told.Disturb: self._disturb,
            told.Adapt: self._adapt,
            told.Fit: self._fit,
            told.Reset: self._reset,
            told.Film: self._film,
            Video: self._video,
        }
        doers[type(command)](command)

    def _play(self, command: told.Play) -> None:
        player, code = watch_players.player_of(command.game, command.policy, self._results)
        maker = command.policy
        if code is None and (maker := watch_players.best_clone(command.game, self._results)):
            code = watch_players.player_of(command.game, maker, self._results)[1]
        agent = Agent(
            GameWorld(command.game), player, None if code is None else Eye(code, f"code of {maker}"), self._seed
        )
        self._cancel()
        self._game, self.rate = command.game, self.rate if self._at_a_game() else agent.world.rate
        self._only(agent)
        if code is None:
            self._note("no clone of this game is saved here: a code is fitted on the spot, on random play")
            self._fit(told.Fit())

    def _at_a_game(self) -> bool:
        return bool(self.agents) and isinstance(self.live.world, GameWorld)

    def _only(self, agent: Agent) -> None:
        """One agent, undisturbed, that a reset brings back."""
        self.agents, self._shift, self._other_game = [agent], None, ""
        self._home = agent.world, agent.player, agent.eye
        self._let_go()
        self.step()

    def _let_go(self) -> None:
        """A disturbance is over: adaptation that came with it goes with it."""
        if self._automatic:
            self._mode, self._automatic = "off", False
        self._begin_adapting()

    def _advance(self, command: told.Advance) -> None:
        self.paused = True
        self.step()

    def _reset(self, command: told.Reset | None = None) -> None:
        world, player, eye = self._home
        world = GameWorld(world.game) if isinstance(world, GameWorld) else world
        self._only(Agent(world, player, eye and _anew(eye), self._seed))

    def _note(self, text: str) -> None:
        self._answers.append(({"kind": "note", "text": text}, []))

    # --- disturbances and adaptation ---

    def _disturb(self, command: told.Disturb) -> None:
        shift = Shift(command.name, command.strength, self._seed) if command.name in game_shifts.MOST else None
        if shift is not None and self._shift is not None and shift.name == self._shift.name:
            for agent in self.agents:
                agent.disturb(shift)
            self._shift = shift
            return
        if command.name == told.OTHER_GAME:
            self._leave_for(command.game)
        elif self._other_game:
            self._reset()
        elif self._shift is not None:
            self._calm()
        if shift is not None:
            self._divide(shift)

    def _calm(self) -> None:
        """The live agent goes on alone, undisturbed, with the code that it began with."""
        self.agents, self._shift = [self.live], None
        self.live.disturb(None)
        self._let_go()

    def _divide(self, shift: Shift | None) -> None:
        """Two agents from here on, disturbed."""
        live = self.live
        frozen = live.twin()
        self.agents, self._shift = [frozen, live], shift
        for agent in self.agents:
            agent.disturb(shift)
        if self._mode == "off":
            self._mode, self._automatic = "photometric", True
            self._note(f"the live agent's code adapts after every {self._clock} steps: photometric")
        self._begin_adapting()

    def _leave_for(self, game: str) -> None:
        """To another game, with the same code."""
        home, player, eye = self._home
        if not isinstance(home, GameWorld):
            raise ValueError("a video has no other game: choose another disturbance, or play a game first")
        if game == home.game:
            raise ValueError(f"{home.title} is what is played already: choose another game")
        world = GameWorld(game)
        if player.name.startswith("expert") or not set(player.class_names) <= set(world.action_names):
            player = watch_players.player_of(game, f"expert {TASKS[game].best}", self._results)[0]
            self._note(f"in {world.title} the {TASKS[game].best} expert plays, seen through the code of before")
        self.agents = [Agent(world, player, eye and _anew(eye), self._seed)]
        self._divide(None)
        self._other_game = game
        self.step()

    def _adapt(self, command: told.Adapt) -> None:
        if (command.mode, command.clock) != (self._mode, self._clock):
            self._mode, self._clock, self._automatic = command.mode, command.clock, False
            self._begin_adapting()

    def _begin_adapting(self) -> None:
        agent = self.live
        agent.adaptation = None
        if agent.eye is None:
            return
        agent.eye.restored()
        if self._mode != "off":
            before = agent.undisturbed(self._clock) if self._shift is not None else None
            agent.adaptation = Adaptation(self._mode, self._clock, agent.eye.first, before)

    # --- what takes longer ---

    def _start(self, kind: str, make: Callable[[threading.Event], Any], then: Callable[[Any], None]) -> None:
        if any(job.kind == kind and not job.stop.is_set() for job in self._jobs):
            raise ValueError(f"{kind} already: wait a moment")
        stop = threading.Event()
        self._jobs.append(_Job(kind, self._pool.submit(make, stop), then, stop))

    def _cancel(self) -> None:
        for job in self._jobs:
            job.stop.set()

    def _fit(self, command: told.Fit) -> None:
        if self._shift is not None or self._other_game:
            raise ValueError("fit while nothing is disturbed: end the disturbance first")
        world, seed, game, policy, on = self.live.world, self._seed, self._game, None, self.live.world.title
        if isinstance(world, GameWorld):
            own = command.source == "policy" and self.live.player.name != watch_players.KEYBOARD
            policy, on = (self._once_more(), self.live.player.label) if own else (None, "random play")
        options: dict[str, Any] = dict(
            memory=command.memory, horizon=max(HORIZON, command.units), n_units=command.units,
            grid=(command.rows, command.columns),
        )  # fmt: skip

        def make(stop: threading.Event) -> ReSUEncoder:
            return ReSUEncoder(**options).fit(world.collect(command.frames, policy, seed, stop))

        def then(encoder: ReSUEncoder) -> None:
            if self._shift is not None or self._other_game or self.live.world.title != world.title:
                raise ValueError("what is seen has changed meanwhile: fit again, while nothing is disturbed")
            player = self.live.player
            if player.head is not None:
                player = watch_players.player_of(game, f"expert {TASKS[game].best}", self._results)[0]
                self._note(f"no head reads the new code: {player.label} plays")
            self.live.look_with(Eye(encoder, f"fitted on the spot on {command.frames:,} frames of {on}"), player)
            self._home = self.live.world, player, self.live.eye
            self._begin_adapting()
            self._note(f"fitted on {command.frames:,} frames of {on}")

        self._start("fitting a code", make, then)

    def _once_more(self) -> Policy | None:
        """The present player again, to play in the thread beside."""
        player, encoder = watch_players.player_of(self._game, self.live.player.name, self._results)
        return (
            player.policy if player.head is None or encoder is None else Clone(encoder, player.head, player.class_names)
        )

    def _video(self, command: Video) -> None:
        def make(stop: threading.Event) -> tuple[VideoWorld, ReSUEncoder]:
            world = VideoWorld(command.path, command.name)
            frames = world.collect(VIDEO_FRAMES, None, 0, stop)
            height, width = frames[0].shape[1:]
            options = told.Fit()
            grid = min(options.rows, height), min(options.columns, width)
            return world, ReSUEncoder(options.memory, HORIZON, options.units, grid).fit(frames)

        def then(found: tuple[VideoWorld, ReSUEncoder]) -> None:
            world, encoder = found
            eye = Eye(encoder, f"fitted on the spot on {command.name}")
            self.rate = world.rate
            self._only(Agent(world, watch_players.Player("", "a video"), eye, self._seed))
            for earlier in [path for path in self._videos if path != command.path]:
                self._videos.remove(earlier)
                earlier.unlink(missing_ok=True)

        self._videos.append(command.path)
        try:
            self._start("reading a video", make, then)
        except ValueError:
            self._videos.remove(command.path)
            command.path.unlink(missing_ok=True)
            raise

    def _film(self, command: told.Film) -> None:
        histories = [list(agent.history) for agent in self.agents]
        title = f"{self.live.world.title}, {self.live.player.label}"
        if self._shift is not None:
            title += f", {self._shift.name}"
        name = f"{self._game if self._at_a_game() else 'video'}.gif"

        def then(gif: bytes) -> None:
            self._answers.append(({"kind": "film", "name": name}, [np.frombuffer(gif, np.uint8)]))

        rate = self.live.world.rate
        self._start("drawing a film", lambda stop: film_of(histories, title, rate), then)


def _anew(eye: Eye) -> Eye:
    """The code as it came, without a past."""
    return Eye(eye.first, eye.label)
