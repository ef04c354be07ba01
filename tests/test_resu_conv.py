"""The encoder's invariants: dense = event-driven = online, bit for bit; right numbers; any frame size; refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lag_moments import BLOCK, LagMoments
from patch_moments import PatchMoments
from resu_conv import ReSUEncoder
from resu_core import canonical_directions
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
    online = [encoder.reset(frames[:1])] + [encoder.step(frames[t : t + 1]) for t in range(1, len(frames))]
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
    online = []
    for t in range(80):
        frames = np.stack([stream[t] for stream in streams])
        restarted = np.array([t in begin for begin in begins])
        online.append(encoder.reset(frames) if t == 0 else encoder.step(frames, restarted))
    for e, each in enumerate(games):
        expected = np.concatenate([encoder.encode(frames) for frames in each])
        assert np.array_equal(np.stack([features[e] for features in online]), expected)


def test_a_frame_too_few_is_noticed():
    """Negative control: features of the window one step earlier differ, so the tests above can fail."""
    encoder, frames = fitted()
    assert not np.array_equal(encoder.encode(frames[1:])[20:], encoder.encode(frames)[20:-1])


def test_second_layer_online_equals_offline_and_the_definition():
    encoder, frames = fitted((9, 7), (3, 2), 0.2, n_layers=2, n_windows2=40, memory2=3, horizon2=2, n_units2=4)
    features = encoder.encode(frames)
    online = [encoder.reset(frames[:1])] + [encoder.step(frames[t : t + 1]) for t in range(1, len(frames))]
    assert features.shape == (120, 2 * 4 * 6) and np.array_equal(np.concatenate(online), features)
    maps = np.moveaxis(encoder.maps(frames), 1, -1) - encoder.mean2_
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    t = 50
    z = np.zeros((9, 7, 4))
    for j in range(3):
        for dy in range(3):
            for dx in range(3):
                z += padded[t - j, dy : dy + 9, dx : dx + 7] @ encoder.filters2_[:, j, dy, dx].T
    halves = np.concatenate([np.maximum(z, 0), np.maximum(-z, 0)], axis=-1)
    rows, columns = [0, 3, 6, 9], [0, 3, 7]
    cells = [
        (slice(rows[r], rows[r + 1]), slice(columns[c], columns[c + 1])) for r in range(len(rows) - 1) for c in (0, 1)
    ]
    expected = np.array([halves[cell][..., i].mean() for i in range(8) for cell in cells])
    assert np.allclose(features[t], expected, rtol=1e-3, atol=1e-3)


def test_patch_moments_are_covariances_of_patches():
    rng = np.random.default_rng(0)
    padded = rng.standard_normal((30, 5, 6, 2)).astype(np.float32)
    places = [(y, x) for y in range(3) for x in range(4)]

    def patch(image, y, x):
        return image[y : y + 3, x : x + 3].ravel()

    moments = PatchMoments(2, 1, 2)
    for s in range(28):
        moments.update(padded[s : s + 3])
    samples = np.array(
        [
            [np.r_[patch(padded[s + 1], y, x), patch(padded[s], y, x), padded[s + 2, y + 1, x + 1]] for y, x in places]
            for s in range(28)
        ],
        np.float64,
    )
    samples -= samples.mean(axis=0)
    joint = np.einsum("spi,spj->ij", samples, samples) / (28 * 12)
    assert np.allclose(moments.C_pp, joint[:36, :36], atol=1e-5)
    assert np.allclose(moments.C_fp, joint[36:, :36], atol=1e-5)
    assert np.allclose(moments.C_ff, joint[36:, 36:], atol=1e-5)


def test_second_layer_is_fitted_on_the_maps_of_whole_episodes():
    """The windows look back on the frames before them; with every window used, the moments are those of all maps."""
    encoder, frames = fitted((6, 5), (2, 2), 0.3, n_frames=60, n_layers=2, n_windows2=10_000, memory2=2, horizon2=1)
    maps = np.moveaxis(encoder.maps(frames), 1, -1)
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    moments = PatchMoments(2, 1, 8)
    for s in range(60 - 2):
        moments.update(padded[s : s + 3])
    expected = canonical_directions(moments, 8)
    assert np.allclose(encoder.correlations2_, expected.correlations, atol=1e-6)
    assert np.allclose(encoder.mean2_.reshape(30, 8), maps[1:-1].mean(axis=0).reshape(30, 8), rtol=1e-4, atol=1e-5)


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


def test_first_chunk_fully_determines_the_moments():
    """An average that starts at zero would shrink the first moments; the count shrinks with them here."""
    frames = screens(np.random.default_rng(0), 100, (12, 10), 0.1)
    a = StreamingReSU(alpha=0.01, grid=(3, 4)).update(frames).refit()
    b = ReSUEncoder(grid=(3, 4)).fit([frames])
    assert np.array_equal(a.filters_, b.filters_)


def test_save_and_load(tmp_path):
    for options in ({}, dict(n_layers=2, n_windows2=20)):
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
    with pytest.raises(ValueError, match="episode 1 has 11 frames, fewer than memory"):
        ReSUEncoder(grid=(1, 1)).fit([frames, frames[:11]])
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
        ReSUEncoder(n_layers=3)
    with pytest.raises(ValueError, match="grid"):
        ReSUEncoder(grid=(0, 3))
    with pytest.raises(ValueError, match="not fitted"):
        ReSUEncoder().encode(frames)
    with pytest.raises(ValueError, match="was fitted on"):
        encoder.encode(frames[:, :, :9])
    with pytest.raises(ValueError, match="must be a uint8 array"):
        encoder.encode(frames.astype(np.float32))
    with pytest.raises(ValueError, match="call reset"):
        encoder.step(frames[:1])
    encoder.reset(frames[:2])
    with pytest.raises(ValueError, match="2 environments"):
        encoder.step(frames[:3])
    with pytest.raises(ValueError, match="method"):
        encoder.encode(frames, "fast")
    with pytest.raises(ValueError, match="alpha"):
        StreamingReSU(alpha=0)
    with pytest.raises(ValueError, match="no frames yet"):
        StreamingReSU().refit()
    with pytest.raises(ValueError, match="this stream holds"):
        StreamingReSU(grid=(1, 1)).update(frames).update(frames[:, :5])
