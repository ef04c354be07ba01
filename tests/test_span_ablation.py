"""Stage 12: controls are what they are called, the design is the plan's, verdicts and words follow planted gains."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pytest
from scipy import linalg

import probes
import resu_controls
import span_ablation
import span_advice_cells as advice
import span_cells
import span_design_cells as design
import span_gain_cells as gain
from atari_play import Buffer, collect
from object_labels import objects_of
from players import TASKS
from resu_conv import ReSUEncoder
from span_ablation import Cells, Config
from span_design_cells import CANONICAL, CENTRE, CODES, PCA, POOLED, RANDOM, ROTATED, Point
from stage_io import ROOT
from stage_report import markdown_table
from test_figures import check, key


def walk(n=300, shape=(84, 84)) -> np.ndarray:
    """Frames of pixels that wander, so that frames predict their neighbours."""
    steps = np.random.default_rng(0).normal(0, 9, (n, *shape)).cumsum(axis=0)
    return np.clip(127 + steps, 0, 255).astype(np.uint8)


FRAMES = walk()


@pytest.fixture(scope="module", params=[(8, 1), (8, 4), (8, 8), (4, 4)], ids=lambda p: f"m{p[0]}-k{p[1]}")
def fitted(request) -> ReSUEncoder:
    memory, n_units = request.param
    return Point(memory, n_units, 16 * n_units).encoder().fit([FRAMES])


def ridged(fitted: ReSUEncoder) -> np.ndarray:
    """The covariance for which the canonical filters are white: with the ridge of the fit."""
    covariance = fitted.moments_.C_pp
    return covariance + fitted.ridge * linalg.eigvalsh(covariance)[-1] * np.eye(len(covariance))


def test_the_rotated_span_is_white_and_the_same_span_in_another_basis(fitted):
    turned = resu_controls.rotated(fitted, 3)
    assert np.allclose(turned.filters_ @ ridged(fitted) @ turned.filters_.T, np.eye(fitted.n_units), atol=1e-8)
    assert np.linalg.matrix_rank(np.concatenate([turned.filters_, fitted.filters_]), tol=1e-9) == fitted.n_units
    if fitted.n_units == 1:
        assert np.allclose(turned.filters_, fitted.filters_)
        return
    assert not np.allclose(np.abs(turned.filters_), np.abs(fitted.filters_), rtol=0.05)
    assert not np.array_equal(turned.filters_, resu_controls.rotated(fitted, 4).filters_)
    assert np.array_equal(turned.filters_, resu_controls.rotated(fitted, 3).filters_)


def test_random_filters_are_not_white():
    fitted = Point(8, 4, 64).encoder().fit([FRAMES])
    its = resu_controls.random_filters(fitted, 0).filters_
    assert not np.allclose(its @ ridged(fitted) @ its.T, np.eye(4), atol=0.05)


def test_cosines_are_orthogonal_of_rising_frequency_and_unit_variance(fitted):
    its = resu_controls.dct(fitted).filters_
    taps = its / np.linalg.norm(its, axis=1, keepdims=True)
    assert np.allclose(taps @ taps.T, np.eye(fitted.n_units), atol=1e-12)
    assert [int((np.diff(np.sign(row)) != 0).sum()) for row in its] == list(range(fitted.n_units))
    assert np.allclose(np.einsum("ki,ij,kj->k", its, fitted.moments_.C_pp, its), 1)


def test_frame_differences_of_one_filter_and_of_as_many_as_frames(fitted):
    its = resu_controls.frame_differences(fitted).filters_
    assert np.linalg.matrix_rank(its) == fitted.n_units
    assert np.count_nonzero(its[0]) == 1 and its[0, 0] > 0
    for k in range(1, fitted.n_units):
        assert np.allclose(its[k].sum(), 0) and set(np.flatnonzero(its[k])) == {k - 1, k}


@pytest.mark.parametrize("point", sorted({part.point for part in design.DESIGN}), ids=lambda p: p.label)
def test_all_codes_of_a_point_are_of_equal_size(point):
    fitted = point.encoder().fit([FRAMES])
    short = FRAMES[:3]
    for name in point.codes():
        code = point.code(name, fitted, 0)
        assert code.n_features == point.n_features == code.encode(short).shape[1], name
        if name == POOLED:
            assert code.n_frames == min(2 * point.n_units, point.memory)
        else:
            assert np.array_equal(code.mean_, fitted.mean_) and code.filters_.shape == (point.n_units, point.memory)
    assert (ROTATED in point.codes()) == (point.n_units > 1)


def test_cells_are_powers_of_two():
    assert [design.grid_of(n) for n in (1, 2, 128, 512)] == [(1, 1), (2, 1), (16, 8), (32, 16)]
    for wrong in (0, 3, 96):
        with pytest.raises(ValueError, match="no power of 2"):
            design.grid_of(wrong)


def test_the_design_is_the_plans_and_fits_into_four_hours():
    c = Config()
    table = design.table(c.seeds, c.centre_seeds, c.network_seeds)
    assert markdown_table(table, compact=True) in (ROOT / "PLAN.md").read_text()
    hours = re.search(r"([\d.]+) h", table[-1]["core minutes"])
    assert hours and float(hours[1]) <= 4
    settings = [s for part in design.parts(c.games_asked, c.most_features) for g in part.games
                for s in span_cells.settings(part, g, c)]  # fmt: skip
    assert len(settings) == len(set(settings)) == sum(int(row["cells"]) for row in table[: len(design.DESIGN)])
    keys = [(part.point, game) for part in design.DESIGN for game in part.games]
    assert len(keys) == len(set(keys))  # a point in a game is measured by one part
    assert {key[0] for key in keys} == {*design.MEMORIES, *design.UNITS, *design.SIZES, *design.CORNERS}
    assert all((point, game) in keys for point in (*design.MEMORIES, *design.UNITS, *design.SIZES[:3])
               for game in design.GAMES)  # fmt: skip
    for few in (True, False):  # half of the corners: every m and every F once on each side
        side = [point for point in design.CORNERS if (point.n_units == 1) == few]
        assert {p.memory for p in side} == {4, 16} and {p.n_features for p in side} == {256, 8192}
    assert not set(design.CHOOSING) & set(design.CONFIRMING)
    assert {*design.CHOOSING, *design.CONFIRMING} == set(design.GAMES)


# --- planted gains ---

SHARE = {"pong": 0.005, "breakout": 0.006, "asteroids": 0.01, "space_invaders": 0.02, "enduro": 0.3}


def planted(sign: float, c: Config) -> Cells:
    """Cells in which canonical filters gain as claimed (sign 1), or the other way round (-1)."""
    rng = np.random.default_rng(5)

    def level(point: Point, game: str, code: str) -> float:
        few, moving = np.log2(point.memory / point.n_units), np.log10(SHARE[game] / 0.004)
        lift = sign * 0.02 * few * moving * (1 - 0.1 * np.log2(point.n_features / 256))
        return lift * {CANONICAL: 1.0, ROTATED: 0.5}.get(code, 0.0)

    def cell(part: design.Part, game: str) -> dict:
        codes = {}
        for code in part.codes:
            number = partial(rng.normal, 0.6 + level(part.point, game, code), 1e-3)
            codes[code] = {"ridge": number(), "places": [number(), number()], "speeds": [number()]}
            if code in part.trained:
                codes[code] |= {"mlp": number()}
            if code in part.played:
                codes[code] |= {"scores": [100 * number() for _ in range(c.games)]}
        return {"moving": SHARE[game] * (1 + rng.normal(0, 0.01)), "codes": codes}

    found = {
        (part.point, game): [cell(part, game) for _ in range(c.centre_seeds if part.centre else c.seeds)]
        for part in design.parts(c.games_asked, c.most_features)
        for game in part.games
    }
    parts = gain.lacking(found, gain.choices(found, design.CHOOSING), design.CONFIRMING)
    more = {(part.point, game): [cell(part, game) for _ in range(c.seeds)] for part in parts for game in part.games}
    networks = {game: [{"accuracy": 0.9, "scores": [61.0, 63.0]}] * c.network_seeds for game in design.CHOOSING}
    return Cells(found, more, networks)


@pytest.mark.parametrize(("sign", "word"), [(1, "supported"), (-1, "refuted")])
def test_verdicts_follow_the_planted_gains(sign, word):
    c = Config()
    report = span_ablation.report(c, planted(sign, c))
    its = {verdict.id: verdict for verdict in report.verdicts}
    assert len(its) == len(report.verdicts) == 20
    equal = its.pop("K = m: canonical = random")
    assert equal.verdict == "equivalent" and equal.margin == 0.01 and equal.n == 5
    recommended = {id: its.pop(id) for id in list(its) if id.startswith("recommended")}
    assert {id: verdict.verdict for id, verdict in its.items()} == dict.fromkeys(its, word)
    assert len(recommended) == 3 and {v.verdict for v in recommended.values()} <= {"supported", "refuted"}
    assert its["motion: ridge: random filters"].n == 10 and its["K: ridge: temporal PCA"].n == 5
    assert abs(its["unit: ridge"].estimate.mean) == pytest.approx(0.5 * gain_at_centre(), abs=0.002)
    first = report.notes[0]
    assert first.startswith("Few filters make" if sign > 0 else "With more filters canonical ones gain more")
    assert "any filters do" in report.notes[1]


@pytest.mark.parametrize("games", [design.GAMES, ("pong", "breakout")])
def test_figures_are_legible_and_controls_keep_their_colours(games):
    c = Config(games_asked=games)
    for draw in span_ablation.report(c, planted(1, c)).figures.values():
        figure = check(draw())
        explained = key(figure)
        colours = {}
        for axes in figure.axes:
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                colours.setdefault(label, set()).add(handle.get_color())
        assert all(len(its) == 1 for its in colours.values()) and set(colours) <= set(explained)


def gain_at_centre() -> float:
    return float(np.mean([0.02 * np.log10(share / 0.004) * 0.8 for share in SHARE.values()]))


def test_rows_hold_the_planted_numbers_and_what_was_not_measured_is_empty():
    c = Config()
    report = span_ablation.report(c, planted(1, c))
    rows = {(row["where"].split(",")[0] if row["where"].startswith("centre") else row["where"], row["metric"]): row
            for row in report.rows}  # fmt: skip
    enduro = rows["centre: Enduro", "accuracy, closed form"]
    assert enduro[f"less {RANDOM}"].mean == pytest.approx(0.02 * np.log10(75) * 0.8, abs=0.003)
    assert rows["m = 8, K = 1, 1,024 features: all five games", "accuracy, closed form"][f"less {ROTATED}"] == ""
    assert rows["DQN network, no code: Pong", "points per game"]["canonical code"].mean == 62
    assert report.arrays["m8_k4_n1024_enduro"].shape == (len(CODES), len(gain.METRICS), 10)
    assert all(set(row) == set(report.rows[0]) for row in report.rows)


def test_what_is_recommended_was_not_chosen_by_the_games_that_measure_it():
    c = Config()
    cells = planted(1, c)
    before = gain.choices(cells.design, design.CHOOSING)
    assert [choice.metric for choice in before] == ["ridge", "mlp", "objects"]
    for (_, game), its in cells.design.items():
        if game in design.CONFIRMING:
            for cell in its:
                cell["codes"] = {code: {"ridge": 0.0, "places": [0.0], "speeds": [0.0]} for code in cell["codes"]}
    assert gain.choices(cells.design, design.CHOOSING) == before
    assert before[0].point.n_units == 1 and before[0].code == CANONICAL  # where the planted gain is largest
    assert all(choice.point.n_features <= design.MOST_RECOMMENDED for choice in before)


def test_the_report_chooses_by_the_choosing_games_alone():
    c = Config()
    cells = planted(1, c)

    def claims():
        verdicts = span_ablation.report(c, cells).verdicts
        return [verdict.claim for verdict in verdicts if verdict.id.startswith("recommended")]

    before = claims()
    for game in design.CONFIRMING:  # a code that any look at these games would choose
        for cell in cells.design[design.SIZES[0], game]:
            cell["codes"][POOLED] |= {"ridge": 9.0, "places": [9.0], "speeds": [9.0]}
    assert claims() == before and all("K = 1" in before[i] for i in (0, 2))


def test_cells_are_the_design_then_what_it_recommends_elsewhere_then_the_network():
    c = Config()
    its = planted(1, c)

    class Recorder:
        config, asked = c, []

        def cells(self, measure, arms):
            self.asked.append(arms)
            return its[len(self.asked) - 1]

    run = Recorder()
    assert span_ablation.cells(run) == its
    whole, more, networks = run.asked
    assert whole.keys() == its.design.keys() and more.keys() == its.more.keys()
    assert {len(settings) for key, settings in whole.items() if key[0] != CENTRE} == {c.seeds}
    assert {game for _, game in more} == set(design.CONFIRMING) and networks.keys() == set(design.CHOOSING)
    for (point, game), settings in (whole | more).items():
        assert all((s.point, s.game, s.n_frames) == (point, game, 60_000) for s in settings)
        assert [s.seed for s in settings] == list(range(len(settings)))


def test_of_codes_near_the_best_the_smallest_is_taken():
    def cell(value):
        return {"codes": {CANONICAL: {"ridge": value, "places": [value], "speeds": [value]}}}

    small, large = design.SIZES[0], design.SIZES[2]
    for gap, chosen in ((0.004, small), (0.006, large)):
        found = {(small, "pong"): [cell(0.8)], (large, "pong"): [cell(0.8 + gap)]}
        assert gain.choices(found, ["pong"])[0].point == chosen


def test_without_some_cells_verdicts_are_missing_and_the_report_stands():
    c = Config(games_asked=("pong",), most_features=1024)
    report = span_ablation.report(c, planted(1, c)._replace(networks={}))
    words = {verdict.id: verdict.verdict for verdict in report.verdicts}
    assert words["motion: ridge: random filters"] == words["features: ridge: random filters"] == "missing"
    assert words["recommended: ridge"] == "missing" and words["unit: ridge"] != "missing"
    assert any(note.startswith("Not measured") for note in report.notes)
    for draw in report.figures.values():
        draw()


def test_slopes_are_those_of_least_squares():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(3, 5)), rng.normal(size=(3, 5))
    assert np.allclose(gain.slopes(x, y), [np.polyfit(a, b, 1)[0] for a, b in zip(x, y, strict=True)])
    assert np.allclose(gain.slopes(x[0], y), [np.polyfit(x[0], b, 1)[0] for b in y])


def test_words_follow_verdicts():
    words = {"supported": "Yes", "refuted": "No", "undecided": "Open"}
    one, two = (gain._positive(str(i), "", np.full(5, 0.5) + np.arange(5) * i) for i in (0.1, 9))
    bad = gain._positive("bad", "", -np.arange(1, 6.0))
    assert advice.said([one], words, "x").startswith("Yes (x: 0.7")
    assert advice.said([bad], words, "x").startswith("No (x: ")
    assert "not everywhere" in advice.said([one, bad], words, "x") and two.verdict == "supported"


# --- one cell ---


def test_a_reading_is_ridge_regression_at_the_strength_that_validation_picks():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 12)).astype(np.float32)
    truth = x[:, :2] @ rng.normal(size=(2, 2)) + rng.normal(0, 0.5, (400, 2))
    classes = (x[:, 0] > 0.2).astype(int)
    split = probes.Split(*np.split(np.arange(400), [250, 300]))
    found = span_cells.read_out(x, truth, classes, 2, split)
    mean, deviation = x[:250].mean(axis=0), x[:250].std(axis=0)
    z = (x - mean) / deviation
    wanted = np.concatenate([truth, np.eye(2)[classes]], axis=1)
    middle, best = wanted[:250].mean(axis=0), []
    for strength in span_cells.STRENGTHS:
        loaded = z[:250].T @ z[:250] + strength * 250 * np.eye(12)
        predicted = z @ np.linalg.solve(loaded, z[:250].T @ (wanted[:250] - middle)) + middle
        best.append([(probes.r2(truth[s], predicted[s, :2]), np.mean(predicted[s, 2:].argmax(1) == classes[s]))
                     for s in (split.validation, split.test)])  # fmt: skip
    for q in range(2):
        chosen = max(best, key=lambda pair: pair[0][0][q])
        assert found.r2[q] == pytest.approx(chosen[1][0][q], abs=1e-4)
    assert found.accuracy == max(best, key=lambda pair: pair[0][1])[1][1]
    assert found.r2.min() > 0.5 and found.accuracy > 0.8


def test_the_moving_share_counts_pixels_within_games():
    frames = np.zeros((5, 2, 2), np.uint8)
    frames[1, 0, 0] = frames[3:] = 9  # a game begins at 3: that all pixels differ there does not count
    none = np.zeros(5, np.uint8)
    buffer = Buffer(frames, np.zeros((5, 128), np.uint8), none, none, np.zeros(5, np.float32), np.array([0, 3]))
    assert span_cells.moving_share(buffer) == pytest.approx((1 + 1 + 0) / (3 * 4))


@pytest.mark.parametrize("game", design.GAMES)
def test_objects_are_in_the_game_and_speeds_are_their_steps(game):
    task = TASKS[game]
    buffer = collect(task.experts[span_cells.EXPERTS[game]](), 300, 7, game, max_steps=150, **task.env)
    found = objects_of(game, buffer)
    assert found.truth.shape == (300, len(found.places) + len(found.speeds)) and found.there.mean() > 0.3
    assert np.isfinite(found.truth[found.there]).all() and not found.there[buffer.starts].any()
    for name, places in found.places.items():
        if f"{name}, speed" in found.speeds:
            its, there = found.speeds[f"{name}, speed"], np.flatnonzero(found.there)
            assert np.array_equal(its[there], places[there] - places[there - 1])
    with pytest.raises(ValueError, match="choose one of pong, breakout"):
        objects_of("chess", buffer)


def test_codes_share_the_fit_and_pca_is_pca():
    fitted = CENTRE.encoder().fit([FRAMES])
    assert CENTRE.code(CANONICAL, fitted, 0) is fitted
    assert np.array_equal(CENTRE.code(PCA, fitted, 0).filters_, resu_controls.temporal_pca(fitted).filters_)
    assert np.array_equal(CENTRE.code(ROTATED, fitted, 1).filters_, resu_controls.rotated(fitted, 1).filters_)
