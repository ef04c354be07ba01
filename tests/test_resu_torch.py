"""ReSU in torch: the same bits as the compiled loops; it exports and traces; nothing in it learns."""

import copy
import pickle

import numpy as np
import pytest
import torch

from resu_conv import ReSUEncoder
from resu_moments import LagMoments
from resu_torch import ReSUModule
from resu_torch_kernels import lag_products


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


def test_encoders_that_it_cannot_hold_are_refused(frames):
    with pytest.raises(ValueError, match="not fitted"):
        ReSUModule(ReSUEncoder())
    deep = ReSUEncoder(memory=4, horizon=2, n_units=2, grid=(3, 3), n_layers=2, n_units2=2).fit(frames[:200])
    with pytest.raises(ValueError, match="only the first layer"):
        ReSUModule(deep)


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
