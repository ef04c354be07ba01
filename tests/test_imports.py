"""What the library brings along when it is imported, and its docstrings' examples."""

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parent.parent / "src"
LIGHT = ["checks", "sums", "moments", "core", "conv", "streaming", "files", "sharding", "controls"]
HEAVY = {  # what takes long to load, or may not be there
    "torch", "dask", "distributed", "matplotlib", "tyro", "gymnasium", "ale_py", "cv2", "tqdm", "pandas",
    "stable_baselines3", "sklearn.linear_model", "sklearn.preprocessing", "sklearn.metrics", "sklearn.pipeline",
}  # fmt: skip
PROGRAM = "import sys; sys.path.insert(0, {src!r}); import {name}; print(*sys.modules)"


def loaded_by(name: str) -> set[str]:
    """The modules that a fresh process has loaded after one import."""
    program = PROGRAM.format(src=str(SRC), name=name)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("name", LIGHT)
def test_the_library_loads_nothing_heavy(name):
    assert loaded_by(f"resu_{name}") & HEAVY == set()


def test_moments_do_without_scikit_learn_and_the_core_loads_only_its_base():
    """That base itself loads sklearn.utils, SciPy's statistics and joblib: the core adds nothing to them."""
    assert not any(name.startswith("sklearn") for name in loaded_by("resu_moments"))
    extra = loaded_by("resu_core") - loaded_by("sklearn.base, scipy.linalg, numba")
    assert {name for name in extra if name.startswith(("sklearn", "scipy", "joblib"))} == set()


def test_a_heavy_module_would_be_seen():
    """Negative control."""
    assert "torch" in loaded_by("resu_torch") & HEAVY


@pytest.mark.parametrize("name", LIGHT)
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(f"resu_{name}")
    assert doctest.testmod(module).failed == 0


def test_the_core_has_examples():
    """Negative control: a doctest that is not found cannot fail."""
    found = [test for name in LIGHT for test in doctest.DocTestFinder().find(importlib.import_module(f"resu_{name}"))]
    having = {test.name for test in found if test.examples}
    assert {"resu_core.ReSU", "resu_core.canonical_directions", "resu_moments.LagMoments"} < having
    assert "resu_streaming.StreamingReSU" in having
