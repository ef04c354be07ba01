"""Saved clones and films of them: named once, drawn anew in every run, made again when they are gone."""

import dataclasses
import shlex

import numpy as np
import pytest

import bc_pong_eval
import cloning
import demo_pong
import film_cells
import films
import record_asteroids
import record_gameplay
import report_steps
import stage_io
import stats_ci
from film_cells import Film
from stage_report import shown
from stage_run import MissingCellError, Run


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.setattr(stage_io, "ROOT", tmp_path)
    return tmp_path


def test_every_saved_clone_is_there_and_says_who_makes_it():
    commands = {step.command for step in report_steps.STEPS}
    for name, saved in cloning.SAVED.items():
        clone = saved.load(stage_io.ROOT / "results")
        assert name == f"{saved.game}_{saved.player}" and clone.code.n_features > 0
        assert saved.made_by in commands or shlex.split(saved.made_by)[1] == "src/bc_games.py"
    assert cloning.saved("pong_ppo").label == "PPO on frozen ReSU features"
    assert cloning.saved("breakout_predictive_dagger").label == "a ReSU clone of the predictive expert"
    with pytest.raises(ValueError, match="there is no clone pong_best: choose one of pong_reactive, pong_winning"):
        cloning.saved("pong_best")


def test_a_clone_that_is_not_there_names_its_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"bc_pong\.py --expert winning .*--seeds 3 --smoke"):
        cloning.saved("pong_winning").load(tmp_path, smoke=True)


def test_films_are_drawn_in_every_run_and_only_read_for_the_report(house, monkeypatch):
    drawn = []

    def film(clone, seed, skip, seconds, title, game, **env):
        drawn.append((clone, seed, skip, seconds, title, game, env))
        return b"GIF" * len(drawn)

    monkeypatch.setattr(films, "film", film)
    monkeypatch.setattr(cloning.Saved, "load", lambda self, results, smoke: self.name)
    config = record_gameplay.Config(films=("breakout", "enduro"), seed=3)
    first = record_gameplay.cells(Run("record_gameplay.py", config))
    again = record_gameplay.cells(Run("record_gameplay.py", config))
    assert [cell["megabytes"] for cell in first] == [3e-6, 6e-6] and again[0]["megabytes"] == 9e-6
    title = "Breakout: a ReSU clone of the predictive expert"
    assert drawn[0] == drawn[2] == ("breakout_predictive_dagger", 3, 4.0, 30.0, title, "breakout", {"press_fire": True})
    assert (house / "media" / "breakout.gif").read_bytes() == b"GIF" * 3
    (house / "media" / "breakout.gif").unlink()  # `make report` needs no film
    found = record_gameplay.cells(Run("record_gameplay.py", config, reading=True))
    assert found == again and len(drawn) == 4
    rows = record_gameplay.report(config, found).rows
    assert rows[0] == {"file": "breakout.gif", "player": "predictive_dagger", "seconds of play": 30.0, "MB": 9e-6}
    with pytest.raises(MissingCellError, match=r"python src/record_gameplay\.py --films pong"):
        other = dataclasses.replace(config, films=("pong",))
        record_gameplay.cells(Run("record_gameplay.py", other, reading=True))


def test_a_taught_clone_is_made_again_when_a_file_of_it_is_gone(house, monkeypatch):
    taught = []
    lesson = record_asteroids.Lesson
    monkeypatch.setattr(record_asteroids, "Lesson", lambda n: taught.append(n) or lesson(300))
    monkeypatch.setattr(film_cells, "cell", lambda run, film: {"megabytes": 1.0})
    config = record_asteroids.Config(smoke=True)
    head = house / "results" / "smoke" / "clones" / "asteroids_aiming_head.npz"

    def cells():
        record_asteroids.cells(Run("record_asteroids.py", config))
        return head.stat().st_mtime_ns, head.read_bytes()

    made, content = cells()
    assert cells() == (made, content)
    head.unlink()
    later, again = cells()
    assert later != made and again == content and taught == [1500] * 3


def test_what_no_film_can_be_is_refused_before_anything_is_written(house):
    for seconds, skip in ((-1.0, 0.0), (0.0, 1.0), (float("nan"), 1.0), (5.0, -1.0)):
        with pytest.raises(ValueError, match="--seconds must be above 0 and --skip not below 0"):
            Film("x", "pong_ppo", skip, seconds)
    with pytest.raises(ValueError, match="there is no clone enduro_simple"):
        record_gameplay.STAGE.main(["--films", "enduro", "--expert", "simple"])
    assert not list(house.iterdir())


def test_reports_need_cells_alone():
    rng = np.random.default_rng(3)
    players = {name: {"scores": list(rng.normal(mean, 1, 20)), "steps_per_game": 900.4}
               for name, mean in (("random", -20), ("expert", -13), ("clone", 5))}  # fmt: skip
    found = {"seconds": {"fit": 3.0, "play": 2.0}, "filters": [[1.0, 0.5]], "correlations": [0.9], "players": players}
    report = demo_pong.report(demo_pong.Config(), found)
    expected = [stats_ci.estimate(player["scores"]) for player in players.values()]
    assert [row["score [95 % interval over games]"] for row in report.rows] == expected
    assert [row["policy"] for row in report.rows] == [
        "random",
        "reactive expert (watched)",
        "clone",
    ]
    assert report.timings == found["seconds"] and report.arrays["filters"].shape == (1, 2)
    assert report.figures[""]().axes

    scores = [1.0, -1.0, 2.0, 3.0]
    (row,) = bc_pong_eval.report(bc_pong_eval.Config("ppo", 4), {"scores": scores, "lengths": [10, 20, 30, 41]}).rows
    assert row["policy"] == "PPO on frozen ReSU features" and row["won"] == "75%" and row["steps per game"] == "25"
    assert shown(row["score [95 % interval over games of one clone]"]).startswith("1.2")


@pytest.mark.parametrize("n_units", [1, 4, 8])
def test_names_of_maps_stand_above_them_and_not_on_them(n_units):
    rng = np.random.default_rng(0)
    screen = rng.integers(0, 256, (210, 160, 3)).astype(np.uint8)
    maps = np.ones((2 * n_units, 21, 21))
    image = films.image(screen, maps, np.ones(n_units), ["title", "score"])
    assert image.shape[0] == films.HEIGHT + 8 + 2 * 18
    panel = image[: films.HEIGHT, 320:]
    for colour in (films.ON_COLOUR, films.OFF_COLOUR):
        lit = (panel == np.array(colour)).all(axis=-1)
        rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
        side = films.HEIGHT // n_units - films.NAME - films.GAP
        assert lit.sum() == n_units * side**2 and columns[-1] - columns[0] + 1 == side  # whole: no letter on a map
        assert len(rows) == n_units * side and rows[0] == films.NAME
        names = panel[: films.NAME, columns[0] :]
        assert (names[:, : films.WIDEST] > 150).all(axis=-1).any()
    with pytest.raises(ValueError, match="30 maps below each other do not fit"):
        films.image(screen, np.ones((60, 4, 4)), np.ones(30), [])
