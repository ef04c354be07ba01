"""The encoder's invariants: dense = event-driven = online, bit for bit; right numbers; any frame size; refusals."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders import UPPER, fitted, slow_encode
from resu_conv import ReSUEncoder
from resu_moments import BLOCK, LagMoments
from resu_streaming import StreamingReSU
from screens import screens

FAST = settings(max_examples=25, deadline=None, derandomize=True)


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


@pytest.mark.parametrize("n_units", [1, 3, 4, 5, 8])
def test_the_largest_jumps_with_filters_by_fours_and_one_by_one(n_units):
    """Every pixel goes from black to white and back, so that responses come as near to their bound as they can."""
    rng = np.random.default_rng(n_units)
    filters = np.where(rng.random((n_units, 8)) < 0.5, -1.0, 1.0)
    encoder = ReSUEncoder(memory=8, horizon=8, n_units=n_units, grid=(3, 2), center=False).with_filters(
        filters, np.zeros((6, 7))
    )
    frames = np.where(rng.random((60, 6, 7)) < 0.5, 0, 255).astype(np.uint8)
    frames[20:30:2], frames[21:30:2] = 0, 255
    events = encoder.encode(frames, "events")
    assert np.array_equal(events, encoder.encode(frames, "dense"))
    windows = np.stack([frames[np.maximum(np.arange(60) - j, 0)] for j in range(8)], axis=-1).astype(float)
    response = np.moveaxis(windows @ filters.T, -1, 1)
    cells = [response[..., 2 * r : 2 * r + 2, c] for r in range(3) for c in (slice(0, 3), slice(3, 7))]
    halves = [np.maximum(sign * cell, 0).mean(axis=(2, 3)) for sign in (1, -1) for cell in cells]
    expected = np.stack(halves, axis=2).reshape(60, n_units, 2, 6).swapaxes(1, 2).reshape(60, -1)
    assert np.allclose(events, expected, rtol=1e-6, atol=1e-4)


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


@pytest.mark.parametrize("start", ["add", "replace"])
@pytest.mark.parametrize("center", [False, True])
def test_an_average_clock_weighs_every_chunk_alike_whatever_its_length(start, center):
    """Against windows written out: M <- .7 M + .3 M' for chunks of 100, 3 (no window of its own), 40 and 70 frames."""
    rng = np.random.default_rng(0)
    old, new = screens(rng, 300, (6, 5), 0.02), screens(rng, 213, (6, 5), 0.5)
    cuts = (0, 100, 103, 143, 213)
    stream = StreamingReSU.from_encoder(
        ReSUEncoder(grid=(1, 1), center=center).fit([old]), 0.7, clock="average", start=start
    )

    def windows(x: np.ndarray) -> np.ndarray:  # (N, 30, 12)
        return np.lib.stride_tricks.sliding_window_view(x.reshape(len(x), -1).astype(np.float64), 12, axis=0)

    def mean_of(these: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # second moments about 0, and means
        return np.einsum("npa,npb->ab", these, these) / these.shape[0] / these.shape[1], these.mean(axis=0)

    found = mean_of(windows(old))
    for n, (begin, end) in enumerate(pairwise(cuts)):
        stream.update(new[begin:end], new_episode=n == 0)
        theirs = mean_of(windows(new[max(begin - 11, 0) : end]))
        fresh = n == 0 and start == "replace"
        found = theirs if fresh else tuple(0.7 * a + 0.3 * b for a, b in zip(found, theirs, strict=True))
        second = found[0] - np.einsum("pa,pb->ab", found[1], found[1]) / 30 * center
        assert np.allclose(stream.moments.window_moment(), second, rtol=1e-9, atol=1e-9)
    unchanged = stream.moments.window_moment()
    stream.update(old[:3], new_episode=True)  # no window at all: it counts for nothing
    assert np.allclose(stream.moments.window_moment(), unchanged, rtol=1e-12)
    assert np.isfinite(stream.refit().filters_).all()


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
