"""The Python examples of README and USING run as printed, on a few frames: only the GPU and the lengths are changed."""

import re

import imageio.v3 as iio
import numpy as np
import pytest

import fit_encoder
import flock
import stage_io
from resu_conv import ReSUEncoder
from stage_io import ROOT

CHANGED = {
    '"torch:cuda"': '"torch:cpu"',
    "clip_rewards=True)).learn(100_000)": "True), n_steps=8, batch_size=32).learn(64)",
}
PAGES = {"README.md": 2, "USING.md": 10}  # with how many examples at least


@pytest.fixture
def known(tmp_path, monkeypatch):
    """What the examples take for granted."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frames = np.zeros((60, 84, 84), np.uint8)
    frames[:, 20:30, 20:30] = rng.integers(0, 3, (60, 10, 10), np.uint8)
    for name in ("a.npy", "b.npy"):
        np.save(name, frames)
    flock.write_video("walk.mp4", 0, 5, 30)
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "pictures").mkdir()
    for t in range(20):
        iio.imwrite(tmp_path / "pictures" / f"{t}.png", frames[t])
    return {
        "episodes": [frames, frames[:40]],
        "frames": frames,
        "observations": frames[:5],
        "restarted": np.zeros(5, bool),
        "chunk": frames[:30],
    }


def run_examples(page, known):
    """Every Python block of a page, in order, in one namespace."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert len(blocks) >= PAGES[page]
    for block in blocks:
        for old, new in CHANGED.items():
            block = block.replace(old, new)
        exec(block, known)


def test_the_examples_of_readme_run(known):
    run_examples("README.md", known)
    assert known["z"].shape == (10_000, 3, 8) and known["resu"].filters_.shape == (4, 8)
    assert known["features"].shape == (60, 1024) and known["later"].shape == (5, 1024)


def test_the_examples_of_using_run(known):
    text = (ROOT / "USING.md").read_text()
    for old in CHANGED:
        assert old in text, f"USING.md no longer has {old}"
    run_examples("USING.md", known)
    assert known["resu"].filters_.shape == (4, 8) and known["z"].shape == (10_000, 3, 8)
    assert (known["resu"].correlations_[:2] > 0.4).all() and (known["resu"].correlations_[2:] < 0.1).all()
    assert known["features"].shape == (60, 1024) and known["later"].shape == (5, 1024)
    assert known["deep"].upper_[0].correlations.shape == (8,)
    assert np.array_equal(known["restored"], known["scene"]) and (known["scale"] < 1).all()
    assert known["envs"].reset(seed=0)[0].shape == (8, 1024)
    assert np.load("a_features.npy").shape == (60, 1024)
    assert known["vectors"].filters_.shape == (16, 2, 64) and known["again"].moments_ == known["vectors"].moments_
    assert np.load("walk_features.npy").shape == (30, 1536) and len(known["brightness"]) == 1
    assert known["rows"].shape == (70, 927) and known["low_pass"].sum() > 5 * abs(known["derivative"].sum())
    assert 0.9 < known["wide"].explained_variance_share_ < 1


def test_the_command_for_a_video_runs_as_printed(tmp_path, monkeypatch, capsys):
    (line,) = re.findall(r"^    python (src/fit_encoder\.py .*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage_io, "ROOT", tmp_path / "root")
    flock.write_video("holiday.mp4", 0, 5, 40)
    fit_encoder.STAGE.main(line.split()[1:])
    encoder = ReSUEncoder.load("holiday.npz")
    assert encoder.correlations_[0] > 0.5 and np.load("holiday_features.npy").shape == (40, encoder.n_features)
    assert len(iio.imread("holiday.gif")) == 20
    assert "holiday.npz, holiday_features.npy, holiday.gif written" in capsys.readouterr().out
