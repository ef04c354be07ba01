"""AtariARI's probes against torch and scikit-learn: gradients, Adam, schedule, stop; draws; 256 columns or fewer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

import ari_probe
from ari_probe import Classifiers, Course, Draws, Parts

F = 12


def task(seed: int = 0, n: int = 1500, noise: float = 0.5) -> tuple[np.ndarray, np.ndarray, Parts]:
    """A code (T, F), labels (3, T) of 5, 3 and 2 classes, some of them linear in the code; ten episodes."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, F)).astype(np.float32)
    levels = x[:, :3] + noise * rng.standard_normal((n, 3))
    values = np.stack([np.digitize(levels[:, 0], [-1, -0.3, 0.3, 1]) * 40, np.digitize(levels[:, 1], [-0.5, 0.5]) + 7,
                       rng.integers(2, size=n)]).astype(np.uint8)  # fmt: skip
    episodes = np.array_split(np.arange(n), 10)
    return x, values, Parts(episodes[:7], episodes[7:8], episodes[8:])


def with_one(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.ones((len(x), 1), np.float32)], axis=1)


def classes(values: np.ndarray, parts: Parts) -> list[np.ndarray]:
    return [np.unique(its[np.concatenate(parts.train)]) for its in values]


def by_torch(layers: Classifiers, x: np.ndarray, values: np.ndarray, draws: tuple[Draws, Draws], epochs: int):
    """A linear layer, an Adam, a schedule and a count per variable, as the benchmark's authors have them."""
    models, optimisers, schedules = [], [], []
    for q in range(len(values)):
        part = layers.weights[:, layers.edges[q] : layers.edges[q + 1]]
        model = torch.nn.Linear(F, part.shape[1])
        model.weight.data, model.bias.data = torch.tensor(part[:-1].T.copy()), torch.tensor(part[-1].copy())
        optimiser = torch.optim.Adam(model.parameters(), lr=3e-4, eps=1e-5)
        models.append(model), optimisers.append(optimiser)
        schedules.append(
            torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, mode="max", factor=0.2, patience=5, min_lr=1e-5)
        )
    best, without, ran, rates = [-1.0] * len(models), [0] * len(models), [0] * len(models), []
    for _ in range(epochs):
        running = [q for q in range(len(models)) if without[q] < 15]
        for batch in draws[0].draw().reshape(-1, 64):
            for q in running:
                labels = torch.tensor(np.searchsorted(layers.labels[q], values[q, batch]))
                optimisers[q].zero_grad()
                torch.nn.functional.cross_entropy(models[q](torch.tensor(x[batch])), labels).backward()
                optimisers[q].step()
        drawn = draws[1].draw()
        for q in running:
            guess = layers.labels[q][models[q](torch.tensor(x[drawn])).argmax(dim=1).numpy()]
            accuracy = float((guess == values[q, drawn]).mean())
            schedules[q].step(accuracy)
            without[q] = 0 if accuracy > best[q] else without[q] + 1
            best[q], ran[q] = max(best[q], accuracy), ran[q] + 1
        rates.append([optimiser.param_groups[0]["lr"] for optimiser in optimisers])
    return models, ran, rates


def test_training_is_that_of_torch_to_the_end():
    """Same draws, same initial weights; variables stop in different epochs, and their rates fall in different ones."""
    x, values, parts = task()
    x *= 4
    labels = classes(values, parts)
    start = Classifiers.drawn(labels, F, np.random.default_rng(5))
    results = []
    for train in (by_torch, lambda layers, x, *rest: ari_probe.fit(layers, with_one(x), *rest)):
        layers = Classifiers(labels, start.weights.copy())
        draws = Draws(parts.train, np.random.default_rng(1)), Draws(parts.validation, np.random.default_rng(2))
        results.append(train(layers, x, values, draws, 80))
    (models, ran, rates), (found, epochs) = results
    assert epochs.tolist() == ran and len(set(ran)) > 1 and min(ran) < 80
    assert len(np.unique(rates)) > 1
    for layer, model in zip(found, models, strict=True):
        weights = np.concatenate([model.weight.detach().numpy().T, model.bias.detach().numpy()[None]])
        assert np.abs(layer.weights - weights).max() < 1e-4 < np.abs(weights).max()


def test_one_step_is_the_gradient_of_the_mean_cross_entropy():
    """In double precision, with logits that would overflow if the largest were not taken off."""
    rng = np.random.default_rng(0)
    labels = [np.array([3, 9, 200]), np.array([0, 1])]
    layers = Classifiers(labels, (100 * rng.standard_normal((F + 1, 5))).astype(np.float32))
    x = with_one(rng.standard_normal((64, F)).astype(np.float32))
    values = np.stack([rng.choice(its, 64) for its in labels]).astype(np.uint8)
    before = layers.weights.astype(np.float64)
    wanted = np.empty_like(before)
    for q, columns in enumerate((slice(0, 3), slice(3, 5))):
        logits = x @ before[:, columns]
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(64), np.searchsorted(labels[q], values[q])] -= 1
        wanted[:, columns] = x.T @ p / 64
    layers.train(x, layers.columns_of(values), np.array([0.1, 0.2]), 1)
    assert np.abs(layers._gradient - wanted).max() < 1e-5 * np.abs(wanted).max() + 1e-5
    step = np.repeat([0.1, 0.2], [3, 2]) * wanted / (np.abs(wanted) + 1e-5)
    large = np.abs(wanted) > 1e-3
    assert large.any() and np.abs(before - layers.weights - step)[large].max() < 2e-4


def test_the_schedule_is_that_of_torch():
    rng = np.random.default_rng(3)
    for level in (0.02, 0.2):
        course, parameter = Course(), torch.zeros(1, requires_grad=True)
        optimiser = torch.optim.Adam([parameter], lr=3e-4)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, "max", 0.2, 5, min_lr=1e-5)
        for t in range(60):
            accuracy = float(np.round(0.5 + level * rng.random() + 0.003 * t, 2))
            course.tell(accuracy), optimiser.step(), schedule.step(accuracy)
            assert course.rate == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9)


@pytest.mark.parametrize(
    ("accuracies", "rates", "stops"),
    [
        ([0.5] * 7, [3e-4] * 6 + [6e-5], 0),  # 6 without a better one: more than 5
        ([0.5] + [0.4] * 15, [3e-4] * 6 + [6e-5] * 6 + [1.2e-5] * 4, 16),
        ([0.5] * 14 + [0.51] + [0.51] * 15, None, 30),
        ([0.5, 0.50001] + [0.4] * 14, None, 0),  # it exceeds the best: 14 since then
        ([0.5, 0.50004, 0.5] * 2 + [0.5], [3e-4] * 6 + [6e-5], 0),  # by less than a ten-thousandth of it
        ([0.0] * 8, [3e-4] * 6 + [6e-5] * 2, 0),
    ],
)
def test_rates_and_stops_by_hand(accuracies, rates, stops):
    course, seen, stopped = Course(), [], []
    for accuracy in accuracies:
        course.tell(accuracy)
        seen.append(course.rate), stopped.append(course.stopped)
    assert rates is None or seen == pytest.approx(rates)
    assert stopped.count(True) == bool(stops) and (not stops or stopped.index(True) == stops - 1)


def test_the_rate_does_not_fall_below_its_least():
    course = Course()
    for _ in range(60):
        course.tell(0.0)
    assert course.rate == 1e-5


def test_draws_take_an_episode_and_then_a_step():
    episodes = [np.arange(0, 10), np.arange(10, 1000)]
    draws = Draws(episodes, np.random.default_rng(0))
    drawn = np.concatenate([draws.draw() for _ in range(20)])
    assert len(drawn) == 20 * (1000 // 64 * 64) and set(drawn) == set(range(1000))
    assert abs((drawn < 10).mean() - 0.5) < 0.02
    counts = np.bincount(drawn, minlength=1000)
    assert counts[:10].min() > 0.8 * counts[:10].max() and counts[0] > 30 * counts[10:].mean()
    assert len(Draws([np.arange(5)], np.random.default_rng(0)).draw()) == 64
    with pytest.raises(ValueError, match="a part of the split has no steps"):
        Draws([], np.random.default_rng(0))


def test_initial_weights_are_those_of_a_linear_layer():
    layers = Classifiers.drawn([np.arange(200)], 256, np.random.default_rng(0))
    model = torch.nn.Linear(256, 200)
    assert layers.weights.shape == (257, 200) and layers.weights.dtype == np.float32
    assert np.abs(layers.weights).max() == pytest.approx(float(model.weight.detach().abs().max()), rel=1e-3)
    assert layers.weights.std() == pytest.approx(float(model.weight.detach().std()), rel=0.02)


def test_columns_of_classes_that_never_occur_change_little():
    """The deviation: all 256 columns, as in the original, and those that occur alone, after as many steps."""
    x, values, parts = task(4, noise=0.2)
    x = with_one(4 * x)
    batches = np.random.default_rng(1).choice(np.concatenate(parts.train), (4000, 64))
    tested, right = np.concatenate(parts.test), []
    for labels in (classes(values, parts), [np.arange(256)] * 3):
        layers = Classifiers.drawn(labels, F, np.random.default_rng(7))
        targets = layers.columns_of(values)
        for step, batch in enumerate(batches, 1):
            layers.train(x[batch], targets[batch], np.full(3, 1e-3), step)
        right.append((layers.predict(x[tested]) == targets[tested]).mean(axis=0))
    assert (right[0][:2] > 0.7).all() and np.abs(right[0] - right[1]).max() < 0.06


def test_what_is_linear_is_read_and_what_is_drawn_is_not():
    x, values, parts = task(1, 20_000, noise=0.0)
    found = ari_probe.probe(4 * x, values, parts, 0)
    assert found.f1[0] > 0.95 and found.f1[1] > 0.95 and 0.45 < found.f1[2] < 0.55
    again, other = (ari_probe.probe(4 * x, values, parts, seed) for seed in (0, 1))
    assert np.array_equal(found.f1, again.f1) and np.array_equal(found.epochs, again.epochs)
    assert not np.array_equal(found.f1, other.f1) and np.abs(found.f1 - other.f1).max() < 0.06


def test_a_class_that_was_never_trained_is_never_right():
    x, values, parts = task(2)
    values[1, np.concatenate(parts.test)] = 99
    values[2] = 5  # and a variable of one class is always right
    found = ari_probe.probe(x, values, parts, 0, 3)
    assert found.f1[1] == found.accuracy[1] == 0 and found.f1[2] == found.accuracy[2] == 1
    layers = Classifiers.drawn(classes(values, parts), F, np.random.default_rng(0))
    columns = layers.columns_of(values)
    assert (columns[np.concatenate(parts.test), 1] == -1).all() and (columns[np.concatenate(parts.train)] >= 0).all()


def test_tested_are_the_last_weights_on_draws_of_the_test_episodes(monkeypatch):
    x, values, parts = task(3)
    kept = {}
    fit = ari_probe.fit
    monkeypatch.setattr(ari_probe, "fit", lambda *given: kept.setdefault("layers", fit(*given)))
    found = ari_probe.probe(x, values, parts, 11, 4)
    rng = np.random.default_rng(11).spawn(4)[2]
    episode = rng.integers(2, size=256)
    step = (rng.random(256) * 150).astype(int)  # two episodes of 150 steps, the last ones
    drawn = 1200 + 150 * episode + step
    for q, layer in enumerate(kept["layers"][0]):
        guess = layer.labels[0][(with_one(x[drawn]) @ layer.weights).argmax(axis=1)]
        assert found.accuracy[q] == accuracy_score(values[q, drawn], guess)
        assert found.f1[q] == f1_score(values[q, drawn], guess, average="weighted")


def test_scores_by_hand():
    truth, guess = np.array([[0, 0, 0, 5, 5, 9]], np.uint8), np.array([[0, 0, 5, 5, 7, 7]], np.uint8)
    f1, accuracy = ari_probe.scores(truth, guess)
    assert accuracy[0] == pytest.approx(3 / 6)
    assert f1[0] == pytest.approx((3 * 2 * 2 / (3 + 2) + 2 * 2 * 1 / (2 + 2) + 0) / 6)  # 2 hits / (there + guessed)


def test_the_majority_is_that_of_training_on_every_test_step_once():
    values = np.array([[3, 3, 8, 8, 8, 3, 8, 3], [1, 1, 2, 2, 0, 1, 1, 2]], np.uint8)
    parts = Parts([np.arange(4)], [np.array([4])], [np.array([5, 6, 7])])
    found = ari_probe.majority(values, parts)
    assert found.accuracy.tolist() == pytest.approx([2 / 3, 2 / 3])  # of equals the smallest
    assert found.f1[0] == pytest.approx(2 / 3 * (2 * 2 / (2 + 3)))


def test_a_code_that_is_not_finite_is_refused():
    x, values, parts = task()
    x[0, 0] = np.nan
    with pytest.raises(ValueError, match="the code is not finite"):
        ari_probe.probe(x, values, parts, 0)
