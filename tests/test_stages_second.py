"""The second half of the stages: as test_stages_first.py, and they share what they trained."""

import shutil
from collections.abc import Iterator

import numpy as np
import pytest

from stage_house import SECOND, SRC, House, check_refusals, check_smoke


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house")) as house:
        done = house.run("bc_pong", "--smoke", "--rows", "resu mlp", "--seeds", "1")  # a clone for bench_play
        assert done.returncode == 0, done.stderr[-2000:]
        yield house


@pytest.mark.parametrize("stage", SECOND)
def test_smoke(house, stage):
    check_smoke(house, stage)


def test_stages_share_cells_and_a_rerun_computes_nothing(house):
    shelf = house.root / "results/smoke/cells/adaptation"
    cells = {path: path.stat().st_mtime_ns for path in shelf.iterdir()}
    heads = {path: path.stat().st_mtime_ns for path in (house.root / "data/smoke/heads").iterdir()}
    names = ("transfer_matrix", "transfer_forgetting", "bc_pong_cnn")
    arrays = {name: (house.root / f"results/smoke/{name}.npz").read_bytes() for name in names}
    for name in names:
        assert house.run(name, "--smoke").returncode == 0
        assert (house.root / f"results/smoke/{name}.npz").read_bytes() == arrays[name]
    assert {path: path.stat().st_mtime_ns for path in shelf.iterdir()} == cells
    assert {path: path.stat().st_mtime_ns for path in (house.root / "data/smoke/heads").iterdir()} == heads
    assert len([path for path in cells if "arm_native" in path.name]) == 5  # 2 seeds of Pong, 3 of Breakout


REFUSED = (
    ("bc_games", ("--smoke", "--game", "tetris"), 2, "tetris"),
    ("bc_games", ("--smoke", "--expert", "best"), 1, "choose one of tracking, predictive"),
    ("bc_breakout", ("--smoke", "--games", "0"), 1, "--games must be at least 1, not 0"),
    ("transfer_matrix", ("--smoke", "--games", "pong"), 1, "at least two different games"),
    ("transfer_matrix", ("--smoke", "--timescale", "0", "99999"), 1, "--timescale needs"),
    ("record_gameplay", ("--films", "enduro"), 1, "run python src/bc_games.py --game enduro"),
    ("record_gameplay", ("--smoke", "--seconds", "-1"), 1, "--seconds must be above 0"),
    ("eval_expert", ("--games", "breakout"), 2, "breakout"),
    ("record_gameplay", ("--smoke", "--expert", "best"), 1, "there is no clone pong_best: choose one of pong_reactive"),
    ("record_asteroids", ("--smoke", "--skip", "-1"), 1, "--skip not below 0"),
    ("probe_atariari", ("--smoke", "--games", "enduro"), 1, "among AtariARI's games: choose among asteroids, berzerk,"),
    ("probe_atariari", ("--smoke", "--steps", "300"), 1, "--steps must be at least 325, not 300"),
    ("bench_play", ("--smoke", "--clones", "pong_unknown"), 1, "there is no clone pong_unknown: choose one of"),
    ("bc_pong_cnn", ("--smoke", "--cnn-epochs", "0"), 1, "--cnn-epochs must be at least 1"),
    ("span_ablation", ("--smoke", "--most-features", "100"), 1, "--most-features must be at least 256"),
    ("ppo_pong", ("--smoke", "--start", "clone"), 1, "run python src/bc_pong.py --expert winning"),
)


def test_bad_options_end_in_one_sentence(house):
    check_refusals(house, REFUSED)


def test_ppo_goes_on_from_the_saved_clone(house):
    """While the critic alone learns, which is all of a smoke run, it plays as the clone does."""
    for file in (SRC.parent / "results" / "clones").glob("pong_winning_*"):
        shutil.copy(file, house.root / "results/smoke/clones")
    done = house.run("ppo_pong", "--smoke", "--start", "clone", "--games", "3", "--max-steps", "400")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "learning improves on the clone" in done.stdout
    with np.load(house.root / "results/smoke/ppo_pong.npz") as arrays:
        assert "scores_frames" not in arrays  # the smoke run's second view has no part in it
        learned, clone = arrays["scores_features"], arrays["scores_clone"]
    assert clone.shape == (2, 3) and np.unique(clone).size > 1 and np.array_equal(learned, clone)


def test_space_invaders_labels_lie_beside_the_frames(house):
    labels = np.load(house.root / "data/smoke/space_invaders_labels_s0_n2000.npz")
    frames = np.load(house.root / "data/smoke/space_invaders_random_s0_n2000.npy", mmap_mode="r")
    assert len(frames) == 2000 and labels["starts"][0] == 0
    for name in ("ship_x", "formation_x", "formation_y", "alive", "bullet_x", "bullet_y", "ufo_x", "lives", "score"):
        assert labels[name].shape == (2000,), name
    assert labels["enemy_bullet_x"].shape == labels["enemy_bullet_y"].shape == (2000, 2)
    for name in ("ship_x", "formation_x", "formation_y"):
        assert np.isfinite(labels[name]).all()
    for kind in ("bullet", "enemy_bullet"):
        absent = np.isnan(labels[f"{kind}_x"])
        assert 0.1 < absent.mean() < 0.9 and (absent == np.isnan(labels[f"{kind}_y"])).all()
    assert 0.5 < np.isnan(labels["ufo_x"]).mean() < 1
