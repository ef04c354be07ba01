"""Networks that learn several games in turn, with or without a share of the games before: MLP heads, DQN networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import convnet
import heads
from atari_play import Buffer
from convnet import ConvNet
from dense_head import DenseHead

HIDDEN = (256, 256)
LEARNING_RATE = 1e-3  # of the DQN network, as in stage 6


def taught_in_turn(k: int, taught: Sequence[np.ndarray], share: float, seed: int) -> list[np.ndarray]:
    """Which samples of games 0 .. k are trained on when game k is new: all of its own, a share of those before.

    taught   indices of each game's samples
    """
    rng = np.random.default_rng((seed, k))
    before = [np.sort(rng.choice(its, round(share * len(its)), replace=False)) for its in taught[:k]]
    return [*before, taught[k]]


class Course(NamedTuple):
    """Games in turn, as a network learns them.

    ys         by game the classes (T,) of its samples       taught, held_out   by game indices of samples
    n_classes  of all games together                         epochs             passes over each game
    replayed   share of the samples of each game before that is trained on again
    """

    ys: Sequence[np.ndarray]
    taught: Sequence[np.ndarray]
    held_out: Sequence[np.ndarray]
    n_classes: int
    seed: int
    epochs: int
    replayed: float


def perceptron_in_turn(xs: Sequence[np.ndarray], c: Course) -> DenseHead:
    """An MLP 256 x 2 that is trained on one game after the other; features are standardised as in the first game.

    xs   by game features (T, D)
    """
    scaling = heads.Scaling.fit(xs[0], c.taught[0])
    with heads.seeded(c.seed):
        model = heads.perceptron((xs[0].shape[1], *HIDDEN, c.n_classes))
    prepare = heads.standardising(scaling)
    for k in range(len(xs)):
        chosen = taught_in_turn(k, c.taught, c.replayed, c.seed)
        x = np.concatenate([*(xs[i][its] for i, its in enumerate(chosen)), xs[k][c.held_out[k]]])
        y = np.concatenate([*(c.ys[i][its] for i, its in enumerate(chosen)), c.ys[k][c.held_out[k]]])
        n = sum(map(len, chosen))
        heads.train(model, x, y, prepare, c.seed + k, np.arange(n), np.arange(n, len(x)), epochs=c.epochs)
    return heads.as_head(model, scaling)


def together(buffers: Sequence[Buffer]) -> Buffer:
    """Several buffers as one."""
    ends = np.cumsum([0, *(len(buffer) for buffer in buffers)])
    starts = np.concatenate([buffer.starts + end for buffer, end in zip(buffers, ends[:-1], strict=True)])
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(buffer, name) for buffer in buffers])
        for name in ("frames", "ram", "actions", "targets", "rewards")
    }
    return Buffer(**arrays, starts=starts)


def network_in_turn(buffers: Sequence[Buffer], c: Course) -> ConvNet:
    """The DQN network, trained on one game after the other; its pixels are centred by the mean picture of all."""
    model, whole = convnet.new(c.n_classes, c.seed), together(buffers)
    model.centre(whole.frames)
    ends, ys = np.cumsum([0, *map(len, buffers)]), np.concatenate(c.ys)
    taught, held_out = ([part + end for part, end in zip(its, ends, strict=False)] for its in (c.taught, c.held_out))
    for k in range(len(buffers)):
        chosen = np.concatenate(taught_in_turn(k, taught, c.replayed, c.seed))
        options: dict[str, Any] = {"epochs": c.epochs, "learning_rate": LEARNING_RATE}
        convnet.fit(model, whole, ys, c.seed + k, chosen, held_out[k], **options)
    return model.eval()


def with_classes(model: ConvNet, rows: Sequence[int]) -> ConvNet:
    """The network with some of its classes alone."""
    state = model.state_dict()
    small = ConvNet(len(rows))
    chosen = {f"last.{name}": state[f"last.{name}"][list(rows)] for name in ("weight", "bias")}
    small.load_state_dict({**state, **chosen})
    return small.eval()
