"""Codes agree online and offline, controls are what they claim, splits are by game, aggregation relabels."""

import numpy as np
import pytest

import cloning
from atari_env import AtariEnv
from atari_play import Buffer, RandomPolicy, collect
from cloning import Clone, Lessons, class_indices, split_by_game
from dense_head import DenseHead
from resu_controls import RawPixels, frame_differences, random_filters, random_upper, temporal_pca
from resu_conv import ReSUEncoder
from screens import screens


@pytest.fixture(scope="module")
def buffer() -> Buffer:
    return collect(RandomPolicy(), 1200, 11, max_steps=300)


@pytest.fixture(scope="module")
def encoder(buffer) -> ReSUEncoder:
    return ReSUEncoder(grid=(7, 6)).fit(buffer.episode_frames())


def test_codes_agree_online_and_offline(buffer, encoder):
    frames = buffer.frames[:40]
    for code in (RawPixels(3), RawPixels(4, grid=(7, 5)), encoder, random_filters(encoder, 0), temporal_pca(encoder)):
        offline = code.encode(frames)
        game = code.online(1)
        online = [game.reset(frames[:1])] + [game.step(frame[None]) for frame in frames[1:]]
        assert np.array_equal(np.concatenate(online), offline) and offline.shape == (40, code.n_features)
    raw = RawPixels(2).online(2)
    raw.reset(frames[:2])
    assert np.array_equal(raw.step(frames[2:4], np.array([True, False]))[0, :7056], raw.step(frames[4:6])[0, 7056:])


def test_pooled_pixels_are_means_of_the_cells_that_encoders_pool_over(buffer):
    code, frames = RawPixels(3, grid=(7, 5)), buffer.frames[:6]
    rows, columns = ([i * 84 // n for i in range(n + 1)] for n in code.grid)
    wanted = [
        frames[max(5 - lag, 0), rows[r] : rows[r + 1], columns[c] : columns[c + 1]].mean()
        for lag in range(3) for r in range(7) for c in range(5)
    ]  # fmt: skip
    found = code.encode(frames)
    assert found.dtype == np.float32 and np.array_equal(found[5], np.array(wanted, np.float32))
    with pytest.raises(ValueError, match=r"a grid of .* does not fit frames of 84 x 84 pixels"):
        RawPixels(2, grid=(85, 1))


def test_controls_have_unit_variance_responses_and_other_filters(encoder):
    c_pp = encoder.moments_.C_pp
    for control in (random_filters(encoder, 0), temporal_pca(encoder), frame_differences(encoder)):
        psi = control.filters_
        assert np.allclose(np.einsum("ki,ij,kj->k", psi, c_pp, psi), 1)
        assert np.array_equal(control.mean_, encoder.mean_)
    assert not np.array_equal(random_filters(encoder, 0).filters_, random_filters(encoder, 1).filters_)
    pca = temporal_pca(encoder).filters_
    assert np.abs((pca @ c_pp @ pca.T) - np.eye(4)).max() < 1e-9
    differences = frame_differences(encoder).filters_
    assert np.count_nonzero(differences[0]) == 1 and np.allclose(differences[1:].sum(axis=1), 0)


def test_random_patch_filters_stand_on_the_fitted_first_layer(buffer):
    episodes = [buffer.frames[:200, ::4, ::4], buffer.frames[200:420, ::4, ::4], buffer.frames[420:640, ::4, ::4]]
    fitted = ReSUEncoder(grid=(3, 3), n_layers=2, n_windows2=64).fit(episodes)
    control = random_upper(fitted, episodes, 0)
    assert np.array_equal(control.filters_, fitted.filters_) and control.options == fitted.options
    maps = control.maps(episodes[1][:256])
    assert np.allclose(((maps[:, :8] - maps[:, 8:]) ** 2).mean(axis=(0, 2, 3)), 1, rtol=1e-3)
    same, other = (random_upper(fitted, episodes, seed).encode(episodes[0]) for seed in (0, 1))
    assert np.array_equal(control.encode(episodes[0]), same) and not np.array_equal(same, other)
    with pytest.raises(ValueError, match="the encoder has 1 layer"):
        random_upper(ReSUEncoder(grid=(3, 3)).fit(episodes), episodes, 0)


def test_splits_are_by_whole_games(buffer):
    train, held_out = split_by_game(buffer, 0.25)
    assert held_out[0] in buffer.starts and set(train) | set(held_out) == set(range(1200)) and len(held_out) == 300
    single = Buffer(
        *(getattr(buffer, n)[:300] for n in ("frames", "ram", "actions", "targets", "rewards")), np.array([0])
    )
    assert len(split_by_game(single, 0.1)[1]) == 30


def test_features_do_not_leak_across_games(buffer, encoder):
    whole = cloning.encode_buffer(encoder, buffer)
    start = buffer.starts[2]
    assert np.array_equal(whole[start : start + 50], encoder.encode(buffer.frames[start : start + 50]))
    assert not np.array_equal(whole[start : start + 5], encoder.encode(buffer.frames[: start + 5])[-5:])


def test_an_unknown_action_is_named():
    with pytest.raises(ValueError, match="action FIRE is not among the classes NOOP, LEFT"):
        class_indices(np.array([0, 1]), ("NOOP", "FIRE", "LEFT"), ("NOOP", "LEFT"))
    assert class_indices(np.array([0, 2]), ("NOOP", "FIRE", "LEFT"), ("NOOP", "LEFT")).tolist() == [0, 1]


class BallFollower:
    """A teacher whose action can be read off the newest frame's brightest row."""

    def start(self, rng, action_names):
        self.up, self.down = action_names.index("RIGHT"), action_names.index("LEFT")

    def act(self, frame, ram):
        return self.up if frame[:, 70:].sum(axis=1).argmax() < 42 else self.down


def test_a_clone_learns_a_simple_teacher_and_aggregation_adds_its_own_games(buffer, encoder):
    taught = collect(RandomPolicy(), 1200, 12, teacher=BallFollower(), max_steps=300)
    clone, accuracies = cloning.clone_policy(
        encoder, taught, ("RIGHT", "LEFT"), "ridge", 0, teacher=BallFollower(), rounds=1, n_frames=400, game="pong",
        max_steps=200,
    )  # fmt: skip
    assert len(accuracies) == 2 and accuracies[0] > 0.8
    env = AtariEnv("pong")
    frame, _ = env.reset(seed=0)
    clone.start(np.random.default_rng(0), env.action_names)
    assert {clone.act(frame, env.ram()) for _ in range(1)} <= {2, 3}


def test_two_clones_that_share_an_encoder_step_in_turn_as_they_would_alone(encoder):
    """One of them begins a new game in the middle."""
    rng = np.random.default_rng(0)
    names = ("NOOP", "RIGHT", "LEFT")
    games = [screens(rng, 60, (84, 84), 0.02) for _ in range(3)]
    centre = encoder.encode(games[0]).mean(axis=0)
    weights = [rng.standard_normal((3, encoder.n_features)).astype(np.float32) for _ in range(2)]
    heads = [DenseHead([weight], [-weight @ centre]) for weight in weights]

    def play(clone: Clone, frames) -> list[int]:
        clone.start(rng, names)
        return [clone.act(frame, frame) for frame in frames]

    first, second = (Clone(encoder, head, names) for head in heads)
    alone = play(first, games[0]), play(second, games[1][:30]), play(second, games[2])
    first.start(rng, names)
    second.start(rng, names)
    together = [], [], []
    for t in range(60):
        together[0].append(first.act(games[0][t], games[0][t]))
        if t == 30:
            second.start(rng, names)
        shown = games[1][t] if t < 30 else games[2][t - 30]
        together[1 if t < 30 else 2].append(second.act(shown, shown))
    assert together[:2] == alone[:2] and together[2] == alone[2][:30]
    assert len(set(alone[0])) == 3 and alone[0][:30] != alone[1]  # negative control: the actions do vary


def test_lessons_keep_held_out_games_out(buffer, encoder):
    names = AtariEnv("pong").action_names
    lessons = Lessons(encoder, names, names, 2400)
    lessons.add(buffer, 0.25)
    assert lessons.held_out.sum() == 300 and lessons.held_out[-300:].all()
    lessons.add(buffer, 0.25)
    assert np.array_equal(lessons.features[1200:], lessons.features[:1200])
    assert len(lessons.features) == 2400 and lessons.held_out.sum() == 600


def test_clones_are_saved_and_refused_when_parts_do_not_fit(tmp_path, encoder):
    head = DenseHead([np.ones((3, encoder.n_features), np.float32)], [np.arange(3, dtype=np.float32)])
    clone = Clone(encoder, head, ("NOOP", "RIGHT", "LEFT"))
    clone.save(tmp_path / "pong")
    frames = screens(np.random.default_rng(0), 12, (84, 84))
    again = Clone.load(tmp_path / "pong")
    for policy in (clone, again):
        policy.start(np.random.default_rng(0), ("NOOP", "FIRE", "RIGHT", "LEFT"))
    assert [clone.act(f, f) for f in frames] == [again.act(f, f) for f in frames] == [3] * 12
    DenseHead([np.ones((3, 5), np.float32)], [np.zeros(3, np.float32)]).save(tmp_path / "pong_head.npz")
    with pytest.raises(ValueError, match="do not belong together: run this"):
        Clone.load(tmp_path / "pong", "run this")
    with pytest.raises(FileNotFoundError, match="run this"):
        Clone.load(tmp_path / "breakout", "run this")
    with pytest.raises(ValueError, match="RawPixels"):
        Clone(RawPixels(2), head, ("NOOP",)).save(tmp_path / "raw")
