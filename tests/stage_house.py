"""Stages run in a copy of src/ in a temporary folder, so that nothing depends on what lies in data/ and results/.

One warm process runs a house's stages one after the other: the libraries are imported, and kernels compiled, once.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

import report_steps

SRC = Path(__file__).resolve().parent.parent / "src"
TIMINGS = ("seconds", "minutes", "rates", "times")  # how arrays of measured times are named
FOLDERS = ("results", "data", "media")
_ORDER = tuple(dict.fromkeys(step.script for step in report_steps.STEPS))  # later ones read what earlier ones wrote
_HALF = _ORDER.index("bc_pong_cnn")
FIRST, SECOND = _ORDER[:_HALF], _ORDER[_HALF:]  # two rows of houses, for two cores
TWICE = (
    "bc_pong",
    "record_gameplay",
    "probe_pong_action",
    "transfer_forgetting",
    "ppo_pong",
)  # from nothing again, same bytes


class Done(NamedTuple):
    """What became of a command."""

    returncode: int
    stdout: str
    stderr: str


class House:
    """An empty house, the sources and nothing else, and the process that runs its stages."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(SRC, root / "src", ignore=shutil.ignore_patterns("__pycache__"))
        (SRC / "__pycache__").mkdir(
            exist_ok=True
        )  # files keep their times, so that what was compiled there serves here
        (root / "src" / "__pycache__").symlink_to(SRC / "__pycache__", target_is_directory=True)
        (root / "data").mkdir()
        shutil.copy(SRC.parent / "data" / "natural_scenes.npz", root / "data")  # it comes with the project

    def __enter__(self) -> Self:
        # One core each: beside another test on two cores more would wait for each other, and processes cost time.
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("run_many.py")), str(self.root)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=self.root, env=environment,
            preexec_fn=keep_to_one_core,
        )  # fmt: skip
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()

    def run(self, *words: str) -> Done:
        """A stage and its options, as typed."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(words), file=self._process.stdin, flush=True)
        return Done(*json.loads(self._process.stdout.readline()))

    def files(self) -> set[Path]:
        """Everything that stages wrote."""
        return {path for folder in FOLDERS for path in (self.root / folder).rglob("*") if path.is_file()}

    def times(self) -> dict[Path, int]:
        """Everything that stages wrote, logs apart, with the time of its last change."""
        return {path: path.stat().st_mtime_ns for path in self.files() if path.suffix != ".log"}


def keep_to_one_core() -> None:
    """Each of pytest's workers has a core of its own, where the system can say so."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
        os.sched_setaffinity(0, {cores[worker % len(cores)]})


def check_refusals(house: House, cases: Sequence[tuple[str, tuple[str, ...], int, str]]) -> None:
    """Bad command lines (stage, options, exit status, what is said): each ends in its sentence, nothing is written."""
    before = house.times()
    for stage, options, status, message in cases:
        done = house.run(stage, *options)
        said = " ".join(done.stderr.replace("│", " ").split())
        assert done.returncode == status and message in said and "Traceback" not in said, (stage, options, said)
    assert house.times() == before


def check_smoke(house: House, stage: str) -> None:
    """A smoke run ends well, keeps to its own folders and, for some, writes the same bytes again from nothing."""
    before = house.files()
    done = house.run(stage, "--smoke")
    assert done.returncode == 0, done.stderr[-2000:]
    written = house.files() - before
    smoke = house.root / "results" / "smoke"
    document = json.loads((smoke / f"{stage}.json").read_text())
    assert document["rows"] and document["config"]["smoke"] is True
    assert (smoke / f"{stage}.log").is_file() and "|" in done.stdout
    outside = [path for path in (house.root / "results").iterdir() if path.name != "smoke"]
    assert not outside and not (house.root / "media").exists()
    assert not list(house.root.rglob("*.tmp"))
    if stage in TWICE:
        _check_the_same_again(house, stage, written)


def _check_the_same_again(house: House, stage: str, written: set[Path]) -> None:
    first, before = contents(written), house.files() - written
    for path in written:
        path.unlink()
    house.run("forget")
    assert house.run(stage, "--smoke").returncode == 0
    second = contents(house.files() - before)
    assert first.keys() == second.keys(), first.keys() ^ second.keys()
    differ = [f"{path.name} {name}" for (path, name), value in first.items() if value != second[path, name]]
    assert first and not differ, f"not the same in two runs: {differ}"


def contents(paths: set[Path]) -> dict[tuple[Path, str], bytes]:
    """The bytes of every array and picture, measured times apart."""
    found = {}
    for path in paths:
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                for name in arrays.files:
                    if not name.startswith(TIMINGS):
                        found[path, name] = arrays[name].tobytes()
        elif path.suffix in (".npy", ".gif") and not path.stem.endswith("_record"):  # of a head: its seconds
            found[path, ""] = path.read_bytes()
    return found
