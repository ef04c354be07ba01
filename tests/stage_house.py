"""Stages run in a copy of src/ in a temporary folder, so that nothing depends on what lies in data/ and results/."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SRC = Path(__file__).resolve().parent.parent / "src"
# In running order: later ones read what earlier ones wrote. Two rows of houses, for two cores.
PROBING = (
    "collect_pong_buffer",
    "fit_encoder",
    "bc_pong",
    "bc_pong_eval",
    "record_gameplay",
    "demo_pong",
    "bench_core",
    "bench_layers",
    "bench_scale",
    "probe_deadleaves",
    "probe_pong",
    "probe_pong_velocity",
    "probe_pong_action",
    "asteroids_enduro_stress",
    "collect_si_buffer",
    "depth_ablation_si",
)
PLAYING = (
    "eval_expert",
    "eval_breakout_expert",
    "collect_si_expert_demos",
    "collect_asteroids_demos",
    "bc_games",
    "bc_breakout",
    "bc_pong_cnn",
    "transfer_matrix",
    "transfer_forgetting",
    "record_asteroids",
    "bench_play",
    "ppo_pong",
    "dqn_pong",
    "dqn_pong_warmstart",
)


def build(root: Path) -> Path:
    """An empty house: the sources and nothing else."""
    shutil.copytree(SRC, root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return root


def run_stage(house: Path, stage: str, *options: str) -> subprocess.CompletedProcess:
    return _run(house, str(house / "src" / f"{stage}.py"), *options)


def _run(house: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, *arguments]
    # One core each: beside another test on two cores more would wait for each other, and processes cost their start.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=house, env=environment, preexec_fn=keep_to_one_core
    )


def check_refusals(house: Path, cases: Sequence[tuple[str, tuple[str, ...], int, str]]) -> None:
    """Bad command lines (stage, options, exit status, what is said): each ends in its sentence, nothing is written."""
    before = written(house)
    words = json.dumps([(stage, *options) for stage, options, _, _ in cases])
    done = _run(house, str(Path(__file__).with_name("run_many.py")), str(house), words)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert len(found) == len(cases) > 0
    for (stage, options, status, message), (ended, heard) in zip(cases, found, strict=True):
        said = " ".join(heard.replace("│", " ").split())
        assert ended == status and message in said and "Traceback" not in said, (stage, options, ended, said)
    assert written(house) == before


def keep_to_one_core() -> None:
    """Each of pytest's workers has a core of its own, where the system can say so."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
        os.sched_setaffinity(0, {cores[worker % len(cores)]})


def written(house: Path) -> dict[Path, int]:
    """Everything a stage may write, logs apart, with the time of its last change."""
    folders = (house / "results", house / "data", house / "media")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".log"]
    return {path: path.stat().st_mtime_ns for path in files}


def check_smoke(house: Path, stage: str) -> None:
    """A smoke run ends well, writes the same arrays twice, and keeps to its own folders."""
    done = _run(house, str(Path(__file__).with_name("run_twice.py")), str(house), stage)
    assert done.returncode == 0, done.stderr[-2000:]
    document = json.loads((house / "results" / "smoke" / f"{stage}.json").read_text())
    assert document["rows"] and document["config"]["smoke"] is True
    assert (house / "results" / "smoke" / f"{stage}.log").is_file()
    assert "|" in done.stdout
    outside = [path for path in (house / "results").iterdir() if path.name != "smoke"]
    assert not outside and not (house / "media").exists()
    assert not list(house.rglob("*.tmp"))
