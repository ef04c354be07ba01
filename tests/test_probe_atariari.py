"""Stage 13: scores by hand, verdicts that follow planted leads, tables, the figure, refusals, a cell from nothing."""

from __future__ import annotations

import re

import numpy as np
import pytest

import ari_cells
import atari_ari
import probe_atariari as stage
import report_stages
import report_steps
import report_tables
import stats_ci
from ari_cells import ARMS, COARSE, FRAME, FRAME_PCA, MAJORITY, OFTEN, RANDOM, RESU, Setting
from stage_report import plain
from test_figures import check, key

GAMES = atari_ari.games()
FRESH = [game for game in GAMES if game not in stage.LOOKED_AT]


def planted(
    leads: dict[str, float], fresh: float = 0.0, longest: float = 20.0, collections: int = 1, games=GAMES
) -> stage.Found:
    """Cells in which each code is above ST-DIM's published figure by so much, in games not looked at by `fresh` more.

    The majority's label scores as published but for its lead.
    """
    rng = np.random.default_rng(0)
    found = {}
    for game in games:
        its = atari_ari.variables(game)
        chosen = [v for v in its if v.in_table]
        arms = {}
        for code in stage.CODES:
            level = atari_ari.published(game)["majority" if code == MAJORITY else "ST-DIM"] + leads.get(code, 0.0)
            level += (fresh if game in FRESH else 0.0) + rng.normal(0, 0.004)
            n = 3 if code in OFTEN else 1
            f1 = level + 0.001 * np.arange(n)[:, None] + np.zeros(len(chosen))
            arms[code] = {"f1": f1.tolist(), "accuracy": (f1 + 0.1).tolist(), "epochs": np.ones_like(f1).tolist()}
        cell = {
            "variables": [v.name for v in chosen],
            "passed": [True] * len(chosen),
            "arms": arms,
            "seconds": dict.fromkeys(ARMS, longest if game == games[-1] else 10.0),
            "shares": {"frame": 0.9, "ReSU": 0.8},
            "steps": [700, 100, 150],
            "removed": 50,
            "held": 1000,
        }
        found[game] = [cell] * collections
    return found


def words(found: stage.Found, **options) -> dict[str, str]:
    verdicts = stage.report(stage.Config(**options), found).verdicts
    assert len({verdict.id for verdict in verdicts}) == len(verdicts) <= report_stages.MOST_VERDICTS
    return {verdict.id: verdict.verdict for verdict in verdicts}


# --- scores ---


def test_scores_are_of_what_passed_or_of_the_fixed_list():
    its = atari_ari.variables("breakout")
    names = ["ball_x", "ball_y", "player_x", "score", next(v.name for v in its if not v.in_table)]
    by_name = {v.name: v for v in its}
    assert [by_name[name].in_table for name in names[:4]].count(True) >= 3
    f1 = np.array([[0.1, 0.3, 0.5, 0.7, 0.9]])
    passed = [True, True, False, False, True]
    cell = {"variables": names, "passed": passed, "arms": {FRAME: {"f1": f1.tolist()}}}

    def wanted(chosen: list[int]) -> float:
        by: dict[str, list[float]] = {}
        for i in chosen:
            for category in by_name[names[i]].categories:
                by.setdefault(category, []).append(f1[0, i])
        return float(np.mean([np.mean(values) for values in by.values()]))

    (found,) = stage.per_seed("breakout", cell, FRAME, "f1")
    (listed,) = stage.per_seed("breakout", cell, FRAME, "f1", in_table=True)
    assert found == pytest.approx(wanted([0, 1, 4]))
    assert listed == pytest.approx(wanted([i for i in range(5) if by_name[names[i]].in_table])) != found


def test_a_game_counts_by_the_mean_over_collections_and_probe_seeds():
    found = planted({})
    values = stage.by_game(stage.Config(), found)
    assert set(values) == {*stage.CODES, *map(stage.theirs_of, atari_ari.PUBLISHED)}
    assert all(its.shape == (22,) for its in values.values())
    first = found["asteroids"][0]["arms"][FRAME]["f1"]
    assert values[FRAME][0] == pytest.approx(np.mean([np.mean(row) for row in first]))
    assert values["published: ST-DIM"].mean() == pytest.approx(0.681, abs=0.001)
    fixed = stage.by_game(stage.Config(), found, in_table=True)["published: ST-DIM"]
    assert fixed.mean() == pytest.approx(0.678, abs=0.001)


def test_categories_are_means_over_the_games_that_have_them():
    found = planted({}, games=("pong", "tennis"))
    for game, value in (("pong", 0.2), ("tennis", 0.6)):
        cell = found[game][0]
        cell["arms"][FRAME]["f1"] = [[value] * len(cell["variables"])]
    by = stage.by_category(stage.Config(games=("pong", "tennis")), found, FRAME)
    assert by["agent_localization"] == pytest.approx(0.4) and "misc" not in by


def test_games_that_were_looked_at_stand_apart():
    assert set(stage.LOOKED_AT) < set(GAMES) and len(FRESH) == 14
    assert [GAMES[i] for i in stage.fresh(stage.Config())] == FRESH


# --- verdicts ---


def test_verdicts_follow_planted_leads():
    better = {FRAME: 0.05, FRAME_PCA: 0.03, RESU: 0.01, RANDOM: -0.03, COARSE: 0.0}
    its = words(planted(better))
    for id in ("1: frame > ST-DIM", "2: ReSU > random", "3: predictive > PCA", "4: PCA no worse than ST-DIM"):
        assert its[id] == its[f"{id}, fresh games"] == "supported", id
    assert its["1: frame > ST-DIM, fixed list"] == its["5: fit"] == its["resolution"] == "supported"
    assert its["protocol"] == "equivalent" and its["layer 1 and its memory"] == "supported"
    worse = {code: -lead for code, lead in better.items()} | {MAJORITY: 0.1}
    its = words(planted(worse, longest=61.0))
    for id in ("1: frame > ST-DIM", "2: ReSU > random", "3: predictive > PCA", "4: PCA no worse than ST-DIM"):
        assert its[id] == its[f"{id}, fresh games"] == "refuted", id
    assert its["5: fit"] == its["protocol"] == "refuted"


def test_games_that_were_not_looked_at_are_judged_by_themselves():
    its = words(planted({FRAME: 0.05}, fresh=-0.06))
    assert its["1: frame > ST-DIM, fresh games"] == "refuted" != its["1: frame > ST-DIM"]
    some = words(planted({FRAME: 0.05}, games=stage.LOOKED_AT), games=stage.LOOKED_AT)
    assert some["1: frame > ST-DIM, fresh games"] == "missing" and some["1: frame > ST-DIM"] == "supported"


def test_no_worse_is_judged_within_its_margin_over_games():
    assert words(planted({FRAME_PCA: -0.01}))["4: PCA no worse than ST-DIM"] == "supported"
    verdicts = stage.report(stage.Config(), planted({FRAME: 0.05})).verdicts
    (verdict,) = (v for v in verdicts if v.id == "1: frame > ST-DIM")
    assert verdict.n == 22 and verdict.estimate.mean == pytest.approx(0.051, abs=0.01)
    f1 = stage.by_game(stage.Config(), planted({FRAME: 0.05}))
    assert verdict.estimate == stats_ci.paired_difference(f1[FRAME], f1["published: ST-DIM"])


# --- pages ---


def test_the_page_has_twelve_rows_and_all_games_stand_below():
    found = planted({FRAME: 0.05})
    rows = stage.report(stage.Config(), found).rows
    assert len(rows) == 8 + 7 + 22 and all(set(row) == set(rows[0]) for row in rows)
    step = next(step for step in report_steps.STEPS if step.script == "probe_atariari")
    read = [plain(row) for row in rows]
    main = [row for row in read if re.search(report_tables.main_of(step), report_tables.row_text(row))]
    assert len(main) == 12 == report_tables.MOST
    assert {FRAME, FRAME_PCA, RESU, RANDOM, MAJORITY, "published: ST-DIM"} <= {row["code or game"] for row in main}
    row = next(row for row in rows if row["code or game"] == FRAME)
    assert row["F1, 22 games"] == pytest.approx(0.732, abs=0.003) and row["fit [s]"] == 20.0
    assert row["accuracy"] == pytest.approx(row["F1, 22 games"] + 0.1)
    theirs = next(row for row in rows if row["code or game"] == "published: ST-DIM")
    assert (theirs["F1, agent"], theirs["fit [s]"]) == (0.58, "")
    game = next(row for row in rows if row["code or game"] == "Yars Revenge")
    assert game["F1: published: supervised"] == 0.74 and game["variables"] == 7
    assert any(row["code or game"] == "Pong (looked at)" for row in rows)
    assert report_stages.page_of(step) == "13" and report_stages.title("13").startswith("Stage 13")


def test_the_spread_between_probe_seeds_is_that_of_the_mean_over_games():
    assert stage.spread(stage.Config(), planted({}), FRAME) == pytest.approx(0.001)
    assert np.isnan(stage.spread(stage.Config(), planted({}), RANDOM))


@pytest.mark.parametrize("games", [(), ("pong", "space_invaders")])
def test_the_figure_is_legible(games):
    for draw in stage.report(stage.Config(games=games), planted({}, games=games or GAMES)).figures.values():
        found = key(check(draw()))
        assert {"ST-DIM, published", "supervised, published"} <= found


# --- options and cells ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"games": ("pong", "enduro")}, "'enduro' is not among AtariARI's games: choose among asteroids, berzerk"),
        ({"steps": 300}, "--steps must be at least 325, not 300"),
        ({"encoder_steps": 0}, "--encoder-steps must be at least 325, not 0"),
        ({"numbers": 513}, "--numbers must be at most --components, 512, not 513"),
        ({"collections": 0}, "--collections must be at least 1, not 0"),
    ],
)
def test_what_measures_nothing_is_refused_in_one_sentence(options, message):
    with pytest.raises(ValueError, match=message) as error:
        stage.check(stage.Config(**options))
    assert "\n" not in str(error.value)


def test_a_cell_is_the_same_from_the_same_seed_and_keeps_codes_from_the_probes_play(monkeypatch):
    s = Setting("pong", 3, 1200, 1200, 16, 8, 2, 1, 2)
    first = ari_cells.measure(None, s)
    fitted = {}
    fit = ari_cells.fit_codes
    monkeypatch.setattr(ari_cells, "fit_codes", lambda runs, *rest: fitted.setdefault("its", fit(runs, *rest)))
    again = ari_cells.measure(None, s)
    assert plain(first["arms"]) == plain(again["arms"]) and first["variables"] == again["variables"]
    assert {arm: len(its["f1"]) for arm, its in first["arms"].items()} == {
        code: 2 if code in OFTEN else 1 for code in stage.CODES
    }
    assert all(np.shape(its["f1"])[1] == len(first["variables"]) for its in first["arms"].values())
    assert first["arms"][FRAME]["f1"][0].tolist() != first["arms"][FRAME]["f1"][1].tolist()
    frames = np.concatenate(atari_ari.encoder_runs("pong", 1200, 3, ari_cells.HELD))
    assert fitted["its"].codes[FRAME].offset == pytest.approx(frames.reshape(len(frames), -1).mean(axis=0), abs=1e-3)
    assert first["held"] == len(frames) and sum(first["steps"]) + first["removed"] == 1200
