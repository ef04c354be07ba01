"""The convolutional baseline sees four frames of its own game, learns motion, and plays what it was taught."""

import pickle

import numpy as np
import pytest
import torch

import convnet
from atari_play import Buffer
from convnet import N_FRAMES, ConvNet, ConvPolicy


def moving_bars(n_games: int = 12, length: int = 25, seed: int = 0) -> tuple[Buffer, np.ndarray]:
    """Games in which a bar moves left (class 0) or right (1): no single frame tells which."""
    rng = np.random.default_rng(seed)
    frames = np.zeros((n_games * length, 84, 84), np.uint8)
    classes = np.repeat(np.arange(n_games) % 2, length)
    for game in range(n_games):
        place = rng.integers(84)
        for t in range(length):
            x = (place + (2 * (game % 2) - 1) * 3 * t) % 84
            frames[game * length + t, :, x : x + 6] = 255
    n = len(frames)
    zeros = np.zeros(n, np.uint8)
    starts = np.arange(0, n, length)
    return Buffer(frames, np.zeros((n, 128), np.uint8), zeros, zeros, np.zeros(n, np.float32), starts), classes


def test_the_network_is_the_dqn_one():
    assert convnet.new(4, 0).n_parameters == 1_686_180  # 1.69 M with 4 actions (Mnih et al. 2015)
    assert torch.equal(convnet.new(3, 5).last.weight, convnet.new(3, 5).last.weight)
    assert not torch.equal(convnet.new(3, 5).last.weight, convnet.new(3, 6).last.weight)


def test_stacks_hold_the_newest_frames_of_their_own_game():
    buffer, _ = moving_bars(3, 6)
    buffer.frames[:] = np.random.default_rng(0).integers(0, 256, buffer.frames.shape)
    stacks = convnet.stacker(buffer)(np.arange(len(buffer))).numpy()
    for t in range(len(buffer)):
        begin = t - t % 6
        for j in range(N_FRAMES):
            np.testing.assert_allclose(stacks[t, j] * 255, buffer.frames[max(t - j, begin)], atol=1e-4)


@pytest.fixture(scope="module", params=[False, True], ids=["float32", "bfloat16"])
def taught(request) -> tuple[ConvNet, Buffer, np.ndarray, list[float]]:
    buffer, classes = moving_bars()
    steps = np.arange(len(buffer))
    usable = steps[steps % 25 >= 3]  # at a game's start nothing has moved yet
    last = usable >= 200
    model = convnet.new(2, 1)
    accuracies = convnet.fit(
        model, buffer, classes, 1, usable[~last], usable[last], epochs=20, learning_rate=1e-3, autocast=request.param
    )
    return model, buffer, classes, accuracies


def test_it_learns_what_only_several_frames_show(taught):
    model, buffer, classes, accuracies = taught
    assert max(accuracies) > 0.95 and len(accuracies) == 20
    steps = np.arange(len(buffer))[np.arange(len(buffer)) % 25 >= 3]
    stacks = convnet.stacker(buffer)(steps)
    with torch.inference_mode():
        still = model(stacks[:, :1].expand(-1, 4, -1, -1)).argmax(dim=1).numpy()
        backwards = model(stacks.flip(1)).argmax(dim=1).numpy()
    assert np.mean(still == classes[steps]) < 0.7  # negative control: the newest frame four times
    assert np.mean(backwards == classes[steps]) < 0.3  # time turned round


def test_play_gives_the_same_scores_as_the_buffer(taught):
    model, buffer, _, _ = taught
    with torch.inference_mode():
        wanted = model.eval()(convnet.stacker(buffer)(np.arange(25))).argmax(dim=1).numpy()
    policy = ConvPolicy(model, ("LEFT", "RIGHT"))
    for _ in range(2):  # a second game begins afresh
        policy = pickle.loads(pickle.dumps(policy))
        policy.start(np.random.default_rng(0), ("NOOP", "RIGHT", "LEFT"))
        played = [policy.act(frame, np.zeros(128, np.uint8)) for frame in buffer.frames[:25]]
        assert [("LEFT", "RIGHT")[w] for w in wanted] == [("NOOP", "RIGHT", "LEFT")[a] for a in played]


def test_refitting_the_last_layer_leaves_the_trunk_alone(taught):
    model, buffer, classes, _ = taught
    other = ConvNet.from_bytes(model.to_bytes())
    steps = np.arange(len(buffer))
    found = convnet.fit(
        other, buffer, 1 - classes, 0, steps[:200], steps[200:], epochs=100, learning_rate=1e-2, last_only=True
    )
    assert found[-1] > 0.8  # the classes are swapped
    for a, b in zip(model.trunk.parameters(), other.trunk.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(model.last.weight, other.last.weight)


def test_saved_weights_come_back_and_a_pickle_does_not(tmp_path, taught):
    model = taught[0]
    convnet.save(model, tmp_path / "net.pt")
    again = ConvNet.from_bytes((tmp_path / "net.pt").read_bytes())
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    with pytest.raises(pickle.UnpicklingError):
        ConvNet.from_bytes(pickle.dumps(print, protocol=2))
