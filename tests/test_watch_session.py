"""One window's session without a server: games, codes, disturbances, adaptation, films, videos; and its parts."""

import io
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import watch_messages as told
from atari_play import EVALUATION, game_rngs, play_game
from cloning import saved
from encoders import fitted
from game_shifts import Shift
from players import TASKS
from watch_film import maps_of
from watch_players import best_clone, player_of, players_of
from watch_session import Session, Video

RESULTS = Path(__file__).resolve().parent.parent / "results"
GAMES = ("pong", "breakout")
CLONES = {path.name.removesuffix("_head.npz") for path in (RESULTS / "clones").glob("*_head.npz")}


@pytest.fixture
def make():
    """Sessions that are closed in the end."""
    made: list[Session] = []

    def session(game="pong", policy="", seed=0, results=RESULTS) -> Session:
        made.append(Session(game, policy, results, seed))
        return made[-1]

    yield session
    for one in made:
        one.close()


def run(session: Session, n: int) -> bytes:
    """All bytes of n pictures."""
    found = []
    for _ in range(n):
        session.step()
        found.append(told.pack(*session.picture()))
    return b"".join(found)


def wait(session: Session) -> list:
    """What is ready once nothing is made any more."""
    answers, patience = [], time.monotonic() + 60
    while time.monotonic() < patience:
        answers += session.poll()
        if not session.busy:
            return answers + session.poll()
        time.sleep(0.01)
    raise AssertionError("it took longer than a minute")


# --- play ---


@pytest.mark.parametrize("game", GAMES)
def test_a_clone_does_here_what_it_does_in_play(make, game):
    session, name = make(game), best_clone(game, RESULTS)
    rng = next(game_rngs((0, EVALUATION)))
    expected = play_game(saved(name).load(RESULTS), rng, {"game": game, **TASKS[game].env}, most=400)
    actions = [session.live.action]
    for _ in range(399):
        session.step()
        actions.append(session.live.action)
    names = session.live.world.action_names
    assert session.live.score == expected.score and expected.length == 400
    assert [actions.count(one) for one in names] == expected.actions


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(make):
    commands = [told.Disturb("noise"), told.Adapt("full", 20), told.Disturb("inversion", 1.0), told.Disturb("none")]

    def film(seed: int) -> bytes:
        session, found = make(seed=seed), b""
        for command in commands:
            found += run(session, 25)
            session.do(command)
        return found + run(session, 25)

    one = film(0)
    assert one == film(0) and one != film(1)


def test_every_player_of_every_game_plays(make):
    for game in TASKS:
        session = make(game)
        for name in players_of(game, RESULTS):
            session.do(told.Play(game, name))
            run(session, 3)
            header, arrays = session.picture()
            assert header["policy"] == name and header["agents"][0]["steps"] == 4
            assert len(arrays) == 3 and arrays[0].shape == (210, 160, 3) and arrays[2].shape[1:] == (84, 84)
            assert bool(header["agents"][0]["scores"]) == (name in CLONES)


def test_a_game_that_ends_is_followed_by_the_next_one(make):
    session = make("breakout", "random")
    while not session.live.games:
        session.step()
    session.step()
    header, _ = session.picture()
    assert header["agents"][0]["games"] == 1 and header["agents"][0]["score"] <= 1
    second = next(islice(game_rngs((0, EVALUATION)), 1, None))
    expected = player_of("breakout", "random", RESULTS)[0].policy
    game = play_game(expected, second, {"game": "breakout", **TASKS["breakout"].env})
    while session.live.games < 2:
        session.step()
    assert session.live.last_score == game.score


def test_points_per_thousand_steps(make):
    session = make("pong", "random")
    assert session.picture()[0]["agents"][0]["rate"] is None
    run(session, 400)
    agent = session.live
    assert agent.rate == pytest.approx(1000 * agent.score / agent.steps) and agent.score < 0


def test_the_keyboard_moves_the_paddle(make):
    session = make("pong", "keyboard")
    run(session, 40)
    session.do(told.Keys(("UP",)))
    session.step()
    assert session.live.action == "RIGHT"
    session.do(told.Keys(()))
    session.step()
    assert session.live.action == "NOOP"


# --- disturbances ---


def test_both_agents_begin_at_the_same_moment_and_a_disturbance_of_strength_0_does_nothing(make):
    alone, twice = make("breakout"), make("breakout")
    run(alone, 60)
    run(twice, 60)
    twice.do(told.Disturb("contrast", 0.0))
    twice.do(told.Adapt("off", 30))
    assert len(twice.agents) == 2
    for _ in range(150):
        alone.step()
        twice.step()
        expected, both = alone.picture()[1], twice.picture()[1]
        for one in (both[:3], both[3:]):
            assert all(np.array_equal(a, b) for a, b in zip(one, expected, strict=True))
    assert twice.agents[0].score == twice.agents[1].score == alone.live.score


@pytest.mark.parametrize("policy", ["random", "expert winning", "keyboard"])
def test_twins_of_whoever_plays_go_the_same_way(make, policy):
    session = make("pong", policy)
    run(session, 30)
    session.do(told.Keys(("UP",)))
    session.do(told.Disturb("flicker", 0.0))
    run(session, 60)
    frozen, live = session.agents
    assert [m.line for m in frozen.history] == [m.line for m in live.history]
    assert frozen.world is not live.world and np.array_equal(frozen.world.ram(), live.world.ram())


def test_an_inversion_ruins_the_frozen_one_and_the_live_one_sees_as_before(make):
    session = make()
    run(session, 45)
    first = session.live.eye.first
    session.do(told.Disturb("inversion"))
    run(session, 300)
    frozen, live = session.agents
    assert frozen.eye.encoder is first and live.eye.encoder is not first
    assert frozen.score < live.score
    assert np.allclose(live.eye.encoder.filters_, -first.filters_, rtol=0.02)
    assert "gain -0.99" in live.adaptation.said or "gain -1.0" in live.adaptation.said
    session.do(told.Disturb("none"))
    assert session.agents == [live] and live.eye.encoder is first and session.picture()[0]["mode"] == "off"


def test_what_is_shown_is_disturbed_as_what_is_seen(make):
    session = make()
    session.do(told.Disturb("offset", 0.5))
    session.step()
    moment = session.live.history[-1]
    assert np.array_equal(moment.shown()[..., 1], Shift("offset", 0.5).apply(moment.screen[..., 1]))
    assert moment.frame.min() >= 40


def test_another_strength_goes_on_with_the_same_two_agents(make):
    session = make()
    session.do(told.Disturb("noise", 0.5))
    agents = session.agents
    run(session, 3)
    session.do(told.Disturb("noise", 1.5))
    assert session.agents is agents and agents[0].history[-1].t == 2
    session.step()
    assert [agent.shift.strength for agent in agents] == [1.5, 1.5] and agents[1].history[-1].t == 3


def test_another_game_is_seen_through_the_code_of_before_and_left_again(make):
    session = make("breakout")
    code = session.live.eye.first
    session.do(told.Disturb(told.OTHER_GAME, 1.0, "pong"))
    run(session, 40)
    header, _ = session.picture()
    assert [agent["world"] for agent in header["agents"]] == ["Pong", "Pong"]
    assert header["disturbance"] == told.OTHER_GAME and session.agents[0].eye.encoder is code
    with pytest.raises(ValueError, match="Breakout is what is played already"):
        session.do(told.Disturb(told.OTHER_GAME, 1.0, "breakout"))
    session.do(told.Disturb("none"))
    header, _ = session.picture()
    assert header["game"] == "breakout" and len(header["agents"]) == 1 and header["disturbance"] == "none"


def test_a_reset_begins_again(make):
    session = make()
    first = told.pack(*session.picture())
    before = run(session, 10)
    session.do(told.Disturb("inversion"))
    run(session, 40)
    session.do(told.Reset())
    assert told.pack(*session.picture()) == first and run(session, 10) == before


# --- adaptation ---


def test_adapting_in_full_is_streaming(make):
    session = make()
    session.do(told.Adapt("full", 50))
    run(session, 120)
    live = session.live
    frames = [moment.frame for moment in live.history][1:101]
    assert live.adaptation.said == "fitted anew on 100 frames"
    expected = type(live.eye.first)(**live.eye.first.options).fit([np.stack(frames)])
    assert np.array_equal(live.eye.encoder.filters_, expected.filters_)


# --- fits, films, videos ---


def test_a_code_is_fitted_on_the_spot_and_then_nobody_s_head_reads_it(make):
    session = make()
    session.do(told.Fit(memory=6, units=3, rows=7, columns=6, frames=300))
    with pytest.raises(ValueError, match="fitting a code already"):
        session.do(told.Fit())
    answers = wait(session)
    assert "the winning expert plays" in answers[0][0]["text"]
    assert "fitted on 300 frames of random play" in answers[1][0]["text"]
    run(session, 5)
    header, arrays = session.picture()
    assert arrays[2].shape == (6, 84, 84) and len(header["agents"][0]["code"]["filters"][0]) == 6
    assert header["policy"] == "expert winning" and not header["agents"][0]["scores"]
    session.do(told.Reset())
    assert session.picture()[1][2].shape == (6, 84, 84), "a reset keeps it"
    session.do(told.Fit(frames=200, source="policy"))
    assert "of the winning expert" in wait(session)[-1][0]["text"]


def test_a_code_that_comes_too_late_is_not_used(make):
    session = make()
    session.do(told.Fit(frames=300))
    session.do(told.Disturb("noise"))
    ((header, _),) = [answer for answer in wait(session) if answer[0]["kind"] == "error"]
    assert "has changed meanwhile" in header["text"] and len(session.agents) == 2
    assert session.live.eye.label == "code of pong_winning"


def test_without_saved_clones_a_code_is_fitted_at_once(make, tmp_path):
    session = make("pong", "", results=tmp_path)
    assert session.picture()[0]["agents"][0]["code"] is None and session.busy
    answers = wait(session)
    assert any("fitted on the spot" in header["text"] for header, _ in answers)
    assert session.picture()[0]["agents"][0]["code"] is not None


def test_a_film_is_a_gif_of_both_games_and_the_live_maps(make):
    session = make()
    run(session, 20)
    session.do(told.Disturb("inversion"))
    run(session, 40)
    session.do(told.Film())
    ((header, (gif,)),) = [answer for answer in wait(session) if answer[0]["kind"] == "film"]
    picture = Image.open(io.BytesIO(gif.tobytes()))
    assert header["name"] == "pong.gif" and picture.n_frames >= 55 and picture.info["duration"] in (60, 70)
    assert picture.size[0] > 2 * 320 and picture.size[1] > 420


def test_maps_of_a_film_are_those_that_were_seen(make):
    session = make()
    run(session, 40)
    session.do(told.Disturb("inversion"))
    run(session, 40)
    moments = list(session.live.history)
    maps, frames = maps_of(moments), np.stack([m.frame for m in moments])
    for i in (0, 20, len(moments) - 1):
        assert np.array_equal(maps[i], moments[i].encoder.maps(frames[: i + 1])[-1])


def upload(folder: Path, frames: np.ndarray, name="mine.npy") -> Video:
    np.save(folder / "watch_upload.npy", frames)
    return Video(folder / "watch_upload.npy", name)


def test_a_video_of_one_s_own_is_shown_with_its_maps_disturbed_and_forgotten(make, tmp_path):
    _, frames = fitted(shape=(100, 60), n_frames=40, moving=0.2)
    session = make()
    session.do(upload(tmp_path, frames))
    assert wait(session) == []
    run(session, 60)
    header, (screen, frame, maps) = session.picture()
    assert screen.shape == (100, 60, 3) and frame.shape == (84, 50) and maps.shape == (8, 84, 50)
    assert header["policy"] == "" and header["agents"][0]["games"] == 1, "it begins again at its end"
    session.do(told.Disturb("inversion"))
    run(session, 10)
    first, second = session.agents
    assert np.array_equal(first.history[-1].screen, second.history[-1].screen)
    with pytest.raises(ValueError, match="end the disturbance first"):
        session.do(told.Fit())
    with pytest.raises(ValueError, match="a video has no other game"):
        session.do(told.Disturb(told.OTHER_GAME, 1.0, "pong"))
    session.do(told.Disturb("none"))
    session.do(told.Fit(memory=4, units=2, frames=100))
    wait(session)
    assert session.picture()[1][2].shape == (4, 84, 50)
    session.do(told.Film())
    assert wait(session)[0][0]["name"] == "video.gif"
    session.do(told.Play("pong", "random"))
    assert session.picture()[1][0].shape == (210, 160, 3)
    session.close()
    assert not list(tmp_path.glob("watch_*"))


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"no video at all", "holiday.mp4 is damaged or not a video"), (b"", "holiday.mp4 is damaged or not a video")],
)
def test_what_is_no_video_is_said_in_one_sentence_by_its_own_name(make, tmp_path, content, words):
    path = tmp_path / "watch_x.mp4"
    path.write_bytes(content)
    session = make()
    session.do(Video(path, "holiday.mp4"))
    ((header, _),) = wait(session)
    assert header["kind"] == "error" and words in header["text"] and str(tmp_path) not in header["text"]
    assert "\n" not in header["text"]
    run(session, 3)
    assert session.picture()[0]["agents"][0]["world"] == "Pong"


def test_a_video_that_is_too_short_or_still_is_said(make, tmp_path):
    session = make()
    session.do(upload(tmp_path, np.zeros((40, 20, 20), np.uint8)))
    assert wait(session)[0][0]["kind"] == "error"
    session.do(upload(tmp_path, fitted()[1][:5]))
    assert wait(session)[0][0]["kind"] == "error"


# --- refusals ---


def test_unknown_games_and_players_are_refused_with_those_that_there_are(make):
    with pytest.raises(ValueError, match="unknown game 'doom': choose one of pong, breakout"):
        make("doom")
    with pytest.raises(ValueError, match="nobody called 'x' plays Pong: choose one of pong_winning"):
        make("pong", "x")
    session = make()
    before = session.agents
    with pytest.raises(ValueError, match="nobody called 'breakout_ppo' plays Pong"):
        session.do(told.Play("pong", "breakout_ppo"))
    assert session.agents is before
