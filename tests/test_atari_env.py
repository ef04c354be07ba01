"""The environment against Gymnasium's own wrappers, bit for bit, and its refusals."""

import pickle
import warnings

import ale_py
import cv2
import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import AtariPreprocessing

from atari_env import GAMES, AtariEnv, AtariVectorEnv, _reseeded, all_games
from resu_conv import ReSUEncoder
from resu_gym import EncodedEnv, EncodedVectorEnv
from resu_sb3 import SB3VecEnv

NAMES = {"pong": "Pong", "breakout": "Breakout", "space_invaders": "SpaceInvaders", "asteroids": "Asteroids"}
NAMES["enduro"] = "Enduro"


def reference(game: str, sticky: float, **variant: int) -> gymnasium.Env:
    gymnasium.register_envs(ale_py)
    env = gymnasium.make(
        f"ALE/{NAMES[game]}-v5",
        frameskip=1,
        repeat_action_probability=sticky,
        full_action_space=False,
        disable_env_checker=True,
        **variant,
    )
    return AtariPreprocessing(env)


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("sticky", [0.25, 0.0])
def test_frames_rewards_and_ends_equal_gymnasiums(game, sticky):
    ours, theirs = AtariEnv(game, sticky), reference(game, sticky)
    assert np.array_equal(ours.reset(seed=7)[0], theirs.reset(seed=7)[0])
    rng = np.random.default_rng(0)
    scored = 0.0
    for _ in range(350):
        action = int(rng.integers(ours.action_space.n))
        a, b = ours.step(action), theirs.step(action)
        assert np.array_equal(a[0], b[0]) and a[1:4] == b[1:4]
        assert np.array_equal(ours.ram(), theirs.unwrapped.ale.getRAM())
        scored += abs(a[1])
        if a[2]:
            break
    assert scored > 0 or game != "pong"  # in Pong a point falls within 350 steps for certain


@pytest.mark.parametrize(
    ("game", "variant"),
    [("pong", {"mode": 1, "difficulty": 2}), ("breakout", {"mode": 12}), ("space_invaders", {"mode": 8})],
)
def test_a_variant_of_the_console_is_gymnasiums(game, variant):
    ours, theirs, plain = AtariEnv(game, **variant), reference(game, 0.25, **variant), AtariEnv(game)
    differs = False
    for seed in (7, 8):  # the second is begun without loading the game
        assert np.array_equal(ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0])
        plain.reset(seed=seed)
        rng = np.random.default_rng(0)
        for _ in range(150):
            action = int(rng.integers(ours.action_space.n))
            a, b, c = ours.step(action), theirs.step(action), plain.step(action)
            assert np.array_equal(a[0], b[0]) and a[1:4] == b[1:4]
            differs |= not np.array_equal(a[0], c[0])
    assert differs, "negative control: it is another game"


def test_variants_that_the_console_lacks_are_refused():
    with pytest.raises(ValueError, match="pong has no mode 7: choose 0 or 1"):
        AtariEnv("pong", mode=7)
    with pytest.raises(ValueError, match="enduro has no difficulty 1: choose 0"):
        AtariEnv("enduro", difficulty=1)
    assert AtariEnv("breakout").modes[:3] == (0, 4, 8) and AtariEnv("pong").difficulties == (0, 1, 2, 3)


def test_another_seed_gives_another_game():
    """Negative control for the test above."""
    ours, theirs = AtariEnv("pong"), reference("pong", 0.25)
    ours.reset(seed=8), theirs.reset(seed=7)
    frames = [(ours.step(i % 6)[0], theirs.step(i % 6)[0]) for i in range(100)]
    assert not all(np.array_equal(a, b) for a, b in frames)


def test_colours_of_two_frames_show_what_flickers():
    """Asteroids draws the ship in every second emulated frame; the picture holds what the observation holds."""
    env, plain = (AtariEnv("asteroids", size=0, sticky=0.0, colours=colours) for colours in (True, False))
    env.reset(seed=2), plain.reset(seed=2)
    dark = 0
    for _ in range(60):
        frame = env.step(0)[0]
        plain.step(0)
        assert np.array_equal(env.render().any(axis=2), frame > 0)
        dark += bool((plain.render().any(axis=2) != (frame > 0)).any())
    assert dark > 10  # the last frame alone lacks something now and then


@pytest.mark.parametrize("game", GAMES)
def test_seeding_without_loading_is_loading_with_the_seed(game):
    """The emulator's whole state equals that after loading the game with the seed, whatever was played before."""
    env = AtariEnv(game)
    env.reset(seed=1)
    for action in range(20):
        env.step(action % 3)
    for seed in (5, -7, 2**31 - 1):
        env._seed_emulator(seed)
        quick = env._ale.cloneSystemState().serialize()
        env._load(seed)
        assert quick == env._ale.cloneSystemState().serialize()
        env._load(seed + 1 if seed < 2**31 - 1 else 0)
        assert quick != env._ale.cloneSystemState().serialize()


def test_an_unknown_layout_of_the_emulators_state_means_loading_the_game():
    env, other = AtariEnv("pong"), AtariEnv("pong")
    env._just_loaded = env._just_loaded[:-8] + b"something" + env._just_loaded[-8:]
    env._just_loaded = env._just_loaded.replace(b" 624", b" 623")
    assert _reseeded(env._just_loaded, 0, 1) is None
    assert np.array_equal(env.reset(seed=4)[0], other.reset(seed=4)[0])
    for _ in range(100):
        assert np.array_equal(env.step(2)[0], other.step(2)[0])


def test_without_a_seed_every_new_environment_plays_another_game():
    envs = [AtariEnv("breakout") for _ in range(2)]
    frames = []
    for env in envs:
        env.reset()
        frames.append(np.stack([env.step(1 + i % 3)[0] for i in range(100)]))
    assert not np.array_equal(*frames)


def test_gymnasium_accepts_it():
    check_env(AtariEnv("pong"), skip_render_check=True)


def test_a_numpy_seed_is_a_seed():
    env = AtariVectorEnv("breakout", 3)
    begun = []
    for seed in (5, np.int64(5), 50):
        env.reset(seed=seed)
        begun.append(np.stack([game.ram() for game in env.envs]))
    assert np.array_equal(begun[0], begun[1]) and not np.array_equal(begun[0], begun[2])


def test_a_game_is_truncated_at_the_step_limit():
    env = AtariEnv("pong", max_steps=5)
    env.reset(seed=0)
    ends = [env.step(0)[2:4] for _ in range(5)]
    assert ends == [(False, False)] * 4 + [(False, True)]


def test_the_newest_frame_alone_can_be_observed():
    """Asteroids draws its rocks and its ship in alternate frames: the maximum over two shows both."""
    both, newest = AtariEnv("asteroids"), AtariEnv("asteroids", max_over=1)
    lit = []
    for env in (both, newest):
        env.reset(seed=7)
        lit.append([np.count_nonzero(env.step(i % 5)[0]) for i in range(60)])
    assert np.all(np.array(lit[1]) <= lit[0]) and np.sum(lit[1]) < 0.7 * np.sum(lit[0])
    expected = cv2.resize(newest._ale.getScreenGrayscale(), (84, 84), interpolation=cv2.INTER_AREA)
    assert np.array_equal(newest._observation(), expected)
    with pytest.raises(ValueError, match="max_over must be 1 or 2, not 3"):
        AtariEnv("pong", max_over=3)


def test_every_game_that_is_shipped_starts_steps_and_encodes():
    """At both sizes; the filters are fitted on one game and are applied to all of its size."""
    encoders = {}
    assert len(all_games()) == 104 and set(GAMES) < set(all_games())
    for game in all_games():
        for size in (84, 0):
            env = AtariEnv(game, size=size)
            frames = [env.reset(seed=0)[0]]
            for t in range(14):
                frame, reward, *_ = env.step(t % len(env.action_names))
                frames.append(frame)
                assert np.isfinite(reward) and env.ram().shape == (128,)
            shape = env.observation_space.shape
            assert shape == ((84, 84) if size else (shape[0], 160)) and 210 <= (shape[0] if not size else 210) <= 250
            if shape not in encoders:
                taps = np.eye(2, 4)
                encoders[shape] = ReSUEncoder(memory=4, horizon=2, n_units=2, grid=(12, 8), center=False)
                encoders[shape].with_filters(taps, np.zeros(shape))
            code = encoders[shape].encode(np.stack(frames))
            assert code.shape == (15, 2 * 2 * 96) and np.isfinite(code).all() and code[-1].any(), game


def test_bad_options_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match="unknown game 'go': choose one of pong"):
        AtariEnv("go")
    with pytest.raises(ValueError, match="'space_invader': choose space_invaders or space_war, or another of the 104"):
        AtariEnv("space_invader")
    with pytest.raises(ValueError, match="unknown game 'warlords'"):
        AtariEnv("warlords")
    with pytest.raises(ValueError, match="sticky"):
        AtariEnv("pong", sticky=1.0)
    with pytest.raises(ValueError, match="frame_skip"):
        AtariEnv("pong", frame_skip=0)


def test_fire_is_pressed_only_while_the_game_waits_for_it():
    """With press_fire Breakout plays on under NOOP alone: all five balls are served and lost; without, none is."""
    games = {}
    for press_fire in (True, False):
        env = AtariEnv("breakout", press_fire=press_fire, max_steps=1500)
        env.reset(seed=5)
        waiting, over = 0, False
        while not over:
            waiting += env.ram()[101] == 0
            _, _, terminated, truncated, info = env.step(0)
            over = terminated or truncated
        games[press_fire] = terminated, info["lives"], waiting
    assert games[True][:2] == (True, 0)
    assert games[True][2] < 100
    assert games[False] == (False, 5, 1500)


def test_press_fire_leaves_actions_alone_while_a_ball_is_in_play():
    """A step that begins with a ball in play is the same with and without it, and so is a game that does not wait."""
    for game in ("breakout", "pong"):
        envs = [AtariEnv(game, press_fire=press) for press in (True, False)]
        fire = envs[0].action_names.index("FIRE")
        for env in envs:
            env.reset(seed=11)
        rng = np.random.default_rng(3)
        for _ in range(300):
            waiting = game == "breakout" and envs[0].ram()[101] == 0
            action = int(rng.integers(len(envs[0].action_names)))
            frames = [env.step(a)[0] for env, a in zip(envs, (action, fire if waiting else action), strict=True)]
            np.testing.assert_array_equal(*frames)


class Countdown(gymnasium.Env):
    """Random frames; an episode lasts as long as its environment says."""

    def __init__(self, length):
        self.length, self.seen = length, []
        self.observation_space = gymnasium.spaces.Box(0, 255, (12, 10), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(2)

    def _look(self):
        self.seen[-1].append(self.np_random.integers(0, 256, (12, 10), np.uint8))
        return self.seen[-1][-1]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seen.append([])
        return self._look(), {}

    def step(self, action):
        frame = self._look()
        over = len(self.seen[-1]) > self.length
        return frame, 1.0, over and self.length % 2 == 0, over and self.length % 2 == 1, {}


@pytest.fixture(scope="module")
def small_encoder():
    rng = np.random.default_rng(0)
    return ReSUEncoder(memory=3, horizon=2, n_units=2, grid=(3, 2)).fit([rng.integers(0, 256, (60, 12, 10), np.uint8)])


@pytest.mark.parametrize("mode", ["NEXT_STEP", "SAME_STEP", "DISABLED"])
def test_encoded_vector_environments_forget_at_every_kind_of_reset(mode, small_encoder):
    """Every observation is the offline code of its own episode, final ones included."""
    mode = AutoresetMode[mode]
    games = [Countdown(4), Countdown(7)]
    inner = SyncVectorEnv([lambda g=g: g for g in games], autoreset_mode=mode)
    env = EncodedVectorEnv(inner, small_encoder)
    with pytest.raises(ValueError, match="reset"):
        env.step(np.zeros(2, int))
    got = [[], []]
    features, _ = env.reset(seed=3)
    for _ in range(40):
        assert env.observation_space.contains(features)
        for b in range(2):
            got[b].append(features[b])
        features, _, terminated, truncated, info = env.step(np.zeros(2, int))
        ended = terminated | truncated
        if mode == AutoresetMode.SAME_STEP:
            for b in np.flatnonzero(ended):
                got[b].append(info["final_obs"][b])
        elif mode == AutoresetMode.DISABLED and ended.any():
            for b in np.flatnonzero(ended):
                got[b].append(features[b])
            features, _ = env.reset(options={"reset_mask": ended})
    for b, game in enumerate(games):
        wanted = [code for seen in game.seen for code in small_encoder.encode(np.array(seen))]
        assert len(game.seen) > 3 and np.array_equal(np.array(got[b]), np.array(wanted[: len(got[b])]))


def test_the_wrappers_pass_the_checkers_and_pickle(small_encoder):
    from stable_baselines3.common.env_checker import check_env as sb3_check

    encoder = ReSUEncoder(grid=(4, 4)).fit([np.random.default_rng(0).integers(0, 256, (30, 84, 84), np.uint8)])
    env = EncodedEnv(AtariEnv("pong"), encoder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # features are neither images nor bounded above
        check_env(env, skip_render_check=True)
        sb3_check(env, warn=False)
    again = pickle.loads(pickle.dumps(env.observation_space))
    assert again == env.observation_space and again.shape == (encoder.n_features,)
    vector = EncodedVectorEnv(SyncVectorEnv([lambda: Countdown(3)] * 2), small_encoder)
    assert pickle.loads(pickle.dumps(vector.observation_space)) == vector.observation_space
    assert vector.single_observation_space.shape == (small_encoder.n_features,)


def test_two_wrappers_do_not_share_the_past(small_encoder):
    games = [Countdown(50), Countdown(50)]
    envs = [EncodedEnv(game, small_encoder) for game in games]
    got = [[env.reset(seed=i)[0]] for i, env in enumerate(envs)]
    for _ in range(10):
        for found, env in zip(got, envs, strict=True):
            found.append(env.step(0)[0])
    for found, game in zip(got, games, strict=True):
        assert np.array_equal(np.array(found), small_encoder.encode(np.array(game.seen[0])))


def test_games_side_by_side_are_the_games_one_by_one():
    """Any number of threads; rewards, ends and final observations included."""
    options = {"max_steps": 40, "press_fire": True}
    vectors = [AtariVectorEnv("breakout", 3, n_threads=n, **options) for n in (1, 2)]
    singles = [AtariEnv("breakout", **options) for _ in range(3)]
    shown = [vector.reset(seed=20)[0] for vector in vectors]
    wanted = np.stack([env.reset(seed=20 + i)[0] for i, env in enumerate(singles)])
    rng = np.random.default_rng(0)
    for t in range(1, 100):
        for frames in shown:
            assert np.array_equal(frames, wanted)
        actions = rng.integers(0, 4, 3)
        results = [vector.step(actions) for vector in vectors]
        steps = [env.step(int(a)) for env, a in zip(singles, actions, strict=True)]
        for _, rewards, terminated, truncated, info in results:
            assert rewards.tolist() == [s[1] for s in steps] and terminated.tolist() == [s[2] for s in steps]
            assert truncated.tolist() == [s[3] for s in steps] and truncated.all() == (t % 40 == 0)
            for b, s in enumerate(steps):
                assert not truncated[b] or np.array_equal(info["final_obs"][b], s[0])
        shown = [result[0] for result in results]
        wanted = np.stack([env.reset()[0] if s[2] or s[3] else s[0] for env, s in zip(singles, steps, strict=True)])
    for vector in vectors:
        vector.close()
    with pytest.raises(ValueError, match="n_envs"):
        AtariVectorEnv("pong", 0)


def test_stable_baselines_sees_features_returns_and_final_observations(small_encoder):
    games = [Countdown(4), Countdown(7)]
    inner = SyncVectorEnv([lambda g=g: g for g in games], autoreset_mode=AutoresetMode.SAME_STEP)
    env = SB3VecEnv(EncodedVectorEnv(inner, small_encoder))
    env.seed(3)
    got = [[code] for code in env.reset()]
    for _ in range(30):
        features, rewards, dones, infos = env.step(np.zeros(2, int))
        assert rewards.tolist() == [1, 1]
        for b in range(2):
            if dones[b]:
                got[b].append(infos[b]["terminal_observation"])
                assert infos[b]["episode"] == {"r": games[b].length, "l": games[b].length}
                assert infos[b]["TimeLimit.truncated"] == (games[b].length % 2 == 1)
            got[b].append(features[b])
    for b, game in enumerate(games):
        wanted = [code for seen in game.seen for code in small_encoder.encode(np.array(seen))]
        assert np.array_equal(np.array(got[b]), np.array(wanted[: len(got[b])]))
    assert env.get_attr("length") == [4, 7] and env.get_attr("length", 1) == [7]
    env.set_attr("length", 5, indices=[0])
    assert games[0].length == 5 and len(env.env_method("reset", indices=1)) == 1
    with pytest.raises(ValueError, match="SAME_STEP"):
        SB3VecEnv(SyncVectorEnv([lambda: Countdown(3)]))
