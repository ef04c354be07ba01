"""Cells resume, are named by their setting and version, are measured again when a product is gone; reports are pure."""

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import joblib
import numpy as np
import pytest

import resu_files
import stage_io
import workers
from stage_report import Report, markdown_table, plain, shown, verdict_row
from stage_run import MissingCellError, Run, Stage, key_of, late, measured
from stage_scripts import script
from stats_ci import Estimate, Verdict

SRC = Path(stage_io.__file__).parent


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 5
    n_frames: int = 60_000
    smoke: bool = False


@dataclass(frozen=True)
class Setting:
    kind: str
    seed: int
    grid: tuple[int, int] = (16, 8)
    max_steps: int = late(27_000)


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(stage_io, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def calls() -> list:
    return []


@pytest.fixture
def measure(calls):
    @measured()
    def measure(run, setting):
        calls.append(setting)
        return {"score": np.float64(1.5), "list": np.arange(3)}

    return measure


def begin(**options) -> Run:
    return Run("src/bc_test.py", Config(**options))


def test_a_cell_is_measured_once_per_setting(root, calls, measure):
    for _ in range(2):
        assert begin().cell(measure, Setting("a", 0)) == {"score": 1.5, "list": [0, 1, 2]}
    assert len(calls) == 1
    run = begin()
    run.cell(measure, Setting("a", 1))
    run.cell(measure, Setting("b", 0))
    assert len(calls) == 3
    files = sorted((root / "results" / "cells" / "bc_test").iterdir())
    assert len(files) == 3
    document = json.loads(files[0].read_text())
    assert document["options"] == {"kind": "a", "seed": 0, "grid": [16, 8]}
    assert {"commit", "uncommitted", "versions", "hardware"} <= set(document["provenance"])


def test_every_field_and_the_version_name_a_cell(root, calls, measure):
    run, plain_setting = begin(), Setting("a", 0)
    for other in (plain_setting, replace(plain_setting, grid=(8, 8)), replace(plain_setting, max_steps=9)):
        run.cell(measure, other)
    assert len(calls) == 3
    vars(measure)["version"] = 2  # the same settings now give other numbers
    run.cell(measure, plain_setting)
    run.cell(measure, plain_setting)
    assert len(calls) == 4
    vars(measure)["version"] = 1
    run.cell(measure, plain_setting)
    assert len(calls) == 4


def test_a_late_field_does_not_rename_older_cells():
    @dataclass(frozen=True)
    class Before:
        kind: str
        seed: int

    @dataclass(frozen=True)
    class Recipe:
        rate: float = 0.1
        clip: float = late(0.0)

    @dataclass(frozen=True)
    class Now:
        kind: str
        seed: int
        label: str = field(default="", compare=False)  # for readers alone
        sticky: float = late(0.25)

    assert key_of(Now("a", 1, "any")) == key_of(Before("a", 1)) == {"kind": "a", "seed": 1}
    assert key_of(Now("a", 1, sticky=0.0)) == {"kind": "a", "seed": 1, "sticky": 0.0}
    assert key_of({"recipe": Recipe()}) == {"recipe": {"rate": 0.1}}


@measured()
def idle(run, setting):
    return 0


def test_a_cell_is_measured_again_when_its_product_is_gone(root, calls):
    product = root / "results" / "clone.npz"

    @measured()
    def measure(run, setting):
        calls.append(setting)
        resu_files.write_npz(product, a=np.arange(3))
        return len(calls)

    for _ in range(2):
        begin().cell(measure, Setting("a", 0), makes=[product])
    assert len(calls) == 1
    product.unlink()
    assert begin().cell(measure, Setting("a", 0), makes=[product]) == 2 and product.is_file()
    with pytest.raises(ValueError, match=r"nothing\.npz was to be made by this cell of bc_test\.py, and was not"):
        begin().cell(measure, Setting("b", 0), makes=[root / "nothing.npz"])
    with pytest.raises(ValueError, match=r"nothing\.npz was to be made by this cell"):
        begin().cells(idle, {"arm": [Setting("b", 0)]}, makes=lambda setting: [root / "nothing.npz"])
    assert not list((root / "results" / "cells" / "bc_test").glob("kind_b*"))


def test_a_fresh_cell_is_measured_in_every_run_and_kept(root, calls, measure):
    for _ in range(2):
        begin().cell(measure, Setting("a", 0), fresh=True)
    assert len(calls) == 2
    reading = Run("src/bc_test.py", Config(), reading=True)
    assert reading.cell(measure, Setting("a", 0), fresh=True)["score"] == 1.5 and len(calls) == 2


def test_reading_measures_nothing_and_names_what_is_missing(root, calls, measure):
    reading = Run("src/bc_test.py", Config(seeds=3), reading=True)
    with pytest.raises(MissingCellError, match=r"kind_a-seed_0-\w+\.json not found: run .*bc_test\.py --seeds 3"):
        reading.cell(measure, Setting("a", 0))
    with pytest.raises(MissingCellError):
        reading.cells(measure, {"arm": [Setting("a", 0)]})
    assert not calls and not (root / "results").exists()


def test_missing_cells_are_measured_side_by_side_and_kept_in_order(root):
    """In other processes, each told to keep to its core; those that have a file are not measured."""

    @measured()
    def look(run, setting):
        time.sleep(0.3 if setting.seed == 0 else 0)  # the later ones are ready first
        inner = list(workers.in_order(joblib.delayed(os.getpid)() for _ in range(3)))
        return {"seed": setting.seed, "process": os.getpid(), "inner": inner}

    run = begin()
    run.cell(look, Setting("b", 1))
    tasks = {arm: [Setting(arm, seed) for seed in range(2)] for arm in ("a", "b")}
    found = run.cells(look, tasks)
    assert [cell["seed"] for cell in found["a"]] == [0, 1] and found["b"][1]["process"] == os.getpid()
    for cell in (*found["a"], found["b"][0]):
        assert cell["process"] != os.getpid() and set(cell["inner"]) == {cell["process"]}
    assert begin().cells(look, tasks) == found
    document = json.loads(next((root / "results" / "cells" / "bc_test").glob("kind_a-seed_0*")).read_text())
    assert document["at_once"] == min(3, workers.n_cores()) and document["seconds"] >= 0.3
    cost = run._cost()
    assert cost["cells"] == 5 and cost["seconds_beside"] >= 0


def test_the_cost_counts_cells_of_earlier_runs_and_marks_uncommitted_ones(root, calls, measure):
    begin().cell(measure, Setting("a", 0))
    path = next((root / "results" / "cells").rglob("*.json"))
    document = json.loads(path.read_text())
    document["seconds"] = 100.0
    document["provenance"] |= {"commit": "abcdef0123456789", "uncommitted": True}
    path.write_text(json.dumps(document))
    again = begin()
    again.cell(measure, Setting("a", 0))
    again.cell(measure, Setting("a", 1))
    again.finish(Report([{"policy": "x"}]))
    cost = json.loads((root / "results" / "bc_test.json").read_text())["cost"]
    assert cost["cells"] == 2 and 100 <= cost["seconds_of_cells"] < 101 and cost["seconds_beside"] < 5
    assert "abcdef0123" in cost["commits"] and cost["uncommitted_cells"] >= 1


def test_a_failing_cell_leaves_nothing(root):
    @measured()
    def fail(run, setting):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        begin().cell(fail, Setting("a", 0))
    assert not list(root.rglob("*seed_0*")) and not list(root.rglob("*.tmp"))


def test_a_damaged_cell_is_named_with_its_remedy(root, measure):
    run = begin()
    run.cell(measure, Setting("a", 0))
    next((root / "results" / "cells" / "bc_test").iterdir()).write_text('{"result": ')
    with pytest.raises(ValueError, match=r"truncated or not JSON.*delete .* and run python src/bc_test\.py"):
        run.cell(measure, Setting("a", 0))


def test_smoke_writes_to_a_place_of_its_own(root, measure):
    real, smoke = begin(), begin(smoke=True)
    real.finish(Report([{"x": 1}], arrays={"values": np.arange(3)}))
    before = {path: path.read_bytes() for path in (root / "results").iterdir() if path.is_file()}
    smoke.cell(measure, Setting("a", 0))
    smoke.finish(Report([{"x": 2}], arrays={"values": np.arange(4)}))
    assert before == {path: path.read_bytes() for path in (root / "results").iterdir() if path.is_file()}
    assert {smoke.results, smoke.data, smoke.media} & {real.results, real.data, real.media} == set()
    assert (root / "results" / "smoke" / "bc_test.json").is_file()


HALF = Estimate(1.25, 0.5, 2.0, 5)


def test_finish_writes_numbers_and_prints_tables(root, capsys):
    begin().finish(
        Report(
            [{"policy": "clone", "score": HALF, "loss": 1.23456}],
            [Verdict("clone > 0", "it wins", HALF, "supported", 0.0)],
            notes=["a note"],
            arrays={"values": np.arange(3)},
            timings={"play": 1.234},
        )
    )
    document = json.loads((root / "results" / "bc_test.json").read_text())
    number = {"mean": 1.25, "low": 0.5, "high": 2.0, "n": 5}
    assert document["rows"] == [{"policy": "clone", "score": number, "loss": 1.23456}]
    assert document["verdicts"] == [
        {"id": "clone > 0", "claim": "it wins", "estimate": number, "verdict": "supported", "margin": 0.0, "n": 5}
    ]
    assert document["config"]["n_frames"] == 60_000 and document["timings"] == {"play": 1.23}
    assert resu_files.read_npz(root / "results" / "bc_test.npz")["values"].tolist() == [0, 1, 2]
    heard = capsys.readouterr().out
    assert "| clone  | 1.2 [0.5, 2.0] | 1.23 |" in heard and "| it wins | 1.2 [0.5, 2.0] | supported |" in heard
    assert "- a note" in heard and "supported" in (root / "results" / "bc_test.log").read_text()


def test_a_stage_rebuilds_its_result_from_the_cells_alone(root, calls, measure):
    def report(config, found):
        return Report([{"score": cell["score"], "seeds": config.seeds} for cell in found])

    def cells(run):
        return [run.cell(measure, Setting("a", seed)) for seed in range(run.config.seeds)]

    def check(config):
        if config.n_frames < 1:
            raise ValueError("--n-frames must be at least 1")

    stage = Stage("src/bc_test.py", Config, cells, report, smoke={"seeds": 2}, check=check)
    with pytest.raises(ValueError, match="at least 1"):
        stage.main(["--n-frames", "0"])
    assert not (root / "results").exists()
    stage.main(["--seeds", "2"])
    path = root / "results" / "bc_test.json"
    before, log = path.read_bytes(), path.with_suffix(".log").read_bytes()
    document = json.loads(before)
    path.write_text(json.dumps(document | {"rows": []}))
    stage.rebuild(["--seeds", "2"])
    assert path.read_bytes() == before and path.with_suffix(".log").read_bytes() == log and len(calls) == 2
    with pytest.raises(MissingCellError):
        stage.rebuild(["--seeds", "3"])
    assert path.read_bytes() == before


def test_values_as_tables_show_them():
    assert shown(plain(HALF)) == shown(HALF) == str(HALF) == "1.2 [0.5, 2.0]"
    alone = Estimate(0.5, float("nan"), float("nan"), 1)
    assert shown(plain(alone)) == str(alone) == "0.5 (n = 1, no interval)"
    assert shown({"noise .5": plain(HALF), "noise 5": 1.23456}) == "noise .5: 1.2 [0.5, 2.0]; noise 5: 1.23"
    assert shown(None) == "" and shown(3) == "3"
    assert verdict_row(Verdict("x", "c", 1.23456, "refuted")) == {
        "claim": "c",
        "estimate": "1.23",
        "verdict": "refuted",
    }
    assert markdown_table([{"a": 1, "bb": "x"}, {"a": 22.0}]).splitlines()[3] == "| 22 | missing |"
    assert markdown_table([]) == "(no rows)" and "a\\|b" in markdown_table([{"x": "a|b"}])
    assert markdown_table([{"|cosine|": 1}], compact=True).splitlines()[0] == "|\\|cosine\\||"
    assert plain({"a": np.nan, "b": (np.int64(3), Path("x"))}) == {"a": None, "b": [3, "x"]}


def test_a_stage_killed_in_the_middle_continues_with_whole_files(tmp_path):
    body = """
@measured()
def count(run, setting):
    time.sleep(0.15)
    print("computed", setting.seed, flush=True)
    return list(range(50_000))

run = Run("src/bc_killed.py", None)
for seed in range(6):
    run.cell(count, Setting(seed))
run.finish(Report([{"cells": 6}]))
"""
    command = script(tmp_path, body, "bc_killed")
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    seen = 0
    for line in first.stdout:
        seen += line.startswith("computed")
        if seen == 3:
            first.send_signal(signal.SIGKILL)
            break
    first.wait()
    first.stdout.close()
    cells = tmp_path / "results" / "cells" / "bc_killed"
    for path in cells.glob("*.json"):
        json.loads(path.read_text())
    finished = len(list(cells.glob("*.json")))
    second = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 2 <= finished <= 3
    assert second.stdout.count("computed") == 6 - finished
    assert (tmp_path / "results" / "bc_killed.json").is_file()


def test_a_cell_that_fails_beside_another_ends_the_stage_in_one_sentence(tmp_path):
    """Progress bars' locks in processes that are ended would be reported as leaked, after the sentence."""
    body = """
@measured()
def play(run, setting):
    for _ in workers.progress(range(2), f"seed {setting.seed}"):
        time.sleep(0.3)
    if setting.seed == 0:
        raise ValueError("no paddle here: choose another game")
    time.sleep(60)

stage_io.guard(lambda: Run("src/bc_failing.py", None).cells(play, {"arm": [Setting(0), Setting(1)]}))
"""
    command = script(tmp_path, body, "bc_failing")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("error: no paddle here: choose another game")
