"""The gauge: an old code in the span of new filters, against explicit windows; the new basis does not matter."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from resu_conv import ReSUEncoder
from resu_gauge import regauged
from resu_moments import LagMoments

M, H, GRID = 6, 4, (3, 2)


def episode(seed: int, t: int = 240) -> np.ndarray:
    """(t, 9, 8) uint8 that lasts: sums of steps, each seed with its own time constants."""
    rng = np.random.default_rng(seed)
    x = np.zeros((t, 9, 8))
    for step in range(1, t):
        x[step] = (0.5 + 0.1 * seed) * x[step - 1] + rng.normal(0, 12, (9, 8))
    return np.clip(x + 128, 0, 255).astype(np.uint8)


def fitted(seed: int, n_units: int) -> ReSUEncoder:
    return ReSUEncoder(memory=M, horizon=max(H, n_units), n_units=n_units, grid=GRID).fit([episode(seed)])


def responses(filters: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """(windows and pixels, K): centred as the moments are, one window after the other."""
    x = frames.reshape(len(frames), -1).astype(np.float64)
    windows = sliding_window_view(x, M + H, axis=0)[..., :M][..., ::-1]  # newest first
    windows = windows - windows.mean(axis=0)
    return windows.reshape(-1, M) @ filters.T


@pytest.mark.parametrize("n_units", [1, 2, 4])
def test_against_least_squares_on_explicit_windows(n_units):
    old, new = fitted(1, 3), ReSUEncoder(memory=M, horizon=H, n_units=n_units, grid=GRID).fit([episode(4)])
    kept, lost = regauged(old, new)
    was, now = responses(old.filters_, episode(4)), responses(new.filters_, episode(4))
    mix, *_ = np.linalg.lstsq(now, was, rcond=None)
    assert np.allclose(kept.filters_, mix.T @ new.filters_, rtol=1e-8, atol=1e-10)
    assert lost == pytest.approx(((was - now @ mix) ** 2).sum(axis=0) / (was**2).sum(axis=0), abs=1e-9)
    assert (lost >= 0).all() and (lost <= 1).all() and lost.max() > 1e-4
    assert np.array_equal(kept.mean_, old.mean_) and kept.grid == old.grid


def test_where_the_span_holds_everything_the_old_head_reads_what_it_read():
    old, new = fitted(1, M), fitted(4, M)
    kept, lost = regauged(old, new)
    assert lost.max() < 1e-12
    assert np.abs(kept.encode(episode(1)) - old.encode(episode(1))).max() < 1e-6 * old.encode(episode(1)).max()
    assert np.abs(new.encode(episode(1)) - old.encode(episode(1))).max() > 0.1 * old.encode(episode(1)).max()


@given(st.integers(0, 2**31))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_the_basis_and_the_gains_of_the_new_filters_do_not_matter(seed):
    old, new = fitted(1, 3), fitted(4, 2)
    mixing = np.random.default_rng(seed).normal(size=(2, 2)) + 2 * np.eye(2)
    turned = ReSUEncoder(memory=M, horizon=H, n_units=2, grid=GRID).with_filters(mixing @ new.filters_, new.mean_)
    one, lost = regauged(old, new)
    other, lost_too = regauged(old, turned, new.moments_)
    assert np.allclose(one.filters_, other.filters_, atol=1e-8) and np.allclose(lost, lost_too, atol=1e-9)


def test_more_filters_lose_less_and_the_old_ones_nothing():
    old = fitted(1, 3)
    losses = [regauged(old, fitted(4, k))[1].sum() for k in (1, 2, 3, 4, 6)]
    assert all(a >= b - 1e-9 for a, b in pairwise(losses)) and losses[-1] < 1e-9
    same, lost = regauged(old, old)
    assert np.allclose(same.filters_, old.filters_) and lost.max() < 1e-9
    assert np.array_equal(same.encode(episode(2)), old.encode(episode(2)))


def test_encoders_stay_as_they_are_and_other_windows_can_be_given():
    old, new = fitted(1, 3), fitted(4, 2)
    before = [part.copy() for part in (old.filters_, old.mean_, new.filters_)]
    elsewhere = LagMoments(M, H, center=True).update(episode(1).reshape(240, -1))
    there, _ = regauged(old, new, elsewhere)
    assert not np.allclose(there.filters_, regauged(old, new)[0].filters_)
    assert all(np.array_equal(a, b) for a, b in zip(before, (old.filters_, old.mean_, new.filters_), strict=True))
    assert hasattr(old, "moments_") and not hasattr(there, "moments_")


def test_bad_input_is_one_sentence(tmp_path):
    old, new = fitted(1, 3), fitted(4, 2)
    new.save(tmp_path / "new.npz")
    deep = ReSUEncoder(memory=M, horizon=H, n_units=2, grid=GRID, n_layers=2, n_units2=2).fit([episode(4)])
    short = ReSUEncoder(memory=4, horizon=H, n_units=2, grid=GRID).fit([episode(4)])
    still = LagMoments(M, H, center=True).update(np.full((40, 72), 7, np.uint8))
    changes = np.array([[1.0, -1, 0, 0, 0, 0]])
    blind = ReSUEncoder(memory=M, horizon=H, n_units=1, grid=GRID).with_filters(changes, new.mean_)
    flat = LagMoments(M, H).update(np.full((40, 72), 7, np.uint8))
    for arguments, why in (
        ((old, ReSUEncoder.load(tmp_path / "new.npz")), "has no moments"), ((old, deep), "n_layers must be 1"),
        ((old, short), "memory 4 cannot stand for one of memory 6"), ((old, new, short.moments_), "have memory 4"),
        ((old, new, still), "old filter 1 responds to nothing"), ((old, blind, flat), "hold nothing of old filter 1"),
        ((old, ReSUEncoder(memory=M, grid=GRID)), "no moments|not fitted"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=why) as error:
            regauged(*arguments)
        assert "\n" not in str(error.value)
