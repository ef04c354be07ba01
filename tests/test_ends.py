"""However a command ends (terminated, unheard, out of memory, on a full disk): a sentence, and nothing left behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import stage_io
from resu_conv import ReSUEncoder
from stage_scripts import script

SRC = Path(stage_io.__file__).parent
ROWS = """
def main():
    run = Run("bc_test.py", None)
    for i in range(20_000):
        run.log(f"row {i}") if i < 5 else print("row", i)
    for _ in workers.progress(range(3), "bar"):
        pass

stage_io.guard(main)
"""


WAITING = """
@measured()
def wait(run, setting):
    Path({root!r}, f"pid{{os.getpid()}}").touch()
    time.sleep(3600)

def wait_too(seed):
    wait(None, Setting(seed))
"""


def alive(pid: int) -> bool:
    status = Path("/proc", str(pid), "status")
    try:
        return "State:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    "what",
    [
        'Run("bc_test.py", None).cells(wait, {"a": [Setting(0), Setting(1)]})',
        "list(workers.in_order(joblib.delayed(wait_too)(seed) for seed in range(2)))",
    ],
    ids=["cells", "games"],
)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_a_stage(what, how, tmp_path):
    body = f"{WAITING.format(root=str(tmp_path))}\nstage_io.guard(lambda: {what})"
    stage = subprocess.Popen(script(tmp_path, body), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("pid*")):
        assert stage.poll() is None, "the stage ended before it measured"
        time.sleep(0.05)
    time.sleep(0.5)
    stage.send_signal(how)
    _, error = stage.communicate()
    assert stage.returncode == {signal.SIGTERM: 143, signal.SIGKILL: -9, signal.SIGINT: 130}[how]
    if how != signal.SIGKILL:
        assert error.splitlines()[-1] == stage_io.STOPPED and "Traceback" not in error
    pids = [int(path.name[3:]) for path in tmp_path.glob("pid*")]
    while any(alive(pid) for pid in pids):
        time.sleep(0.1)  # for ever, if one goes on


STUBBORN = """
def main():
    Path(stage_io.ROOT, "begun").touch()
    while True:
        try:
            time.sleep(3600)
        except BaseException:  # as a callback that may not fail does
            pass

stage_io.guard(main)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stage_ends_though_its_exception_is_lost(how, tmp_path):
    stage = subprocess.Popen(script(tmp_path, STUBBORN), stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
    stage.send_signal(how)
    _, error = stage.communicate()  # for ever, if it goes on
    assert stage.returncode == 128 + how and error.splitlines() == [stage_io.STOPPED]


def test_an_interrupt_lets_a_file_be_tidied_away(tmp_path):
    body = """
import resu_files

def write(file):
    Path(stage_io.ROOT, "begun").touch()
    time.sleep(3600)

stage_io.guard(lambda: resu_files.write_atomically(stage_io.ROOT / "out" / "whole.npy", write))
"""
    stage = subprocess.Popen(script(tmp_path, body), stderr=subprocess.DEVNULL)
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
    assert os.listdir(tmp_path / "out")  # half a file
    stage.send_signal(signal.SIGTERM)
    assert stage.wait() == 143 and os.listdir(tmp_path / "out") == []


def test_another_pipe_that_breaks_is_told(capsys):
    def broken():
        raise BrokenPipeError(32, "Broken pipe of somebody else")

    assert "Broken pipe of somebody else" in ending(broken, capsys)


def test_a_reader_who_has_seen_enough_ends_it_quietly(tmp_path):
    stage = subprocess.Popen(script(tmp_path, ROWS), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert stage.stdout is not None and stage.stderr is not None
    assert stage.stdout.readline().startswith("bc_test")
    stage.stdout.close()
    assert stage.stderr.read() == ""
    assert stage.wait() == 141
    stage.stderr.close()


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_are_no_streams(closed, tmp_path):
    """What would have been written to them goes nowhere: not into a file that was opened in their place."""
    command = " ".join([*(f"'{word}'" for word in script(tmp_path, ROWS)), closed])
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0 and "Error" not in done.stderr
    assert done.stdout.count("row") == (0 if "1>" in closed else 20_000)
    assert (tmp_path / "results" / "bc_test.log").read_text().count("row") == 5


def test_help_into_a_closed_pipe_is_quiet():
    stage = f"'{sys.executable}' '{SRC / 'bc_pong.py'}' --help"
    done = subprocess.run(["bash", "-c", f"{stage} | true; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True)
    assert done.stderr == "" and done.returncode in (0, 141)  # as soon as the reader is gone


def ending(main, capsys) -> str:
    with pytest.raises(SystemExit) as stopped:
        stage_io.guard(main)
    return str(stopped.value.code)


def test_too_little_memory_is_one_sentence(tmp_path, capsys):
    assert "not enough memory: Unable to allocate" in ending(lambda: np.empty(2**57), capsys)
    assert "not enough memory: " in ending(lambda: torch.empty(2**58), capsys)
    with pytest.raises(RuntimeError, match="a fault of ours"):

        def faulty():
            raise RuntimeError("a fault of ours")

        stage_io.guard(faulty)
    body = """
workers.n_cores = lambda: 2  # with one core a task runs in the process itself
def die(seed):
    os.kill(os.getpid(), 9)
stage_io.guard(lambda: list(workers.in_order(joblib.delayed(die)(seed) for seed in range(2))))
"""
    done = subprocess.run(script(tmp_path, body), capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: a process was ended from outside")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("device", ["foo", "meta", "cuda:99"])
def test_a_device_that_torch_lacks_is_one_sentence(device):
    frames = np.random.default_rng(0).integers(0, 256, (40, 6, 5), np.uint8)
    encoder = ReSUEncoder(memory=3, horizon=2, n_units=2, grid=(2, 2))
    with pytest.raises(ValueError, match=rf"torch cannot compute on the device '{device}' here"):
        encoder.fit(frames, method=f"torch:{device}")
    with pytest.raises(ValueError, match=rf"torch cannot compute on the device '{device}' here"):
        encoder.fit(frames).encode(frames, f"torch:{device}")


@dataclass(frozen=True)
class Options:
    alpha: float = 0.99
    epsilon: float = 0.01
    cnn_learning_rate: float = 1e-3


@pytest.mark.parametrize(
    "wrong", [{"alpha": 0.0}, {"alpha": 1.5}, {"epsilon": -0.1}, {"cnn_learning_rate": float("nan")}]
)
def test_numbers_that_no_stage_can_use_are_refused(wrong):
    name = next(iter(wrong)).replace("_", "-")
    stage_io.require_ranges(Options())
    with pytest.raises(ValueError, match=rf"--{name} must be a number from"):
        stage_io.require_ranges(Options(**wrong))


KERNELS = """
import sys; sys.path.insert(0, {src!r})
import numpy as np
from resu_core import ReSU
x = np.random.default_rng(0).integers(0, 255, (60, 5), np.uint8)
print(ReSU(memory=3, horizon=2, n_units=2).fit(x).correlations_.shape)
"""


def test_where_nothing_can_be_kept_everything_works_and_the_cure_is_named(tmp_path):
    """A checkout and a home in which no folder can be made, whoever one is."""
    library = tmp_path / "library"
    shutil.copytree(SRC, library, ignore=shutil.ignore_patterns("__pycache__"))
    (library / "__pycache__").touch()
    home = tmp_path / "home"
    home.touch()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA")}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", KERNELS.format(src=str(library))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout == "(2,)\n", done.stderr
    assert "NUMBA_CACHE_DIR" in done.stderr and done.stderr.count("compiled code cannot be kept") == 1
    kept = subprocess.run(
        command, capture_output=True, text=True, env=environment | {"NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    )
    assert kept.stderr == "" and list((tmp_path / "kept").rglob("*.nbi"))


LOWER = "from resu_numba import njit\n\n@njit()\ndef lower(x):\n    return x + {number}\n"
UPPER = "from lower_kernels import lower\nfrom resu_numba import njit\n\n@njit()\ndef upper(x):\n    return lower(x)\n"


def test_nothing_that_an_older_version_compiled_is_run(tmp_path):
    """A kernel holds a copy of one in another file: both are compiled anew when that file alone has changed."""
    shutil.copy(SRC / "resu_numba.py", tmp_path)
    (tmp_path / "upper_kernels.py").write_text(UPPER)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA")}
    for number in (1, 2, 2):
        (tmp_path / "lower_kernels.py").write_text(LOWER.format(number=number))
        code = "from upper_kernels import upper; print(upper(10), sum(upper.stats.cache_hits.values()))"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment
        )
        found = done.stdout.split()
        assert found[0] == str(10 + number), done.stderr
    assert found[1] == "1", "what was kept must be used where nothing has changed"


PLAIN = """
import sys; sys.path.insert(0, {src!r})
import numpy as np
from resu_conv import ReSUEncoder
frames = np.random.default_rng(0).integers(0, 3, (40, 12, 10), np.uint8)
encoder = ReSUEncoder(memory=4, horizon=4, n_units=4, grid=(3, 2)).fit([frames])
print(encoder.encode(frames, "events").tobytes().hex())
"""


def test_without_the_compiler_the_numbers_are_the_same():
    """NUMBA_DISABLE_JIT, by which kernels are debugged."""
    command = [sys.executable, "-c", PLAIN.format(src=str(SRC))]
    plain, compiled = (
        subprocess.run(command, capture_output=True, text=True, env=os.environ | {"NUMBA_DISABLE_JIT": off})
        for off in "10"
    )
    assert plain.stdout == compiled.stdout != "", plain.stderr
