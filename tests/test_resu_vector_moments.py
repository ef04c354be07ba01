"""Moments of vector series: exact under any history, at any offset, whole or refused."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import damage
import resu_vector_moments
from resu_checks import LARGEST_EXACT, as_vectors
from resu_moments import LagMoments
from resu_vector_moments import VectorMoments
from test_unchanged import failing, state
from windows import vector_integers, vector_series, vector_windows

FAST = settings(max_examples=60, deadline=None, derandomize=True)
lengths = st.lists(st.integers(0, 14), min_size=1, max_size=4)


def exact_matrices(episodes: list[np.ndarray], m: int, h: int, center: bool) -> list[np.ndarray]:
    """C_pp, C_fp, C_ff from explicit windows in rational numbers, rounded once at the end."""
    past, future = vector_windows([np.vectorize(Fraction, otypes=[object])(x) for x in episodes], m, h)
    if center:
        past, future = past - sum(past) / len(past), future - sum(future) / len(future)
    pairs = (past, past), (future, past), (future, future)
    return [(a.T @ b / len(past)).astype(np.float64) for a, b in pairs]


def histories(episodes, m, h, random):
    """The moments of these episodes in one go, in chunks, and merged from three machines."""
    whole, chunked, merged = VectorMoments(m, h), VectorMoments(m, h), VectorMoments(m, h)
    for x in episodes:
        whole.update(x, new_episode=True)
        cuts = sorted(random.randint(0, len(x)) for _ in range(random.randint(0, 6)))
        for i, part in enumerate(np.split(x, cuts)):
            chunked.update(part, new_episode=i == 0)
    machines = [VectorMoments(m, h) for _ in range(3)]
    for x in random.sample(episodes, len(episodes)):
        machines[random.randrange(3)].update(x, new_episode=True)
    for machine in random.sample(machines, 3):
        merged.merge(machine)
    return whole, chunked, merged


@FAST
@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), lengths, st.sampled_from([np.uint8, np.int16, np.bool_]),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_any_history_of_integers_is_bitwise_the_exact_sum(m, h, columns, sizes, dtype, random):
    most = {np.uint8: 255, np.int16: 30_000, np.bool_: 1}[dtype]
    kind = np.uint8 if dtype == np.bool_ else dtype
    episodes = [vector_integers(i, n, columns, most, kind).astype(dtype) for i, n in enumerate(sizes)]
    whole, chunked, merged = histories(episodes, m, h, random)
    assert whole.exact and whole == chunked == merged
    if not whole.n_windows:
        with pytest.raises(ValueError, match="no window"):
            whole.matrices()
        return
    for center in (True, False):
        wanted = exact_matrices([x.astype(int) for x in episodes], m, h, center)
        for found, slow in zip(whole.matrices(center), wanted, strict=True):
            assert np.abs(found - slow).max() <= 1e-15 * max(np.abs(slow).max(), most)
        for ours, theirs, others in zip(*(each.matrices(center) for each in (whole, chunked, merged)), strict=True):
            assert ours.tobytes() == theirs.tobytes() == others.tobytes()


@FAST
@given(
    st.integers(1, 3), st.integers(1, 2), lengths.filter(lambda sizes: max(sizes) > 6),
    st.sampled_from([0.0, -1e3, 1e6, 1e12]), st.sampled_from([np.float32, np.float64]),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_any_history_of_floats_is_the_exact_moment_to_rounding_of_the_variance(m, h, sizes, offset, dtype, random):
    episodes = [vector_series(i, n, 2, offset).astype(dtype) for i, n in enumerate(sizes)]
    found = histories(episodes, m, h, random)
    past, _ = vector_windows([x.astype(np.float64) for x in episodes], m, h)
    for center in (True, False):
        wanted = exact_matrices(episodes, m, h, center)
        spread = max(np.abs(slow).max() for slow in wanted)
        for moments in found:
            for ours, slow in zip(moments.matrices(center), wanted, strict=True):
                assert np.abs(ours - slow).max() <= 1e-12 * spread
    for moments in found:
        assert not moments.exact and moments.n_windows == len(past)
        assert np.allclose(moments.mean, past.reshape(len(past), m, -1).mean(axis=(0, 1)), rtol=1e-12)


def test_one_pass_over_raw_sums_would_fail_that():
    """Negative control: E[xx'] - E[x]E[x]' of the numbers as they are."""
    x = vector_series(0, 14, 2, 1e6)
    past, _ = vector_windows([x], 2, 1)
    one_pass = past.T @ past / len(past) - np.outer(past.mean(axis=0), past.mean(axis=0))
    wanted = exact_matrices([x], 2, 1, True)[0]
    assert np.abs(one_pass - wanted).max() > 1e-6 * np.abs(wanted).max()


def test_windows_do_not_reach_across_episodes():
    x = vector_integers(0, 40, 3)
    apart = VectorMoments(3, 2).update(x[:20], new_episode=True).update(x[20:], new_episode=True)
    joined = VectorMoments(3, 2).update(x[:20]).update(x[20:])
    ended = VectorMoments(3, 2).update(x[:20]).end_episode().update(x[20:])
    assert apart.n_windows == 32 and joined.n_windows == 36 and apart == ended != joined
    assert joined == VectorMoments(3, 2).update(x)
    wanted = exact_matrices([x[:20].astype(int), x[20:].astype(int)], 3, 2, False)
    assert all(np.allclose(a, b, rtol=1e-14) for a, b in zip(apart.matrices(), wanted, strict=True))


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_one_column_has_the_moments_of_one_series(dtype):
    x = vector_integers(0, 300, 1).astype(dtype)
    one, ours = LagMoments(4, 3).update(x), VectorMoments(4, 3).update(x)
    assert one.n_windows == ours.n_windows and np.allclose(one.mean, ours.mean, rtol=1e-14)
    for center in (True, False):
        for a, b in zip(one.matrices(center), ours.matrices(center), strict=True):
            assert np.abs(a - b).max() < 1e-13 * one.matrices(center)[0].max()


@pytest.mark.parametrize("most", [2**15, 2**20, LARGEST_EXACT])
def test_large_integers_are_exact_too(most):
    """One product of BLAS over all steps could not hold them: its sums pass 2^53."""
    x = vector_integers(0, 2000, 2, most, np.int64)
    moments = VectorMoments(2, 1).update(x)
    past = np.concatenate([x[1:-1], x[:-2]], axis=1)
    exact, floats = past.T @ past, past.T.astype(np.float64) @ past.astype(np.float64)
    assert (moments.counted.lagged[0] == exact[2:, 2:]).all() and moments.exact
    assert (floats == exact).all() == (most < LARGEST_EXACT)  # negative control
    assert np.allclose(moments.matrices()[0] * 1998, exact, rtol=1e-15, atol=0)
    assert moments == VectorMoments(2, 1).update(x[:999]).update(x[999:])


def test_larger_integers_count_as_floats():
    x = vector_integers(0, 50, 2, LARGEST_EXACT, np.int64) * 4
    moments = VectorMoments(2, 1).update(x)
    assert not moments.exact and as_vectors(x).dtype == np.float64 and as_vectors(x // 4).dtype == np.int64
    wanted = exact_matrices([x], 2, 1, True)
    assert all(np.allclose(a, b, rtol=1e-12) for a, b in zip(moments.matrices(True), wanted, strict=True))


def test_integers_and_floats_mix_in_one_episode_and_in_a_merge():
    x = vector_integers(0, 60, 3)
    mixed = VectorMoments(3, 2).update(x[:13]).update(x[13:20] + 0.0).update(x[20:])
    merged = VectorMoments(3, 2).update(x[:30]).merge(VectorMoments(3, 2).update(x[26:] * 1.0))
    for moments, episodes in ((mixed, [x]), (merged, [x[:30], x[26:]])):
        wanted = exact_matrices([y.astype(int) for y in episodes], 3, 2, True)
        found = moments.matrices(True)
        assert not moments.exact
        assert all(np.abs(a - b).max() < 1e-12 * wanted[0].max() for a, b in zip(found, wanted, strict=True))
    assert VectorMoments(3, 2).update(x).update(np.zeros((0, 3))).exact  # nothing came


def test_blocks_of_steps_do_not_show(monkeypatch):
    x, y = vector_integers(0, 300, 3), vector_series(0, 300, 3, 1e6)
    whole, floats = VectorMoments(3, 2).update(x), VectorMoments(3, 2, True).update(y)
    monkeypatch.setattr(resu_vector_moments, "BLOCK", 7)
    assert whole == VectorMoments(3, 2).update(x)
    again = VectorMoments(3, 2, True).update(y)
    assert all(np.allclose(a, b, rtol=1e-11) for a, b in zip(floats.matrices(), again.matrices(), strict=True))


@pytest.mark.parametrize("value", [0, 7, 236.7, -1e-100, 1e120])
def test_constant_columns_are_seen_however_they_are_counted(value):
    x = vector_series(0, 200, 3)
    x[:, 1] = value
    x[:, 2], x[-1, 2] = 5.0, 5.0 + 1e-9  # moves once, in the very last step
    moments = VectorMoments(3, 2)
    for part in np.array_split(x, 30):
        moments.update(part)
    moments.merge(VectorMoments(3, 2).update(x[:77]))
    assert moments.is_constant().tolist() == [False, True, False]
    if isinstance(value, int):
        grey = vector_integers(0, 200, 3)
        grey[:, 1] = value
        assert VectorMoments(3, 2).update(grey).merge(VectorMoments(3, 2).update(grey)).is_constant().tolist() == [
            False, True, False,
        ]  # fmt: skip


def test_sums_that_64_bits_do_not_hold_are_refused_and_change_nothing():
    moments = VectorMoments(1, 1).update(vector_integers(0, 2000, 2, LARGEST_EXACT, np.int64))
    with pytest.raises(OverflowError, match="64 bits"):
        for _ in range(5):
            before = state(moments)
            moments.merge(moments)
    assert state(moments) == before
    with pytest.raises(OverflowError, match="64 bits"):
        moments.update(np.full((20_000, 2), LARGEST_EXACT))
    assert state(moments) == before


FLOATS = vector_series(0, 30, 3)


def changed(value: float) -> np.ndarray:
    x = FLOATS.copy()
    x[7, 1] = value
    return x


BAD = [
    (changed(np.nan), "NaN or infinity, first at step 7"), (changed(-np.inf), "NaN or infinity, first at step 7"),
    (changed(np.nan).astype(np.float32), "NaN or infinity, first at step 7"), (changed(-1e141), "beyond 1e.140"),
    (np.zeros((3, 4, 5)), r"shape \(3, 4, 5\)"), (np.zeros((9, 0)), "no columns"), (FLOATS * 1j, "dtype"),
    (np.array([["a"] * 3]), "dtype"), (None, "shape"), (FLOATS[:, :2], "x has 2 columns, but these moments hold 3"),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["begun", "integers", "floats"])
@pytest.mark.parametrize("i", range(len(BAD)))
def test_bad_series_are_refused_in_one_sentence_and_change_nothing(kind, i):
    moments = VectorMoments(2, 1).update({"begun": FLOATS[:1], "floats": FLOATS}.get(kind, vector_integers(0, 30, 3)))
    x, message = BAD[i]
    before = state(moments)
    for new_episode in (False, True):
        with pytest.raises(ValueError, match=message) as error:
            moments.update(x, new_episode)
        assert "\n" not in str(error.value) and ". " not in str(error.value)
    assert state(moments) == before


def test_what_does_not_combine_is_refused():
    moments = VectorMoments(2, 1).update(FLOATS)
    before = state(moments)
    for other in (None, LagMoments(2, 1), VectorMoments(3, 1), VectorMoments(2, 2), VectorMoments(2, 1).update([1, 2])):
        with pytest.raises(ValueError, match=r"combine|expected VectorMoments"):
            moments.merge(other)
    for options in ((0, 1), (1, 0), (True, 1), (1, 2.0)):
        with pytest.raises(ValueError, match="must be an integer"):
            VectorMoments(*options)
    assert state(moments) == before and moments != 7


@pytest.mark.parametrize("after", [0, 1, 3])
def test_counting_that_fails_half_way_changes_nothing(after, monkeypatch):
    moments = VectorMoments(2, 1).update(FLOATS)
    before = state(moments)
    monkeypatch.setattr(resu_vector_moments, "_product", failing(resu_vector_moments._product, after))
    for new_episode in (False, True):
        with pytest.raises(MemoryError):
            moments.update(FLOATS, new_episode)
    assert state(moments) == before


def test_a_copy_goes_its_own_way():
    moments = VectorMoments(2, 1).update(FLOATS)
    twin, before = moments.copy(), state(moments)
    twin.update(FLOATS).end_episode().merge(moments)
    assert state(moments) == before != state(twin)
    with pytest.raises(ValueError, match="read-only"):
        moments.counted.lagged[0] = 1


@pytest.mark.parametrize("make", [lambda: FLOATS + 1e6, lambda: vector_integers(0, 30, 3)])
def test_files_keep_every_bit_and_the_open_episode(make, tmp_path):
    x, path = make(), tmp_path / "moments.npz"
    moments = VectorMoments(3, 2, center=True).update(x[:9]).update(x[9:20], new_episode=True)
    moments.save(path)
    again = VectorMoments.load(path)
    assert state(again) == state(moments) and again.update(x[20:]) == moments.update(x[20:])
    for early in (VectorMoments(3, 2), VectorMoments(3, 2).update(x[:2]), moments.copy().end_episode()):
        early.save(path)
        assert state(VectorMoments.load(path).update(x)) == state(early.copy().update(x))


DAMAGED = {
    "kind": np.array("LagMoments-2"), "memory": np.array(0), "horizon": np.array(7), "n": np.array(-1),
    "lagged": np.zeros((3, 3, 3), np.float32), "sums": np.zeros((3, 2)), "shift": np.full(3, np.nan),
    "edges": np.zeros((0, 2, 2, 3)), "head": np.zeros((1, 3)), "tail": np.zeros((2, 4)), "length": np.array(-2),
    "largest": np.array(5),
}  # fmt: skip


@pytest.mark.parametrize("way", [*DAMAGED, *damage.WAYS])
def test_files_that_do_not_fit_are_refused(way, tmp_path):
    path = tmp_path / "moments.npz"
    VectorMoments(2, 1).update(FLOATS).end_episode().save(path)
    damage.damage(path, way, DAMAGED, "tail")
    with pytest.raises((ValueError, FileNotFoundError), match=r"moments\.npz"):
        VectorMoments.load(path)
