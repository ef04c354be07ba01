"""The house: imports only go down, stages never import stages, every module says what it holds."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import report_tree

SRC = Path(__file__).resolve().parent.parent / "src"
ROOT = SRC.parent
ALLOWED = {  # kind: the kinds that it may import
    "library": {"library"},
    "tool": {"library", "tool"},
    "cells": {"library", "tool", "cells"},
    "report": {"library", "tool", "report"},
    "stage": {"library", "tool", "cells", "report"},
}


def kind_of(name: str) -> str:
    """Games and tools share a floor; who says what to run may read the record, which is names and commands alone."""
    kind = report_tree.kind_of(SRC / f"{name}.py")
    return "tool" if kind == "game" or name in ("report_step", "report_steps") else kind


ONLY_HOME = {
    "matplotlib": {"figures", "figures_claims", "figures_curves", "figures_rows"},
    "gymnasium": {"atari_env", "resu_gym", "resu_sb3"},
    "ale_py": {"atari_env"},
    "numba": {"resu_numba", "resu_event_kernels"},
    "llvmlite": {"resu_event_kernels"},
}
MODULES = sorted(path.stem for path in SRC.glob("*.py"))


def imports_of(name: str) -> set[str]:
    tree = ast.parse((SRC / f"{name}.py").read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("name", MODULES)
def test_imports_only_go_down(name):
    for other in imports_of(name) & set(MODULES):
        assert kind_of(other) in ALLOWED[kind_of(name)], f"{name} ({kind_of(name)}) imports {other} ({kind_of(other)})"


def test_no_imports_go_in_a_circle():
    graph = {name: imports_of(name) & set(MODULES) for name in MODULES}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("name", MODULES)
def test_libraries_stay_in_their_only_home(name):
    for library, homes in ONLY_HOME.items():
        assert library not in imports_of(name) or name in homes
    assert name not in sys.stdlib_module_names and name not in {"resu", "torch", "numpy", "utils"}


@pytest.mark.parametrize("name", MODULES)
def test_headers_say_what_lives_there(name):
    tree = ast.parse((SRC / f"{name}.py").read_text())
    text = ast.get_docstring(tree) or ""
    assert len(text) > 40
    if kind_of(name) == "stage":
        for word in ("Run ", "--smoke", "Writes", f"python src/{name}.py"):
            assert word in text, f"the header of {name} lacks {word!r}"
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{name}.{node.name} has no docstring"


@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_computed_at_import(name):
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.Expr, ast.If)
    for node in ast.parse((SRC / f"{name}.py").read_text()).body:
        extras = isinstance(node, ast.Try) and all(isinstance(it, (ast.Import, ast.ImportFrom)) for it in node.body)
        assert isinstance(node, allowed) or extras
        if isinstance(node, ast.If):
            assert "__main__" in ast.dump(node.test)


def test_top_level_is_the_design_card():
    for name in ("src", "tests", "data", "results", "media", "ReSU", "PLAN.md", "RESULTS.md", "README.md", "LICENSE"):
        assert (ROOT / name).exists(), name
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        assert not line.strip() or line.startswith("#") or "==" in line, f"unpinned: {line}"


def test_git_ignores_data_and_clones_but_keeps_their_readmes():
    done = subprocess.run(
        [
            "git",
            "check-ignore",
            "data/x.npy",
            "ReSU/code/a.py",
            "results/smoke/x.json",
            "data/README.md",
            "ReSU/README.md",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if "not a git repository" in done.stderr:
        pytest.fail("the tests run in a git checkout")
    assert done.stdout.split() == ["data/x.npy", "ReSU/code/a.py", "results/smoke/x.json"]


def test_nothing_is_parallel_but_python_threads():
    """Numba's own threads (GNU OpenMP) do not survive a fork and spin while they wait: resu_threads.py has ours."""
    for name in MODULES:
        for node in ast.walk(ast.parse((SRC / f"{name}.py").read_text())):
            words = {getattr(node, field, None) for field in ("id", "attr", "arg", "name")}
            assert not words & {"prange", "parallel_chunksize"}, name
            if isinstance(node, ast.Call) and "njit" in ast.dump(node.func):
                assert not any(keyword.arg == "parallel" for keyword in node.keywords), name


@pytest.mark.parametrize("path", sorted([*SRC.glob("*.py"), *Path(__file__).parent.glob("*.py")]), ids=lambda p: p.stem)
def test_nothing_is_too_long_to_read(path):
    text = path.read_text()
    assert text.count("\n") <= 400, f"{path.name} has {text.count(chr(10))} lines: split it by noun"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= 60, f"{path.name}: {node.name} has {lines} lines"


@pytest.mark.parametrize("name", [name for name in MODULES if name.endswith("_kernels")])
def test_kernels_take_few_arguments(name):
    """By position they are kept in step by hand: at most 8."""
    for node in ast.walk(ast.parse((SRC / f"{name}.py").read_text())):
        if isinstance(node, ast.FunctionDef):
            assert len(node.args.args) <= 8, f"{name}.{node.name} takes {len(node.args.args)} arguments"
