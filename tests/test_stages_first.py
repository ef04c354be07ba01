"""Every stage runs from nothing with --smoke, resumes, keeps to its own folders, and refuses bad input in one sentence.

The stages run in a copy of src/ in a temporary folder, so that nothing depends on what lies in data/ and results/.
"""

import json
import shutil
from collections.abc import Iterator

import numpy as np
import pytest

from stage_house import FIRST, SECOND, SRC, House, check_refusals, check_smoke
from test_layout import kind_of


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house")) as house:
        yield house


def test_every_stage_has_an_entry_in_the_record():
    stages = {path.stem for path in SRC.glob("*.py") if kind_of(path.stem) == "stage"}
    apart = {"report_results", "reproduce", "collect_natural_scenes", "watch"}  # the last two are for their user alone
    assert stages == {*FIRST, *SECOND, *apart}


@pytest.mark.parametrize("stage", FIRST)
def test_smoke(house, stage):
    check_smoke(house, stage)


def test_workers_give_the_same_bits_whatever_ends(house):
    found = json.loads((house.root / "results/smoke/bench_cluster.json").read_text())
    words = {verdict["id"]: verdict["verdict"] for verdict in found["verdicts"]}
    assert words["same bits"] == words["kept"] == "supported"
    cases = next(note for note in found["notes"] if "The same bits: " in note)
    for case in (
        "1 worker;",
        "2 workers;",
        "4 workers;",
        "4 workers, features",
        "a worker killed",
        "the next one went on",
    ):
        assert case in cases


def test_report_of_the_smoke_runs(house):
    done = house.run("report_results", "--smoke")
    assert done.returncode == 0, done.stderr
    smoke = house.root / "results" / "smoke"
    assert "|ReSU L1, MLP 256x2|" in (smoke / "stage_4a.md").read_text()
    assert "[4a]: stage_4a.md" in (smoke / "RESULTS.md").read_text()
    assert not (house.root / "RESULTS.md").exists() and not (house.root / "README.md").exists()


def test_gif_of_the_smoke_run_shows_a_moving_game(house):
    import imageio.v3 as iio

    frames = iio.imread(house.root / "results" / "smoke" / "media" / "demo_pong.gif")
    assert frames.shape[0] >= 10 and frames.shape[1] > 400 and frames.shape[2] > 400
    game = frames[:, :420, :320].astype(int)
    assert np.abs(np.diff(game, axis=0)).max() > 50  # something moves
    assert np.abs(game[0] - np.array([236, 236, 236])).sum(axis=-1).min() < 60  # the field's white lines
    maps = frames[:, :420, 326:].astype(int)
    assert (maps[..., 0] - maps[..., 2]).max() > 80 and (maps[..., 2] - maps[..., 0]).max() > 80  # ON and OFF colours


def test_a_rerun_takes_its_cells_from_disk(house):
    cells = {path: path.stat().st_mtime_ns for path in (house.root / "results/smoke/cells/clones").iterdir()}
    first = (house.root / "results/smoke/bc_pong.npz").read_bytes()
    done = house.run("bc_pong", "--smoke")
    assert done.returncode == 0 and "seed 0" not in done.stdout
    assert {path: path.stat().st_mtime_ns for path in (house.root / "results/smoke/cells/clones").iterdir()} == cells
    assert (house.root / "results/smoke/bc_pong.npz").read_bytes() == first


REFUSED = (
    ("bc_pong", ("--no-such-option",), 2, "no-such-option"),
    ("bc_pong", ("--expert", "perfect"), 2, "perfect"),
    ("bc_pong", ("--smoke", "--n-frames", "-5"), 1, "--n-frames must be at least 1, not -5"),
    ("bc_pong", ("--smoke", "--sticky", "2"), 1, "sticky must lie in"),
    ("bc_pong", ("--smoke", "--grid", "100", "8"), 1, "grid of (100, 8) cells does not fit"),
    (
        "bc_pong_eval",
        ("--smoke", "--expert", "winning"),
        1,
        "run python src/bc_pong.py --expert winning --dagger-rounds 5",
    ),
    ("collect_pong_buffer", ("many",), 2, "many"),
    ("demo_pong", ("--smoke", "--games", "0"), 1, "--games must be at least 1, not 0"),
    ("probe_deadleaves", ("--smoke", "--noise", "0.5", "0.05"), 1, "at least two levels in rising order"),
    ("probe_deadleaves", ("--smoke", "--r-max", "200"), 1, "r_max = 200.0 does not fit twice"),
    ("probe_deadleaves", ("--smoke", "--width", "150"), 1, "too short for a window"),
    ("probe_pong_pooled_action", ("--smoke", "--units", "100"), 1, "--units must be at most 48, 4 times --components"),
    ("depth_ablation_si", ("--smoke", "--grid", "7", "4"), 1, "--grid must be two even numbers"),
    ("collect_si_buffer", ("0", "--smoke"), 1, "--n-frames must be at least 1, not 0"),
)


def test_bad_options_end_in_one_sentence(house):
    check_refusals(house, REFUSED)


def test_a_truncated_buffer_is_refused_with_its_remedy(house):
    frames = next((house.root / "data/smoke").glob("pong_reactive_s0_*.npy"))
    whole = frames.read_bytes()
    frames.write_bytes(whole[: len(whole) // 2])
    shutil.rmtree(house.root / "results/smoke/cells/clones")
    done = house.run("bc_pong", "--smoke", "--rows", "resu ridge")
    assert done.returncode == 1 and done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "truncated" in done.stderr and "delete pong_reactive_s0" in done.stderr
    frames.write_bytes(whole)
