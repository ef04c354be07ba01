"""The stages that play run from nothing with --smoke, share what they trained, resume, and refuse bad input."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from stage_house import PLAYING, SRC, build, check_refusals, check_smoke, run_stage


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Path:
    house = build(tmp_path_factory.mktemp("house"))
    done = run_stage(house, "bc_pong", "--smoke", "--rows", "resu mlp", "--seeds", "1")  # a clone for bench_play
    assert done.returncode == 0, done.stderr[-2000:]
    return house


@pytest.mark.parametrize("stage", PLAYING)
def test_smoke(house, stage):
    check_smoke(house, stage)


def test_stages_share_cells_and_a_rerun_computes_nothing(house):
    shelf = house / "results/smoke/cells/adaptation"
    cells = {path: path.stat().st_mtime_ns for path in shelf.iterdir()}
    heads = {path: path.stat().st_mtime_ns for path in (house / "data/smoke/heads").iterdir()}
    names = ("bc_breakout", "transfer_matrix", "transfer_forgetting", "bc_pong_cnn")
    arrays = {name: (house / f"results/smoke/{name}.npz").read_bytes() for name in names}
    for name in names:
        assert run_stage(house, name, "--smoke").returncode == 0
        assert (house / f"results/smoke/{name}.npz").read_bytes() == arrays[name]
    assert {path: path.stat().st_mtime_ns for path in shelf.iterdir()} == cells
    assert {path: path.stat().st_mtime_ns for path in (house / "data/smoke/heads").iterdir()} == heads
    assert len([path for path in cells if "arm_native" in path.name]) == 4  # 2 games x 2 seeds, for four stages


REFUSED = (
    ("bc_games", ("--smoke", "--game", "tetris"), 2, "tetris"),
    ("bc_games", ("--smoke", "--expert", "best"), 1, "choose one of tracking, predictive"),
    ("bc_breakout", ("--smoke", "--games", "0"), 1, "--games must be at least 1, not 0"),
    ("transfer_matrix", ("--smoke", "--games", "pong"), 1, "at least two different games"),
    ("transfer_matrix", ("--smoke", "--timescale", "0", "99999"), 1, "--timescale needs"),
    ("record_gameplay", ("--films", "enduro"), 1, "run python src/bc_games.py --game enduro"),
    ("record_gameplay", ("--smoke", "--seconds", "-1"), 1, "--seconds must not be negative"),
    ("eval_expert", ("--games", "breakout"), 2, "breakout"),
    ("bench_play", ("--smoke", "--clones", "pong_unknown"), 1, "not found"),
    ("bc_pong_cnn", ("--smoke", "--cnn-epochs", "0"), 1, "--cnn-epochs must be at least 1"),
    ("ppo_pong", ("--smoke", "--start", "clone"), 1, "run python src/bc_pong.py --expert winning"),
)


def test_bad_options_end_in_one_sentence(house):
    check_refusals(house, REFUSED)


def test_ppo_goes_on_from_the_saved_clone(house):
    """While the critic alone learns, which is all of a smoke run, it plays as the clone does."""
    for file in (SRC.parent / "results" / "clones").glob("pong_winning_*"):
        shutil.copy(file, house / "results/smoke/clones")
    done = run_stage(house, "ppo_pong", "--smoke", "--start", "clone", "--games", "3", "--max-steps", "400")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "learning improves on the clone" in done.stdout
    with np.load(house / "results/smoke/ppo_pong.npz") as arrays:
        assert "scores_frames" not in arrays  # the smoke run's second view has no part in it
        learned, clone = arrays["scores_features"], arrays["scores_clone"]
    assert clone.shape == (2, 3) and np.unique(clone).size > 1 and np.array_equal(learned, clone)
