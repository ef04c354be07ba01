"""The encoder with action taps: exact moments, right numbers, online = offline, positive and negative controls."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resu_action_moments
from resu_action_moments import ActionMoments
from resu_conv import ReSUEncoder
from resu_conv_action import ActionReSUEncoder
from resu_moments import BLOCK
from screens import screens

FAST = settings(max_examples=25, deadline=None, derandomize=True)
SHAPE, GRID = (12, 10), (3, 4)


def play(seed: int, n_frames: int, shape=SHAPE, n_actions: int = 3, moving: float = 0.1):
    """Frames (T, H, W) uint8 and actions (T,) that have nothing to do with them."""
    rng = np.random.default_rng(seed)
    return screens(rng, n_frames, shape, moving), rng.integers(0, n_actions, n_frames)


def flicker(seed: int, n_frames: int, delay: int) -> tuple[np.ndarray, np.ndarray]:
    """A world in which action 1 brightens the whole screen by 60 for one frame, `delay` frames after its own."""
    frames, actions = play(seed, n_frames)
    lit = np.zeros(n_frames, np.uint8)
    lit[delay:] = 60 * (actions[:-delay] == 1)
    return frames // 2 + lit[:, None, None], actions


def slow_covariances(episodes, actions, m, h, n_actions, delays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """C_pp, C_fp, C_ff in float64 from every window that has its actions, pixel by pixel."""
    samples = []  # (windows, P, m + lags * A + h)
    for x, a in zip(episodes, actions, strict=True):
        for t in range(len(x)):
            if t - m + 1 < 0 or t - max(delays) < 0 or t + h >= len(x):
                continue
            onehots = np.concatenate([np.eye(n_actions)[a[t - d]] for d in delays])
            past, future = [x[t - j].ravel() for j in range(m)], [x[t + 1 + j].ravel() for j in range(h)]
            shown = np.tile(onehots[:, None], x[0].size)
            samples.append(np.concatenate([past, shown, future]).T)
    samples = np.array(samples, np.float64)
    samples -= samples.mean(axis=0)
    joint = np.einsum("wpi,wpj->ij", samples, samples) / (samples.shape[0] * samples.shape[1])
    return joint[:-h, :-h], joint[-h:, :-h], joint[-h:, -h:]


def slow_encode(encoder: ActionReSUEncoder, frames: np.ndarray, actions: np.ndarray, delays) -> np.ndarray:
    """Definition in float64, pixel by pixel and cell by cell."""
    edges = [np.arange(n + 1) * size // n for n, size in zip(encoder.grid, encoder.mean_.shape, strict=True)]
    out = np.zeros((len(frames), 2 * encoder.n_units, *encoder.grid))
    for t in range(len(frames)):
        past = np.stack([frames[max(t - j, 0)] - encoder.mean_ for j in range(encoder.memory)])
        z = np.einsum("kj,jyx->kyx", encoder.filters_, past)
        for lag, d in enumerate(delays):
            if t - d >= 0:
                z += encoder.action_filters_[:, lag, actions[t - d], None, None]
        halves = np.concatenate([np.maximum(z, 0), np.maximum(-z, 0)])
        for r in range(encoder.grid[0]):
            for c in range(encoder.grid[1]):
                cell = halves[:, edges[0][r] : edges[0][r + 1], edges[1][c] : edges[1][c + 1]]
                out[t, :, r, c] = cell.mean(axis=(1, 2))
    return out.reshape(len(frames), -1)


def online(encoder: ActionReSUEncoder, frames: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """One environment, step by step."""
    coming = [dict(next_actions=a[None]) if encoder.include_current else {} for a in actions]
    game = encoder.online(1)
    out = [game.reset(frames[:1], **coming[0])]
    for t in range(1, len(frames)):
        out.append(game.step(frames[t : t + 1], actions[t - 1 : t], **coming[t]))
    return np.concatenate(out)


OPTIONS = [(2, False), (2, True), (5, False), (5, True), (0, True), (1, False)]


@pytest.mark.parametrize(("action_memory", "current"), OPTIONS)
def test_moments_are_those_of_explicit_windows(action_memory, current):
    m, h, n_actions = 3, 2, 4
    games = [play(seed, n, (3, 2), n_actions, 0.3) for seed, n in enumerate((25, 10, 7, 40))]
    moments = ActionMoments(m, h, n_actions, action_memory, current)
    for frames, actions in games:
        moments.update(frames.reshape(len(frames), -1), actions, new_episode=True)
    delays = list(range(0 if current else 1, action_memory + 1))
    c_pp, c_fp, c_ff = slow_covariances(*zip(*games, strict=True), m, h, n_actions, delays)
    for ours, slow in ((moments.C_pp, c_pp), (moments.C_fp, c_fp), (moments.C_ff, c_ff)):
        assert ours.shape == slow.shape and np.allclose(ours, slow, rtol=1e-11, atol=1e-12 * np.abs(slow).max())
    assert (moments.action_counts.sum(axis=1) == moments.n_windows).all()
    assert moments.min_frames == max(m, action_memory + 1) + h
    assert moments.n_windows == sum(max(len(frames) - moments.min_frames + 1, 0) for frames, _ in games)


@FAST
@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from(OPTIONS),
    st.lists(st.integers(0, 30), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_any_chunks_and_merges_give_the_same_bits(m, h, option, lengths, random):
    games = [play(seed, n, (5,), 3, 0.5) if n else (np.zeros((0, 5), np.uint8), []) for seed, n in enumerate(lengths)]
    whole, chunked = ActionMoments(m, h, 3, *option), ActionMoments(m, h, 3, *option)
    parts = [ActionMoments(m, h, 3, *option) for _ in range(2)]
    for x, a in games:
        whole.update(x, a, new_episode=True)
        cuts = sorted(random.randint(0, len(x)) for _ in range(random.randint(0, 8)))
        for i, (piece, chosen) in enumerate(zip(np.split(x, cuts), np.split(np.array(a, int), cuts), strict=True)):
            chunked.update(piece, chosen, new_episode=i == 0)
        random.choice(parts).update(x, a, new_episode=True)
    merged = ActionMoments(m, h, 3, *option).merge(parts[0]).merge(parts[1])
    assert chunked == whole and merged == whole
    if whole.n_windows:
        assert whole != ActionMoments(m, h, 3, *option)
        assert whole.update(games[-1][0], games[-1][1], True) != chunked or lengths[-1] < whole.min_frames


def test_blocks_do_not_matter(monkeypatch):
    x, a = play(0, 100, (5,))
    whole = ActionMoments(3, 2, 3).update(x, a)
    monkeypatch.setattr(resu_action_moments, "BLOCK", 7)
    assert ActionMoments(3, 2, 3).update(x, a) == whole


def test_no_window_spans_two_episodes():
    (x, a), (y, b) = play(0, 30, (5,)), play(1, 30, (5,))
    apart = ActionMoments(3, 2, 3).update(x, a, new_episode=True).update(y, b, new_episode=True)
    joined = ActionMoments(3, 2, 3).update(x, a).update(y, b)
    assert apart.n_windows == 2 * (30 - 5) and joined.n_windows == 60 - 5
    assert joined == ActionMoments(3, 2, 3).update(np.concatenate([x, y]), np.concatenate([a, b]))


@FAST
@given(
    st.tuples(st.integers(2, 13), st.integers(2, 17)),
    st.integers(1, 6),
    st.integers(1, 4),
    st.sampled_from(OPTIONS),
    st.integers(0, 99),
    st.data(),
)
def test_encoding_is_the_definition_and_online_is_bitwise_equal(shape, memory, n_units, option, seed, data):
    grid = data.draw(st.tuples(st.integers(1, shape[0]), st.integers(1, shape[1])))
    frames, actions = play(seed, 60, shape)
    encoder = ActionReSUEncoder(
        3, memory, n_units=min(n_units, memory), grid=grid, action_memory=option[0], include_current=option[1]
    ).fit(frames, actions)
    features = encoder.encode(frames, actions)
    slow = slow_encode(encoder, frames, actions, range(0 if option[1] else 1, option[0] + 1))
    assert features.shape == slow.shape == (60, encoder.n_features) and features.dtype == np.float32
    assert np.abs(features - slow).max() <= 1e-5 * np.abs(slow).max()
    assert np.array_equal(online(encoder, frames, actions), features)


def test_online_batch_with_restarts_equals_each_episode_alone():
    for current in (False, True):
        encoder = ActionReSUEncoder(3, grid=GRID, include_current=current).fit(*play(0, 150))
        lengths = [[17, 40, 23], [80], [1, 1, 78]]  # episodes of three environments, 80 steps each
        games = [[play(10 * e + i, n) for i, n in enumerate(each)] for e, each in enumerate(lengths)]
        frames, actions = (
            np.stack([np.concatenate([g[i] for g in each]) for each in games], axis=1) for i in (0, 1)
        )  # (80, 3, ...)
        begins = [np.cumsum([0, *each[:-1]]) for each in lengths]
        out, state = [], encoder.online(3)
        for t in range(80):
            coming = dict(next_actions=actions[t]) if current else {}
            restarted = np.array([t in begin for begin in begins])
            taken = np.where(restarted, 99, actions[t - 1])  # what was taken before a restart is not looked at
            out.append(
                state.reset(frames[t], **coming) if t == 0 else state.step(frames[t], taken, restarted, **coming)
            )
        for e, each in enumerate(games):
            assert np.array_equal(np.stack(out)[:, e], np.concatenate([encoder.encode(*game) for game in each]))


def test_across_blocks():
    encoder = ActionReSUEncoder(3, grid=GRID).fit(*play(0, 150))
    frames, actions = play(1, BLOCK + 40)
    assert np.array_equal(encoder.encode(frames, actions)[BLOCK:], online(encoder, frames, actions)[BLOCK:])


def test_without_action_taps_it_is_the_plain_encoder_bit_for_bit():
    frames, actions = play(0, 200)
    plain = ReSUEncoder(grid=GRID).fit([frames])
    encoder = ActionReSUEncoder(3, grid=GRID).with_filters(plain.filters_, np.zeros((4, 8, 3)), plain.mean_)
    assert np.array_equal(encoder.encode(frames, actions), plain.encode(frames))
    assert np.isnan(encoder.correlations_).all() and np.isnan(encoder.action_share_).all()


def test_actions_without_information_change_almost_nothing():
    """In a world of three clear canonical directions; of actions that never vary, nothing at all is left."""
    rng = np.random.default_rng(0)
    noise, weights, n = rng.integers(0, 32, (4003, *SHAPE)), (2, 1, 1, 2), 4000
    frames = sum(w * noise[i : n + i] for i, w in enumerate(weights)).astype(np.uint8)
    plain = ReSUEncoder(grid=GRID, n_units=3).fit([frames[1:]])  # the first window lacks an action and is not counted
    for actions, tolerance in ((rng.integers(0, 3, n), 1e-3), (np.zeros(n, int), 1e-11)):
        encoder = ActionReSUEncoder(3, n_units=3, grid=GRID).fit(frames, actions)
        assert np.abs(encoder.filters_ - plain.filters_).max() <= tolerance * np.abs(plain.filters_).max()
        assert np.abs(encoder.correlations_ - plain.correlations_).max() <= tolerance
        assert encoder.action_share_.max() < tolerance
        assert np.array_equal(encoder.mean_, plain.mean_)
    assert not encoder.action_filters_.any()


@pytest.mark.parametrize(("current", "delay", "lag"), [(True, 1, 0), (False, 2, 0), (False, 3, 1), (True, 3, 2)])
def test_actions_that_drive_the_screen_are_found_and_shuffled_ones_are_not(current, delay, lag):
    """The best forecast keeps .9 of a pixel (.1 of the pixels change), takes off the light that shone on it and adds
    the light that comes; pixels do not tell that one."""
    frames, actions = flicker(0, 1500, delay)
    shuffled = np.random.default_rng(1).permutation(actions)
    plain = ReSUEncoder(grid=GRID, horizon=1, n_units=1).fit([frames])
    options = dict(horizon=1, n_units=1, grid=GRID, include_current=current)
    found, lost = (ActionReSUEncoder(3, **options).fit(frames, a) for a in (actions, shuffled))
    assert found.correlations_[0] > plain.correlations_[0] + 0.05 and found.action_share_[0] > 0.4
    effect = found.action_filters_[0, :, 1] - found.action_filters_[0, :, [0, 2]].mean(axis=0)
    expected = np.zeros(found.n_lags)
    expected[lag : lag + 2] = 60 / 0.9, -60
    assert np.allclose(effect / found.filters_[0, 0], expected, atol=1.5)
    by_chance = lost.n_lags * 2 / 1500  # free action taps over windows: all pixels share the light and the actions
    assert abs(lost.correlations_[0] - plain.correlations_[0]) < by_chance and lost.action_share_[0] < 3 * by_chance


def test_the_share_is_that_of_the_responses():
    frames, actions = flicker(2, 400, 2)
    encoder = ActionReSUEncoder(3, memory=4, grid=GRID).fit(frames, actions)
    t = np.arange(4, 400 - 4)  # the frames of the windows that were counted
    pixel = np.stack([(frames[t - j] - encoder.mean_).reshape(len(t), -1) for j in range(4)], axis=-1)
    pixel = (pixel @ encoder.filters_.T).var(axis=0).mean(axis=0)
    by_action = sum(encoder.action_filters_[:, j, actions[t - 1 - j]] for j in range(4)).var(axis=1)
    assert np.allclose(encoder.action_share_, by_action / (by_action + pixel), rtol=1e-3)
    counts = encoder.moments_.action_counts
    assert np.abs(np.einsum("kla,la->kl", encoder.action_filters_, counts / counts.sum(axis=1)[:, None])).max() < 1e-12


@pytest.mark.parametrize("factor", [2, 3])
def test_the_unit_of_the_grey_values_does_not_matter(factor):
    frames, actions = flicker(0, 300, 2)
    dim = frames // 3
    one, other = (ActionReSUEncoder(3, grid=GRID).fit(x, actions) for x in (dim, dim * np.uint8(factor)))
    assert np.allclose(one.correlations_, other.correlations_, rtol=1e-10)
    assert np.allclose(one.action_share_, other.action_share_, rtol=1e-8)
    assert np.allclose(one.filters_, factor * other.filters_, rtol=1e-7, atol=1e-9 * np.abs(one.filters_).max())
    assert np.allclose(one.action_filters_, other.action_filters_, atol=1e-8 * np.abs(one.action_filters_).max())
    a, b = one.encode(dim, actions), other.encode(dim * np.uint8(factor), actions)
    assert np.allclose(a, b, atol=1e-5 * a.max())


def test_an_action_never_seen_adds_nothing_and_does_not_change_the_rest():
    frames, actions = flicker(0, 300, 2)
    three, five = (ActionReSUEncoder(n, grid=GRID).fit(frames, actions) for n in (3, 5))
    assert not five.action_filters_[:, :, 3:].any()
    assert np.allclose(five.action_filters_[:, :, :3], three.action_filters_, rtol=1e-6, atol=1e-8)
    assert np.allclose(five.filters_, three.filters_, rtol=1e-6, atol=1e-9)


def test_save_and_load(tmp_path):
    frames, actions = play(0, 150)
    encoder = ActionReSUEncoder(3, grid=GRID, action_memory=2, include_current=True).fit(frames, actions)
    encoder.save(tmp_path / "encoder.npz")
    again = ActionReSUEncoder.load(tmp_path / "encoder.npz")
    assert again.options == encoder.options and repr(again) == repr(encoder)
    assert np.array_equal(again.encode(frames, actions), encoder.encode(frames, actions))
    assert np.array_equal(again.action_share_, encoder.action_share_)
    assert np.array_equal(again.correlations_, encoder.correlations_)


def test_damaged_or_foreign_files_are_refused(tmp_path):
    path = tmp_path / "encoder.npz"
    ActionReSUEncoder(3, grid=GRID).fit(*play(0, 150)).save(path)
    whole = dict(np.load(path))
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ValueError, match=r"encoder\.npz is damaged"):
        ActionReSUEncoder.load(path)
    for change in (
        dict(n_units=3),
        dict(kind="ReSUEncoder-1"),
        dict(action_filters=np.full((4, 8, 3), np.nan)),
        dict(n_actions=4),
        dict(mean=np.zeros(5)),
        dict(action_share=np.zeros(2)),
        dict(grid=np.array([99, 1])),
    ):
        np.savez(path, **(whole | change))
        with pytest.raises(ValueError, match=r"encoder\.npz is not"):
            ActionReSUEncoder.load(path)
    with pytest.raises(FileNotFoundError, match="no_such_file"):
        ActionReSUEncoder.load(tmp_path / "no_such_file.npz")


def test_bad_input_is_refused_in_one_clear_sentence():
    frames, actions = play(0, 60)
    encoder = ActionReSUEncoder(3, grid=GRID).fit(frames, actions)

    def refused(match, compute, *args, **options):
        with pytest.raises(ValueError, match=match) as caught:
            compute(*args, **options)
        assert "\n" not in str(caught.value)

    fresh = ActionReSUEncoder(3, grid=GRID)
    refused(r"actions of episode 1 must be integers of shape \(60,\)", fresh.fit, [frames] * 2, [actions, actions[1:]])
    refused("actions of episode 0 must be integers", fresh.fit, frames, actions / 2)
    refused(r"actions of episode 0 must lie in 0 \.\. 2, not in 1 \.\. 3", fresh.fit, frames, actions + 1)
    refused("not 2 and 1", fresh.fit, [frames, frames], [actions])
    refused("not 0 and 0", fresh.fit, [], [])
    refused("fewer than a window of 13", fresh.fit, [frames, frames[:12]], [actions, actions[:12]])
    refused("episode 1 has frames", fresh.fit, [frames, frames[:, :5]], [actions, actions])
    refused("episode 0 must be a uint8 array", fresh.fit, [frames.astype(float)], [actions])
    refused("60 lags", ActionReSUEncoder(6, grid=GRID).fit, frames, actions)
    refused("constant", fresh.fit, np.full((60, 12, 10), 7, np.uint8), actions)
    refused("does not fit frames of 12 x 10", ActionReSUEncoder(3).fit, frames, actions)
    refused("not fitted", fresh.encode, frames, actions)
    refused("not fitted", fresh.save, "nowhere.npz")
    refused("n_actions", ActionReSUEncoder, 0)
    refused("action_memory must be an integer", ActionReSUEncoder, 3, action_memory=-1)
    refused("action_memory 0 without", ActionReSUEncoder, 3, action_memory=0)
    refused("n_units", ActionReSUEncoder, 3, n_units=5)
    refused("was fitted on", encoder.encode, frames[:, :, :9], actions)
    refused("actions must be integers", encoder.encode, frames, actions[:-1])
    refused("actions must lie in", encoder.encode, frames, actions - 1)
    refused("these moments have the options", fresh.fit_moments, ActionMoments(8, 4, 2), SHAPE)
    refused("these moments hold 120 pixels", fresh.fit_moments, encoder.moments_, (12, 11))
    refused(
        "counted yet", fresh.fit_moments, ActionMoments(8, 4, 3).update(frames[:5].reshape(5, -1), actions[:5]), SHAPE
    )
    refused("call reset", encoder.online(1).step, frames[:1], actions[:1])
    refused("next_actions are needed", encoder.online(1).reset, frames[:1], next_actions=actions[:1])
    refused("not fitted", fresh.online, 1)
    refused("n must be an integer", encoder.online, 1.5)
    two = encoder.online(2)
    two.reset(frames[:2])
    refused("2 environments", two.reset, frames[:3])
    refused("2 environments", two.step, frames[:3], actions[:3])
    refused("actions_taken must be", two.step, frames[:2], actions[:3])
    refused("actions_taken must lie", two.step, frames[:2], np.array([0, 3]))
    curious = ActionReSUEncoder(3, grid=GRID, include_current=True).fit(frames, actions).online(1)
    refused("next_actions are needed", curious.reset, frames[:1])
    refused("next_actions must lie", curious.reset, frames[:1], np.array([3]))
    refused("action_filters of shape", fresh.with_filters, np.ones((4, 8)), np.ones((4, 8, 2)), np.ones(SHAPE))
    refused("mean of shape", fresh.with_filters, np.ones((4, 8)), np.ones((4, 8, 3)), np.ones(3))
    refused("no tap", fresh.with_filters, np.zeros((4, 8)), np.zeros((4, 8, 3)), np.ones(SHAPE))
    moments = ActionMoments(3, 2, 3)
    refused("x must be a uint8 array", moments.update, np.zeros((5, 2)), np.zeros(5, int))
    refused("same options combine", moments.merge, ActionMoments(3, 2, 4))
    refused("same options combine", moments.merge, 3)


def test_a_refused_step_leaves_the_state_as_it_was():
    frames, actions = play(0, 60)
    encoder = ActionReSUEncoder(3, grid=GRID).fit(frames, actions)
    game = encoder.online(1)
    out = [game.reset(frames[:1])]
    for t in range(1, 60):
        with pytest.raises(ValueError, match="actions_taken"):
            game.step(frames[:1], np.array([7]))
        out.append(game.step(frames[t : t + 1], actions[t - 1 : t]))
    assert np.array_equal(np.concatenate(out), encoder.encode(frames, actions))


def test_two_users_do_not_disturb_each_other_and_a_refused_fit_changes_nothing():
    frames, actions = play(0, 60)
    others, chosen = play(1, 60)
    encoder = ActionReSUEncoder(3, grid=GRID).fit(frames, actions)
    wanted = [encoder.encode(frames, actions), encoder.encode(others, chosen), encoder.encode(others[30:], chosen[30:])]
    one, other = encoder.online(1), encoder.online(1)
    before = encoder.filters_.tobytes(), encoder.action_filters_.tobytes(), encoder.moments_
    for t in range(60):
        found = one.step(frames[t : t + 1], actions[t - 1 : t]) if t else one.reset(frames[:1])
        assert np.array_equal(found[0], wanted[0][t])
        begins = t in (0, 30)
        found = other.reset(others[t : t + 1]) if begins else other.step(others[t : t + 1], chosen[t - 1 : t])
        assert np.array_equal(found[0], wanted[1][t] if t < 30 else wanted[2][t - 30])
        for refused in (
            lambda: encoder.fit(frames[:, :, :3], actions),
            lambda: encoder.with_filters(encoder.filters_, encoder.action_filters_ * np.inf, encoder.mean_),
        ):
            with pytest.raises(ValueError):
                refused()
    assert (encoder.filters_.tobytes(), encoder.action_filters_.tobytes(), encoder.moments_) == before
    assert np.array_equal(encoder.encode(frames, actions), wanted[0])


@pytest.mark.parametrize("name", ["n_actions", "memory", "horizon", "n_units", "action_memory"])
@pytest.mark.parametrize("value", [2.5, 2.0, True, "2"])
def test_what_is_no_whole_number_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be an integer"):
        ActionReSUEncoder(**({"n_actions": 3} | {name: value}))
