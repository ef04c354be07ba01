"""The library as others get it: a wheel of the resu_* modules alone, in an empty environment, in another folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REQUIRED = ("numpy", "scipy", "numba", "llvmlite", "scikit-learn")
USED = """
import sys
import numpy as np
import resu_core
from resu_conv import ReSUEncoder
from resu_core import LagMoments, ReSU
from resu_streaming import StreamingReSU
from resu_vector import VectorMoments, VectorReSU

rng, t = np.random.default_rng(0), np.arange(600)[:, None]
x = np.sin(t / [5, 8, 13]) + 0.1 * rng.standard_normal((600, 3))
resu = ReSU(memory=6, horizon=3, n_units=2).fit(x[:400]).partial_fit(x[400:])
assert resu.transform(x).shape == (600, 3, 4)

vectors = VectorReSU(memory=3, horizon=2, n_units=2).fit(x)
vectors.save("vectors.npz")
assert np.array_equal(VectorReSU.load("vectors.npz").transform(x), vectors.transform(x))
shards = VectorMoments(3, 2).update(x[:300]), VectorMoments(3, 2).update(x[300:])
assert shards[0].merge(shards[1]).n_windows == 592
assert VectorReSU(n_components=2).fit(x).explained_variance_share_ < 1

frames = rng.integers(0, 256, (60, 12, 10)).astype(np.uint8)
encoder = ReSUEncoder(memory=4, horizon=2, n_units=2, grid=(3, 2)).fit([frames])
games = encoder.online(1)
online = np.concatenate([games.reset(frames[:1]), *(games.step(frames[i : i + 1]) for i in range(1, 60))])
assert np.array_equal(online, encoder.encode(frames))

pixels = frames.reshape(60, -1)
parts = LagMoments(4, 2, True).update(pixels[:20]), LagMoments(4, 2, True).update(pixels[15:])
assert parts[0].merge(parts[1]) == LagMoments(4, 2, True).update(pixels)
stream = StreamingReSU(memory=4, horizon=2, n_units=2, grid=(3, 2))
for chunk in (frames[:25], frames[25:]):
    stream.update(chunk)
assert np.array_equal(stream.refit().filters_, encoder.filters_)

encoder.save("encoder.npz")
assert np.array_equal(ReSUEncoder.load("encoder.npz").encode(frames), online)
deep = ReSUEncoder(memory=4, horizon=2, n_units=2, grid=(3, 2), n_layers=2, n_units2=2).fit([frames])
assert deep.encode(frames).shape == (60, 24)

for module, words in (("resu_torch", "PyTorch: pip install 'resu-features[torch]'"), ("resu_gym", "Gymnasium: pip"),
                      ("resu_sb3", "Stable-Baselines3: pip"), ("resu_video", "OpenCV, imageio and PyAV: pip")):
    try:
        __import__(module)
    except ImportError as error:
        assert f"{module} needs {words}" in str(error), error
    else:
        raise SystemExit(f"{module} was imported without its extra")
try:
    encoder.encode(frames, "torch")
except ImportError as error:
    assert "resu_torch needs PyTorch" in str(error)
else:
    raise SystemExit("torch was there")
print(resu_core.__version__, resu_core.__file__)
"""


def run(*words: object, **options: object) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, env=environment, **options)  # type: ignore
    assert done.returncode == 0, f"{words[:6]}: {done.stderr[-3000:]}{done.stdout[-1000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built in a copy: nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "src", folder / "copy" / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "copy")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, folder / "copy")
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_the_library_and_nothing_else(wheel):
    library = {path.name for path in (ROOT / "src").glob("resu_*.py")}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    assert names == library
    assert "License-Expression: MIT" in text and "Requires-Python: >=3.11" in text
    required = [
        line.split(": ")[1] for line in text.splitlines() if line.startswith("Requires-Dist") and ";" not in line
    ]
    assert sorted(word.split(">")[0] for word in required) == sorted(REQUIRED)
    assert {"torch", "gym", "sb3", "dask", "video", "url"} == {
        line.split(": ")[1] for line in text.splitlines() if line.startswith("Provides-Extra")
    }


def test_in_an_empty_environment_it_fits_streams_merges_encodes_and_saves(wheel, tmp_path):
    home, elsewhere = tmp_path / "empty", tmp_path / "another folder ü"
    elsewhere.mkdir()
    run(sys.executable, "-m", "venv", home)
    python = home / "bin" / "python"
    pinned = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    versions = tmp_path / "versions.txt"
    versions.write_text("\n".join(line for line in pinned if line.split("==")[0] in REQUIRED))
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", versions, wheel]
    done = subprocess.run([*map(str, install)], capture_output=True, text=True)
    words = " ".join(done.stderr.split())
    if done.returncode and ("Connection" in words or "No matching distribution" in words):
        pytest.fail(f"this test installs {', '.join(REQUIRED)} anew and needs a package index: {words[-200:]}", False)
    assert done.returncode == 0, words
    shown = run(python, "-c", USED, cwd=elsewhere).split(maxsplit=1)
    assert Path(shown[1].strip()).is_relative_to(home), shown
    assert shown[0] == wheel.name.split("-")[1]
