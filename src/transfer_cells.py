"""An encoder that was fitted on one game goes on to another: frozen, streamed or fitted anew; and clones on it."""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np

import atari_play
import cloning
import convnet
import player_cells
import resu_controls
import resu_files
from cloning import Clone
from convnet import ConvNet
from filter_shapes import cosine
from players import TASKS, demonstrations
from resu_conv import ReSUEncoder
from resu_streaming import StreamingReSU
from stage_run import LegacyRun

T = TypeVar("T")
Arm = Literal["native", "frozen", "frozen filters", "streamed", "random filters"]


@dataclass(frozen=True)
class Protocol:
    """What all clones of one comparison share.

    n_frames  demonstrations per game and seed [agent steps]; games per seed; epochs of every head; chunk: frames per
    update of a stream; sticky: of every game; experts: who is imitated, those of the original's kind or the best;
    max_steps: games are cut here (a smoke run's are short)
    """

    n_frames: int = 60_000
    games: int = 20
    epochs: int = 6
    chunk: int = 1_000
    sticky: float = 0.25
    experts: Literal["original", "best"] = "original"
    max_steps: int = 27_000

    @property
    def options(self) -> dict[str, Any]:
        """What names a cell: everything, but for the limit of all full games."""
        found = asdict(self)
        if self.max_steps == Protocol.max_steps:
            del found["max_steps"]
        return found

    @property
    def variant(self) -> str:
        """What sets the results of another protocol apart from the usual one's, for the names of their files."""
        usual = Protocol()
        return ("" if self.experts == usual.experts else f"_{self.experts}") + (
            "" if self.sticky == usual.sticky else f"_sticky{self.sticky:g}"
        )

    def env(self, game: str) -> dict[str, Any]:
        """Options of `AtariEnv`."""
        return {"sticky": self.sticky, **self.limit, **TASKS[game].env}

    @property
    def limit(self) -> dict[str, int]:
        """The option that cuts games, if they are cut."""
        return {} if self.max_steps == Protocol.max_steps else {"max_steps": self.max_steps}

    def expert(self, game: str) -> str:
        """The name of the expert that is imitated."""
        return TASKS[game].first if self.experts == "original" else TASKS[game].best

    def classes(self, game: str) -> tuple[str, ...]:
        """The actions of that expert."""
        return TASKS[game].classes(self.expert(game))

    def demonstrations(self, folder: Path, game: str, seed: int) -> atari_play.Buffer:
        """This seed's recorded games of the expert; the last few asked for stay in memory."""
        return _in_memory(folder, game, self.expert(game), self.n_frames, seed, self.sticky, **self.limit)

    def play(self, policy: atari_play.Policy, game: str, seed: int, description: str) -> dict[str, Any]:
        """This seed's evaluation games: scores and lengths."""
        played = atari_play.play(policy, self.games, (seed, atari_play.EVALUATION), game, description, **self.env(game))
        return {"scores": [g.score for g in played], "lengths": [g.length for g in played]}


@lru_cache(maxsize=4)
def _in_memory(
    folder: Path, game: str, expert: str, n_frames: int, seed: int, sticky: float, **limit: int
) -> atari_play.Buffer:
    buffer = demonstrations(folder, game, expert, n_frames, seed, sticky, **limit)
    return replace(buffer, frames=np.array(buffer.frames))


@lru_cache(maxsize=8)
def fit(protocol: Protocol, folder: Path, game: str, seed: int) -> ReSUEncoder:
    """The encoder fitted on this seed's demonstrations of a game; the last few asked for stay in memory."""
    return ReSUEncoder().fit(protocol.demonstrations(folder, game, seed).episode_frames())


def stream(encoder: ReSUEncoder, buffer: atari_play.Buffer, n_frames: int, alpha: float, chunk: int) -> ReSUEncoder:
    """The encoder after n_frames of a buffer were streamed into its moments; the encoder itself for none.

    alpha     1 adds, below 1 all that came before a chunk is multiplied by it
    """
    if n_frames == 0:
        return encoder
    streaming = StreamingReSU.from_encoder(encoder, alpha)
    for frames, starts in buffer.chunks(chunk, n_frames):
        streaming.update(frames, starts=starts)
    return streaming.refit()


def adapted(
    protocol: Protocol, folder: Path, source: str, target: str, arm: Arm, n_stream: int, alpha: float, seed: int
) -> ReSUEncoder:
    """The encoder of one arm, from this seed's demonstrations of both games.

    native           fitted on the target (source, n_stream and alpha do not matter)
    frozen           fitted on the source: filters and pixel means stay
    frozen filters   the source's filters about the target's own pixel means
    streamed         fitted on the source, then n_stream frames of the target streamed into its moments with alpha
    random filters   the control, about the target's pixel means
    """
    if arm == "native":
        return fit(protocol, folder, target, seed)
    if arm == "random filters":
        return resu_controls.random_filters(fit(protocol, folder, target, seed), seed)
    first = fit(protocol, folder, source, seed)
    if arm == "frozen":
        return first
    if arm == "frozen filters":
        return ReSUEncoder().with_filters(first.filters_, fit(protocol, folder, target, seed).mean_)
    return stream(first, protocol.demonstrations(folder, target, seed), n_stream, alpha, protocol.chunk)


class Trained(NamedTuple, Generic[T]):
    """Something trained, its accuracy on held-out games, and how long that took, features included  [s]."""

    result: T
    accuracy: float
    seconds: float


def clone_of(protocol: Protocol, folder: Path, encoder: ReSUEncoder, game: str, seed: int) -> Trained[Clone]:
    """A clone of the game's expert on an encoder, with an MLP 256 x 2.

    A head is trained once: data/heads/ keeps it under a name made of everything it depends on.
    """
    key = (encoder.options, encoder.filters_.tobytes(), encoder.mean_.tobytes())
    path = _cache(folder, protocol, "clone", game, seed, *key)
    found = _record(path)
    if found:
        return Trained(Clone.load(path, f"delete data/heads/{path.name}* and run the same command again"), *found)
    started = time.perf_counter()
    clone, accuracies = cloning.clone_policy(
        encoder,
        protocol.demonstrations(folder, game, seed),
        protocol.classes(game),
        "mlp",
        seed,
        epochs=protocol.epochs,
        game=game,
        **protocol.env(game),
    )
    clone.save(path)
    return Trained(clone, *_record(path, accuracies[-1], time.perf_counter() - started))


def cnn_of(
    protocol: Protocol,
    folder: Path,
    game: str,
    seed: int,
    *,
    epochs: int,
    learning_rate: float,
    start: ConvNet | None = None,
    last_only: bool = False,
) -> Trained[ConvNet]:
    """The DQN network trained end to end to imitate a game's expert; trained once.

    start      begin with the weights of this network, its last layer replaced by a new one (fine-tuning); pixel means
               are the game's own in any case
    last_only  train the last layer alone
    """
    demonstrated = protocol.demonstrations(folder, game, seed)
    names, actions = protocol.classes(game), atari_play.environment(game=game, **protocol.env(game)).action_names
    model = convnet.new(len(names), seed)
    model.centre(demonstrated.frames)
    if start is not None:
        model.trunk.load_state_dict(start.trunk.state_dict())
    options: dict[str, Any] = {"epochs": epochs, "learning_rate": learning_rate, "last_only": last_only}
    path = _cache(folder, protocol, "cnn", game, seed, options, hashlib.sha256(model.to_bytes()).hexdigest())
    found = _record(path)
    if found:
        return Trained(ConvNet.from_bytes(path.read_bytes()), *found)
    started = time.perf_counter()
    classes = cloning.class_indices(demonstrated.targets, actions, names)
    taught, held_out = cloning.split_by_game(demonstrated, 0.1)
    accuracies = convnet.fit(model, demonstrated, classes, seed, taught, held_out, **options)
    convnet.save(model, path)
    record = _record(path, max(accuracies), time.perf_counter() - started)
    return Trained(ConvNet.from_bytes(model.to_bytes()), *record)


def _cache(folder: Path, protocol: Protocol, *key: Any) -> Path:
    """Where something trained is kept: a name made of everything it depends on."""
    return folder / "heads" / hashlib.sha256(repr((protocol.options, *key)).encode()).hexdigest()[:20]


def _record(path: Path, *values: float) -> tuple[float, ...]:
    """Write (accuracy, seconds) beside what was trained, as its last file; without values read them, or ()."""
    file = path.with_name(path.name + "_record.npy")
    if values:
        resu_files.write_npy(file, np.array(values))
        return values
    return tuple(resu_files.open_npy(file).tolist()) if file.is_file() else ()


def cell(
    run: LegacyRun,
    protocol: Protocol,
    source: str,
    target: str,
    arm: Arm,
    seed: int,
    n_stream: int = 0,
    alpha: float = 1.0,
) -> dict[str, Any]:
    """The clone of the target's expert on the encoder of an arm, in this seed's evaluation games; computed once.

    Cells lie on one shelf, so that stages share them.
    Returns   scores, lengths; accuracy on held-out games; twins: |cosine| of each filter with the source's; native:
              with those fitted on the target alone
    """
    if arm in ("native", "random filters"):
        source = target
    if arm == "streamed" and n_stream == 0:
        arm, alpha = "frozen", 1.0

    def measure() -> dict[str, Any]:
        encoder = adapted(protocol, run.data, source, target, arm, n_stream, alpha, seed)
        clone, accuracy, _ = clone_of(protocol, run.data, encoder, target, seed)
        result = protocol.play(clone, target, seed, f"{source} > {target}, {arm} {n_stream}, seed {seed}")
        for name, game in (("twins", source), ("native", target)):
            other = fit(protocol, run.data, game, seed)
            result[name] = [cosine(a, b) for a, b in zip(encoder.filters_, other.filters_, strict=True)]
        run.log(
            f"{source} > {target}, {arm}, {n_stream} frames, alpha {alpha:g}, seed {seed}: "
            f"{np.mean(result['scores']):.1f}, accuracy {accuracy:.3f}"
        )
        return {**result, "accuracy": accuracy}

    return run.cell(
        measure,
        shelf="adaptation",
        source=source,
        target=target,
        arm=arm,
        n_stream=n_stream,
        alpha=alpha,
        seed=seed,
        **protocol.options,
    )


def reference(
    run: LegacyRun, protocol: Protocol, game: str, who: Literal["random", "expert"], seed: int
) -> dict[str, Any]:
    """Scores and lengths of random play or of the expert in this seed's evaluation games; computed once."""
    expert = "random" if who == "random" else protocol.expert(game)
    player = player_cells.Player(seed, protocol.games, game, expert, "ram", protocol.sticky, protocol.max_steps)
    found: dict[str, Any] = run.cell(player_cells.measure, player)
    return found
