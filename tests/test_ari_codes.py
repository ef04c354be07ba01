"""AtariARI's codes against dense references: components, past-future directions, scale; views, memory and controls."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

import ari_cells
import ari_codes
from ari_cells import ARMS, BOTH, COARSE, FRAME, FRAME_PCA, RANDOM, RESU, RESU_PCA
from ari_codes import LinearCode, View
from atari_ari import Played

D, N, RUN = 30, 40, 32  # columns, runs, their steps


def runs(seed: int = 0, scale: float = 1.0) -> list[np.ndarray]:
    """Series (RUN, D) of six sources of falling size, of which the small ones last; and a constant column."""
    rng = np.random.default_rng(seed)
    mixing = linalg.qr(rng.standard_normal((D - 1, D - 1)))[0][:6]
    sizes, memory = np.array([8, 5, 3, 2, 1.5, 1]), np.array([0.0, 0.1, 0.2, 0.3, 0.9, 0.95])
    out = []
    for _ in range(N):
        z = np.zeros((RUN, 6))
        z[0] = rng.standard_normal(6)
        for t in range(1, RUN):
            z[t] = memory * z[t - 1] + np.sqrt(1 - memory**2) * rng.standard_normal(6)
        x = z * sizes @ mixing + 0.05 * rng.standard_normal((RUN, D - 1)) + 3
        out.append(np.concatenate([scale * x, np.full((RUN, 1), 7.0)], axis=1).astype(np.float32))
    return out


def inside(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines between the spans of the columns of a and b."""
    return linalg.svdvals(linalg.orth(a).T @ linalg.orth(b))


def test_components_are_the_principal_directions():
    xs = runs()
    code, share = ari_codes.components(xs, 5, 10**6)
    x = np.concatenate(xs).astype(np.float64)
    _, sizes, directions = linalg.svd(x - x.mean(axis=0), full_matrices=False)
    assert np.allclose(code.offset, x.mean(axis=0), atol=1e-5) and code.matrix.shape == (D, 5)
    for i in range(5):  # each by itself, in its own unit
        assert abs(code.matrix[:, i] @ directions[i]) > 1 - 1e-4
    assert np.allclose(code.matrix.T @ code.matrix, np.eye(5), atol=1e-5)
    assert share == pytest.approx((sizes[:5] ** 2).sum() / (sizes**2).sum(), abs=1e-5)
    assert not code.matrix[-1].any()  # of the constant column
    assert code(xs[3]) == pytest.approx((xs[3] - x.mean(axis=0)) @ code.matrix, abs=1e-3)


def test_components_see_every_so_many_th_step_of_all_runs_together(monkeypatch):
    seen = {}
    directions = ari_codes.principal_directions
    monkeypatch.setattr(
        ari_codes,
        "principal_directions",
        lambda xs, *a, **k: seen.setdefault("x", xs[0]) is None or directions(xs, *a, **k),
    )
    xs = [x[: 5 + 7 * (i % 3)] for i, x in enumerate(runs())]
    code, _ = ari_codes.components(xs, 3, 100)
    x = np.concatenate(xs)
    every = -(-len(x) // 100)
    assert every > 1 and len(seen["x"]) <= 100
    assert np.array_equal(seen["x"], x[::every, : D - 1])  # without the constant column
    assert np.allclose(code.offset, x[::every].mean(axis=0), atol=1e-5)


def test_components_of_few_columns_or_steps_are_as_many_as_there_are():
    assert ari_codes.components(runs(), 100, 10**6)[0].matrix.shape == (D, D - 1)
    assert ari_codes.components([runs()[0][:4]], 100, 10**6)[0].matrix.shape == (D, 4)
    with pytest.raises(ValueError, match="nothing changes in these frames"):
        ari_codes.components([np.ones((5, 3), np.uint8)], 2, 10)


def test_leading_codes_are_the_first_components_times_one_number():
    xs = runs()
    code, _ = ari_codes.components(xs, 6, 10**6)
    series = [code(x) for x in xs]
    found = ari_codes.leading(code, series, 4)
    y = np.concatenate([found(x) for x in xs])
    assert y.var(axis=0).mean() == pytest.approx(16, rel=1e-4)
    ratio = y / np.concatenate(series)[:, :4]
    assert ratio.max() == pytest.approx(ratio.min(), rel=1e-2) and y.var(axis=0)[0] > 5 * y.var(axis=0)[3]


def test_predictive_codes_are_dense_canonical_directions_of_neighbouring_steps():
    xs = runs()
    code, _ = ari_codes.components(xs, 6, 10**6)
    series = [code(x) for x in xs]
    found = ari_codes.predictive(code, series, 4)
    past, future = (
        np.concatenate([y[part] for y in series]).astype(np.float64) for part in (slice(-1), slice(1, None))
    )
    past, future = past - past.mean(axis=0), future - future.mean(axis=0)

    def inverse_root(x: np.ndarray) -> np.ndarray:
        values, vectors = linalg.eigh(x.T @ x / len(x))
        return vectors @ np.diag((values + 0.01 * values[-1]) ** -0.5) @ vectors.T

    whiten = inverse_root(past)
    _, _, v_t = linalg.svd(inverse_root(future) @ (future.T @ past / len(past)) @ whiten)
    wanted = np.concatenate(series) @ whiten @ v_t[:4].T
    wanted *= np.sqrt(16 / wanted.var(axis=0).mean())
    y = np.concatenate([found(x) for x in xs])
    for i in range(4):
        assert np.abs(np.abs(y[:, i] - y[:, i].mean()) - np.abs(wanted[:, i] - wanted[:, i].mean())).max() < 0.02
    assert y.var(axis=0).mean() == pytest.approx(16, rel=1e-4)


def test_predictive_codes_hold_what_lasts_and_leading_ones_what_is_large():
    xs = runs()
    code, _ = ari_codes.components(xs, 6, 10**6)
    series = [code(x) for x in xs]
    lasting = np.linalg.lstsq(np.concatenate(series), np.concatenate(series), rcond=None)[0][:, 4:]  # the last two
    first, canonical = (make(code, series, 2) for make in (ari_codes.leading, ari_codes.predictive))
    span = code.matrix @ lasting
    assert inside(canonical.matrix, span).min() > 0.95 > 0.05 > inside(first.matrix, span).max()


@pytest.mark.parametrize("kind", ["leading", "predictive"])
def test_a_code_does_not_depend_on_the_unit_of_its_frames(kind):
    ys = []
    for scale in (1.0, 200.0):
        xs = runs(scale=scale)
        code, _ = ari_codes.components(xs, 6, 10**6)
        found = getattr(ari_codes, kind)(code, [code(x) for x in xs], 4)
        ys.append(np.concatenate([found(x) for x in xs]))
    assert np.abs(np.abs(ys[0]) - np.abs(ys[1])).max() < 0.02


def test_a_frozen_code_is_the_same_for_any_number_of_rows():
    code = LinearCode(np.arange(3, dtype=np.float32), np.ones((3, 2), np.float32))
    x = np.random.default_rng(0).standard_normal((2 * ari_codes.ROWS + 5, 3)).astype(np.float32)
    assert np.allclose(code(x), ((x - np.arange(3)) @ np.ones((3, 2))), atol=1e-5) and code(x[:1]).shape == (1, 2)


# --- views ---


def screens(seed: int = 0, n: int = 8, steps: int = 20) -> list[np.ndarray]:
    """Runs of frames (steps, 210, 160): a field of grey, a ball that moves, a bar that hardly does."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        x, y, dx, dy, bar = (
            int(rng.integers(low, high)) for low, high in ((9, 150), (9, 200), (-3, 4), (-3, 4), (0, 99))
        )
        frames = np.full((steps, 210, 160), 80, np.uint8)
        for t in range(steps):
            frames[t, (y + dy * t) % 206 :][:4, (x + dx * t) % 156 :][..., :4] = 236
            frames[t, 200:204, bar : bar + 10 + t // 9] = 140
        found.append(frames)
    return found


def test_coarse_pixels_are_means_of_four():
    frames = screens()[0]
    found = ari_codes.coarse_pixels(frames).reshape(-1, 105, 80)
    assert np.array_equal(found[3, 7, 9], frames[3, 14:16, 18:20].mean(dtype=np.float32)) and found.dtype == np.float32
    assert np.array_equal(found, frames.reshape(-1, 105, 2, 80, 2).mean(axis=(2, 4), dtype=np.float32))
    with pytest.raises(ValueError, match="frames of 3 x 4 pixels cannot be halved"):
        ari_codes.coarse_pixels(np.zeros((1, 3, 4), np.uint8))


def test_views_beside_each_other_have_equal_total_variance():
    small, large = (
        View((lambda f: f.reshape(len(f), -1) * np.float32(1), 1)),
        View((lambda f: 50.0 * f[:, 0], 1), memory=3),
    )
    its = [np.random.default_rng(i).integers(9, size=(7, 2, 3)).astype(np.uint8) for i in range(3)]
    both = small.beside(large, its)
    assert both.memory == 3 and both(its[0]).shape == (7, 9)
    x = np.concatenate([small(frames) for frames in its])
    assert both(its[1])[:, :6] == pytest.approx(small(its[1]) / np.sqrt(x.var(axis=0).sum()), rel=1e-5)
    y = np.concatenate([large(frames)[2:] for frames in its])
    assert both(its[1])[:, 6:] == pytest.approx(large(its[1]) / np.sqrt(y.var(axis=0).sum()), rel=1e-5)


def test_the_fit_sees_no_step_whose_past_lies_before_its_run():
    view = View((lambda frames: frames[:, 0].astype(np.float32), 1), memory=4)
    its = [np.arange(n * 2, dtype=np.uint8).reshape(n, 2, 1) for n in (3, 4, 9)]
    assert [len(x) for x in view.of_runs(its)] == [1, 6] and view.of_runs(its)[1][0] == its[2][3, 0]
    assert len(view(its[0])) == 3


@pytest.fixture(scope="module")
def fitted() -> ari_cells.Fitted:
    return ari_cells.fit_codes(screens(), 24, 12, 0)


def test_every_code_has_its_view_its_numbers_its_time_and_the_same_scale(fitted):
    assert set(fitted.codes) == set(fitted.seconds) == set(ARMS) and min(fitted.seconds.values()) > 0
    assert set(fitted.views) == set(fitted.shares) == {"frame", "coarse", "ReSU", "random", "both"}
    widths = {FRAME_PCA: 33_600, FRAME: 33_600, COARSE: 8_400, RESU: 10_752, RANDOM: 10_752, RESU_PCA: 10_752,
              BOTH: 19_152}  # fmt: skip
    for arm, (view, _) in ARMS.items():
        code = fitted.codes[arm]
        assert code.matrix.shape == (widths[arm], 12)
        y = np.concatenate([code(x) for x in fitted.views[view].of_runs(screens())])
        assert y.var(axis=0).mean() == pytest.approx(16, rel=0.01)
    assert fitted.seconds[FRAME] > 0 and all(0 < share <= 1 for share in fitted.shares.values())


def test_layer_1_has_as_many_filters_as_frames_and_its_control_others(fitted):
    encoder, control = (fitted.views[name].parts[0][0].__self__ for name in ("ReSU", "random"))
    for its in (encoder, control):
        assert (its.memory, its.n_units, its.grid) == (4, 4, (42, 32))
    assert np.array_equal(encoder.mean_, control.mean_) and not np.allclose(encoder.filters_, control.filters_)


def test_frames_are_encoded_by_episode_with_the_first_one_repeated(fitted):
    frames = np.concatenate(screens(5, 4, 70))
    frames = np.concatenate([frames, frames[:30]])
    played = Played(
        frames, np.zeros((310, 128), np.uint8), [slice(70 * i, 70 * i + 70) for i in range(4)] + [slice(280, 310)]
    )
    found = ari_cells.encode(fitted, "ReSU", played)
    assert set(found) == {RESU, RESU_PCA}
    one = fitted.codes[RESU](fitted.views["ReSU"](np.concatenate([frames[70:71]] * 3 + [frames[70:140]])))[3:]
    assert found[RESU][70:140] == pytest.approx(one, abs=1e-3)
    assert not found[RESU][280:].any()  # too short to be kept
    apart = ari_cells.encode(fitted, "frame", played)[FRAME]
    assert apart[100] == pytest.approx(fitted.codes[FRAME](frames[100:101].reshape(1, -1))[0], abs=1e-3)
