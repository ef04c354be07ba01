"""The cloning table's verdicts on planted scores, and codes that are what their row says."""

import numpy as np
import pytest

import clone_cells
import figures
import player_cells
import resu_controls
import stats_ci
from atari_env import AtariEnv
from atari_play import Buffer
from players import TASKS
from resu_conv import ReSUEncoder


def cells(mean, seeds=6, games=8, accuracy=None):
    rng = np.random.default_rng(round(mean * 10) % 97)
    found = []
    for _ in range(seeds):
        cell = {"scores": (mean + rng.normal(0, 0.3, games)).tolist(), "lengths": [10] * games}
        found.append(cell if accuracy is None else {**cell, "accuracies": [0.1, accuracy]})
    return found


def verdicts(**means):
    planted = {row.replace("_", " "): cells(mean, accuracy=0.5) for row, mean in means.items()}
    table, found, _, arrays = clone_cells.tabulate(planted, 2.0, "planted")
    assert [row["policy"] for row in table] == [clone_cells.LABELS[row] for row in planted]
    assert arrays["resu_mlp"].shape == (6, 8) and table[-1]["validation accuracy"] == "0.500"
    return {row["claim"]: row["verdict"] for row in found}


def test_verdicts_follow_the_planted_differences():
    near = verdicts(random=-20, expert=-13, filters_mlp=-13.4, pca_mlp=-9, resu_mlp=-12.5)
    assert near["the clone is equivalent to its expert (within 2)"] == "equivalent"
    assert near["the clone is no worse than its expert by 2"] == "supported"
    assert near["ReSU L1 with an MLP scores above: random policy"] == "supported"
    assert near["ReSU L1 with an MLP scores above: temporal PCA, MLP 256x2"] == "refuted"
    far = verdicts(expert=10, resu_mlp=-12.5)
    assert far["the clone is equivalent to its expert (within 2)"] == "refuted"
    assert far["the clone is no worse than its expert by 2"] == "refuted"


def test_a_target_is_met_missed_or_open():
    assert clone_cells.judge_target(cells(50), 40)["verdict"] == "supported"
    assert clone_cells.judge_target(cells(30), 40)["verdict"] == "refuted"
    half = [{"scores": [mean]} for mean in (30, 50, 35, 46)]
    assert clone_cells.judge_target(half, 40)["verdict"] == "undecided"


def test_codes_are_what_their_row_says():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (60, 84, 84)).astype(np.uint8)
    zeros = np.zeros(60, np.uint8)
    buffer = Buffer(frames, np.zeros((60, 128), np.uint8), zeros, zeros, zeros.astype(np.float32), np.array([0]))

    def code(row):
        return clone_cells.make_code(row, buffer, 5, (4, 2), 8)

    plain = ReSUEncoder(grid=(4, 2)).fit(buffer.episode_frames())
    assert isinstance(code("raw mlp"), resu_controls.RawPixels)
    assert np.array_equal(code("resu linear").filters_, plain.filters_)
    assert np.array_equal(code("filters mlp").filters_, resu_controls.random_filters(plain, 5).filters_)
    assert np.array_equal(code("pca mlp").filters_, resu_controls.temporal_pca(plain).filters_)


def test_entries_name_every_expert_and_source():
    labels = [entry.label for entry in player_cells.entries("breakout", 0.25, 3, 1, max_steps=50)]
    assert labels[0] == "Breakout: random play"
    assert labels[1:] == [
        f"Breakout: {expert}, from {source}" for expert in TASKS["breakout"].experts for source in ("ram", "pixels")
    ]
    assert len(player_cells.entries("asteroids", 0.25, 3, 1)) == 3  # these see the memory alone


@pytest.mark.parametrize("which", [1, 2])
def test_a_cell_holds_scores_lengths_and_action_shares(which):
    entry = player_cells.entries("breakout", 0.25, 2, 1, max_steps=60)[which]
    cell = player_cells.measure(entry, 60_000)
    assert len(cell["scores"]) == entry.games and cell["lengths"] == [60] * entry.games
    names = AtariEnv("breakout").action_names
    assert cell["actions"].sum() == pytest.approx(1) and cell["actions"][names.index("FIRE")] == 0
    assert (entry.source, entry.games) == (("ram", 2), ("pixels", 1))[which - 1]


def test_a_player_that_dwarfs_the_others_gets_a_logarithmic_axis():
    rng = np.random.default_rng(0)
    for means, scale in (((0, 2000, 30, 120), "symlog"), ((-21, 18, -20, -13), "linear"), ((1, 9, 4, 5), "linear")):
        scores = [np.full(3, mean, float) for mean in means]
        estimates = [stats_ci.estimate(values, rng) for values in scores]
        figure = figures.score_intervals(list("abcd"), estimates, scores, "t", "x")
        (axes,) = figure.axes
        assert axes.get_xscale() == scale
        assert axes.get_xlim()[0] <= min(means) and axes.get_xlim()[1] >= max(means)
