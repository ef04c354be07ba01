"""Cells resume, files are whole or absent, smoke runs keep to themselves, errors are one sentence."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest

import resu_files
import stage_io
from stage_io import guard, markdown_table, parse_config, plain, start_run

SRC = Path(stage_io.__file__).parent


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 5
    n_frames: int = 60_000
    smoke: bool = False


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(stage_io, "ROOT", tmp_path)
    return tmp_path


def test_options_from_the_command_line_and_smoke_defaults():
    smoke = {"seeds": 2, "n_frames": 100}
    assert parse_config(Config, [], smoke) == Config()
    assert parse_config(Config, ["--smoke"], smoke) == Config(2, 100, True)
    assert parse_config(Config, ["--smoke", "--n-frames", "7"], smoke) == Config(2, 7, True)
    for wrong in (["--sedes", "3"], ["--seeds", "many"]):
        with pytest.raises(SystemExit) as stopped:
            parse_config(Config, wrong)
        assert stopped.value.code == 2


def test_a_cell_is_computed_once_per_options(root):
    calls = []

    def compute():
        calls.append(1)
        return {"score": np.float64(1.5), "list": np.arange(3)}

    for _ in range(2):
        run = start_run("src/bc_test.py", Config())
        assert run.cell(compute, kind="a", seed=0) == {"score": 1.5, "list": [0, 1, 2]}
    assert len(calls) == 1
    run.cell(compute, kind="a", seed=1)
    run.cell(compute, kind="b", seed=0)
    assert len(calls) == 3
    files = sorted((root / "results" / "cells" / "bc_test").iterdir())
    assert len(files) == 3
    document = json.loads(files[0].read_text())
    assert document["options"] == {"kind": "a", "seed": 0}
    assert {"commit", "uncommitted", "versions", "hardware"} <= set(document["provenance"])


def test_missing_cells_are_computed_side_by_side_and_kept_in_order(root):
    """In other processes, each told to keep to its core; those that have a file are not computed."""

    def look(seed):
        time.sleep(0.3 if seed == 0 else 0)  # the later ones are ready first
        inner = list(stage_io.in_order(joblib.delayed(os.getpid)() for _ in range(3)))
        return {"seed": seed, "process": os.getpid(), "inner": inner}

    run = start_run("src/bc_test.py", Config())
    run.cell(lambda: "known", arm="b", seed=1)
    tasks = {arm: [(partial(look, seed), {"arm": arm, "seed": seed}) for seed in range(2)] for arm in ("a", "b")}
    found = run.cells(tasks)
    assert [cell["seed"] for cell in found["a"]] == [0, 1] and found["b"][1] == "known"
    for cell in (*found["a"], found["b"][0]):
        assert cell["process"] != os.getpid() and set(cell["inner"]) == {cell["process"]}
    assert start_run("src/bc_test.py", Config()).cells(tasks) == found
    document = json.loads(next((root / "results" / "cells" / "bc_test").glob("arm_a-seed_0*")).read_text())
    assert document["at_once"] == min(3, stage_io.n_cores()) and document["seconds"] >= 0.3
    cost = run._cost()
    assert cost["cells"] == 5 and cost["seconds_beside"] >= 0


def test_no_process_outlives_a_stage_that_was_killed(tmp_path):
    """It would go on writing the checkpoints that the next run reads."""
    script = tmp_path / "stage.py"
    script.write_text(
        "import os, sys, time\n"
        f"sys.path.insert(0, {str(SRC)!r})\n"
        "import stage_io\n"
        f"stage_io.ROOT = stage_io.Path({str(tmp_path)!r})\n"
        "def compute():\n"
        f"    stage_io.Path({str(tmp_path)!r}, 'pid').write_text(str(os.getpid()))\n"
        "    time.sleep(120)\n"
        "stage_io.start_run('bc_test.py', None).cells({'a': [(compute, {'seed': i}) for i in range(2)]})\n"
    )
    stage = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pid = tmp_path / "pid"
    for _ in range(600):
        if pid.is_file() and pid.read_text():
            break
        time.sleep(0.1)
    worker = Path("/proc", pid.read_text())
    assert worker.is_dir()
    stage.kill()
    stage.wait()
    for _ in range(100):
        if not worker.is_dir():
            return
        time.sleep(0.1)
    os.kill(int(worker.name), signal.SIGKILL)
    pytest.fail("the worker went on")


def test_one_core_is_given_back():
    with stage_io.one_core(1):
        assert list(stage_io.in_order([joblib.delayed(os.getpid)()])) == [os.getpid()]
    assert list(stage_io.in_order([joblib.delayed(os.getpid)()] * 2)) != [os.getpid()] * 2


def test_a_failing_cell_leaves_nothing(root):
    run = start_run("src/bc_test.py", Config())
    with pytest.raises(ZeroDivisionError):
        run.cell(lambda: 1 / 0, seed=0)
    assert not list(root.rglob("*seed_0*")) and not list(root.rglob("*.tmp"))


def test_a_damaged_cell_is_named_with_its_remedy(root):
    run = start_run("src/bc_test.py", Config())
    run.cell(lambda: 1, seed=0)
    next((root / "results" / "cells" / "bc_test").iterdir()).write_text('{"result": ')
    with pytest.raises(ValueError, match=r"truncated or not JSON.*delete .* and run python src/bc_test\.py"):
        run.cell(lambda: 1, seed=0)


def test_smoke_writes_to_a_place_of_its_own(root):
    real, smoke = start_run("src/bc_test.py", Config()), start_run("src/bc_test.py", Config(smoke=True))
    real.finish([{"x": 1}], values=np.arange(3))
    before = {path: path.read_bytes() for path in (root / "results").iterdir() if path.is_file()}
    smoke.cell(lambda: 1, seed=0)
    smoke.finish([{"x": 2}], values=np.arange(4))
    assert before == {path: path.read_bytes() for path in (root / "results").iterdir() if path.is_file()}
    assert {smoke.results, smoke.data, smoke.media} & {real.results, real.data, real.media} == set()
    assert (root / "results" / "smoke" / "bc_test.json").is_file()


def test_finish_writes_table_verdicts_arrays_and_versions(root, capsys):
    run = start_run("src/bc_test.py", Config())
    run.timed("nothing", lambda: None)
    run.finish([{"policy": "clone", "score": 1.23456}], [{"claim": "c", "verdict": "supported"}], values=np.arange(3))
    document = json.loads((root / "results" / "bc_test.json").read_text())
    assert document["rows"] == [{"policy": "clone", "score": 1.23456}] and document["config"]["n_frames"] == 60_000
    assert resu_files.read_npz(root / "results" / "bc_test.npz")["values"].tolist() == [0, 1, 2]
    shown = capsys.readouterr().out
    assert "| clone  | 1.23  |" in shown and "supported" in shown
    assert "supported" in (root / "results" / "bc_test.log").read_text()


def test_markdown_and_plain():
    assert markdown_table([{"a": 1, "bb": "x"}, {"a": 22.0}]).splitlines()[3] == "| 22 | missing |"
    assert markdown_table([]) == "(no rows)"
    assert plain({"a": np.nan, "b": (np.int64(3), Path("x"))}) == {"a": None, "b": [3, "x"]}


def test_guard_turns_bad_input_into_one_sentence(capsys):
    def main():
        raise ValueError("frames.npy is truncated: run python src/collect_pong_buffer.py")

    with pytest.raises(SystemExit) as stopped:
        guard(main)
    assert stopped.value.code == "error: frames.npy is truncated: run python src/collect_pong_buffer.py"


def test_no_file_is_left_or_overwritten_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "result.npz"
    resu_files.write_npz(path, a=np.arange(3))
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*result\.npz: No space left on device"):
        resu_files.write_npz(path, a=np.arange(9))
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["result.npz"]
    with pytest.raises(ValueError, match="Python objects"):
        resu_files.write_npz(path, a=np.array([object()]))


def test_equal_arrays_give_equal_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        resu_files.write_npz(tmp_path / name, compress=True, x=np.arange(100), y="text")
        time.sleep(0.01)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_pickle_is_never_loaded(tmp_path):
    np.savez(tmp_path / "evil.npz", a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"evil\.npz is damaged"):
        resu_files.read_npz(tmp_path / "evil.npz")


KILLED_STAGE = """
import sys, time
from dataclasses import dataclass
sys.path.insert(0, {src!r})
import stage_io
from pathlib import Path
stage_io.ROOT = Path({root!r})

@dataclass(frozen=True)
class Config:
    seeds: int = 6
    smoke: bool = False

run = stage_io.start_run("src/bc_killed.py", Config())
for seed in range(6):
    def compute():
        time.sleep(0.15)
        print("computed", seed, flush=True)
        return list(range(50_000))
    run.cell(compute, seed=seed)
run.finish([{{"cells": 6}}])
"""


def test_a_stage_killed_in_the_middle_continues_with_whole_files(tmp_path):
    src = str(Path(stage_io.__file__).parent)
    script = tmp_path / "bc_killed.py"
    script.write_text(KILLED_STAGE.format(src=src, root=str(tmp_path)))
    first = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
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
    second = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert 2 <= finished <= 3
    assert second.stdout.count("computed") == 6 - finished
    assert (tmp_path / "results" / "bc_killed.json").is_file()


FAILING_STAGE = """
import sys, time
from dataclasses import dataclass
sys.path.insert(0, {src!r})
import stage_io
from pathlib import Path
stage_io.ROOT = Path({root!r})

@dataclass(frozen=True)
class Config:
    smoke: bool = False

def compute(seed):
    for _ in stage_io.progress(range(2), f"seed {{seed}}"):
        time.sleep(0.3)
    if seed == 0:
        raise ValueError("no paddle here: choose another game")
    time.sleep(60)

def main():
    run = stage_io.start_run("src/bc_failing.py", Config())
    run.cells({{"arm": [(lambda seed=seed: compute(seed), {{"seed": seed}}) for seed in (0, 1)]}})

stage_io.guard(main)
"""


def test_a_cell_that_fails_beside_another_ends_the_stage_in_one_sentence(tmp_path):
    """Progress bars' locks in processes that are ended would be reported as leaked, after the sentence."""
    script = tmp_path / "bc_failing.py"
    script.write_text(FAILING_STAGE.format(src=str(Path(stage_io.__file__).parent), root=str(tmp_path)))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=50)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("error: no paddle here: choose another game")
