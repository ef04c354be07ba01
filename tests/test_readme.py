"""README's Python examples run as they are printed, on a few frames: only the GPU and the lengths are changed."""

import re

import numpy as np

from stage_io import ROOT

CHANGED = {
    '"torch:cuda"': '"torch:cpu"',
    "clip_rewards=True)).learn(100_000)": "True), n_steps=8, batch_size=32).learn(64)",
}


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frames = np.zeros((60, 84, 84), np.uint8)
    frames[:, 20:30, 20:30] = rng.integers(0, 3, (60, 10, 10), np.uint8)
    for name in ("a.npy", "b.npy"):
        np.save(name, frames)
    known = {
        "episodes": [frames, frames[:40]],
        "frames": frames,
        "observations": frames[:5],
        "restarted": np.zeros(5, bool),
        "chunk": frames[:30],
    }
    text = (ROOT / "README.md").read_text()
    for old in CHANGED:
        assert old in text, f"README.md no longer has {old}"
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 8
    for block in blocks:
        for old, new in CHANGED.items():
            block = block.replace(old, new)
        exec(block, known)
    assert known["resu"].filters_.shape == (4, 8) and known["z"].shape == (10_000, 3, 8)
    assert (known["resu"].correlations_[:2] > 0.4).all() and (known["resu"].correlations_[2:] < 0.1).all()
    assert known["features"].shape == (60, 1024) and known["later"].shape == (5, 1024)
    assert known["deep"].upper_[0].correlations.shape == (8,)
    assert known["envs"].reset(seed=0)[0].shape == (8, 1024)
    assert np.load("a_features.npy").shape == (60, 1024)
