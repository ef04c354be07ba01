"""ReSU in torch: the same bits as the compiled loops; it exports and traces; nothing in it learns."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resu_conv import ReSUEncoder
from resu_moments import LagMoments
from resu_patch_events import usual
from resu_patch_sums import MapSums
from resu_torch import ReSUModule
from resu_torch_kernels import lag_products
from resu_torch_sums import TorchSums
from screens import screens


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    still = rng.integers(0, 256, (20, 14), np.uint8)
    moving = np.repeat(still[None], 700, axis=0)
    for t in range(700):
        moving[t, t // 7 % 18 : t // 7 % 18 + 3, t % 12 : t % 12 + 2] = 200 + t % 50
    return moving


@pytest.fixture(scope="module")
def encoder(frames):
    return ReSUEncoder(memory=5, horizon=3, n_units=3, grid=(6, 5)).fit(frames)


def test_features_are_bitwise_those_of_the_encoder(encoder, frames):
    module = ReSUModule(encoder)
    assert np.array_equal(module.encode(torch.from_numpy(frames)).numpy(), encoder.encode(frames))
    windows = torch.from_numpy(np.stack([frames[t - 4 : t + 1][::-1] for t in (4, 300, 699)]))
    assert np.array_equal(module(windows).numpy(), encoder.encode(frames)[[4, 300, 699]])
    assert np.array_equal(module(windows.float()).numpy(), module(windows).numpy())
    assert not np.array_equal(module(windows.flip(1)).numpy(), module(windows).numpy())  # newest first matters
    assert not list(module.parameters())


def test_the_same_call_runs_in_torch(encoder, frames):
    again = ReSUEncoder(memory=5, horizon=3, n_units=3, grid=(6, 5)).fit(frames, method="torch:cpu")
    assert np.array_equal(again.filters_, encoder.filters_)
    assert np.array_equal(again.encode(frames, "torch:cpu"), encoder.encode(frames))
    with pytest.raises(ValueError, match="method must be"):
        encoder.encode(frames, "teleport")


def test_it_exports_traces_and_keeps_its_state(encoder, frames):
    module = ReSUModule(encoder)
    windows = torch.from_numpy(np.ascontiguousarray(np.stack([frames[t - 4 : t + 1][::-1] for t in range(4, 12)])))
    wanted = module(windows)
    batch = torch.export.Dim("batch", min=2)
    exported = torch.export.export(module, (windows,), dynamic_shapes={"windows": {0: batch}})
    assert torch.equal(exported.module()(windows[:3]), wanted[:3])
    assert torch.equal(torch.jit.trace(module, windows)(windows[:3]), wanted[:3])
    other = ReSUModule(ReSUEncoder(memory=5, horizon=3, n_units=3, grid=(6, 5)).fit(255 - frames))
    assert not torch.equal(other(windows), wanted)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(windows), wanted)


CASTS = {
    "float": lambda network: network.float(),
    "double": lambda network: network.double(),
    "half": lambda network: network.half(),
    "bfloat16": lambda network: network.bfloat16(),
    "to dtype": lambda network: network.to(torch.float16),
    "to device and dtype": lambda network: network.to("cpu", torch.bfloat16),
    "to layout": lambda network: network.to(memory_format=torch.channels_last),
    "cpu": lambda network: network.cpu(),
}


@pytest.mark.parametrize("cast", CASTS)
def test_a_network_that_is_cast_keeps_its_bits(encoder, frames, cast):
    windows = torch.from_numpy(np.ascontiguousarray(np.stack([frames[t - 4 : t + 1][::-1] for t in range(4, 12)])))
    module = ReSUModule(encoder)
    wanted = module(windows)
    network = CASTS[cast](torch.nn.Sequential(module, torch.nn.Linear(wanted.shape[1], 3)))
    assert torch.equal(network[0](windows), wanted)
    assert cast in ("float", "cpu", "to layout") or network[1].weight.dtype != torch.float32  # the rest is cast
    assert copy.deepcopy(network).to("meta")[0].taps.device.type == "meta"  # the device does change
    twin = pickle.loads(pickle.dumps(copy.deepcopy(network)))
    assert torch.equal(twin[0](windows), wanted)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(network[0](windows), wanted)


def test_encoders_that_are_not_fitted_are_refused():
    with pytest.raises(ValueError, match="not fitted"):
        ReSUModule(ReSUEncoder())


DEEP = dict(memory=4, horizon=2, n_units=2, grid=(3, 2), memory2=3, horizon2=2, n_units2=3)


@pytest.mark.parametrize("recipe", [{}, dict(future2="patch", center=False, ridge=0.0, absolute_ridge=1.5e-3)])
@pytest.mark.parametrize("n_layers", [2, 3])
def test_layers_above_are_bitwise_the_same_in_torch(n_layers, recipe):
    rng = np.random.default_rng(1)
    episodes = [screens(rng, n, (9, 7), 0.03) for n in (150, 4, 90)]
    plain = ReSUEncoder(n_layers=n_layers, **DEEP, **recipe).fit(episodes)
    torched = ReSUEncoder(n_layers=n_layers, **DEEP, **recipe).fit(episodes, method="torch:cpu")
    for a, b in zip(plain.upper_, torched.upper_, strict=True):
        assert np.array_equal(a.filters, b.filters) and np.array_equal(a.mean, b.mean)
    for frames in episodes:
        assert np.array_equal(plain.encode(frames, "torch:cpu"), plain.encode(frames))
    module, frames = ReSUModule(plain), episodes[0]
    assert module.memory == 4 + 2 * (n_layers - 1)
    window = torch.from_numpy(frames[20 - module.memory + 1 : 21][::-1].copy())[None]
    assert np.array_equal(module(window).numpy()[0], plain.encode(frames)[20])
    earlier = torch.from_numpy(frames[20 - module.memory : 20][::-1].copy())[None]
    assert not torch.equal(module(earlier), module(window))  # negative control
    assert torch.equal(copy.deepcopy(module).half()(window), module(window))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.integers(1, 80), min_size=1, max_size=2), memory=st.integers(1, 3), horizon=st.integers(1, 3),
    bits=st.integers(0, 12), n_layers=st.integers(1, 2), seed=st.integers(0, 99),
)  # fmt: skip
def test_sums_in_torch_are_the_integers_of_the_events(lengths, memory, horizon, bits, n_layers, seed):
    rng = np.random.default_rng(seed)
    layers = ReSUEncoder(n_layers=n_layers, **DEEP).fit([screens(rng, 100, (5, 4), 0.4)]).layers_
    episodes, lags = [screens(rng, n, (5, 4), 0.1) for n in lengths], memory + horizon
    runs = [(i, 0, n) for i, n in enumerate(lengths) if n >= lags]
    if not runs:
        return
    rest, _, _ = usual(layers, episodes, runs)
    sums = [
        kind(layers, memory, horizon, rest, bits).count(episodes, runs)._integers() for kind in (MapSums, TorchSums)
    ]
    for k in range(lags):
        near = slice(0, 5) if k < memory else slice(1, 4)  # beyond the past only the middle is counted
        a, b = (found[0].reshape(*found[0].shape[:3], 5, 5, -1)[:, k, :, near, near] for found in sums)
        assert np.array_equal(a, b), k
    assert np.array_equal(sums[0][1], sums[1][1])


def test_environments_in_torch_are_those_of_the_loops():
    rng = np.random.default_rng(2)
    games = [screens(rng, 40, (9, 7), 0.1) for _ in range(3)]
    encoder = ReSUEncoder(n_layers=2, **DEEP).fit(games)
    plain, torched = encoder.online(3), encoder.online(3, "torch:cpu")
    with pytest.raises(ValueError, match="reset"):
        torched.step(np.stack([g[0] for g in games]))
    for state in (plain, torched):
        with pytest.raises(ValueError, match="3 environments"):
            state.reset(games[0][:2])
    first = np.stack([g[0] for g in games])
    assert np.array_equal(plain.reset(first), torched.reset(first))
    for t in range(1, 40):
        frames = np.stack([g[t] for g in games])
        restarted, where = rng.random(3) < 0.1, rng.random(3) < 0.7
        assert np.array_equal(plain.step(frames, restarted, where), torched.step(frames, restarted, where)), t
    with pytest.raises(ValueError, match="method must be"):
        encoder.online(1, "teleport")


@pytest.mark.parametrize("n", [3, 511, 512, 513, 700])
def test_lag_products_are_those_of_numpy(frames, n):
    x = frames[:n].reshape(n, -1)
    products, sums = lag_products(x, 5, "cpu")
    wide = x.astype(np.int64)
    for k in range(min(5, n)):
        assert np.array_equal(products[: n - k, k], (wide[: n - k] * wide[k:]).sum(axis=1))
    assert np.array_equal(sums, wide.sum(axis=0))


def test_moments_by_torch_are_bitwise_the_same(frames):
    x = frames.reshape(len(frames), -1)
    plain = LagMoments(5, 3).update(x[:300]).update(x[300:])
    torched = LagMoments(5, 3).update(x[:300], method="torch").update(x[300:], method="torch:cpu")
    assert plain == torched and torched.exact
    with pytest.raises(ValueError, match="method must be"):
        LagMoments(5, 3).update(x, method="teleport")
