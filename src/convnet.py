"""The end-to-end baseline: the DQN convolutional network (Mnih et al. 2015) as an imitator, trained by heads.train.

Three convolutions (32 of 8 x 8 by 4, 64 of 4 x 4 by 2, 64 of 3 x 3) and 512 dense units on the newest 4 frames: 1.69 M
parameters with 3 classes. As ReSU's are, its pixels are centred by their own means over the demonstrations: without
that it learned nothing from Pong in six epochs (PLAN.md). Training runs under bfloat16 autocast with float32 weights,
three times as fast on CPUs that have the instructions; play is float32.
"""

from __future__ import annotations

import io
from typing import Self

import numpy as np
import torch
from torch import nn

import heads
import resu_files
from atari_play import Buffer

N_FRAMES = 4  # newest frames that the network sees
BATCH = 64  # samples per optimiser step
PARTS = 2  # of a batch, worked on side by side
N_TRUNK = 512  # features before the last layer
CHUNK = 512  # samples per forward pass without training


class ConvNet(nn.Module):
    """Grey stacks (B, 4, 84, 84) float32 in [0, 1] -> class scores (B, C).

    mean   (84, 84) float32 in [0, 1], subtracted from every frame; 0 until it is set
    """

    mean: torch.Tensor

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(N_FRAMES, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3, 1),
            nn.ReLU(), nn.Flatten(), nn.Linear(3136, N_TRUNK), nn.ReLU(),
        )  # fmt: skip
        self.last = nn.Linear(N_TRUNK, n_classes)
        self.register_buffer("mean", torch.zeros(84, 84))
        self.autocast = True  # train in bfloat16

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores. Each training step has an autocast of its own: a longer one would keep its first weights."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.training and self.autocast):
            return self.last(self.features(x)).float()

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 512): what the last layer sees."""
        return self.trunk(x - self.mean)

    def centre(self, frames: np.ndarray) -> None:
        """Set the mean to that of frames (T, 84, 84) uint8."""
        self.mean.copy_(torch.from_numpy((frames.mean(axis=0, dtype=np.float64) / 255).astype(np.float32)))

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases."""
        return sum(p.numel() for p in self.parameters())

    def to_bytes(self) -> bytes:
        """The weights, for `from_bytes`."""
        file = io.BytesIO()
        torch.save(self.state_dict(), file)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """A network of saved weights; nothing but tensors is unpickled."""
        state = torch.load(io.BytesIO(data), weights_only=True)
        model = cls(len(state["last.bias"]))
        model.load_state_dict(state)
        return model.eval()


def new(n_classes: int, seed: int) -> ConvNet:
    """A network with seeded initial weights."""
    with heads.seeded(seed):
        return ConvNet(n_classes)


def stacker(buffer: Buffer):
    """A function from step indices (B,) to stacks (B, 4, 84, 84) float32 tensors, newest frame first.

    Before a game's fourth frame its first one is repeated.
    """
    frames, begins = np.asarray(buffer.frames), buffer.begins()

    def prepare(steps: np.ndarray) -> torch.Tensor:
        past = np.maximum(steps[:, None] - np.arange(N_FRAMES), begins[steps][:, None])
        stacks = torch.from_numpy(frames[past]).float().div_(255)
        return stacks.contiguous(memory_format=torch.channels_last)

    return prepare


def fit(
    model: ConvNet,
    buffer: Buffer,
    classes: np.ndarray,
    seed: int,
    taught: np.ndarray,
    held_out: np.ndarray,
    *,
    epochs: int,
    learning_rate: float,
    last_only: bool = False,
    autocast: bool = True,
) -> list[float]:
    """Train in place on a buffer's steps, classes (T,); returns the validation accuracy per epoch.

    taught, held_out   step indices; the best epoch on the latter is kept
    last_only          leave the trunk as it is and train the last layer alone
    """
    prepare = stacker(buffer)
    steps = np.arange(len(buffer))
    if last_only:
        trunk = trunk_features(model, buffer)
        heads.train(
            model.last, trunk, classes, torch.from_numpy, seed, taught, held_out, epochs=epochs,
            learning_rate=learning_rate,
        )  # fmt: skip
        return [heads.accuracy(model.last, trunk, classes, torch.from_numpy, held_out)]
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.autocast = autocast
    return heads.train(
        model,
        steps,
        classes,
        prepare,
        seed,
        taught,
        held_out,
        epochs=epochs,
        learning_rate=learning_rate,
        batch=BATCH,
        chunk=CHUNK,
        parts=PARTS,
    )


@torch.inference_mode()
def trunk_features(model: ConvNet, buffer: Buffer) -> np.ndarray:
    """(T, 512) float32 features before the last layer."""
    prepare = stacker(buffer)
    steps = np.arange(len(buffer))
    return np.concatenate([model.features(prepare(steps[i : i + CHUNK])).numpy() for i in range(0, len(steps), CHUNK)])


class ConvPolicy:
    """Policy: a network and the names of the actions that its classes stand for. Picklable."""

    def __init__(self, model: ConvNet, class_names: tuple[str, ...]) -> None:
        self._weights, self.class_names = model.to_bytes(), class_names

    def start(self, rng: np.random.Generator, action_names: tuple[str, ...]) -> None:
        """A new game: forget the frames of the last one."""
        self._actions = [action_names.index(name) for name in self.class_names]
        self._model = ConvNet.from_bytes(self._weights)
        self._frames: list[np.ndarray] = []

    def act(self, frame: np.ndarray, ram: np.ndarray) -> int:
        """The action of the highest-scoring class; only frames are looked at."""
        self._frames = [frame, *(self._frames or [frame] * N_FRAMES)[: N_FRAMES - 1]]
        with torch.inference_mode():
            scores = self._model(torch.from_numpy(np.stack(self._frames)[None]).float().div_(255))
        return self._actions[int(scores.argmax())]

    def __getstate__(self) -> dict:
        """Without the running game."""
        return {"_weights": self._weights, "class_names": self.class_names}


def save(model: ConvNet, path: resu_files.PathLike) -> None:
    """Write the weights, whole or not at all."""
    resu_files.write_atomically(path, lambda file: file.write(model.to_bytes()))
