"""VectorReSU: a dense reference, chunks and merges, offsets, the projection of many columns, what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg
from sklearn.base import clone
from sklearn.decomposition import PCA

from resu_core import ReSU
from resu_vector import VectorMoments, VectorReSU
from resu_vector_projection import principal_directions
from windows import vector_integers, vector_series, vector_windows

FAST = settings(max_examples=25, deadline=None, derandomize=True)
SMALL = {"memory": 3, "horizon": 2, "n_units": 4}


def dense_reference(episodes, m, h, k, ridge, center=True, absolute_ridge=0.0, predicted=slice(None)):
    """Correlations (k,) and filters (k, m D), up to sign, by one generalised eigenproblem of past and future."""
    past, future = vector_windows([x.astype(np.float64) for x in episodes], m, h)
    future = future[:, predicted]
    if center:
        past, future = past - past.mean(axis=0), future - future.mean(axis=0)
    c_pp, c_fp, c_ff = (a.T @ b / len(past) for a, b in ((past, past), (future, past), (future, future)))
    c_pp, c_ff = (c + (ridge * linalg.eigvalsh(c)[-1] + absolute_ridge) * np.eye(len(c)) for c in (c_pp, c_ff))
    cross = np.block([[np.zeros_like(c_pp), c_fp.T], [c_fp, np.zeros_like(c_ff)]])
    values, vectors = linalg.eigh(cross, linalg.block_diag(c_pp, c_ff))
    return values[::-1][:k], np.sqrt(2) * vectors[: len(c_pp), ::-1][:, :k].T


def up_to_signs(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of rows, each with the better sign, against the largest entry."""
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    return float(np.minimum(np.abs(a - b).max(axis=1), np.abs(a + b).max(axis=1)).max() / np.abs(b).max())


OPTIONS = [
    {}, {"center": False}, {"ridge": 0.0}, {"ridge": 1e-2}, {"absolute_ridge": 3.0}, {"memory": 1}, {"horizon": 1},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
def test_equals_a_dense_reference(options, dtype):
    options = SMALL | {"ridge": 1e-6} | options
    episodes = [vector_series(i, n, 5, 3.0) for i, n in enumerate((300, 4, 90, 2))]
    episodes = [np.clip(x * 10 + 128, 0, 255).astype(dtype) if dtype == np.uint8 else x.astype(dtype) for x in episodes]
    resu = VectorReSU(**options).fit_episodes(episodes)
    rest = {name: options[name] for name in ("center", "absolute_ridge") if name in options}
    correlations, filters = dense_reference(episodes, *(options[name] for name in (*SMALL, "ridge")), **rest)
    assert np.abs(resu.correlations_ - correlations).max() < 1e-10
    assert up_to_signs(resu.filters_, filters) < 1e-10 and resu.filters_.shape == (4, options["memory"], 5)
    x = episodes[0].astype(np.float64)
    past, _ = vector_windows(
        [np.concatenate([np.repeat(x[:1], options["memory"] - 1, axis=0), x])], options["memory"], 0
    )
    wanted = (past - np.tile(resu.mean_, options["memory"])) @ resu.filters_.reshape(4, -1).T
    assert np.abs(resu.transform(episodes[0]) - wanted).max() < 1e-10
    joined = VectorReSU(**options).fit(np.concatenate(episodes))  # negative control: here windows reach across
    assert np.abs(joined.correlations_ - correlations).max() > 1e-6


@pytest.mark.parametrize("options", [{}, {"center": False, "ridge": 1e-3}, {"absolute_ridge": 0.1, "horizon": 4}])
@pytest.mark.parametrize("dtype", [np.float64, np.uint8])
def test_one_column_is_the_resu_of_one_series(options, dtype):
    options = {"memory": 5, "horizon": 3, "n_units": 2} | options
    x = (vector_series(0, 500, 1) * 5 + 128).clip(0, 255).astype(dtype)
    one, ours = ReSU(**options).fit(x), VectorReSU(rectified=True, **options).fit(x)
    assert np.abs(one.correlations_ - ours.correlations_).max() < 1e-10
    assert np.abs(one.filters_ - ours.filters_[..., 0]).max() < 1e-10 * np.abs(one.filters_).max()
    assert np.abs(one.transform(x)[:, 0] - ours.transform(x)).max() < 1e-10


def test_several_columns_are_not():
    """Negative control: there, filters are shared."""
    x = vector_series(0, 500, 3)
    shared = ReSU(memory=3, horizon=2, n_units=2).fit(x)
    assert np.abs(shared.correlations_ - VectorReSU(3, 2, 2).fit(x).correlations_).max() > 0.01


@FAST
@given(st.booleans(), st.booleans(), st.integers(0, 99), st.randoms(use_true_random=False))
def test_chunked_is_whole_and_merged_in_any_order(integer, center, seed, random):
    make = (lambda i, n: vector_integers(i, n, 3)) if integer else (lambda i, n: vector_series(i, n, 3, 1e3))
    episodes = [make(seed + i, random.randint(1, 60)) for i in range(4)] + [make(seed + 9, 40)]
    resu = VectorReSU(**SMALL, center=center)
    whole, chunked, shards = clone(resu).fit_episodes(episodes), clone(resu), []
    for x in episodes:
        cuts = sorted(random.randint(0, len(x)) for _ in range(3))
        for i, part in enumerate(part for part in np.split(x, cuts) if len(part)):
            chunked.partial_fit(part, new_episode=i == 0)
        shards.append(VectorMoments(3, 2).update(x))
    merged = VectorMoments(3, 2)
    for shard in random.sample(shards, 5):
        merged.merge(shard)
    for found in (chunked, clone(resu).fit_moments(merged)):
        if integer:
            assert found.moments_ == whole.moments_
            for name in ("filters_", "correlations_", "mean_"):
                assert getattr(found, name).tobytes() == getattr(whole, name).tobytes()
        assert np.abs(found.correlations_ - whole.correlations_).max() < 1e-9
        assert up_to_signs(found.filters_, whole.filters_) < 1e-7 and np.allclose(found.mean_, whole.mean_, rtol=1e-12)
    fewer = clone(resu).fit_episodes([*episodes[:-1], episodes[-1][:-1]])  # negative control: one window less
    assert fewer.moments_ != whole.moments_ and fewer.filters_.tobytes() != whole.filters_.tobytes()


@pytest.mark.parametrize("offset", [1e6, -1e8])
def test_an_offset_does_not_change_what_is_found(offset):
    x = vector_series(0, 2000, 4)
    plain, far = VectorReSU(**SMALL).fit(x), VectorReSU(**SMALL).fit(x + offset)
    assert np.abs(far.correlations_ - plain.correlations_).max() < 1e-7  # x + 1e8 itself is rounded to 1.5e-8
    assert np.abs(far.transform(x + offset) - plain.transform(x)).max() < 1e-5
    raw = np.cov((x + offset).T) - np.cov(x.T)
    assert np.abs(raw).max() < 1e-6
    one_pass = (x + offset).T @ (x + offset) / len(x) - np.outer((x + offset).mean(0), (x + offset).mean(0))
    assert np.abs(one_pass - np.cov(x.T, bias=True)).max() > 1e-4  # negative control


@pytest.mark.parametrize("factor", [1e-60, 1e-3, 7.3, 1e60])
def test_scale_invariance(factor):
    x = vector_series(0, 800, 4)
    for options in ({}, {"n_components": 3}):
        plain, scaled = (VectorReSU(**SMALL, **options).fit(y) for y in (x, factor * x))
        assert np.abs(scaled.correlations_ - plain.correlations_).max() < 1e-10
        assert np.abs(scaled.transform(factor * x) - plain.transform(x)).max() < 1e-8


def test_responses_are_white_and_as_correlated_with_what_they_predict_as_is_said():
    x = vector_series(0, 3000, 5)
    resu = VectorReSU(memory=2, horizon=1, n_units=5, ridge=0.0).fit(x)
    z = resu.transform(x)[1:-1]  # of the windows that were counted
    assert np.abs(np.cov(z.T, bias=True) - np.eye(5)).max() < 1e-10
    future = x[2:] - x[2:].mean(axis=0)
    predicted = future @ linalg.lstsq(future, z - z.mean(axis=0))[0]
    for unit in range(5):
        assert np.corrcoef(z[:, unit], predicted[:, unit])[0, 1] == pytest.approx(resu.correlations_[unit], abs=1e-10)
    assert resu.correlations_[0] > 0.8 and resu.correlations_[3] < 0.1  # three states are hidden in there


def test_noise_predicts_nothing():
    """Negative control: shuffled in time."""
    x = np.random.default_rng(0).permutation(vector_series(0, 3000, 5))
    assert VectorReSU().fit(x).correlations_.max() < 0.15


def low_rank(columns=60, n=1500, noise=0.0):
    rng = np.random.default_rng(3)
    return vector_series(0, n, 6) @ rng.standard_normal((6, columns)) + noise * rng.standard_normal((n, columns)) + 5


def test_a_projection_loses_nothing_of_a_low_rank_series():
    x = low_rank()
    reduced = VectorReSU(**SMALL, n_components=6, ridge=0.0).fit(x)
    assert reduced.explained_variance_share_ == pytest.approx(1, abs=1e-12)
    assert reduced.components_.shape == (6, 60) and reduced.filters_.shape == (4, 3, 60)
    assert np.abs(reduced.components_ @ reduced.components_.T - np.eye(6)).max() < 1e-13
    hidden = VectorReSU(**SMALL, ridge=0.0).fit(vector_series(0, 1500, 6))
    full = VectorReSU(**SMALL, ridge=0.0).fit(x)  # 54 directions without variance are left out
    for other in (hidden, full):
        assert np.abs(reduced.correlations_ - other.correlations_).max() < 1e-9
    assert up_to_signs(reduced.transform(x).T, full.transform(x).T) < 1e-7
    fewer = VectorReSU(**SMALL, n_components=4, ridge=0.0).fit(x)  # negative control
    assert fewer.explained_variance_share_ < 0.99 and (fewer.correlations_ < reduced.correlations_ - 1e-4).any()


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16])
def test_the_share_that_a_projection_keeps_is_that_of_an_exact_svd(dtype):
    x = (low_rank(noise=0.3) * 100 + 1e4).astype(dtype)
    exact = PCA(svd_solver="full").fit(x.astype(np.float64))
    for n in (1, 3, 6, 60):
        components, offset, share = principal_directions([x[:700], x[:0], x[700:]], n)
        assert share == pytest.approx(exact.explained_variance_ratio_[:n].sum(), abs=1e-6)
        assert np.allclose(offset, exact.mean_, rtol=1e-12)
        assert np.abs(components @ components.T - np.eye(n)).max() < 1e-13
        if n < 60:
            assert linalg.subspace_angles(components.T, exact.components_[:n].T).max() < 1e-2
    assert VectorReSU(n_components=3).fit(x).explained_variance_share_ < 0.999


def test_with_all_components_it_is_the_exact_fit_turned():
    x = vector_series(0, 600, 5, 100.0)
    for center in (True, False):
        plain = VectorReSU(**SMALL, center=center).fit(x)
        turned = VectorReSU(**SMALL, center=center, n_components=5).fit(x)
        assert np.abs(plain.correlations_ - turned.correlations_).max() < 1e-10
        assert np.abs(plain.filters_ - turned.filters_).max() < 1e-8 and turned.explained_variance_share_ == 1
        assert np.allclose(plain.mean_, turned.mean_, atol=1e-9)
        assert np.abs(plain.transform(x) - turned.transform(x)).max() < 1e-8


def test_chunks_and_machines_share_the_projection_of_the_first_fit(tmp_path):
    x = low_rank(noise=0.1)
    first = VectorReSU(**SMALL, n_components=6).partial_fit(x[:400])
    first.save(tmp_path / "first.npz")
    kept = first.components_.tobytes()
    whole = VectorReSU.load(tmp_path / "first.npz").partial_fit(x[400:])
    for part in np.array_split(x[400:], 5):
        first.partial_fit(part)
    assert first.components_.tobytes() == kept == whole.components_.tobytes()
    assert np.abs(first.correlations_ - whole.correlations_).max() < 1e-10
    machines = [
        VectorReSU.load(tmp_path / "first.npz").partial_fit(part, new_episode=True) for part in (x[400:900], x[900:])
    ]
    shards = [
        VectorMoments(3, 2).update((part - whole.offset_) @ whole.components_.T) for part in (x[:400], x[400:900])
    ]
    merged = VectorReSU.load(tmp_path / "first.npz").fit_moments(shards[0].merge(shards[1]))
    assert np.abs(merged.correlations_ - machines[0].correlations_).max() < 1e-10
    assert VectorReSU(**SMALL, n_components=6).fit(x).components_.tobytes() != kept  # negative control
    with pytest.raises(ValueError, match="do not belong to a projection of this estimator"):
        VectorReSU(**SMALL, n_components=6).fit_moments(merged.moments_)


def given_series(n=900, given=2, seed=5):
    """(n, 3 + given) float64: columns that drive three others are last, a step before what they do."""
    rng = np.random.default_rng(seed)
    inputs, x = rng.standard_normal((n, given)), np.zeros((n, 3))
    for t in range(1, n):
        x[t] = 0.7 * x[t - 1] + inputs[t - 1] @ [[1.0, 0, 0], [0, 0.5, 0]] + 0.3 * rng.standard_normal(3)
    return np.concatenate([x, inputs], axis=1)


@pytest.mark.parametrize("options", OPTIONS)
def test_columns_of_the_past_alone_equal_a_dense_reference(options):
    options = SMALL | {"ridge": 1e-6} | options
    m, h, k = (options[name] for name in SMALL)
    k = min(k, 3 * h)
    episodes = [given_series(n, seed=n) for n in (400, 3, 150)]
    resu = VectorReSU(**options | {"n_units": k}, past_only=2).fit_episodes(episodes)
    rest = {name: options[name] for name in ("center", "absolute_ridge") if name in options}
    predicted = np.arange(5 * h) % 5 < 3
    correlations, filters = dense_reference(episodes, m, h, k, options["ridge"], **rest, predicted=predicted)
    assert np.abs(resu.correlations_ - correlations).max() < 1e-10
    assert up_to_signs(resu.filters_, filters) < 1e-8 and resu.filters_.shape == (k, m, 5)
    whole = VectorReSU(**options | {"n_units": k}).fit_episodes(episodes)  # negative control: they are predicted, too
    assert whole.moments_ == resu.moments_ and np.abs(whole.correlations_ - correlations).max() > 1e-5


def test_columns_of_the_past_alone_inform_and_do_not_have_to_be_predicted():
    x = given_series(6000)
    given, without = VectorReSU(2, 1, past_only=2).fit(x), VectorReSU(2, 1).fit(x[:, :3])
    assert len(given.filters_) == 3 == len(without.filters_)
    assert (given.correlations_[:2] > without.correlations_[:2] + 0.1).all()
    drawn = np.c_[x[:, :3], np.random.default_rng(0).standard_normal((6000, 2))]  # negative control
    assert np.abs(VectorReSU(2, 1, past_only=2).fit(drawn).correlations_ - without.correlations_).max() < 0.02
    assert given.correlations_[0] > 0.9 > VectorReSU(2, 1).fit(x[:, 3:]).correlations_.max() + 0.8  # they are noise


@pytest.mark.parametrize("factor", [1e-2, 1e2])
def test_the_unit_of_given_columns_matters_only_through_the_ridge(factor):
    x = given_series()
    scaled = x * np.r_[np.ones(3), np.full(2, factor)]
    for ridge, most in ((0.0, 1e-10), (1e-9, 1e-4)):
        plain, other = (VectorReSU(**SMALL, ridge=ridge, past_only=2).fit(y) for y in (x, scaled))
        assert np.abs(plain.correlations_ - other.correlations_).max() < most
    crushed = VectorReSU(**SMALL, ridge=0.1, past_only=2).fit(x * np.r_[np.ones(3), np.full(2, 1e-2)])
    assert crushed.correlations_[0] < plain.correlations_[0] - 0.05  # negative control


def test_randomness_is_what_the_seed_says():
    x = low_rank(noise=1.0)
    fits = [VectorReSU(**SMALL, n_components=3, random_state=seed).fit(x).filters_.tobytes() for seed in (0, 0, 1)]
    assert fits[0] == fits[1] != fits[2]
