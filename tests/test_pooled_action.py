"""Stage 3b: which actions are given, dense references for codes and forecasts, drawn actions, planted verdicts."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import linalg

import pooled_action_cells as pooled
import probe_pong_pooled_action as stage
import probes
import report_stages
import report_steps
import report_tables
import stats_ci
from atari_play import Buffer, RandomPolicy, collect
from object_labels import objects_of
from pooled_action_cells import CODES, COPYING, DRAWN, FORECASTS, NOW, PAST, RIDGE_ON, STEPS, TARGETS, VECTOR_ON, Given
from stage_report import plain
from stats_ci import Estimate
from test_figures import check, key
from test_resu_vector import dense_reference

A, D, GAMES, LENGTH = 3, 6, 20, 120  # actions, components, games, their steps
PUSH = np.array([0.0, 1.0, -1.0])


def played(seed: int = 0, push: float = 1.0) -> tuple[Buffer, np.ndarray, np.ndarray]:
    """Games, features (T, 12) and a place (T,) that the actions push, and one that drifts by itself."""
    rng = np.random.default_rng(seed)
    actions = rng.integers(A, size=GAMES * LENGTH).astype(np.uint8)
    state = np.zeros((len(actions), 2))
    for t in range(1, len(actions)):
        begins = t % LENGTH == 0
        state[t] = rng.standard_normal(2) if begins else 0.9 * state[t - 1] + 0.4 * rng.standard_normal(2)
        state[t, 0] += 0 if begins else push * PUSH[actions[t - 1]]
    features = state @ rng.standard_normal((2, 12)) + 0.3 * rng.standard_normal((len(state), 12)) + 5
    none = np.zeros(len(actions), np.uint8)
    starts = np.arange(GAMES) * LENGTH
    frames, ram = np.zeros((len(actions), 1, 1), np.uint8), np.zeros((len(actions), 128), np.uint8)
    return Buffer(frames, ram, actions, none, none.astype(np.float32), starts), features.astype(np.float32), state[:, 0]


def sample_of(seed: int = 0, push: float = 1.0) -> tuple[pooled.Sample, np.ndarray]:
    """A sample and the place 4 steps on, (T, 1)."""
    buffer, features, place = played(seed, push)
    ahead = buffer.shifted(place[:, None], pooled.AHEAD)
    split = probes.split_by_episode(buffer.episodes(), seed, np.isfinite(ahead[:, 0]))
    return pooled.Sample(buffer, features, A, split, D, seed), ahead


@pytest.fixture(scope="module")
def sample() -> pooled.Sample:
    return sample_of()[0]


# --- what a code is given ---


@pytest.mark.parametrize("newest", [-1, 0, 3])
def test_actions_are_those_up_to_the_newest_and_nothing_beyond_the_game(sample, newest):
    acted = sample.actions(Given(newest), range(pooled.GIVEN)).reshape(-1, pooled.GIVEN, A)
    chosen, t = sample.buffer.actions, np.arange(len(sample.buffer))
    for lag in range(pooled.GIVEN):
        source = t + newest - lag
        inside = (source >= 0) & (source < len(t))
        inside[inside] = source[inside] // LENGTH == t[inside] // LENGTH
        assert not acted[~inside, lag].any() and (~inside).any() == (newest != lag)
        assert np.array_equal(acted[inside, lag].argmax(axis=1), chosen[source[inside]])
    drawn = sample.actions(Given(newest, drawn=True), [max(newest, 0)])[200:300].argmax(axis=1)
    assert 0.1 < np.mean(drawn == chosen[200:300]) < 0.6


def test_both_blocks_are_in_the_unit_of_their_largest_direction(sample):
    for x in (sample.reduced, sample.actions(NOW, [0])):
        seen = np.concatenate([x[episode] for episode in sample.training])
        assert linalg.eigvalsh(np.cov(seen.T, bias=True))[-1] == pytest.approx(1, abs=1e-5)
        assert np.abs(seen.mean(axis=0)).max() < 0.02


def test_training_episodes_are_whole_and_none_is_tested_on(sample):
    inside = np.concatenate([np.arange(e.start, e.stop) for e in sample.training])
    assert np.isin(sample.split.train, inside).all() and len(inside) == 14 * LENGTH
    assert not np.isin(np.concatenate([sample.split.validation, sample.split.test]), inside).any()


@pytest.mark.parametrize("given", [None, PAST, NOW])
def test_responses_are_canonical_directions_of_past_and_actions(sample, given):
    """All windows written out: 4 steps of features and 8 actions, each once; features alone are predicted."""
    m, h, k = pooled.MEMORY, 2, 5
    columns = sample.reduced.astype(np.float64)
    if given is not None:
        columns = np.concatenate([columns, sample.actions(given, (0, m)).astype(np.float64)], axis=1)
        wide = sample.actions(given, range(pooled.GIVEN)).reshape(-1, pooled.GIVEN, A)
        t = 5 * LENGTH + 20
        seen = columns[t - np.arange(m), D:].reshape(m, 2, A)
        assert np.array_equal(np.concatenate([seen[:, 0], seen[:, 1]]), wide[t])
    width = columns.shape[1]
    episodes = [columns[episode] for episode in sample.training]
    predicted = np.arange(h * width) % width < D
    correlations, filters = dense_reference(episodes, m, h, k, 1e-6, predicted=predicted)
    z = sample.responses(given, h, k)
    seen = np.concatenate([z[e.start + m - 1 : e.stop - h] for e in sample.training])
    rows = np.concatenate([np.arange(e.start + m - 1, e.stop - h) for e in sample.training])
    wanted = np.concatenate([columns[rows - lag] for lag in range(m)], axis=1) @ filters.T
    for unit in range(k):
        assert abs(np.corrcoef(seen[:, unit], wanted[:, unit])[0, 1]) > 1 - 1e-6
        assert seen[:, unit].std() == pytest.approx(1, abs=1e-3) and correlations[unit] > 0.05


def test_what_is_fitted_does_not_see_other_episodes():
    first, other = sample_of()[0], sample_of()[0]
    outside = np.setdiff1d(np.arange(len(first.reduced)), np.concatenate([np.r_[e] for e in first.training]))
    other.reduced[outside] *= -7
    a, b = (its.responses(NOW, 4, 5) for its in (first, other))
    inside = np.setdiff1d(np.arange(len(a)), outside)
    assert np.array_equal(a[inside], b[inside]) and not np.allclose(a[outside], b[outside])


# --- codes ---

READ = [CODES[label] for label in ("VectorReSU, all units", "VectorReSU, all units on actions now",
                                   "VectorReSU, all units + actions now", "VectorReSU on other actions",
                                   "VectorReSU", "L1", "L1 + actions now")]  # fmt: skip


@pytest.mark.parametrize("push", [1.0, 0.0])
def test_actions_help_where_they_push_and_drawn_ones_nowhere(push):
    its, ahead = sample_of(3, push)
    r2 = {label: score[0] for label, score in pooled.read_codes(its, ahead, 12, READ).items()}
    gains = [r2["VectorReSU, all units on actions now"] - r2["VectorReSU, all units"],
             r2["VectorReSU, all units + actions now"] - r2["VectorReSU, all units"],
             r2["L1 + actions now"] - r2["L1"]]  # fmt: skip
    assert min(gains) > 0.05 if push else max(gains) < 0.02
    assert abs(r2["VectorReSU on other actions"] - r2["VectorReSU"]) < 0.03


def test_a_probe_says_which_codes_hold_the_action():
    its, _ = sample_of()
    r2 = pooled.read_codes(its, np.nan_to_num(pooled.acts(its.buffer, A)), 12, READ[:3])
    before, now = ({label: score[part].mean() for label, score in r2.items()} for part in (slice(A), slice(A, None)))
    assert now["VectorReSU, all units"] < 0.02 < 0.5 < now["VectorReSU, all units on actions now"]
    assert min(before["VectorReSU, all units + actions now"], now["VectorReSU, all units + actions now"]) > 0.99


def test_the_probe_is_a_ridge_on_standardised_blocks(sample):
    _, ahead = sample_of()
    (found,) = pooled.read_codes(sample, ahead, 12, [CODES["L1"]]).values()
    assert found == pytest.approx(probes.probe(sample.features, ahead, sample.split).score, abs=1e-5)
    assert len({code.label for code in CODES.values()}) == len(CODES) and {PAST, NOW, DRAWN} == {
        given for code in CODES.values() for given in (code.inside, code.beside) if given
    }


def test_codes_are_rectified_and_of_the_sizes_that_they_say(sample, monkeypatch):
    widths = []
    monkeypatch.setattr(probes, "probe", lambda x, *rest, **options: widths.append(x.shape[1]) or probes.Probed(0, 0))
    pooled.read_codes(sample, np.zeros((len(sample.features), 1)), 12, READ)
    assert widths == [48, 48, 48 + 24, 24, 24, 12, 12 + 24]  # 4 x 6 components or 12 units, ON and OFF; 8 x 3 actions


# --- the forward model ---


def lagged(x: np.ndarray, rows: np.ndarray, lags: int) -> np.ndarray:
    """(N, lags * D) of rows, newest first, the first step of a game before it."""
    return np.concatenate([x[np.maximum(rows - lag, rows // LENGTH * LENGTH)] for lag in range(lags)], axis=1)


def test_forecasts_equal_dense_least_squares(sample):
    found = pooled.forecasts(sample)
    assert list(found) == list(FORECASTS) and {len(its) for its in found.values()} == {len(STEPS)}
    x, last = sample.reduced.astype(np.float64), max(STEPS)
    same = np.arange(len(x)) % LENGTH < LENGTH - last
    split = probes.split_by_episode(sample.episodes, sample.seed, same, pooled.STRIDE)
    for i, n in enumerate(STEPS):
        truth = x[split.test + n]
        spread = ((truth - truth.mean(axis=0)) ** 2).sum()
        assert found[COPYING][i] == pytest.approx(1 - ((truth - x[split.test]) ** 2).sum() / spread, abs=1e-5)
        acted = sample.actions(Given(n - 1), range(pooled.GIVEN))
        past = {part: np.concatenate([lagged(x, rows, pooled.MEMORY), acted[rows], np.ones((len(rows), 1))], axis=1)
                for part, rows in (("train", split.train), ("test", split.test))}  # fmt: skip
        weights = linalg.lstsq(past["train"], x[split.train + n])[0]
        dense = 1 - ((truth - past["test"] @ weights) ** 2).sum() / spread
        assert found[RIDGE_ON][i] == pytest.approx(dense, abs=0.03)
        assert found[VECTOR_ON][i] == pytest.approx(dense, abs=0.05)


def test_what_is_regressed_on(sample, monkeypatch):
    seen = []
    monkeypatch.setattr(pooled, "regress", lambda x, y, split: seen.append((x, y, split)) or 0.0)
    pooled.forecasts(sample)
    rows = np.concatenate([np.arange(e.start, e.stop - 8, 3) for e in sample.training])
    for i, n in enumerate(STEPS):
        past, on, vector, vector_on = seen[4 * i : 4 * i + 4]
        train = past[2].train
        assert np.array_equal(past[0][train], lagged(sample.reduced, rows, 4))
        acted = sample.actions(Given(n - 1), range(8))[rows]
        assert np.array_equal(on[0][train], np.concatenate([past[0][train], acted], axis=1))
        for code, given in ((vector, None), (vector_on, Given(n - 1))):
            assert np.array_equal(code[0][train], sample.responses(given, n, D)[rows])
        assert all(np.array_equal(each[1][train], sample.reduced[rows + n]) for each in seen[4 * i : 4 * i + 4])


def test_a_forecast_gains_by_the_actions_in_between_where_they_push():
    for push in (1.0, 0.0):
        found = pooled.forecasts(sample_of(4, push)[0])
        for on, without in ((RIDGE_ON, "ridge"), (VECTOR_ON, "VectorReSU")):
            gains = np.array(found[on]) - found[without]
            assert (gains > 0.05).all() if push else (np.abs(gains) < 0.03).all()
        assert (np.array(found[VECTOR_ON]) > found[COPYING]).all()


def test_the_strength_of_a_regression_is_chosen_on_validation_samples():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((300, 40)).astype(np.float32)
    y = x[:, :3] + rng.standard_normal((300, 3))
    y[180:] *= 0.3  # for which less is more
    split = probes.Split(*np.split(np.arange(300), [60, 180]))
    tried = []
    for strength in probes.STRENGTHS:
        a, b = x[:60] - x[:60].mean(axis=0), y[:60] - y[:60].mean(axis=0)
        loaded = a.T @ a + strength * np.trace(a.T @ a) / 40 * np.eye(40)
        fit = (x - x[:60].mean(axis=0)) @ linalg.solve(loaded, a.T @ b) + y[:60].mean(axis=0)
        error = ((y - fit) ** 2).sum(axis=1)
        tried.append([1 - error[part].sum() / ((y[part] - y[part].mean(axis=0)) ** 2).sum()
                      for part in (split.validation, split.test)])  # fmt: skip
    assert pooled.regress(x, y, split) == pytest.approx(max(tried)[1], abs=1e-5)
    assert max(tried) != max(tried, key=lambda pair: pair[1])


# --- games ---


@pytest.mark.parametrize("game", TARGETS)
def test_places_are_those_of_the_game_four_steps_on(game):
    buffer = collect(RandomPolicy(), 400, 7, game, max_steps=200)
    ahead, usable = pooled.places(game, buffer)
    assert ahead.shape == (400, len(TARGETS[game])) and usable.mean() > 0.2 and not usable[196:200].any()
    its = objects_of(game, buffer).places[TARGETS[game][0]]
    rows = np.flatnonzero(usable)
    assert np.array_equal(ahead[rows, 0], its[rows + 4]) and its[rows].std() > 0


# --- the report ---

WORSE, BETTER = {"VectorReSU on actions now": -0.1}, {"VectorReSU on actions now": 0.1, "VectorReSU on actions": 0.1}


def planted(gains: dict[str, float], ahead: float = 0.3, seeds: int = 10) -> stage.Found:
    """Cells in which a code's own place is read better or worse than the others', and forecasts are above copying."""
    rng = np.random.default_rng(1)
    level = dict(zip(FORECASTS, (0.2, 0.2 + ahead, 0.25 + ahead, 0.2 + ahead, 0.25 + ahead), strict=True))
    return {
        game: [
            {
                "r2": {c: (0.6 + rng.normal(gains.get(c, 0.0), 1e-3, len(TARGETS[game]))).tolist() for c in CODES},
                "acts": {code: [0.1, 0.2] for code in CODES},
                "forward": {name: (rng.normal(level[name], 1e-3, len(STEPS))).tolist() for name in FORECASTS},
                "kept": 0.97,
                "n": [100, 20],
            }
            for _ in range(seeds)
        ]
        for game in TARGETS
    }


def words(found: stage.Found) -> dict[str, str]:
    verdicts = stage.report(stage.Config(), found).verdicts
    assert len({verdict.id for verdict in verdicts}) == len(verdicts) <= report_stages.MOST_VERDICTS
    return {verdict.id: verdict.verdict for verdict in verdicts}


def test_verdicts_follow_planted_gains():
    inside, beside = stage.INSIDE, stage.BESIDE
    for gains, word, equal in (
        (BETTER, "supported", "refuted"),
        (WORSE, "refuted", "refuted"),
        ({}, None, "equivalent"),
    ):
        its = words(planted(gains))
        assert its[f"{inside} = {beside}"] == its[f"elsewhere: {inside} = {beside}"] == equal
        assert its["VectorReSU on other actions = VectorReSU"] == "equivalent"
        for id in (f"{inside} > L1", f"{inside} > {beside}", f"elsewhere: {inside} > {beside}"):
            assert its[id] == word or word is None
    assert words(planted({"L1 + actions now": 0.1}))["L1 + actions now > L1"] == "supported"


def test_a_claim_on_several_holds_if_it_holds_everywhere():
    its = words(planted({}))
    forward = [f"forward: actions, {game}" for game in TARGETS]
    assert {its[id] for id in ("forward: > copying", "forward: ridge no worse", *forward)} == {"supported"}
    worse = words(planted({}, ahead=-0.3))
    assert worse["forward: > copying"] == "refuted" and worse["forward: ridge no worse"] == "supported"
    found = planted({})
    for cell in found["breakout"]:  # one game at one step
        cell["forward"][RIDGE_ON][2] -= 0.2
    assert words(found)["forward: ridge no worse"] == "refuted"
    (shown,) = (v for v in stage.report(stage.Config(), found).verdicts if v.id == "forward: ridge no worse")
    assert list(shown.estimate) == ["Breakout, 4 steps"] and shown.n == 10
    assert set(words(planted(BETTER, seeds=4)).values()) == {"undecided"}
    up, down, open_ = (Estimate(mean, mean - 1, mean + 1, 9) for mean in (2, -2, 0))
    for its, word in (((up, down, open_), "refuted"), ((up, open_), "undecided"), ((down, up), "refuted"),
                      ((up, up), "supported"), ((open_, down), "refuted"), ((open_, up, up), "undecided")):  # fmt: skip
        assert stage._all("", "", dict(enumerate(its)), stats_ci.verdict_positive).verdict == word


def test_rows_hold_the_planted_numbers_and_the_page_has_twelve_of_them():
    rows = stage.report(stage.Config(), planted(BETTER)).rows
    assert len(rows) == len(TARGETS) * (len(CODES) + len(FORECASTS)) and all(set(row) == set(rows[0]) for row in rows)
    row = next(row for row in rows if (row["game"], row["code"]) == ("Breakout", stage.INSIDE))
    assert row["R2, own place, t+4"].mean == pytest.approx(0.7, abs=0.01) and row["R2, action now"].mean == 0.2
    assert [row["R2, ball, t+4"] for row in rows if row["game"] == "Space Invaders"] == [""] * 20
    step = next(step for step in report_steps.STEPS if step.script == "probe_pong_pooled_action")
    read = [plain(row) for row in rows]
    main = [row for row in read if re.search(report_tables.main_of(step), report_tables.row_text(row))]
    assert len(main) == 12 == report_tables.MOST and {stage.INSIDE, stage.BESIDE, "L1"} <= {row["code"] for row in main}
    assert report_stages.page_of(step) == "3b" and report_stages.title("3b").startswith("Stage 3b")


@pytest.mark.parametrize("seeds", [1, 10])
def test_figures_are_legible(seeds):
    for draw in stage.report(stage.Config(seeds=seeds), planted(BETTER, seeds=seeds)).figures.values():
        key(check(draw()))


def test_what_cannot_be_fitted_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match="--units must be at most 40, 4 times --components, not 41"):
        stage.check(stage.Config(components=10, units=41))
    its, _ = sample_of()
    its.training = its.training[:1]
    with pytest.raises(
        ValueError, match=r"120 steps hold 109 windows .* too few for 12 columns: at least 144"
    ) as error:
        its.responses(PAST, 8, D)
    assert "\n" not in str(error.value)
