"""The cloning table's verdicts on planted scores, and codes that are what their row says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import clone_cells
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
    report = clone_cells.report(planted, 2.0, "planted")
    assert [row["policy"] for row in report.rows] == [clone_cells.ARMS[row].label for row in planted]
    assert report.arrays["resu_mlp"].shape == (6, 8) and report.rows[-1]["validation accuracy"] == "0.500"
    assert len({verdict.id for verdict in report.verdicts}) == len(report.verdicts)
    return {verdict.claim: verdict.verdict for verdict in report.verdicts}


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
    def judged(cells):
        means = stats_ci.mean_over_games([cell["scores"] for cell in cells])
        return clone_cells.judge_target(means, 40).verdict

    assert judged(cells(50)) == "supported" and judged(cells(30)) == "refuted"
    assert judged([{"scores": [mean]} for mean in (30, 50, 35, 46)]) == "undecided"


def test_codes_are_what_their_row_says():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (60, 84, 84)).astype(np.uint8)
    zeros = np.zeros(60, np.uint8)
    buffer = Buffer(frames, np.zeros((60, 128), np.uint8), zeros, zeros, zeros.astype(np.float32), np.array([0]))

    def code(row):
        return clone_cells.make_code(clone_cells.ARMS[row], buffer, 5, (4, 2), 8)

    plain = ReSUEncoder(grid=(4, 2)).fit(buffer.episode_frames())
    assert isinstance(code("raw mlp"), resu_controls.RawPixels)
    assert code("pooled mlp").n_features == plain.n_features and code("pooled mlp").grid == (4, 2)
    assert np.array_equal(code("resu linear").filters_, plain.filters_)
    assert np.array_equal(code("filters mlp").filters_, resu_controls.random_filters(plain, 5).filters_)
    assert np.array_equal(code("pca mlp").filters_, resu_controls.temporal_pca(plain).filters_)


def test_a_lineup_names_every_expert_and_source():
    players = player_cells.lineup("breakout", 0.25, 3, 1, max_steps=50)
    assert players[0].label == "Breakout: random play"
    assert [player.label for player in players[1:]] == [
        f"Breakout: {expert}, from {source}" for expert in TASKS["breakout"].experts for source in ("ram", "pixels")
    ]
    assert len(player_cells.lineup("asteroids", 0.25, 3, 1)) == 3  # these see the memory alone


@pytest.mark.parametrize("which", [1, 2])
def test_a_cell_holds_scores_lengths_and_action_shares(which):
    player = replace(player_cells.lineup("breakout", 0.25, 2, 1, max_steps=60)[which], seed=60_000)
    cell = player_cells.measure(None, player)
    assert len(cell["scores"]) == player.games and cell["lengths"] == [60] * player.games
    names = AtariEnv("breakout").action_names
    assert cell["actions"].sum() == pytest.approx(1) and cell["actions"][names.index("FIRE")] == 0
    assert (player.source, player.games) == (("ram", 2), ("pixels", 1))[which - 1]


def test_the_first_seed_of_the_best_arm_is_kept_and_the_players_are_shared():
    options = dict(game="pong", expert="reactive", n_frames=9, games=1, sticky=0.25, dagger_rounds=0, dagger_frames=9,
                   epochs=1, grid=(4, 2), memory=8)  # fmt: skip
    asked = []

    class Planned:
        results = Path("results")

        def cell(self, measure, setting, makes=()):
            asked.append((measure, setting, makes))

    clone_cells.cells(Planned(), clone_cells.plan(["resu mlp", "expert"], [3, 4], **options))
    assert [measure for measure, *_ in asked] == [
        player_cells.measure, player_cells.measure, clone_cells.measure_and_save, clone_cells.measure,
    ]  # fmt: skip
    assert asked[0][1] == player_cells.Player(3, 1, "pong", "reactive")
    assert [path.name for path in asked[2][2]] == ["pong_reactive_encoder.npz", "pong_reactive_head.npz"]
    assert list(clone_cells.plan(["resu mlp", "pca mlp"], [0], **options | {"dagger_rounds": 2})) == ["resu mlp"]
