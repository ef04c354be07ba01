"""After a failed call everything is as it was: every public method with every error, by the bytes of the state."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

import resu_core
import resu_files
import resu_moments
from resu_conv import ReSUEncoder
from resu_core import ReSU, canonical_directions
from resu_moments import LagMoments
from resu_streaming import StreamingReSU
from screens import screens

RNG = np.random.default_rng(0)
FLOATS = RNG.standard_normal((60, 3)).cumsum(axis=0)
GREYS = screens(RNG, 60, 3, 0.4)
FRAMES = screens(RNG, 60, (4, 5), 0.3)
SMALL = {"memory": 3, "horizon": 2, "n_units": 2}


def state(thing: object) -> object:
    """Everything that a thing holds, down to the bytes of its arrays."""
    if isinstance(thing, np.ndarray):
        return thing.dtype.str, thing.shape, tuple(thing) if thing.dtype.hasobject else thing.tobytes()
    if isinstance(thing, dict):
        return {key: state(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return type(thing), [state(value) for value in thing]
    return (type(thing), state(vars(thing))) if hasattr(thing, "__dict__") else thing


def full(n_series: int) -> LagMoments:
    """Integer moments near the end of 64 bits."""
    moments = LagMoments(3, 2).update(GREYS[:, :n_series])
    while True:
        try:
            moments.merge(moments)
        except OverflowError:
            return moments


def lag_moments(kind: str) -> LagMoments:
    moments = LagMoments(3, 2, center=True)
    if kind == "empty":
        return moments
    if kind == "begun":
        return moments.update(GREYS[:1])
    moments.update((GREYS if kind == "grey" else FLOATS + 1e6)[:40])
    return moments.decay(0.5) if kind == "decayed" else moments


def estimator(kind: str) -> ReSU:
    resu = ReSU(**SMALL)
    if kind == "new":
        return resu
    return resu.partial_fit(FLOATS[:4]) if kind == "begun" else resu.fit(FLOATS[:40])


def stream(kind: str) -> StreamingReSU:
    streaming = StreamingReSU(0.5 if kind == "forgetting" else 1.0, grid=(2, 2), **SMALL)
    return streaming if kind == "new" else streaming.update(FRAMES[:30])


def changed(x: np.ndarray, value: float) -> np.ndarray:
    x = x.astype(np.float64)
    x[7, 1] = value
    return x


BAD_FLOATS = [
    *(changed(FLOATS, value) for value in (np.nan, np.inf, 1e301)),
    np.zeros((3, 4, 5)), np.zeros((9, 0)), np.zeros((9, 7)), FLOATS * 1j, np.array([["a"] * 3] * 9), None,
]  # fmt: skip

CALLS = {
    "update": [
        *(lambda m, x=x: m.update(x) for x in BAD_FLOATS),
        *(lambda m, x=x: m.update(x, new_episode=True) for x in BAD_FLOATS),
        *(lambda m, method=method: m.update(GREYS, method=method) for method in ("fast", "", None, 1)),
    ],
    "merge and subtract": [
        lambda m: m.merge(None),
        lambda m: m.merge(LagMoments(3, 3).update(GREYS)),
        lambda m: m.merge(LagMoments(3, 2).update(GREYS[:, :2])),
        lambda m: m.subtract(7),
        lambda m: m.subtract(LagMoments(2, 2).update(GREYS)),
        lambda m: m.subtract(LagMoments(3, 2).update(FLOATS)),
    ],
    "decay": [lambda m, alpha=alpha: m.decay(alpha) for alpha in (0, -1, 1.1, np.nan, np.inf, "0.5", None, True, 1j)],
    "results": [lambda m: m.save("/dev/null/x.npz"), lambda m: canonical_directions(m, 2.5),
                lambda m: canonical_directions(m, True), lambda m: canonical_directions(m, 3),
                lambda m: canonical_directions(m, 2, -1), lambda m: canonical_directions(m, 2, "1"),
                lambda m: canonical_directions(m, 2, np.nan)],
}  # fmt: skip


@pytest.mark.parametrize("kind", ["begun", "grey", "float", "decayed"])
@pytest.mark.parametrize(("name", "i"), [(name, i) for name, calls in CALLS.items() for i in range(len(calls))])
def test_lag_moments(kind, name, i):
    moments = lag_moments(kind)
    before = state(moments)
    with pytest.raises((ValueError, OSError)):
        CALLS[name][i](moments)
    assert state(moments) == before


def test_lag_moments_on_a_device_that_is_not_there():
    moments = lag_moments("grey")
    before = state(moments)
    with pytest.raises(ValueError, match="torch cannot compute on the device 'nowhere'"):
        moments.update(GREYS, new_episode=True, method="torch:nowhere")
    assert state(moments) == before


@pytest.mark.parametrize("call", [lambda m: m.update(GREYS), lambda m: m.update(GREYS, True), lambda m: m.merge(m)])
def test_lag_moments_that_are_full(call):
    moments = full(3)
    for _ in range(12):  # closer and closer to the end
        part = LagMoments(3, 2).update(GREYS)
        for _ in range(60):
            try:
                moments.merge(part)
            except OverflowError:
                break
            part.merge(part)
    while True:
        before = state(moments)
        try:
            call(moments)
        except OverflowError as error:
            assert "64 bits" in str(error)
            break
    assert state(moments) == before


def failing(function, after: int):
    """The function, until it was called `after` times: then the memory is gone."""
    left = [after]

    def wrapped(*args, **options):
        left[0] -= 1
        if left[0] < 0:
            raise MemoryError("no memory")
        return function(*args, **options)

    return wrapped


@pytest.mark.parametrize("after", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", ["empty", "grey", "float", "decayed"])
def test_lag_moments_when_counting_fails_half_way(kind, after, monkeypatch):
    monkeypatch.setattr(resu_moments, "CHUNK", 8)
    monkeypatch.setattr(resu_moments, "BLOCK", 8)
    for x in (GREYS, FLOATS):
        moments = lag_moments(kind)
        before = state(moments)
        with monkeypatch.context() as patch, pytest.raises(MemoryError):
            patch.setattr(resu_moments, "_lag_products", failing(resu_moments._lag_products, after))
            moments.update(x, new_episode=after % 2 == 1)
        assert state(moments) == before


PARAMETERS = [
    {"n_units": 2.5}, {"n_units": True}, {"n_units": 0}, {"n_units": 3}, {"n_units": None}, {"memory": True},
    {"memory": 2.0}, {"memory": 0}, {"horizon": "2"}, {"horizon": False}, {"ridge": -1}, {"ridge": np.inf},
    {"ridge": "0"}, {"ridge": True},
]  # fmt: skip
STILL = np.full((60, 3), 236.7)


@pytest.mark.parametrize("kind", ["new", "begun", "fitted"])
@pytest.mark.parametrize("method", ["fit", "partial_fit", "transform", "fit_transform"])
@pytest.mark.parametrize("error", [*range(len(BAD_FLOATS)), *(f"{options}" for options in PARAMETERS), "still"])
def test_resu(kind, method, error):
    resu = estimator(kind)
    x = FLOATS
    if error == "still":
        if method == "transform" or (method == "partial_fit" and kind != "new"):
            return  # no error
        x = STILL
    elif isinstance(error, int):
        x = BAD_FLOATS[error]
    elif method == "transform":
        return  # parameters count from the next fit on
    else:
        resu.set_params(**next(options for options in PARAMETERS if f"{options}" == error))
    before = state(resu)
    with pytest.raises((ValueError, TypeError)):
        getattr(resu, method)(x)
    assert state(resu) == before


@pytest.mark.parametrize("kind", ["new", "begun", "fitted"])
@pytest.mark.parametrize("routine", ["dgesdd", "dsyevr"])
def test_resu_when_the_decomposition_fails(kind, routine, monkeypatch):
    resu, lapack = estimator(kind), getattr(resu_core.lapack, routine)
    before = state(resu)

    def fails(*args, **options):
        return *lapack(*args, **options)[:-1], 1  # what LAPACK says where it did not converge

    for method in ("fit", "partial_fit"):
        with monkeypatch.context() as patch, pytest.raises(linalg.LinAlgError, match=routine):
            patch.setattr(resu_core.lapack, routine, fails)
            getattr(resu, method)(FLOATS)
        assert state(resu) == before


def test_a_still_chunk_is_not_counted_however_often_it_is_given():
    resu = ReSU(**SMALL).partial_fit(STILL[:4])  # too few windows to say
    for _ in range(3):
        with pytest.raises(ValueError, match="no variance"):
            resu.partial_fit(STILL)
        assert resu.moments_.n_windows == 0
    resu.partial_fit(FLOATS)
    wanted = ReSU(**SMALL).fit(np.concatenate([STILL[:4], FLOATS]))
    assert np.allclose(resu.filters_, wanted.filters_, rtol=1e-9)


def test_names_of_other_series_are_refused():
    resu = estimator("fitted")
    before = state(resu)
    with pytest.raises(ValueError, match="input_features"):
        resu.get_feature_names_out(["a"])
    assert state(resu) == before


BAD_STARTS = [
    [60], [200], [-1], [0, 0], [5, 5], [9, 5], [2.5], [2.0], [True], [False, True], np.zeros(60, bool),
    np.array([1.0, 2.0]), [[1, 2]], 7, ["7"], [None], [np.int64(3), np.True_],
]  # fmt: skip


@pytest.mark.parametrize("kind", ["new", "adding", "forgetting"])
@pytest.mark.parametrize("i", range(len(BAD_STARTS)))
def test_streams_refuse_starts_that_do_not_rise_within_the_chunk(kind, i):
    streaming = stream(kind)
    before = state(streaming)
    with pytest.raises(ValueError, match=r"starts must rise strictly within 0 \.\. 59 and be integers, not"):
        streaming.update(FRAMES, starts=BAD_STARTS[i])
    assert state(streaming) == before


@pytest.mark.parametrize("kind", ["new", "adding", "forgetting"])
@pytest.mark.parametrize("fault", ["dtype", "dimensions", "empty", "size", "overflow", 0, 1, 2, "refit"])
def test_streams(kind, fault, monkeypatch):
    streaming = stream(kind)
    if kind == "new" and fault in ("size", "overflow"):
        streaming.update(FRAMES)
    if fault == "overflow":
        streaming.alpha = 1.0
        streaming.moments = LagMoments(3, 2).update(FRAMES[:30].reshape(30, -1))
        while streaming.moments.n_windows * 20 * 255.0**2 < 2.0**62:
            streaming.moments.merge(streaming.moments)
        monkeypatch.setattr(resu_moments.WindowSums, "plus", failing(resu_moments.WindowSums.plus, 3))
    if isinstance(fault, int):
        monkeypatch.setattr(resu_moments, "_lag_products", failing(resu_moments._lag_products, fault))
    if fault == "refit":
        monkeypatch.setattr(resu_core, "inverse_sqrt", failing(resu_core.inverse_sqrt, 1))
    frames = {"dtype": FRAMES * 1.0, "dimensions": FRAMES[0], "empty": FRAMES[:0], "size": FRAMES[:, :3]}
    before = state(streaming)
    with pytest.raises((ValueError, MemoryError)):
        if fault == "refit":
            streaming.refit()
        else:
            streaming.update(frames.get(fault, FRAMES), starts=(20, 40))
    assert state(streaming) == before


def test_starts_are_where_episodes_begin():
    def counted(new_episode=False, starts=()):
        return stream("adding").update(FRAMES, new_episode, starts).moments

    assert counted(starts=[0]) == counted(True) == counted(True, [0])
    assert counted(starts=np.array([0, 20], np.uint8)) == counted(True, (20,)) != counted(starts=(20,))
    by_hand = stream("adding").update(FRAMES[:59]).update(FRAMES[59:], new_episode=True).moments
    assert counted(starts=[59]) == by_hand


@pytest.mark.parametrize("options", [{"n_units": 2.5}, {"n_units": True}, {"memory": True}, {"horizon": 2.0}])
def test_fractions_and_booleans_are_no_counts(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be an integer"):
        StreamingReSU(**options)
    if "n_units" not in options:
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be an integer"):
            LagMoments(**{"memory": 3, "horizon": 2} | options)
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be an integer"):
        ReSU(**options).fit(FLOATS)


@pytest.mark.parametrize("alpha", [0, 1.5, np.nan, True, "1", None])
def test_streams_refuse_factors_out_of_range(alpha):
    encoder = ReSUEncoder(grid=(1, 1)).fit(FRAMES)
    for make in (StreamingReSU, lambda alpha: StreamingReSU.from_encoder(encoder, alpha)):
        with pytest.raises(ValueError, match="alpha must lie in"):
            make(alpha)


CHANGES = {
    "gram": np.zeros((4, 4)), "sums": np.zeros((5, 2)), "shift": np.full(3, np.nan), "n_windows": np.array(-1),
    "memory": np.array(0), "horizon": np.array(2.5), "n_series": np.array(4), "tail": np.zeros((9, 3)),
    "exponent": np.array("x"), "kind": np.array("LagMoments-3"), "center": np.array([True, False]),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_files_that_do_not_fit_are_refused(name, tmp_path):
    path = tmp_path / "moments.npz"
    lag_moments("float").save(path)
    resu_files.write_npz(path, **(resu_files.read_npz(path) | {name: CHANGES[name]}))
    with pytest.raises(ValueError, match=r"moments\.npz"):
        LagMoments.load(path)


def test_the_snapshot_sees_a_change_of_one_bit():
    """Negative control."""
    for make, change in (
        (lambda: lag_moments("float"), lambda m: m.update(FLOATS[:1])),
        (lambda: lag_moments("float"), lambda m: m.end_episode()),
        (lambda: lag_moments("grey"), lambda m: m.decay(1 - 1e-16)),
        (lambda: estimator("fitted"), lambda r: r.set_params(flat=True)),
        (lambda: stream("adding"), lambda s: s.update(FRAMES[:1])),
    ):
        thing = make()
        assert state(thing) == state(make())
        change(thing)
        assert state(thing) != state(make())
