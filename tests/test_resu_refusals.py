"""Encoders that are asked wrongly: one sentence, and everything stays as it was; users do not disturb each other."""

import numpy as np
import pytest

from encoders import UPPER, fitted
from resu_controls import RawPixels
from resu_conv import ReSUEncoder
from resu_moments import LagMoments
from resu_streaming import StreamingReSU
from screens import screens


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
    with pytest.raises(ValueError, match="clock must be 'sums' or 'average', not 'mean'"):
        StreamingReSU(clock="mean")
    with pytest.raises(ValueError, match="start must be 'add' or 'replace', not True"):
        StreamingReSU(start=True)
    with pytest.raises(ValueError, match="alpha must be below 1"):
        StreamingReSU(clock="average")
    with pytest.raises(ValueError, match="no frames yet"):
        StreamingReSU().refit()
    with pytest.raises(ValueError, match="this stream holds"):
        StreamingReSU(grid=(1, 1)).update(frames).update(frames[:, :5])


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
