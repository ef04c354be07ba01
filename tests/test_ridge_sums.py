"""Ridge heads from sums: a dense reference, order, and what is refused."""

import itertools

import numpy as np
import pytest

from ridge_sums import RandomUnits, RidgeSums


def samples(n=400, d=6, seed=0):
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((n, d)) * rng.uniform(0.1, 3, d) + rng.uniform(-2, 2, d)).astype(np.float32)
    return x, (x[:, 0] + 0.3 * x[:, 1] > 0).astype(int) + (x[:, 2] > 1)


def test_a_head_is_the_regression_on_all_samples():
    x, y = samples()
    head = RidgeSums(6, 3).add(x[:150], y[:150]).add(x[150:], y[150:]).head(1e-2)
    mean, deviation = x.mean(axis=0, dtype=float), x.std(axis=0, dtype=float)
    floor = 0.1 * np.sqrt(np.mean(deviation**2))
    z = (x - mean) / np.maximum(deviation, floor)
    ridge = 1e-2 * np.trace(z.T @ z) / 6 * np.eye(6)
    target = np.eye(3)[y] - np.eye(3)[y].mean(axis=0)
    expected = z @ np.linalg.solve(z.T @ z + ridge, z.T @ target) + np.eye(3)[y].mean(axis=0)
    assert np.allclose(head.logits(x), expected, atol=1e-5)
    other = z @ np.linalg.solve(z.T @ z + 10 * ridge, z.T @ target) + np.eye(3)[y].mean(axis=0)
    assert not np.allclose(head.logits(x), other, atol=1e-3)


@pytest.mark.parametrize("n_units", [0, 40])
def test_any_order_gives_the_same_head(n_units):
    x, y = samples()
    units = RandomUnits.drawn(x, n_units, 0) if n_units else None
    parts = [slice(0, 50), slice(50, 220), slice(220, 400)]
    heads = [RidgeSums(6, 3, units).add(x, y).head(1e-3)]
    for order in itertools.permutations(parts):
        heads.append(RidgeSums(6, 3, units))
        for part in order:
            heads[-1].add(x[part], y[part])
        heads[-1] = heads[-1].head(1e-3)
    merged = RidgeSums(6, 3, units).add(x[parts[2]], y[parts[2]]).merge(
        RidgeSums(6, 3, units).add(x[parts[0]], y[parts[0]]).add(x[parts[1]], y[parts[1]])
    )  # fmt: skip
    for head in [*heads[1:], merged.head(1e-3)]:
        for a, b in zip(head.weights, heads[0].weights, strict=True):
            assert np.allclose(a, b, rtol=1e-5, atol=1e-6 * np.abs(b).max())  # heads are kept in float32
    a, b = merged, RidgeSums(6, 3, units).add(x, y)
    assert np.allclose(a.gram, b.gram, rtol=1e-12) and np.allclose(a.cross, b.cross, rtol=1e-12)


def test_random_units_help_where_classes_are_not_linear():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3000, 2)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    plain = np.mean(RidgeSums(2, 2).add(x, y).head(1e-3).predict(x) == y)
    units = RandomUnits.drawn(x, 100, 1)
    lifted = np.mean(RidgeSums(2, 2, units).add(x, y).head(1e-3).predict(x) == y)
    assert plain < 0.7 and lifted > 0.9
    assert np.array_equal(RandomUnits.drawn(x, 100, 1).weight, units.weight)


def test_a_feature_that_never_changes_does_no_harm():
    x, y = samples()
    x[:, 3] = 7.0
    head = RidgeSums(6, 3).add(x, y).head(1e-3)
    assert np.isfinite(head.weights[0]).all() and np.mean(head.predict(x) == y) > 0.7


def test_what_does_not_fit_is_refused_and_nothing_added():
    x, y = samples()
    sums = RidgeSums(6, 3).add(x[:10], y[:10])
    for bad in ((x[:, :5], y), (x, y[:-1]), (x, y + 1), (x[0], y[:1])):
        with pytest.raises(ValueError, match=r"expected features|classes must lie"):
            sums.add(*bad)
    assert sums.n == 10
    for refused in (lambda: RidgeSums(6, 3).head(1e-3), lambda: sums.head(0.0), lambda: sums.merge(RidgeSums(5, 3))):
        with pytest.raises(ValueError, match=r"takes samples|do not add up"):
            refused()
