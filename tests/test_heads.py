"""Heads learn what can be learned, agree with scikit-learn where it has the same thing, and refuse bad input."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

import heads
from dense_head import DenseHead, SteppedHead
from heads import Scaling, fit_mlp, fit_ridge


def ring(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two classes, inside and outside a circle, among 6 features: not linearly separable."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (n, 6)).astype(np.float32) * 5 + 3
    z = (x[:, :2] - 3) / 5
    return x, ((z**2).sum(axis=1) > 1.4).astype(np.int64)


def test_ridge_is_scikit_learns():
    rng = np.random.default_rng(0)
    x = rng.normal(2, 3, (500, 12)).astype(np.float32)
    y = rng.integers(0, 3, 500)
    head = fit_ridge(x, y, 3, strengths=(0.01,))
    z = StandardScaler().fit_transform(x.astype(np.float64))
    alpha = 0.01 * np.trace(z.T @ z) / 12
    reference = Ridge(alpha=alpha).fit(z, np.eye(3)[y])
    assert np.abs(head.logits(x) - reference.predict(z)).max() < 1e-3


def test_mlp_learns_what_a_linear_head_cannot():
    (x, y), (x_v, y_v) = ring(4000, 0), ring(1000, 1)
    both, labels = np.concatenate([x, x_v]), np.concatenate([y, y_v])
    accuracy = {
        kind: np.mean(heads.fit(kind, both, labels, 2, 0, np.arange(4000), np.arange(4000, 5000)).predict(x_v) == y_v)
        for kind in ("ridge", "linear", "mlp")
    }
    assert accuracy["mlp"] > 0.9
    assert np.array_equal(both[:4000], x) and np.array_equal(both[4000:], x_v)  # fitting changes no data
    assert max(accuracy["ridge"], accuracy["linear"]) < 0.65  # negative control


def test_same_seed_same_bytes_and_global_random_state_is_left_alone():
    import torch

    x, y = ring(600, 0)
    before = torch.random.get_rng_state().clone()
    a, b, c = (fit_mlp(x, y, 2, seed, hidden=(16,), epochs=2) for seed in (0, 0, 1))
    assert all(np.array_equal(p, q) for p, q in zip(a.weights, b.weights, strict=True))
    assert not np.array_equal(a.weights[0], c.weights[0])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_uint8_pixels_give_the_same_head_as_floats():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (400, 30)).astype(np.uint8), rng.integers(0, 2, 400)
    a, b = fit_mlp(x, y, 2, 0, hidden=(8,), epochs=1), fit_mlp(x.astype(np.float32), y, 2, 0, hidden=(8,), epochs=1)
    assert np.array_equal(a.weights[0], b.weights[0])


def test_a_feature_that_hardly_moves_is_not_blown_up():
    x = np.random.default_rng(0).normal(0, 1, (1000, 10))
    x[:, 3] *= 1e-6
    x[:, 4] = 5.0
    factor = Scaling.fit(x.astype(np.float32)).factor
    assert factor[3] < 12 and factor[4] < 12 and 0.9 < factor[0] < 1.1
    assert np.isfinite(Scaling.fit(np.zeros((5, 2))).factor).all()
    one = Scaling.fit(x.astype(np.float32), uniform=True)
    np.testing.assert_allclose(one.factor, 1 / np.sqrt(x.var(axis=0).mean()), rtol=1e-4)
    assert np.isfinite(Scaling.fit(np.zeros((5, 2)), uniform=True).factor).all()


def test_save_load_and_refusals(tmp_path):
    x, y = ring(300, 0)
    head = fit_mlp(x, y, 2, 0, hidden=(8, 4), epochs=1)
    head.save(tmp_path / "head.npz", class_names=np.array(["a", "b"]))
    again, extra = DenseHead.load(tmp_path / "head.npz")
    assert np.array_equal(again.logits(x), head.logits(x)) and extra["class_names"].tolist() == ["a", "b"]
    assert head.n_parameters == 6 * 8 + 8 + 8 * 4 + 4 + 4 * 2 + 2
    np.savez(tmp_path / "bad.npz", n_layers=2, w0=np.zeros((3, 2)), b0=np.zeros(3), w1=np.zeros((2, 9)), b1=np.zeros(2))
    with pytest.raises(ValueError, match=r"bad\.npz is not a consistent head file .*run this"):
        DenseHead.load(tmp_path / "bad.npz", "run this")
    with pytest.raises(ValueError, match="unknown head 'forest'"):
        heads.fit("forest", x, y, 2, 0, np.arange(5), np.arange(5))
    with pytest.raises(ValueError, match="classes must lie in 0"):
        fit_ridge(x, y + 1, 2)
    with pytest.raises(ValueError, match="expected features"):
        fit_ridge(x, y[:-1], 2)


@pytest.mark.parametrize("hidden", [(), (7, 5)])
def test_a_stepped_head_gives_the_heads_scores_and_looks_at_every_input(hidden):
    """Against the dense head, on a walk that moves few inputs at a time; a planted change in each input is seen."""
    rng = np.random.default_rng(4)
    sizes = (30, *hidden, 3)
    pairs = [(n_out, n_in) for n_in, n_out in itertools.pairwise(sizes)]
    head = DenseHead(
        [rng.normal(size=p).astype(np.float32) for p in pairs],
        [rng.normal(size=p[0]).astype(np.float32) for p in pairs],
    )
    stepped = SteppedHead(head)
    with pytest.raises(ValueError, match="reset"):
        stepped.logits(np.zeros(30, np.float32))
    for _ in range(2):
        x = rng.normal(size=30).astype(np.float32)
        np.testing.assert_allclose(stepped.reset(x), head.logits(x), rtol=1e-4, atol=1e-5)
        for d in range(30):
            before = stepped.logits(x)
            x = x.copy()
            x[d] += 3
            np.testing.assert_allclose(stepped.logits(x), head.logits(x), rtol=1e-4, atol=1e-5)
            assert not np.array_equal(before, stepped.logits(x))
    with pytest.raises(ValueError, match="size"):
        stepped.logits(x[:5])
    assert np.array_equal(stepped.logits(np.repeat(x, 2)[::2]), stepped.logits(x))  # strides do not matter
    fresh, known = SteppedHead(head), SteppedHead(head)
    assert np.array_equal(fresh.scores(x), known.reset(x)), "a first sample begins"
    assert np.array_equal(fresh.scores(x + 1), known.logits(x + 1))


def test_heads_trained_side_by_side_are_those_trained_alone_and_threads_come_back():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(700, 12)).astype(np.float32), rng.integers(0, 3, 700)

    def trained(seed: int) -> DenseHead:
        return heads.fit_mlp(x, y, 3, seed, (16,), epochs=3)

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        alone = [trained(seed) for seed in range(4)]
        with ThreadPoolExecutor(4) as pool:
            beside = list(pool.map(trained, range(4)))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    for a, b in zip(alone, beside, strict=True):
        assert all(np.array_equal(v, w) for v, w in zip(a.weights, b.weights, strict=True))


@pytest.mark.parametrize("n", [1, 7, 64, 65])
def test_a_batch_in_pieces_has_the_gradient_of_the_whole(n):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(n, 5)).astype(np.float32), rng.integers(0, 3, n)
    models = [heads.perceptron((5, 8, 3)) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    found = []
    for model, parts in zip(models, (1, 3), strict=True):
        heads.train(model, x, y, torch.from_numpy, 0, np.arange(n), epochs=2, batch=64, parts=parts)
        found.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.allclose(*found, atol=1e-5)
    again = heads.perceptron((5, 8, 3))
    assert not torch.allclose(torch.cat([p.detach().flatten() for p in again.parameters()]), found[0], atol=1e-5)
