"""Networks that follow what they see while they play: by statistics of batches, or by a task that needs no labels.

The DQN network with batch normalisation after every convolution (Ioffe and Szegedy 2015), trained to imitate and, on
the same trunk, to tell which action led from one observation to the next (inverse dynamics). At play its statistics
may be taken from what is seen now (Schneider et al. 2020), or its trunk goes on learning the inverse dynamics of its
own play by gradient steps (PAD: Hansen et al. 2021).
"""

from __future__ import annotations

from collections import deque
from typing import Literal

import numpy as np
import torch
from torch import nn

import convnet
import heads
from atari_play import Buffer
from convnet import N_FRAMES, N_TRUNK, ConvNet
from resu_photometry import ToneMap

FollowsNet = Literal["nothing", "statistics", "inverse dynamics", "tone"]
LEARNING_RATE = 1e-3  # of the training
RATE = 1e-4  # of gradient steps at play; not tuned (PLAN.md says what was tried afterwards)
KEPT, EVERY = 16, 8  # transitions of a gradient step, and steps between them


class AdaptiveNet(ConvNet):
    """Grey stacks (B, 4, 84, 84) float32 in [0, 1] -> class scores (B, C); `inverse`: of two observations' features."""

    def __init__(self, n_classes: int) -> None:
        super().__init__(n_classes)
        layers: list[nn.Module] = []
        for layer in self.trunk:
            layers.append(layer)
            if isinstance(layer, nn.Conv2d):
                layers.append(nn.BatchNorm2d(layer.out_channels))
        self.trunk = nn.Sequential(*layers)
        self.inverse = nn.Linear(2 * N_TRUNK, n_classes)

    def told(self, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """(B, C) scores of the actions that led from stacks to stacks."""
        both = self.features(torch.cat([before, after]))
        return self.inverse(torch.cat(both.chunk(2), dim=1))


def fit(buffer: Buffer, classes: np.ndarray, n_classes: int, seed: int, taught: np.ndarray, epochs: int) -> AdaptiveNet:
    """A network trained on a buffer's steps, classes (T,): of what to do, and of what was done.

    taught   indices of the steps that are trained on
    """
    with heads.seeded(seed):
        model = AdaptiveNet(n_classes)
    model.centre(buffer.frames)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    prepare, begins, targets = convnet.stacker(buffer), buffer.begins(), torch.from_numpy(classes)
    taught = taught[taught + 1 < len(buffer)]
    taught = taught[begins[np.minimum(taught + 1, len(buffer) - 1)] == begins[taught]]
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=1e-4, fused=True)
    n_steps = epochs * -(-len(taught) // convnet.BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, n_steps)
    rng = np.random.default_rng(seed)
    model.train()
    with heads.one_torch_thread():
        for _ in range(epochs):
            order = rng.permutation(taught)
            for i in range(0, len(order), convnet.BATCH):
                chosen = order[i : i + convnet.BATCH]
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    here = model.features(prepare(chosen))
                    there = model.features(prepare(chosen + 1))
                    scores, told = model.last(here), model.inverse(torch.cat([here, there], dim=1))
                loss = sum(nn.functional.cross_entropy(out.float(), targets[chosen]) for out in (scores, told))
                assert isinstance(loss, torch.Tensor)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                schedule.step()
    return model.eval()


class LiveNet:
    """A network that follows what it sees while it plays.

    follows   "nothing"; "statistics": after every `clock` steps those of all stacks since this began; "tone": every
              frame in home's grey values; "inverse dynamics": after every eighth step a gradient step of the trunk on
              the last 16 transitions, at rate `rate`
    picture   of home, for "tone"      clock   [steps]
    """

    noise = 0.0

    def __init__(
        self,
        model: AdaptiveNet,
        class_names: tuple[str, ...],
        follows: FollowsNet,
        picture: np.ndarray,
        clock: int,
        rate: float = RATE,
    ) -> None:
        self.class_names, self.follows, self._clock = class_names, follows, clock
        self._model = type(model).from_bytes(model.to_bytes())
        self._tone = ToneMap(picture) if follows == "tone" else None
        self._frames: list[np.ndarray] = []
        self._chunk: list[torch.Tensor] = []
        self._moves: deque[tuple[torch.Tensor, int, torch.Tensor]] = deque(maxlen=KEPT)
        self._last: tuple[torch.Tensor, int] | None = None
        self._n = 0
        self._norms = [layer for layer in self._model.modules() if isinstance(layer, nn.BatchNorm2d)]
        if follows == "inverse dynamics":
            self._optimiser = torch.optim.Adam(self._model.trunk.parameters(), lr=rate)

    def act(self, frame: np.ndarray, fresh: bool) -> int:
        """See the next frame (H, W), follow, and choose a class."""
        if self._tone is not None:
            frame = self._tone.restored(frame)
        past = [] if fresh else self._frames
        self._frames = [frame, *(past or [frame] * N_FRAMES)[: N_FRAMES - 1]]
        stack = torch.from_numpy(np.stack(self._frames)[None]).float().div_(255)
        self._n += 1
        with heads.one_torch_thread():
            if self.follows == "statistics":
                self._count(stack)
            elif self.follows == "inverse dynamics":
                self._learn(stack, fresh)
            with torch.inference_mode():
                found = int(self._model(stack).argmax())
        self._last = stack, found
        return found

    def _count(self, stack: torch.Tensor) -> None:
        self._chunk.append(stack)
        if len(self._chunk) < self._clock:
            return
        for layer in self._norms:
            if self._n == self._clock:
                layer.reset_running_stats()
                layer.momentum = None  # the mean of all chunks
            layer.train()
        with torch.inference_mode():
            self._model.features(torch.cat(self._chunk))
        self._model.eval()
        self._chunk = []

    def _learn(self, stack: torch.Tensor, fresh: bool) -> None:
        if self._last is not None and not fresh:
            self._moves.append((*self._last, stack))
        if self._n % EVERY or not self._moves:
            return
        before, actions, after = zip(*self._moves, strict=True)
        loss = nn.functional.cross_entropy(self._model.told(torch.cat(before), torch.cat(after)), torch.tensor(actions))
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._optimiser.step()
