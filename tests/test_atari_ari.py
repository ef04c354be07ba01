"""AtariARI's protocol: frames, labels and episodes are those of a bare emulator; filter, split and duplicates."""

from __future__ import annotations

from types import SimpleNamespace

import ale_py
import numpy as np
import pytest
from gymnasium.utils import seeding

import atari_ari
import atari_env
import atari_play
from atari_ari import Played, Variable

LOOKED_AT = ("pong", "breakout", "ms_pacman")  # no lives; lives and FIRE; lives, and no FIRE in the set


# --- the data file ---


def test_the_data_file_is_that_of_the_published_tables():
    its = [v for game in atari_ari.games() for v in atari_ari.variables(game)]
    assert (len(atari_ari.games()), len(its), sum(v.in_table for v in its)) == (22, 308, 221)
    assert all(0 <= v.byte < 128 and v.categories and set(v.categories) <= set(atari_ari.CATEGORIES) for v in its)
    assert set(atari_ari.games()) <= set(atari_env.all_games())
    printed = dict(zip(atari_ari.PUBLISHED, (0.14, 0.44, 0.39, 0.58, 0.61, 0.68, 0.82), strict=True))
    for method, mean in printed.items():
        assert np.mean([atari_ari.published(game)[method] for game in atari_ari.games()]) == pytest.approx(
            mean, abs=0.01
        )
    assert set(atari_ari.published_by_category()) == set(atari_ari.CATEGORIES)
    assert np.isnan(atari_ari.published("pitfall", "accuracy")["VAE"])
    assert [v.byte for v in atari_ari.variables("pong")] == [51, 50, 49, 54, 13, 14]


def test_all_games_have_noop_first_and_fire_second_where_it_is_pressed():
    for game in atari_ari.games():
        env = atari_env.AtariEnv(game, size=0)
        assert env.action_names[0] == "NOOP" and env.observation_space.shape == atari_ari.SHAPE
        assert ("FIRE" in env.action_names) == (env.action_names[1] == "FIRE") == (game not in ("freeway", "ms_pacman"))


# --- play ---


def by_hand(game: str, seed: tuple[int, ...], steps: int) -> tuple[np.ndarray, np.ndarray, list[bool], list[int]]:
    """The same stream on a bare emulator; and how many frames each of its actions took."""
    draws, begins = np.random.SeedSequence(seed).spawn(2)
    rng = np.random.default_rng(draws)
    words = np.random.SeedSequence(int(begins.generate_state(1)[0])).generate_state(2)
    noops, _ = seeding.np_random(int(words[0]))
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.loadROM(ale_py.roms.get_rom_path(game))
    actions = ale.getMinimalActionSet()
    state = SimpleNamespace(lives=0, screens=[])

    def act(action: int) -> bool:
        state.screens = []
        for _ in range(4):
            ale.act(actions[action])
            state.screens.append(ale.getScreenRGB().astype(float))
            if ale.game_over():
                break
        before, state.lives = state.lives, ale.lives()
        return ale.game_over() or (ale.lives() < before and ale.lives() > 0)

    def begin(over: bool) -> None:
        if over:
            ale.reset_game()
            for _ in range(noops.integers(1, 31)):
                ale.act(actions[0])
            state.screens, state.lives = [ale.getScreenRGB().astype(float)], ale.lives()
        else:
            act(0)

    def fire() -> None:
        for action in (1, 2) if ale_py.Action.FIRE in actions else ():
            if act(action):
                begin(ale.game_over())

    begin(True), fire()
    frames, memory, ended = [], [], []
    for _ in range(steps):
        over = act(int(rng.integers(1, len(actions))))
        memory.append(ale.getRAM())
        if over:
            begin(ale.game_over()), fire()
        grey = np.maximum.reduce(state.screens[-2:]) @ [0.299, 0.587, 0.114]
        frames.append(grey), ended.append(over)
    return np.stack(frames), np.stack(memory), ended, [len(actions)]


@pytest.mark.parametrize("game", LOOKED_AT)
def test_a_stream_is_what_a_bare_emulator_shows(game):
    stream, steps = atari_ari.Stream(game, (3, 0, 1)), 500
    found = [stream.step() for _ in range(steps)]
    frames, memory, ended, _ = by_hand(game, (3, 0, 1), steps)
    assert [each[2] for each in found] == ended and (any(ended) or game == "pong")
    assert np.array_equal(np.stack([each[1] for each in found]), memory)
    assert np.abs(np.stack([each[0] for each in found]) - frames).max() <= 0.51  # OpenCV rounds to whole numbers


class Scripted:
    """An environment whose lives follow a script; its memory counts steps, its screen is the number of beginnings."""

    action_names = ("NOOP", "FIRE", "UP", "DOWN")

    def __init__(self, lives: list[int]) -> None:
        self.script, self.log, self.t, self.begun = lives, [], 0, 0

    def reset(self, *, seed=None):
        self.log.append("reset")
        self.begun += 1
        return None, {"lives": 3}

    def step(self, action):
        lives = self.script[self.t] if self.t < len(self.script) else 3
        self.t += 1
        self.log.append(action)
        if action == 0:
            self.begun += 1
        return None, 0.0, lives == 0, False, {"lives": lives}

    def ram(self):
        return np.full(128, self.t % 256, np.uint8)

    def render(self):
        return np.full((2, 2, 3), self.begun, np.uint8)


def scripted(monkeypatch, lives: list[int], steps: int) -> tuple[Scripted, list]:
    env = Scripted(lives)
    monkeypatch.setattr(atari_play, "environment", lambda **options: env)
    stream = atari_ari.Stream("breakout", (0,))
    return env, [stream.step() for _ in range(steps)]


def test_an_episode_ends_with_a_life_and_begins_with_a_noop_fire_and_the_next_action(monkeypatch):
    env, found = scripted(monkeypatch, [3, 3, 3, 3, 2, 2, 2, 2, 2, 0, 3, 3, 3], 6)
    played = [action for action in env.log if action != "reset"]
    assert env.log[:3] == ["reset", 1, 2]
    assert played[4] in (1, 2, 3) and env.log[env.log.index(played[4], 5) + 1 :][:3] == [0, 1, 2]  # a life is lost
    assert env.log.count("reset") == 2 and env.log.count(0) == 1  # a new game only after one that is over
    assert env.log[-6:-1][-3:] != [0, 1, 2]
    assert [begins for *_, begins in found] == [False, False, True, False, True, False]
    frame, memory, _ = found[2]
    assert memory[0] == 5 and frame[0, 0] == 2  # the label before the beginning, the frame after it
    assert [int(frame[0, 0]) for frame, *_ in found] == [1, 1, 2, 2, 3, 3]


def test_an_episode_that_ends_while_fire_is_pressed_begins_again_and_the_next_action_follows(monkeypatch):
    env, _ = scripted(monkeypatch, [2, 2, 2], 1)
    assert env.log[:4] == ["reset", 1, 0, 2]
    env, _ = scripted(monkeypatch, [0, 3, 3], 1)
    assert env.log[:4] == ["reset", 1, "reset", 2]


def test_noop_is_never_drawn_and_all_other_actions_are(monkeypatch):
    env, _ = scripted(monkeypatch, [], 300)
    drawn = env.log[3:]
    assert set(drawn) == {1, 2, 3} and min(np.bincount(drawn)[1:]) > 70


def test_collections_are_reproducible_and_their_streams_distinct():
    a, b, c = (atari_ari.labelled_play("pong", 203, seed) for seed in (0, 0, 1))
    assert a.frames.shape == (200, 210, 160) and len(a.episodes) == 8
    assert np.array_equal(a.frames, b.frames) and np.array_equal(a.memory, b.memory)
    assert not np.array_equal(a.memory, c.memory)
    streams = [a.memory[episode].tobytes() for episode in a.episodes]
    other = np.concatenate(atari_ari.encoder_runs("pong", 800, 0, 800))
    assert len(set(streams)) == 8 and not np.array_equal(other[:25], a.frames[:25])


def test_runs_of_the_encoders_are_consecutive_steps_of_the_first_episodes(monkeypatch):
    begins = {0, 50, 200, 300}  # of each stream of 400 steps; the episode of 50 steps is too short

    def streamed(game, steps, seed, purpose):
        assert purpose == atari_ari.ENCODER
        for k in range(8):
            for t in range(steps // 8):
                yield t, np.array([k, t]), None, t in begins

    monkeypatch.setattr(atari_ari, "_streamed", streamed)
    for most, every in ((3200, 1), (800, 4)):
        runs = atari_ari.encoder_runs("pong", 3200, 0, most)
        kept = {(int(k), int(t)) for run in runs for k, t in run}
        long = [(k, a, b) for k in range(8) for a, b in ((50, 200), (200, 300), (300, 400))]
        wanted = {(k, t) for k, a, b in long[: int(0.8 * 24)] for t in range(a, b) if t // 32 % every == 0}
        assert kept == wanted and sum(map(len, runs)) == len(kept)
        for run in runs:
            assert len(run) <= 32 and (np.diff(run[:, 1]) == 1).all() and len(set(run[:, 0])) == 1
            assert len({sum(t >= start for start in begins) for t in run[:, 1]}) == 1
    with pytest.raises(ValueError, match=r"no episode of pong has 65 steps: collect more encoder steps than 400"):
        atari_ari.encoder_runs("pong", 400, 0, 400)


# --- filter, split, duplicates ---


def played(lengths: list[int], byte: int = 51, seed: int = 0) -> Played:
    """Frames that are all different; one variable of Pong varies."""
    n, rng = sum(lengths), np.random.default_rng(seed)
    frames = np.arange(n, dtype=np.uint16).view(np.uint8).reshape(n, 1, 2).copy()
    memory = np.zeros((n, 128), np.uint8)
    memory[:, byte] = rng.integers(4, size=n)
    ends = np.cumsum(lengths)
    return Played(frames, memory, [slice(end - n, end) for n, end in zip(lengths, ends, strict=True)])


def test_entropy_by_hand():
    assert atari_ari.entropy(np.array([7, 7, 9, 9], np.uint8)) == pytest.approx(np.log(2))
    assert atari_ari.entropy(np.array([7, 7, 7, 9], np.uint8)) == pytest.approx(0.75 * np.log(4 / 3) + 0.25 * np.log(4))
    assert atari_ari.entropy(np.zeros(5, np.uint8)) == 0


def test_the_filter_sees_kept_episodes_alone_and_all_of_them():
    its = played([70] * 10 + [64])
    its.memory[:700, 50] = np.arange(700) < 490  # varies between the parts alone: .6109 nats
    its.memory[700:, 49] = np.arange(64)  # varies in the episode that is not kept
    its.memory[:700, 13] = np.arange(700) < 500  # .5983 nats
    found = atari_ari.labels_of("pong", its)
    passed = {v.name: bool(p) for v, p in zip(found.variables, found.passed, strict=True)}
    assert passed == {
        "player_y": True, "enemy_y": True, "ball_x": False, "ball_y": False, "enemy_score": False, "player_score": False
    }  # fmt: skip
    assert np.array_equal(found.values[1], its.memory[:, 50])  # what did not pass stays for the fixed list


def test_variables_that_neither_pass_nor_stand_in_a_table_are_left_out(monkeypatch):
    its = played([70] * 10)
    three = [
        Variable("a", 51, ("misc",), False),
        Variable("b", 50, ("misc",), True),
        Variable("c", 49, ("misc",), False),
    ]
    monkeypatch.setattr(atari_ari, "variables", lambda game: three)
    found = atari_ari.labels_of("pong", its)
    assert [v.name for v in found.variables] == ["a", "b"] and found.passed.tolist() == [True, False]


def test_episodes_are_split_in_the_order_of_collection():
    found = atari_ari.labels_of("pong", played([64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76])).parts
    assert [list(map(len, part)) for part in (found.train, found.validation, found.test)] == [
        [65, 66, 67, 68, 69, 70, 71, 72], [73], [74, 75, 76]
    ]  # fmt: skip
    assert found.train[0][0] == 64 and np.array_equal(np.concatenate(found.train), np.arange(64, 64 + 548))


def test_test_frames_that_were_seen_go_and_repeats_among_them_stay():
    its = played([70] * 10)
    frames = its.frames
    frames[560:565], frames[600] = frames[3], frames[500]  # of a training and of a validation episode
    frames[610:613] = frames[620]  # repeats within the test
    frames[630:699] = frames[0]  # one frame is left of the last episode
    found = atari_ari.labels_of("pong", its)
    assert found.removed == 5 + 1 + 69
    assert [len(episode) for episode in found.parts.test] == [64]
    assert set(found.parts.test[0]) == set(range(560, 630)) - set(range(560, 565)) - {600}
    frames[560:] = frames[0]
    with pytest.raises(ValueError, match="every test frame of pong is one of the others"):
        atari_ari.labels_of("pong", its)


def test_a_score_is_the_mean_over_categories_of_means_over_variables():
    its = [Variable("a", 0, ("misc",), True), Variable("b", 1, ("misc", "agent_localization"), True),
           Variable("c", 2, ("misc",), True)]  # fmt: skip
    found, by = atari_ari.score(np.array([0.1, 0.7, 0.4]), its)
    assert by == pytest.approx({"misc": 0.4, "agent_localization": 0.7}) and found == pytest.approx(0.55)
    assert np.isnan(atari_ari.score(np.array([]), [])[0])


@pytest.mark.parametrize(
    ("lengths", "byte", "message"),
    [
        ([70] * 3, 51, "3 episodes of pong with 65 steps or more are too few to train, validate and test on: collect"),
        ([64] * 20, 51, "0 episodes of pong"),
        ([70] * 10, 0, r"no variable of pong has an entropy of 0\.6 nats in 700 steps: collect more of them"),
    ],
)
def test_what_cannot_be_probed_is_refused_in_one_sentence(lengths, byte, message):
    with pytest.raises(ValueError, match=message) as error:
        atari_ari.labels_of("pong", played(lengths, byte))
    assert "\n" not in str(error.value)


def test_an_unknown_game_is_refused_with_the_list():
    with pytest.raises(ValueError, match="'enduro' is not among AtariARI's games: choose among asteroids, berzerk, "):
        atari_ari.Stream("enduro", (0,))
