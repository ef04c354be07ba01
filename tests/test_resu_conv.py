"""The encoder's invariants: dense = event-driven = online, bit for bit; right numbers; any frame size; refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resu_patch_moments
from resu_controls import RawPixels
from resu_conv import ReSUEncoder
from resu_core import canonical_directions
from resu_layers import UPPER_BLOCK
from resu_moments import BLOCK, LagMoments
from resu_patch_layers import spread_runs
from resu_patch_moments import PatchMoments
from resu_streaming import StreamingReSU
from screens import screens

FAST = settings(max_examples=25, deadline=None, derandomize=True)


def slow_encode(encoder: ReSUEncoder, frames: np.ndarray) -> np.ndarray:
    """Definition in float64, pixel by pixel and cell by cell."""
    height, width = encoder.mean_.shape
    rows, columns = encoder.grid
    row_of, column_of = (np.searchsorted(np.arange(n + 1) * s // n, np.arange(s), side="right") - 1
                         for n, s in ((rows, height), (columns, width)))  # fmt: skip
    out = np.zeros((len(frames), 2 * encoder.n_units, rows, columns))
    count = np.zeros((rows, columns))
    np.add.at(count, (row_of[:, None], column_of), 1)
    for t in range(len(frames)):
        past = np.stack([frames[max(t - j, 0)] - encoder.mean_ for j in range(encoder.memory)])
        z = np.einsum("kj,jyx->kyx", encoder.filters_, past)
        for i, half in enumerate(np.concatenate([np.maximum(z, 0), np.maximum(-z, 0)])):
            np.add.at(out[t, i], (row_of[:, None], column_of), half)
    return (out / count).reshape(len(frames), -1)


def fitted(shape=(12, 10), grid=(3, 4), moving=0.05, seed=0, n_frames=120, **options) -> tuple[ReSUEncoder, np.ndarray]:
    frames = screens(np.random.default_rng(seed), n_frames, shape, moving)
    return ReSUEncoder(grid=grid, **options).fit([frames]), frames


@FAST
@given(
    st.tuples(st.integers(2, 13), st.integers(2, 17)),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(0, 99),
    st.data(),
)
def test_dense_event_driven_and_online_are_bitwise_equal_and_right(shape, memory, n_units, seed, data):
    grid = data.draw(st.tuples(st.integers(1, shape[0]), st.integers(1, shape[1])))
    n_units = min(n_units, memory)
    encoder, frames = fitted(shape, grid, 0.1, seed, 60, memory=memory, n_units=n_units)
    events, dense = encoder.encode(frames, "events"), encoder.encode(frames, "dense")
    assert np.array_equal(events, dense)
    game = encoder.online(1)
    online = [game.reset(frames[:1])] + [game.step(frames[t : t + 1]) for t in range(1, len(frames))]
    assert np.array_equal(np.concatenate(online), events)
    slow = slow_encode(encoder, frames)
    assert np.abs(events - slow).max() <= 1e-5 * np.abs(slow).max()


def test_across_blocks_and_for_still_scenes():
    encoder, _ = fitted(moving=0.05)
    frames = screens(np.random.default_rng(9), BLOCK + 200, (12, 10), 0.002)
    frames[BLOCK - 3 : BLOCK + 30] = frames[BLOCK - 3]  # nothing moves while a new block begins
    assert np.array_equal(encoder.encode(frames, "events"), encoder.encode(frames, "dense"))
    assert np.allclose(encoder.encode(frames)[-1], slow_encode(encoder, frames[-20:])[-1], rtol=1e-4, atol=1e-5)


def test_online_batch_with_restarts_equals_each_episode_alone():
    encoder, _ = fitted()
    rng = np.random.default_rng(4)
    lengths = [[17, 40, 23], [80], [1, 1, 78]]  # episodes of three environments, 80 steps each
    games = [[screens(rng, n, (12, 10), 0.2) for n in each] for each in lengths]
    streams = [np.concatenate(each) for each in games]
    begins = [np.cumsum([0, *each[:-1]]) for each in lengths]
    online, state = [], encoder.online(3)
    for t in range(80):
        frames = np.stack([stream[t] for stream in streams])
        restarted = np.array([t in begin for begin in begins])
        online.append(state.reset(frames) if t == 0 else state.step(frames, restarted))
    for e, each in enumerate(games):
        expected = np.concatenate([encoder.encode(frames) for frames in each])
        assert np.array_equal(np.stack([features[e] for features in online]), expected)


def test_a_frame_too_few_is_noticed():
    """Negative control: features of the window one step earlier differ, so the tests above can fail."""
    encoder, frames = fitted()
    assert not np.array_equal(encoder.encode(frames[1:])[20:], encoder.encode(frames)[20:-1])


def slow_upper_maps(maps: np.ndarray, layer) -> np.ndarray:
    """Definition: (T, H, W, M) maps below, from an episode's start on -> (T, H, W, 2K), in float64."""
    centred = np.pad(maps - layer.mean, ((0, 0), (1, 1), (1, 1), (0, 0)))
    n_frames, height, width = maps.shape[:3]
    z = np.zeros((n_frames, height, width, len(layer.filters)))
    for j in range(layer.filters.shape[1]):
        earlier = centred[np.maximum(np.arange(n_frames) - j, 0)]
        for dy in range(3):
            for dx in range(3):
                z += earlier[:, dy : dy + height, dx : dx + width] @ layer.filters[:, j, dy, dx].T
    return np.concatenate([np.maximum(z, 0), np.maximum(-z, 0)], axis=-1)


UPPER = dict(n_windows2=60, memory2=3, horizon2=2, n_units2=4)


@pytest.mark.parametrize("n_layers", [1, 2])
def test_environments_may_move_on_one_without_the_other(n_layers):
    rng = np.random.default_rng(5)
    games = [screens(rng, 30, (12, 10), 0.2) for _ in range(2)]
    encoder = ReSUEncoder(grid=(3, 4), n_layers=n_layers, n_windows2=200).fit(games)
    wanted = [encoder.encode(frames) for frames in games]
    state = encoder.online(2)
    features = state.reset(np.stack([games[0][0], games[1][0]]))
    at = np.zeros(2, int)
    while (at < 29).any():
        where = (rng.random(2) < 0.5) & (at < 29)
        at += where
        shown = np.stack([games[b][at[b]] if where[b] else rng.integers(0, 255, (12, 10), np.uint8) for b in range(2)])
        features = state.step(shown, where=where)
        for b in range(2):
            assert np.array_equal(features[b], wanted[b][at[b]])


@pytest.mark.parametrize("moving", [0.003, 0.2])
def test_upper_layers_online_equal_offline_and_the_definition(moving):
    encoder, frames = fitted((9, 7), (3, 2), moving, n_layers=3, **UPPER)
    below = np.moveaxis(ReSUEncoder(**(encoder.options | dict(n_layers=1))).fit([frames]).maps(frames), 1, -1)
    features = encoder.encode_layers(frames, (1, 2, 3))
    assert np.array_equal(features[0], ReSUEncoder(grid=(3, 2)).fit([frames]).encode(frames))
    rows, columns = [0, 3, 6, 9], [0, 3, 7]
    for layer, found in zip(encoder.upper_, features[1:], strict=True):
        below = slow_upper_maps(below, layer)
        cells = [below[:, rows[r] : rows[r + 1], columns[c] : columns[c + 1]] for r in range(3) for c in range(2)]
        expected = np.stack([cell.mean(axis=(1, 2)) for cell in cells], axis=-1).reshape(len(frames), -1)
        assert np.allclose(found, expected, rtol=1e-3, atol=2e-3 * expected.std())
    assert np.allclose(np.moveaxis(encoder.maps(frames), 1, -1), below, rtol=1e-3, atol=1e-2)
    assert np.array_equal(encoder.encode(frames), features[2])
    game = encoder.online(1)
    online = [game.reset(frames[:1])] + [game.step(frames[t : t + 1]) for t in range(1, len(frames))]
    assert np.array_equal(np.concatenate(online), features[2])


def test_upper_layers_online_with_restarts_and_across_blocks():
    encoder, _ = fitted((9, 7), (3, 2), 0.05, n_layers=3, **UPPER)
    rng = np.random.default_rng(3)
    games = [screens(rng, n, (9, 7), 0.01) for n in (30, UPPER_BLOCK + 50)]
    stream = np.concatenate(games)
    game = encoder.online(1)
    online = [game.reset(stream[:1])]
    online += [game.step(stream[t : t + 1], np.array([t == 30])) for t in range(1, len(stream))]
    assert np.array_equal(np.concatenate(online), np.concatenate([encoder.encode(game) for game in games]))


def slow_patch_moments(maps: np.ndarray, memory: int, horizon: int) -> np.ndarray:
    """Joint covariance of (past patch, future centre), window by window, counted on a border of one pixel, too."""
    n, height, width, _ = maps.shape
    n_windows = n - memory - horizon + 1
    # The mean of each window position, so that the zeros outside the screen stand for centred maps.
    means = [maps[a : a + n_windows].mean(axis=0) for a in range(memory + horizon)]
    joint = 0.0
    for w in range(n_windows):
        padded = [np.pad(maps[w + a] - means[a], ((2, 2), (2, 2), (0, 0))) for a in range(memory + horizon)]
        for y in range(height + 2):
            for x in range(width + 2):
                past = [padded[memory - 1 - j][y : y + 3, x : x + 3].ravel() for j in range(memory)]
                future = [padded[memory + j][y + 1, x + 1] for j in range(horizon)]
                sample = np.concatenate([*past, *future])
                joint = joint + np.outer(sample, sample)
    return joint / (n_windows * height * width)


def test_patch_moments_are_covariances_of_patches():
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((14, 5, 6, 2)).astype(np.float32) + 3
    moments = PatchMoments(2, 2, np.full((5, 6, 2), 2.5)).update(maps)
    joint = slow_patch_moments(maps.astype(np.float64), 2, 2)
    assert np.allclose(moments.C_pp, joint[:36, :36], atol=1e-5)
    assert np.allclose(moments.C_fp, joint[36:, :36], atol=1e-5)
    assert np.allclose(moments.C_ff, joint[36:, 36:], atol=1e-5)
    assert np.allclose(moments.mean, 3, atol=1.2) and moments.n_windows == 11 * 30
    late = slow_patch_moments(maps[1:].astype(np.float64), 2, 2)  # negative control: one window fewer is noticed
    assert not np.allclose(moments.C_pp, late[:36, :36], atol=1e-3)


@pytest.mark.parametrize("shape", [(7, 6, 3), (8, 11, 2)])
def test_long_runs_by_spectra_equal_short_ones_counted_directly(shape, monkeypatch):
    rng = np.random.default_rng(2)
    maps = (rng.standard_normal((70, *shape)).cumsum(axis=0) + 5).astype(np.float32)
    by_spectra = PatchMoments(3, 2, maps.mean(axis=0)).update(maps).update(maps[:30])
    monkeypatch.setattr(resu_patch_moments, "DIRECT", 10**6)
    directly = PatchMoments(3, 2, maps.mean(axis=0)).update(maps).update(maps[:30])
    for name in ("C_pp", "C_fp", "C_ff", "mean"):
        a, b = getattr(by_spectra, name), getattr(directly, name)
        assert np.abs(a - b).max() < 1e-5 * np.abs(b).max()
    assert by_spectra.n_windows == directly.n_windows


def test_patch_moments_merge_and_do_not_depend_on_the_shift():
    rng = np.random.default_rng(1)
    parts = [rng.standard_normal((n, 4, 5, 3)).astype(np.float32) for n in (9, 5, 20)]
    together = PatchMoments(3, 1, np.zeros((4, 5, 3)))
    merged = PatchMoments(3, 1, np.zeros((4, 5, 3)))
    shifted = PatchMoments(3, 1, np.ones((4, 5, 3)))
    for part in parts:
        together.update(part)
        merged.merge(PatchMoments(3, 1, np.zeros((4, 5, 3))).update(part))
        shifted.update(part)
    assert np.array_equal(merged.C_pp, together.C_pp) and merged.n_windows == together.n_windows
    assert np.allclose(shifted.C_fp, together.C_fp, atol=1e-5) and np.allclose(shifted.mean, together.mean)
    assert np.linalg.eigvalsh(together.C_pp).min() > -1e-9  # a covariance
    with pytest.raises(ValueError, match="can be merged"):
        merged.merge(PatchMoments(2, 1, np.zeros((4, 5, 3))))
    with pytest.raises(ValueError, match="no window"):
        PatchMoments(3, 1, np.zeros((4, 5, 3))).update(parts[1][:3]).matrices()


def test_upper_layers_are_fitted_on_the_maps_of_whole_episodes():
    """The runs look back on the frames before them; with every window used, the moments are those of all maps."""
    episodes = [screens(np.random.default_rng(i), n, (6, 5), 0.3) for i, n in enumerate((60, 300))]
    options = dict(grid=(2, 2), memory2=2, horizon2=1)
    encoder = ReSUEncoder(n_layers=2, n_windows2=10_000, **options).fit(episodes)
    below = ReSUEncoder(**options).fit(episodes)
    moments = PatchMoments(2, 1, np.zeros((6, 5, 8)))
    for frames in episodes:
        moments.update(np.moveaxis(below.maps(frames), 1, -1))
    expected = canonical_directions(moments, 8)
    assert np.allclose(encoder.upper_[0].correlations, expected.correlations, atol=1e-5)
    assert np.allclose(encoder.upper_[0].mean, moments.mean, rtol=1e-4, atol=1e-5)


def test_runs_cover_everything_or_are_evenly_spread():
    window = 6
    every = spread_runs([50, 3, 200, 6], window, 10**6)
    counted = {(e, s) for e, start, stop in every for s in range(start, stop - window + 1)}
    assert counted == {(e, s) for e, n in enumerate([50, 3, 200, 6]) for s in range(n - window + 1)}
    some = spread_runs([1000] * 10, window, 2560)
    assert sum(stop - start - window + 1 for _, start, stop in some) == pytest.approx(2560, rel=0.15)
    assert {e for e, *_ in some} == set(range(10)) and some == sorted(set(some))
    with pytest.raises(ValueError, match="no episode has 6 steps"):
        spread_runs([5, 2], window, 10)


@pytest.mark.parametrize(("shape", "grid"), [((84, 84), (16, 8)), ((210, 160), (14, 10)), ((7, 9), (7, 9))])
def test_any_frame_size(shape, grid):
    encoder, frames = fitted(shape, grid, 0.01, n_frames=40)
    assert encoder.encode(frames).shape == (40, encoder.n_features) == (40, 8 * grid[0] * grid[1])
    assert np.array_equal(encoder.encode(frames, "events"), encoder.encode(frames, "dense"))


def test_fit_is_bitwise_independent_of_episode_order_and_chunks():
    rng = np.random.default_rng(0)
    episodes = [screens(rng, n, (12, 10), 0.1) for n in (50, 13, 70)]
    encoder = ReSUEncoder(grid=(3, 4)).fit(episodes)
    again = ReSUEncoder(grid=(3, 4)).fit(episodes[::-1])
    stream = StreamingReSU(grid=(3, 4))
    for frames in episodes:
        for i, chunk in enumerate(np.array_split(frames, 4)):
            stream.update(chunk, new_episode=i == 0)
    streamed = stream.refit()
    for other in (again, streamed):
        assert other.filters_.tobytes() == encoder.filters_.tobytes() and np.array_equal(other.mean_, encoder.mean_)
        assert np.array_equal(other.encode(episodes[0]), encoder.encode(episodes[0]))


def test_an_episode_shorter_than_a_window_adds_nothing():
    frames = screens(np.random.default_rng(0), 120, (12, 10), 0.1)
    with_cut = ReSUEncoder(grid=(3, 4)).fit([frames, frames[:7]])
    assert with_cut.moments_ == ReSUEncoder(grid=(3, 4)).fit([frames]).moments_


def test_forgetting_stream_moves_to_the_new_world_and_the_adding_one_remembers():
    rng = np.random.default_rng(0)
    old, new = screens(rng, 400, (12, 10), 0.02), screens(rng, 400, (12, 10), 0.6)
    first = ReSUEncoder(grid=(3, 4)).fit([old])
    native = ReSUEncoder(grid=(3, 4)).fit([new])
    forgetting, adding = StreamingReSU.from_encoder(first, alpha=0.7), StreamingReSU.from_encoder(first)
    for i, chunk in enumerate(np.array_split(new, 20)):
        forgetting.update(chunk, new_episode=i == 0)
        adding.update(chunk, new_episode=i == 0)

    def gap(encoder):
        return np.abs(encoder.correlations_ - native.correlations_).max()

    assert 5 * gap(forgetting.refit()) < gap(adding.refit())
    assert adding.moments == LagMoments(8, 4).update(old.reshape(400, -1)).update(
        new.reshape(400, -1), new_episode=True
    )
    assert first.moments_.n_windows == 389  # the encoder that the streams began with is untouched


def test_a_chunk_with_several_episodes_is_one_tick_of_the_clock():
    rng = np.random.default_rng(0)
    a, b, c = (screens(rng, n, (12, 10), 0.1) for n in (60, 41, 30))
    together = StreamingReSU(alpha=0.5, grid=(3, 4)).update(a).update(np.concatenate([a, b, c]), starts=(0, 60, 101))
    apart = StreamingReSU(alpha=0.5, grid=(3, 4)).update(a)
    apart.moments.decay(0.5)
    for frames in (a, b, c):
        apart.moments.update(frames.reshape(len(frames), -1), new_episode=True)
    assert together.moments == apart.moments and together.n_chunks == 2
    adding = StreamingReSU(grid=(3, 4)).update(np.concatenate([a, b, c]), starts=(60, 101))
    assert np.array_equal(adding.refit().filters_, ReSUEncoder(grid=(3, 4)).fit([a, b, c]).filters_)
    for wrong in ((60, 60), (101, 60), (131,), (-1,)):
        with pytest.raises(ValueError, match="starts must rise"):
            adding.update(np.concatenate([a, b, c]), starts=wrong)


def test_first_chunk_fully_determines_the_moments():
    """An average that starts at zero would shrink the first moments; the count shrinks with them here."""
    frames = screens(np.random.default_rng(0), 100, (12, 10), 0.1)
    a = StreamingReSU(alpha=0.01, grid=(3, 4)).update(frames).refit()
    b = ReSUEncoder(grid=(3, 4)).fit([frames])
    assert np.array_equal(a.filters_, b.filters_)


def test_save_and_load(tmp_path):
    for options in ({}, dict(n_layers=2, n_windows2=40), dict(n_layers=3, **UPPER)):
        encoder, frames = fitted((9, 8), **options)
        encoder.save(tmp_path / "encoder.npz")
        again = ReSUEncoder.load(tmp_path / "encoder.npz")
        assert again.options == encoder.options and repr(again) == repr(encoder)
        assert np.array_equal(again.encode(frames), encoder.encode(frames))


def test_damaged_or_foreign_encoder_files_are_refused(tmp_path):
    encoder, _ = fitted()
    path = tmp_path / "encoder.npz"
    encoder.save(path)
    whole = dict(np.load(path))
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ValueError, match=r"encoder\.npz is damaged"):
        ReSUEncoder.load(path)
    for change in (
        dict(n_units=3),
        dict(kind="something"),
        dict(filters=np.full((4, 8), np.nan)),
        dict(grid=np.array([99, 1])),
    ):
        np.savez(path, **(whole | change))
        with pytest.raises(ValueError, match=r"encoder\.npz is not"):
            ReSUEncoder.load(path)
    del whole["mean"]
    np.savez(path, **whole)
    with pytest.raises(ValueError, match="mean"):
        ReSUEncoder.load(path)
    with pytest.raises(FileNotFoundError, match="no_such_file"):
        ReSUEncoder.load(tmp_path / "no_such_file.npz")


def test_bad_input_is_refused_in_one_clear_sentence():
    encoder, frames = fitted()
    with pytest.raises(ValueError, match=r"episode 1 must be a uint8 array \(T, H, W\), not float64"):
        ReSUEncoder().fit([frames, frames.astype(float)])
    with pytest.raises(ValueError, match=r"no episode has memory \+ horizon = 12 frames"):
        ReSUEncoder(grid=(1, 1)).fit([frames[:5], frames[:11]])
    with pytest.raises(ValueError, match="episode 1 has frames"):
        ReSUEncoder(grid=(1, 1)).fit([frames, frames[:, :5]])
    with pytest.raises(ValueError, match="no episodes"):
        ReSUEncoder().fit([])
    with pytest.raises(ValueError, match="does not fit frames of 12 x 10"):
        ReSUEncoder(grid=(16, 8)).fit([frames])
    with pytest.raises(ValueError, match="constant"):
        ReSUEncoder(grid=(1, 1)).fit([np.full((50, 4, 4), 7, np.uint8)])
    with pytest.raises(ValueError, match="n_units"):
        ReSUEncoder(n_units=5)
    with pytest.raises(ValueError, match="n_layers"):
        ReSUEncoder(n_layers=4)
    with pytest.raises(ValueError, match="horizon2 must be an integer of at least 1, not 0"):
        ReSUEncoder(n_layers=2, horizon2=0)
    with pytest.raises(ValueError, match="the layers above need n_units2 <= 2"):
        ReSUEncoder(n_layers=2, n_units2=17)
    with pytest.raises(ValueError, match="layers must be numbers from 1 to 1"):
        encoder.encode_layers(frames, (2,))
    with pytest.raises(ValueError, match="grid"):
        ReSUEncoder(grid=(0, 3))
    with pytest.raises(ValueError, match="not fitted"):
        ReSUEncoder().encode(frames)
    with pytest.raises(ValueError, match="was fitted on"):
        encoder.encode(frames[:, :, :9])
    with pytest.raises(ValueError, match="must be a uint8 array"):
        encoder.encode(frames.astype(np.float32))
    with pytest.raises(ValueError, match="call reset"):
        encoder.online(1).step(frames[:1])
    two = encoder.online(2)
    two.reset(frames[:2])
    with pytest.raises(ValueError, match="2 environments"):
        two.step(frames[:3])
    with pytest.raises(ValueError, match="2 environments"):
        two.reset(frames[:1])
    with pytest.raises(ValueError, match="2 environments"):
        two.step(frames[:2], where=[True])
    with pytest.raises(ValueError, match="not fitted"):
        ReSUEncoder().online(1)
    with pytest.raises(ValueError, match="n must be an integer of at least 1, not 0"):
        encoder.online(0)
    with pytest.raises(ValueError, match="method"):
        encoder.encode(frames, "fast")
    with pytest.raises(ValueError, match="alpha"):
        StreamingReSU(alpha=0)
    with pytest.raises(ValueError, match="no frames yet"):
        StreamingReSU().refit()
    with pytest.raises(ValueError, match="this stream holds"):
        StreamingReSU(grid=(1, 1)).update(frames).update(frames[:, :5])


def laid_out(frames: np.ndarray, layout: str) -> np.ndarray:
    """The same numbers, differently in memory."""
    if layout == "fortran":
        return np.asfortranarray(frames)
    if layout == "reversed":
        return np.ascontiguousarray(frames[::-1, :, ::-1])[::-1, :, ::-1]
    if layout == "gaps":
        wide = np.full((2 * len(frames), frames.shape[1] + 3, 2 * frames.shape[2]), 7, np.uint8)
        wide[::2, 1:-2, ::2] = frames
        return wide[::2, 1:-2, ::2]
    kept = frames.copy()
    kept.flags.writeable = layout != "read-only"
    return kept


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.sampled_from(["fortran", "reversed", "gaps", "read-only"]),
    st.tuples(st.integers(2, 9), st.integers(2, 11)),
    st.integers(0, 99),
)
def test_the_layout_in_memory_does_not_matter_and_nothing_is_written_to(layout, shape, seed):
    frames = np.random.default_rng(seed).integers(0, 4, (30, *shape)).astype(np.uint8)
    other = laid_out(frames, layout)
    assert np.array_equal(other, frames)
    options = {"memory": 3, "horizon": 2, "n_units": 2, "grid": (2, 2)}
    wanted, found = ReSUEncoder(**options).fit([frames]), ReSUEncoder(**options).fit([other])
    assert found.moments_ == wanted.moments_ and np.array_equal(found.filters_, wanted.filters_)
    features = wanted.encode(frames)
    for method in ("events", "dense"):
        assert np.array_equal(found.encode(other, method), features)
    game = found.online(1)
    assert np.array_equal(game.reset(other[:1])[0], features[0])
    for t in range(1, 30):
        assert np.array_equal(game.step(other[t : t + 1])[0], features[t])
    assert np.array_equal(other, frames)


@pytest.mark.parametrize("n_layers", [1, 2])
def test_users_of_one_encoder_do_not_disturb_each_other(n_layers):
    """Three in turn: one begins anew in the middle, one is refused once, and the encoder is fitted again meanwhile."""
    rng = np.random.default_rng(5)
    games = [screens(rng, 40, (9, 7), 0.2) for _ in range(3)]
    encoder = ReSUEncoder(grid=(3, 2), n_layers=n_layers, n_windows2=60).fit(games)
    alone = [encoder.encode(frames) for frames in games]
    anew = encoder.encode(games[1][20:])
    states = [encoder.online(1) for _ in games]
    for t in range(40):
        for b, (state, frames) in enumerate(zip(states, games, strict=True)):
            begins = t == 0 or (b == 1 and t == 20)
            found = state.reset(frames[t : t + 1]) if begins else state.step(frames[t : t + 1])
            assert np.array_equal(found[0], anew[t - 20] if b == 1 and t >= 20 else alone[b][t])
        for refused in (states[2].step, states[2].reset):
            with pytest.raises(ValueError, match="1 environments"):
                refused(games[0][:2])
            with pytest.raises(ValueError, match="was fitted on"):
                refused(games[0][:1, :5])
        if t == 30:
            encoder.fit([frames[::-1] for frames in games[1:]])


def shown(encoder: ReSUEncoder, frames: np.ndarray) -> tuple:
    """Everything that a fitted encoder shows."""
    layers = [a.tobytes() for layer in encoder.upper_ for a in (layer.filters, layer.mean, layer.correlations)]
    arrays = (encoder.filters_, encoder.correlations_, encoder.mean_, encoder.encode(frames), encoder.maps(frames))
    return encoder.options, layers, [a.tobytes() for a in arrays], encoder.moments_.gram.tobytes()


@pytest.mark.parametrize("n_layers", [1, 2])
def test_a_refused_fit_leaves_the_encoder_as_it_was(n_layers, tmp_path):
    """Frames too small for the grid or the layers above, upper layers that cannot be fitted, wrong filters."""
    encoder, frames = fitted((9, 7), (3, 4), n_layers=n_layers, **UPPER)
    before = shown(encoder, frames)
    narrow = np.ascontiguousarray(frames[:, :, :3])  # does not fit the grid
    moments = LagMoments(8, 4, center=True).update(narrow.reshape(len(frames), -1))
    for refused in (
        lambda: encoder.fit([narrow]),
        lambda: encoder.fit_moments(moments, (9, 3)),
        lambda: encoder.with_filters(encoder.filters_, encoder.mean_[:, :3]),
        lambda: encoder.with_filters(encoder.filters_ * np.nan, encoder.mean_),
        lambda: encoder.with_filters(encoder.filters_ * 0, encoder.mean_),
        lambda: encoder.with_filters(encoder.filters_, encoder.mean_ + 300),
        lambda: encoder.with_filters(encoder.filters_[:2], encoder.mean_),
        lambda: encoder.set_upper([*encoder.upper_, *encoder.upper_, "no layer"]),
    ):
        with pytest.raises(ValueError) as caught:
            refused()
        assert "\n" not in str(caught.value)
        assert shown(encoder, frames) == before
    if n_layers == 2:  # layer 1 can be fitted on these frames, a layer above cannot: its maps hardly exist
        deep = ReSUEncoder(memory=8, horizon=4, grid=(3, 4), n_layers=2, memory2=40, horizon2=2).fit([frames])
        before = shown(deep, frames)
        with pytest.raises(ValueError, match="no episode has 42 steps"):
            deep.fit([frames[::-1][:40]])
        assert shown(deep, frames) == before


def test_frames_of_another_size_than_the_layers_above_are_refused_everywhere(tmp_path):
    """Before, moments of larger frames were taken and later calls read outside of the arrays of the layers above."""
    encoder, frames = fitted((9, 7), (3, 2), n_layers=2, **UPPER)
    larger = screens(np.random.default_rng(1), 60, (12, 10), 0.1)
    wide = ReSUEncoder(grid=(3, 2), n_layers=2, **UPPER).fit([larger])
    before = shown(encoder, frames)
    for refused in (
        lambda: encoder.fit_moments(wide.moments_, (12, 10)),
        lambda: encoder.with_filters(encoder.filters_, wide.mean_),
        lambda: encoder.set_upper(wide.upper_),
        lambda: encoder.encode(larger),
        lambda: encoder.maps(larger),
        lambda: encoder.encode_layers(larger, (1, 2)),
        lambda: encoder.online(1).reset(larger[:1]),
    ):
        with pytest.raises(ValueError, match=r"fitted on (frames of )?\("):
            refused()
        assert shown(encoder, frames) == before
    encoder.save(tmp_path / "encoder.npz")
    wide.save(tmp_path / "wide.npz")
    parts = dict(np.load(tmp_path / "encoder.npz")) | {
        name: array for name, array in np.load(tmp_path / "wide.npz").items() if name.endswith("2")
    }
    np.savez(tmp_path / "both.npz", **parts)
    with pytest.raises(ValueError, match=r"both\.npz is not .*layer 2 was fitted on frames of \(12, 10\)"):
        ReSUEncoder.load(tmp_path / "both.npz")
    assert encoder.fit([larger]).encode(larger).shape == (60, encoder.n_features)  # fit fits all layers: no quarrel
    with pytest.raises(ValueError, match="fit or with_filters before set_upper"):
        ReSUEncoder(n_layers=2).set_upper(wide.upper_)


NUMBERS = ["memory", "horizon", "n_units", "n_layers", "memory2", "horizon2", "n_units2", "n_windows2"]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [2.5, 2.0, True, "2", None, 0, -1, np.float64(2), np.bool_(True)])
def test_what_is_no_whole_number_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be an integer"):
        ReSUEncoder(**{name: value})


def test_other_options_out_of_range_are_refused_by_name():
    for value in ((2.5, 3), (True, 2), (2,), (1, 2, 3), 4, (0, 1), None):
        with pytest.raises(ValueError, match="grid must be two positive whole numbers"):
            ReSUEncoder(grid=value)
    for value in (-1.0, np.inf, np.nan, "0", True, None):
        with pytest.raises(ValueError, match="ridge must be a finite number"):
            ReSUEncoder(ridge=value)
    with pytest.raises(ValueError, match="center must be True or False, not 1"):
        ReSUEncoder(center=1)
    with pytest.raises(ValueError, match="n_frames must be an integer"):
        RawPixels(1.5)
    numpys = ReSUEncoder(np.int64(8), np.int32(4), np.uint8(4), np.array([16, 8]), center=np.bool_(True))
    assert numpys.options == ReSUEncoder().options and type(numpys.memory) is int
