"""What the library brings along when it is imported."""

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


def test_who_plays_does_without_torch():
    """Every process that plays a clone's games loads it first."""
    assert "torch" not in loaded_by("cloning") and "torch" in loaded_by("heads")


def test_a_heavy_module_would_be_seen():
    """Negative control."""
    assert "torch" in loaded_by("resu_torch") & HEAVY
