"""Heads on feature vectors: closed-form ridge, logistic regression and MLP, and the one loop that trains the last two.

N samples, D features, C classes. Every head becomes a `DenseHead` with the standardisation folded into the first layer.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import linalg
from torch import nn

from dense_head import CHUNK, DenseHead
from resu_threads import for_blocks

BATCH = 256  # samples per optimiser step
_within: list[int] = []  # torch's threads before each `one_torch_thread` that goes on
_lock = threading.Lock()  # of what all threads share in torch


@dataclass(frozen=True)
class Scaling:
    """Per-feature standardisation x -> (x - mean) * factor.

    The deviation of a feature counts as at least `floor` times the root mean square of all deviations, so that cells
    in which next to nothing ever moves are not blown up to unit variance; or all count as that mean ("uniform").
    """

    mean: np.ndarray  # (D,) float32
    factor: np.ndarray  # (D,) float32

    @classmethod
    def fit(cls, x: np.ndarray, chosen: np.ndarray | None = None, floor: float = 0.1, uniform: bool = False) -> Scaling:
        """Standardisation of the chosen rows of x (N, D), from sums in float64."""
        chosen = np.arange(len(x)) if chosen is None else chosen
        total, square = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        for i in range(0, len(chosen), CHUNK):
            part = x[chosen[i : i + CHUNK]].astype(np.float64)
            total += part.sum(axis=0)
            square += np.einsum("nd,nd->d", part, part)
        mean = total / len(chosen)
        variance = np.maximum(square / len(chosen) - mean**2, 0)
        usual = np.sqrt(variance.mean())
        deviation = np.maximum(np.full_like(variance, usual) if uniform else np.sqrt(variance), floor * usual)
        deviation[deviation == 0] = 1.0
        return cls(mean.astype(np.float32), (1 / deviation).astype(np.float32))

    def fold(self, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(W, b) on standardised features -> (W', b') on the features themselves."""
        scaled = weight * self.factor
        return scaled.astype(np.float32), (bias - scaled @ self.mean).astype(np.float32)


def _check(x: np.ndarray, y: np.ndarray, n_classes: int) -> None:
    if x.ndim != 2 or y.shape != (len(x),):
        raise ValueError(f"expected features (N, D) and classes (N,), not {x.shape} and {y.shape}")
    if len(x) == 0 or y.min() < 0 or y.max() >= n_classes:
        raise ValueError(f"classes must lie in 0 .. {n_classes - 1} and there must be at least one sample")


def fit(
    kind: str,
    x: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    seed: int,
    taught: np.ndarray,
    held_out: np.ndarray,
    epochs: int = 10,
) -> DenseHead:
    """A head of the named kind: "ridge" (closed form), "linear" (logistic regression) or "mlp" (256 x 256).

    x (N, D) float32 or uint8, y (N,) int      taught, held_out   indices of the samples to fit on and to validate on:
    the latter pick the ridge strength among 1e-4, 1e-2, 1 and the best epoch of the others
    Raises       ValueError for another kind, or if shapes or classes do not fit.
    """
    if kind == "ridge":
        return fit_ridge(x, y, n_classes, taught, held_out)
    if kind in ("linear", "mlp"):
        hidden = (256, 256) if kind == "mlp" else ()
        return fit_mlp(x, y, n_classes, seed, hidden, taught, held_out, epochs=epochs)
    raise ValueError(f"unknown head '{kind}': choose ridge, linear or mlp")


def fit_ridge(
    x: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    taught: np.ndarray | None = None,
    held_out: np.ndarray | None = None,
    strengths: tuple[float, ...] = (1e-4, 1e-2, 1.0),
) -> DenseHead:
    """Closed-form ridge regression onto one-hot classes; the largest output decides.

    x (N, D), y (N,), taught, held_out   as in `fit`; without indices all samples are fitted
    strengths   ridge as a fraction of the mean eigenvalue of the features' covariance; the held-out samples choose,
                and without them the first is taken
    Raises      ValueError if shapes or classes do not fit.
    """
    _check(x, y, n_classes)
    taught = np.arange(len(x)) if taught is None else taught
    scaling = Scaling.fit(x, taught)
    gram, cross = np.zeros((x.shape[1],) * 2), np.zeros((x.shape[1], n_classes))
    share = np.bincount(y[taught], minlength=n_classes) / len(taught)
    for i in range(0, len(taught), CHUNK):
        chosen = taught[i : i + CHUNK]
        part = (x[chosen] - scaling.mean) * scaling.factor
        gram += part.T @ part
        cross += part.T @ (np.eye(n_classes, dtype=np.float32)[y[chosen]] - share.astype(np.float32))
    found: list[tuple[float, DenseHead]] = []
    for strength in strengths if held_out is not None else strengths[:1]:
        loaded = gram + strength * np.trace(gram) / len(gram) * np.eye(len(gram))
        weight, bias = scaling.fold(linalg.solve(loaded, cross, assume_a="pos").T, share)
        head = DenseHead([weight], [bias])
        found.append((0.0 if held_out is None else np.mean(head.predict(x[held_out]) == y[held_out]), head))
    return max(found, key=lambda pair: pair[0])[1]


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within it torch draws from this seed, one thread at a time: all threads have one generator."""
    with _lock, torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def perceptron(sizes: Sequence[int]) -> nn.Sequential:
    """Affine layers from each size to the next, rectified between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def linear_layers(model: nn.Module) -> list[nn.Linear]:
    """A network's affine layers, first to last."""
    return [part for part in model.modules() if isinstance(part, nn.Linear)]


def fit_mlp(
    x: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    seed: int,
    hidden: tuple[int, ...] = (256, 256),
    taught: np.ndarray | None = None,
    held_out: np.ndarray | None = None,
    **training: Any,
) -> DenseHead:
    """Multilayer perceptron with rectified hidden layers; hidden = () is logistic regression.

    x (N, D), y (N,), taught, held_out   as in `fit`; training options go to `train`.
    Raises   ValueError if shapes or classes do not fit.
    """
    _check(x, y, n_classes)
    taught = np.arange(len(x)) if taught is None else taught
    scaling = Scaling.fit(x, taught)
    sizes = (x.shape[1], *hidden, n_classes)
    with seeded(seed):
        model = perceptron(sizes)
    train(model, x, y, standardising(scaling), seed, taught, held_out, **training)
    return as_head(model, scaling)


def standardising(scaling: Scaling) -> Callable[[np.ndarray], torch.Tensor]:
    """Turns features (B, D) as stored into a model's float input."""
    mean, factor = torch.from_numpy(scaling.mean), torch.from_numpy(scaling.factor)
    # Not in place before the difference: the batch may be a view of all features.
    return lambda batch: (torch.from_numpy(batch).float() - mean).mul_(factor)


def as_head(model: nn.Module, scaling: Scaling) -> DenseHead:
    """A perceptron that was trained on standardised features, for features as they come."""
    linear = linear_layers(model)
    weights = [layer.weight.detach().numpy() for layer in linear]
    biases = [layer.bias.detach().numpy() for layer in linear]
    weights[0], biases[0] = scaling.fold(weights[0], biases[0])
    return DenseHead(weights, biases)


def train(
    model: nn.Module,
    x: np.ndarray,
    y: np.ndarray,
    prepare: Callable[[np.ndarray], torch.Tensor],
    seed: int,
    taught: np.ndarray,
    held_out: np.ndarray | None = None,
    *,
    epochs: int = 10,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-4,
    batch: int = BATCH,
    chunk: int = CHUNK,
    parts: int = 1,
) -> list[float]:
    """Cross-entropy training with AdamW, the learning rate falling to 0 along a cosine: the one loop of all heads.

    Torch keeps to one thread meanwhile: its own ones wait for each other in a spin, which beside any other work costs
    ten times what they gain.

    model            maps prepared samples to class scores; trained in place
    x, y             (N, ...) samples as stored, (N,) int classes; never copied as a whole
    prepare          turns a batch of stored samples into the model's float input
    seed             of the order of samples
    taught, held_out indices of the samples to train on and to validate on; after every epoch the accuracy on the
                     latter is taken, and the best epoch's weights are kept at the end
    batch            samples per optimiser step
    chunk            samples per forward pass when the accuracy is taken
    parts            pieces of a batch that are worked on side by side: pays for networks whose layers take long; the
                     result depends on it, not on the number of threads
    Returns          validation accuracy per epoch (empty without held-out samples)
    """
    rng = np.random.default_rng(seed)
    targets = torch.from_numpy(np.asarray(y, np.int64))
    pieces = _Pieces(model, parts)
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * -(-len(taught) // batch))
    accuracies: list[float] = []
    best: dict[str, torch.Tensor] = {}
    with one_torch_thread():
        for _ in range(epochs):
            order = rng.permutation(taught)
            for i in range(0, len(order), batch):
                chosen = order[i : i + batch]
                pieces.backward(lambda part, some: part(prepare(x[some])), targets, chosen)
                optimiser.step()
                schedule.step()
            if held_out is not None:
                accuracies.append(accuracy(model, x, y, prepare, held_out, chunk))
                if accuracies[-1] >= max(accuracies):
                    best = {name: value.clone() for name, value in model.state_dict().items()}
    if best:
        model.load_state_dict(best)
    model.eval()
    return accuracies


class _Pieces:
    """A batch in equal pieces: gradients of each by a twin of the model that shares its weights, then their sum."""

    def __init__(self, model: nn.Module, n: int) -> None:
        self._model = model
        self._twins = [model] if n == 1 else [copy.deepcopy(model) for _ in range(n)]
        for twin in self._twins:
            for own, shared in zip(twin.parameters(), model.parameters(), strict=True):
                own.data = shared.data

    def backward(
        self, scores: Callable[[nn.Module, np.ndarray], torch.Tensor], targets: torch.Tensor, chosen: np.ndarray
    ) -> None:
        """Gradients of the mean cross-entropy of the chosen samples; scores(model, indices) are those of some."""
        pieces = np.array_split(chosen, min(len(self._twins), len(chosen)))

        def work(i: int) -> None:
            twin, some = self._twins[i].train(), pieces[i]
            twin.zero_grad(set_to_none=True)
            loss = nn.functional.cross_entropy(scores(twin, some), targets[some], reduction="sum")
            (loss / len(chosen)).backward()

        for_blocks(work, len(pieces))
        if self._twins[0] is not self._model:
            used = self._twins[: len(pieces)]
            for whole, *shares in zip(*(each.parameters() for each in (self._model, *used)), strict=True):
                whole.grad = functools.reduce(torch.add, (share.grad for share in shares))


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Within it torch computes on the thread that calls it; from several threads at once, until the last one leaves."""
    with _lock:
        _within.append(_within[0] if _within else torch.get_num_threads())
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            before = _within.pop()
            torch.set_num_threads(1 if _within else before)


@torch.no_grad()
def accuracy(
    model: nn.Module,
    x: np.ndarray,
    y: np.ndarray,
    prepare: Callable[[np.ndarray], torch.Tensor],
    chosen: np.ndarray,
    chunk: int = CHUNK,
) -> float:
    """Share of the chosen samples whose highest score is at their class."""
    model.eval()
    hits = 0
    for i in range(0, len(chosen), chunk):
        part = chosen[i : i + chunk]
        hits += int((model(prepare(x[part])).argmax(dim=1).numpy() == y[part]).sum())
    return hits / len(chosen)
