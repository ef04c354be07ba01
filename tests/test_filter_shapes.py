"""Numbers for the shapes of hand-made filters."""

import numpy as np
import pytest

from filter_shapes import cosine, flatness, newest_share, sign_changes


def test_sign_changes():
    assert sign_changes(np.array([1, 0.5, 0.2, 0.1])) == 0
    assert sign_changes(np.array([1, 0.1, -0.4, -0.2])) == 1
    assert sign_changes(np.array([1, -1, 1, -1])) == 3
    assert sign_changes(np.array([1, -0.04, 0.3, 0.01])) == 0  # too small to have a sign
    assert sign_changes(-np.array([1, 0.1, -0.4, -0.2])) == 1


def test_cosine_ignores_sign_and_scale_and_knows_a_metric():
    a, b = np.array([1.0, 2, -1]), np.array([0.5, -1, 2])
    assert cosine(a, -3 * a) == pytest.approx(1) and cosine(a, b) == cosine(b, a) == cosine(-a, b)
    assert cosine([1, 0], [0, 1]) == 0
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20_000, 3)) @ rng.standard_normal((3, 3))
    expected = abs(np.corrcoef(x @ a, x @ b)[0, 1])
    assert cosine(a, b, x.T @ x / len(x)) == pytest.approx(expected, abs=0.01)


def test_flatness_and_newest_share():
    assert flatness(np.ones(8)) == pytest.approx(1) and newest_share(np.ones(8)) == pytest.approx(1 / 8)
    impulse = np.eye(8)[0]
    assert flatness(impulse) == pytest.approx(8**-0.5) and newest_share(impulse) == 1
    assert flatness(np.array([1.0, -1, 1, -1])) == pytest.approx(0)
