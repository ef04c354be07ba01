"""AtariARI's probes: one linear softmax layer per variable on a frozen code, trained as the benchmark's authors did.

T steps, F numbers of a code, Q variables, C columns: the classes of all variables beside each other.

Adam (3e-4, eps 1e-5), batches of 64, at most 100 epochs of as many batches as the training steps fill. After each epoch
the accuracy on validation steps decides, variable by variable: the rate falls to a fifth (not below 1e-5) after more
than 5 epochs without a better one (by a ten-thousandth of it), training stops after 15 that do not exceed the best.
The last weights are tested. A draw takes an episode, each as likely, then one of its steps: in training, validation and
test alike, as many draws as there are steps. Initial weights are those of torch's linear layer.

Ours is one matrix for all variables, which share their draws, as the original's do. Deviation: a variable has a column
for each class that occurs among its training labels, not for all 256 values of a byte. Columns of other classes are
never right in training; they start as random directions and are pushed down. Without them a probe takes a third of the
time, and scores the same to .002 (50,000 steps of Pong and of Boxing; PLAN.md). Columns of variables that have stopped
leave the matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import accuracy_score, f1_score

import ari_probe_kernels as kernels

BATCH = 64
EPOCHS = 100
RATE, EPS = 3e-4, 1e-5
FACTOR, LEAST_RATE, PATIENCE, THRESHOLD = 0.2, 1e-5, 5, 1e-4  # of the plateau schedule, torch's
STOPS_AFTER = 15  # epochs that do not exceed the best
CHUNK = 2048  # steps that are predicted at a time


@dataclass(frozen=True)
class Parts:
    """Episodes to train, to validate and to test on, each an array of its steps (indices of T)."""

    train: Sequence[np.ndarray]
    validation: Sequence[np.ndarray]
    test: Sequence[np.ndarray]


@dataclass(frozen=True)
class Scores:
    """Of each variable, (Q,): weighted F1 and accuracy on test draws, and the epochs that it was trained for."""

    f1: np.ndarray
    accuracy: np.ndarray
    epochs: np.ndarray


class Draws:
    """Steps of some episodes: an episode, each as likely, then one of its steps, each as likely."""

    def __init__(self, episodes: Sequence[np.ndarray], rng: np.random.Generator) -> None:
        """Raises ValueError if there are no episodes, or one is empty."""
        if not episodes or not all(len(episode) for episode in episodes):
            raise ValueError("a part of the split has no steps: collect more episodes")
        self._steps = np.concatenate(episodes)
        self._lengths = np.array([len(episode) for episode in episodes])
        self._starts = np.cumsum(self._lengths) - self._lengths
        self._rng = rng
        self.n = len(self._steps)

    def draw(self) -> np.ndarray:
        """As many whole batches as the steps fill, one at least: (n,) indices of T."""
        n = max(self.n // BATCH, 1) * BATCH
        chosen = self._rng.integers(len(self._starts), size=n)
        within = (self._rng.random(n) * self._lengths[chosen]).astype(np.int64)
        return np.asarray(self._steps[self._starts[chosen] + within])


class Course:
    """How the training of one variable goes on: its rate, and whether it has stopped; by validation accuracies."""

    def __init__(self) -> None:
        self.rate, self.stopped = RATE, False
        self._best = self._level = -np.inf
        self._without = self._flat = 0

    def tell(self, accuracy: float) -> None:
        """The accuracy after an epoch. (The rate is lowered in the epoch that stops, too; nothing is trained by it.)"""
        self._without = 0 if accuracy > self._best else self._without + 1
        self._best = max(self._best, accuracy)
        self.stopped = self._without >= STOPS_AFTER
        if accuracy > self._level * (1 + THRESHOLD) or self._level == -np.inf:
            self._level, self._flat = accuracy, 0
        else:
            self._flat += 1
        if self._flat > PATIENCE:
            self.rate, self._flat = max(self.rate * FACTOR, LEAST_RATE), 0


class Classifiers:
    """One softmax layer per variable, side by side in one matrix.

    labels    per variable the byte values that its columns stand for, rising
    weights   (F + 1, C) float32: weights, then the bias; the input's last number is 1
    """

    def __init__(self, labels: Sequence[np.ndarray], weights: np.ndarray) -> None:
        self.labels, self.weights = list(labels), weights
        self.edges = np.cumsum([0, *map(len, self.labels)])
        self._moments = np.zeros_like(weights), np.zeros_like(weights)
        self._gradient = np.empty_like(weights)

    @classmethod
    def drawn(cls, labels: Sequence[np.ndarray], n_features: int, rng: np.random.Generator) -> Classifiers:
        """With initial weights and biases uniform within +-1 / sqrt(F)."""
        bound = 1 / np.sqrt(n_features)
        shape = n_features + 1, sum(map(len, labels))
        return cls(labels, rng.uniform(-bound, bound, shape).astype(np.float32))

    def columns_of(self, values: np.ndarray) -> np.ndarray:
        """values (Q, T) uint8 -> (T, Q) int64: the column of each label, -1 where it has none."""
        columns = np.full((len(self.labels), 256), -1)
        for q, its in enumerate(self.labels):
            columns[q, its] = self.edges[q] + np.arange(len(its))
        return np.ascontiguousarray(np.take_along_axis(columns, values.astype(np.int64), axis=1).T)

    def train(self, x: np.ndarray, targets: np.ndarray, rates: np.ndarray, step: int) -> None:
        """One batch x (n, F + 1) float32, targets (n, Q): columns; rates (Q,); step 1, 2, 3, ..."""
        powers = x @ self.weights
        kernels.subtract_largest(powers, self.edges)
        np.exp(powers, out=powers)
        kernels.softmax_gradient(powers, self.edges, targets)
        np.matmul(x.T, powers, out=self._gradient)
        by_column = np.repeat(rates, np.diff(self.edges)).astype(np.float32)
        kernels.adam(self.weights, self._gradient, *self._moments, by_column, step, EPS)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """x (n, F + 1) float32 -> (n, Q) int64: the column of the likeliest class."""
        chosen = np.empty((len(x), len(self.labels)), np.int64)
        for start in range(0, len(x), CHUNK):
            rows = slice(start, start + CHUNK)
            kernels.largest_of_groups(x[rows] @ self.weights, self.edges, chosen[rows])
        return chosen

    def only(self, chosen: Sequence[int]) -> Classifiers:
        """Some of the variables, with their weights and moments as they are."""
        parts = [np.arange(self.edges[q], self.edges[q + 1]) for q in chosen]
        columns = np.concatenate(parts) if parts else np.empty(0, int)
        found = Classifiers([self.labels[q] for q in chosen], np.ascontiguousarray(self.weights[:, columns]))
        found._moments = tuple(np.ascontiguousarray(moment[:, columns]) for moment in self._moments)  # type: ignore[assignment]
        return found


def probe(code: np.ndarray, values: np.ndarray, parts: Parts, seed: int, epochs: int = EPOCHS) -> Scores:
    """Train and test one layer per variable.

    code     (T, F) float32         values   (Q, T) uint8, the labels
    seed     of initial weights and draws; epochs at most
    Raises   ValueError if a part has no steps, or the code is not finite.
    """
    if not np.isfinite(code).all():
        raise ValueError("the code is not finite")
    rngs = np.random.default_rng(seed).spawn(4)
    train, validation, test = map(Draws, (parts.train, parts.validation, parts.test), rngs[:3])
    x = np.concatenate([code, np.ones((len(code), 1), np.float32)], axis=1, dtype=np.float32)
    seen = np.concatenate(parts.train)
    layers = Classifiers.drawn([np.unique(its[seen]) for its in values], code.shape[1], rngs[3])
    trained, n_epochs = fit(layers, x, values, (train, validation), epochs)
    drawn = test.draw()
    predicted = np.empty((len(values), len(drawn)), np.uint8)
    for q, layer in enumerate(trained):
        predicted[q] = layer.labels[0][layer.predict(x[drawn])[:, 0]]
    return Scores(*scores(values[:, drawn], predicted), n_epochs)


def fit(
    layers: Classifiers, x: np.ndarray, values: np.ndarray, draws: tuple[Draws, Draws], epochs: int
) -> tuple[list[Classifiers], np.ndarray]:
    """Train all variables, each until it stops.

    x        (T, F + 1) float32, a 1 behind each code      draws   of training and of validation
    Returns  each variable's layer by itself, and its epochs (Q,)
    """
    active = list(range(len(values)))
    done: dict[int, Classifiers] = {}
    courses, n_epochs, step = [Course() for _ in active], np.zeros(len(active), int), 0
    targets = layers.columns_of(values)
    for _ in range(epochs):
        rates = np.array([courses[q].rate for q in active])
        for batch in draws[0].draw().reshape(-1, BATCH):
            step += 1
            layers.train(x[batch], targets[batch], rates, step)
        drawn = draws[1].draw()
        right = (layers.predict(x[drawn]) == targets[drawn]).mean(axis=0)
        for q, accuracy in zip(active, right, strict=True):
            courses[q].tell(float(accuracy))
            n_epochs[q] += 1
        stay = [i for i, q in enumerate(active) if not courses[q].stopped]
        if len(stay) < len(active):
            done |= {q: layers.only([i]) for i, q in enumerate(active) if courses[q].stopped}
            layers, active = layers.only(stay), [active[i] for i in stay]
            targets = layers.columns_of(values[active])
        if not active:
            break
    done |= {q: layers.only([i]) for i, q in enumerate(active)}
    return [done[q] for q in range(len(values))], n_epochs


def scores(truth: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted F1 and accuracy, (Q,) each, of labels (Q, n)."""
    f1 = [f1_score(t, p, average="weighted", zero_division=0) for t, p in zip(truth, predicted, strict=True)]
    return np.array(f1), np.array([accuracy_score(t, p) for t, p in zip(truth, predicted, strict=True)])


def majority(values: np.ndarray, parts: Parts) -> Scores:
    """Each variable's most frequent training label, the smallest of equals, on every test step once."""
    seen, tested = np.concatenate(parts.train), np.concatenate(parts.test)
    guess = np.array([np.bincount(its[seen], minlength=256).argmax() for its in values], np.uint8)
    predicted = np.repeat(guess[:, None], len(tested), axis=1)
    return Scores(*scores(values[:, tested], predicted), np.zeros(len(values), int))
