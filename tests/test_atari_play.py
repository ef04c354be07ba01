"""Playing and recording: the same seed gives the same games on any number of cores; buffers are whole or refused."""

import numpy as np
import pytest

import atari_play
import workers
from atari_play import Buffer, RandomPolicy, collect, load_or_collect, play


class Steady:
    """Always the same action."""

    def __init__(self, action: int) -> None:
        self.action = action

    def start(self, rng, action_names):
        pass

    def act(self, frame, ram):
        return self.action


@pytest.fixture(scope="module")
def buffer() -> Buffer:
    return collect(RandomPolicy(), 1500, 3, max_steps=400)


def test_one_core_and_two_give_the_same_games(monkeypatch):
    two = play(RandomPolicy(), 3, 5, max_steps=150)
    monkeypatch.setattr(workers, "n_cores", lambda: 1)
    assert play(RandomPolicy(), 3, 5, max_steps=150) == two
    assert play(RandomPolicy(), 3, 6, max_steps=150) != two


def test_a_buffer_is_what_the_environment_showed(buffer):
    assert len(buffer) == 1500 and buffer.starts[0] == 0 and len(buffer.starts) == 4
    env = atari_play.AtariEnv("pong", max_steps=400)
    rng = next(atari_play.game_rngs(3))
    frame, _ = env.reset(seed=int(rng.integers(2**31)))
    for t in range(buffer.starts[1]):
        assert np.array_equal(buffer.frames[t], frame) and np.array_equal(buffer.ram[t], env.ram())
        frame, reward, *_ = env.step(int(buffer.actions[t]))
        assert reward == buffer.rewards[t]
    assert [len(frames) for frames in buffer.episode_frames()] == [400, 400, 400, 300]
    assert np.array_equal(buffer.actions, buffer.targets)


def test_a_teacher_labels_without_acting():
    taught = collect(Steady(2), 100, 3, teacher=Steady(5))
    assert set(taught.actions) == {2} and set(taught.targets) == {5}


def test_save_load_and_find_again(buffer, tmp_path):
    buffer.save(tmp_path / "pong")
    again = Buffer.load(tmp_path / "pong")
    for name in ("frames", "ram", "actions", "targets", "rewards", "starts"):
        assert np.array_equal(getattr(again, name), getattr(buffer, name))
    assert again.about["game"] == "pong" and again.about["max_steps"] == 400
    first = load_or_collect(tmp_path, "pong_random", RandomPolicy, 50, 0, max_steps=60)
    stamp = (tmp_path / "pong_random_s0_n50.npy").stat().st_mtime_ns
    second = load_or_collect(tmp_path, "pong_random", RandomPolicy, 50, 0, max_steps=60)
    assert np.array_equal(first.frames, second.frames)
    assert (tmp_path / "pong_random_s0_n50.npy").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("victim", ["npy", "npz", "frames of another buffer", "no frames"])
def test_damaged_buffers_are_refused_with_the_remedy(buffer, tmp_path, victim):
    path = tmp_path / "pong_random_s0_n1500"
    buffer.save(path)
    frames, table = (path.with_name(path.name + ending) for ending in (".npy", ".npz"))
    if victim == "npy":
        frames.write_bytes(frames.read_bytes()[:100_000])
    elif victim == "npz":
        table.write_bytes(table.read_bytes()[:1000])
    elif victim == "frames of another buffer":
        np.save(frames, buffer.frames[:700])
    else:
        frames.unlink()
    with pytest.raises((ValueError, FileNotFoundError), match=r"delete pong_random_s0_n1500\.npz and run"):
        load_or_collect(tmp_path, "pong_random", RandomPolicy, 1500, 0)


def test_an_unfinished_buffer_is_collected_again(tmp_path):
    (tmp_path / "pong_random_s0_n50.npy").write_bytes(b"half written")  # killed before the second file was there
    assert len(load_or_collect(tmp_path, "pong_random", RandomPolicy, 50, 0)) == 50


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="n_frames"):
        collect(RandomPolicy(), 0, 0)
    with pytest.raises(ValueError, match="unknown game"):
        play(RandomPolicy(), 1, 0, "chess")


def test_shifted_values_stay_within_their_game():
    frames = np.zeros((7, 2, 2), np.uint8)
    flat = np.zeros(7, np.uint8)
    buffer = Buffer(frames, np.zeros((7, 128), np.uint8), flat, flat, flat.astype(np.float32), np.array([0, 3]))
    values = np.arange(7.0)
    assert buffer.begins().tolist() == [0, 0, 0, 3, 3, 3, 3]
    np.testing.assert_array_equal(buffer.shifted(values, 2), [2, np.nan, np.nan, 5, 6, np.nan, np.nan])
    np.testing.assert_array_equal(buffer.shifted(values, -1), [np.nan, 0, 1, np.nan, 3, 4, 5])
    np.testing.assert_array_equal(buffer.shifted(values, 0), values)
    np.testing.assert_array_equal(buffer.shifted(np.stack([values, -values], axis=1), 3)[3], [6, -6])
    assert np.isnan(buffer.shifted(values, 50)).all()


def test_chunks_cover_the_buffer_and_say_where_games_begin(buffer):
    pieces = list(buffer.chunks(700))
    assert [len(frames) for frames, _ in pieces] == [700, 700, 100]
    assert np.array_equal(np.concatenate([frames for frames, _ in pieces]), buffer.frames)
    assert [starts.tolist() for _, starts in pieces] == [[0, 400], [100, 500], []]
    assert [len(frames) for frames, _ in buffer.chunks(700, 900)] == [700, 200]
    assert [starts.tolist() for _, starts in buffer.chunks(400, 800)] == [[0], [0]]
