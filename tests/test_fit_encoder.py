"""Fitting from the command line: what is read, where it goes, and what is never replaced."""

import os
from pathlib import Path

import numpy as np
import pytest

import fit_encoder
import resu_files
import resu_sharding
import stage_io
from resu_conv import ReSUEncoder


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A working folder with buffers x/a.npy, x/b.npy and z/a.npy."""
    monkeypatch.setattr(stage_io, "ROOT", tmp_path / "root")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("x/a", "x/b", "z/a"):
        resu_files.write_npy(tmp_path / f"{name}.npy", rng.integers(0, 255, (60, 20, 16), np.uint8))
        resu_files.write_npz(tmp_path / f"{name}.npz", starts=np.array([0, 30]))
    return tmp_path


def run(*words: str) -> None:
    fit_encoder.STAGE.main([*words, "--workers", "1", "--grid", "2", "2"])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*.np[yz]")) if "root" not in path.parts}


def test_a_second_run_gives_the_same_and_reads_nothing_of_the_first(folder):
    run("x/*.npy", "--out", "x/e.npz", "--encode")
    first = contents(folder)
    assert {name for name in os.listdir("x") if "e" in name} == {"a_features.npy", "b_features.npy", "e.npz"}
    run("x/*.npy", "--out", "x/e.npz", "--encode")
    assert contents(folder) == first
    frames = [np.load("x/a.npy")[:30], np.load("x/a.npy")[30:], np.load("x/b.npy")[:30], np.load("x/b.npy")[30:]]
    wanted = ReSUEncoder(grid=(2, 2)).fit(frames)
    assert np.array_equal(ReSUEncoder.load("x/e.npz").filters_, wanted.filters_)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["x/a.npy", "z/a.npy", "--encode", "--out", "e.npz"], "would be written twice, for x/a.npy and for z/a.npy"),
        (["x/a.npy", "--out", "x/a.npz"], "x/a.npz belongs to a buffer"),
        (["x/a.npy", "--out", "x/a.npz", "--force"], "x/a.npz belongs to a buffer"),
        (["x/*.npy", "--out", "x/b.npy"], "x/b.npy belongs to a buffer"),
        (["x/a.npy", "--out", "link.npz"], "link.npz belongs to a buffer"),
        (["x/a.npy", "--out", "x/a_features.npy", "--encode"], "would be written twice"),
        (["x/a.npy", "x/other.npy", "--out", "e.npz"], "are the same file"),
        (["x/a.npy", "--out", "theirs.npz"], "theirs.npz is there and was not written by this command"),
        (["x/b.npy", "--out", "x/e.npz", "--encode"], "x/b_features.npy is there and was not written"),
        (["y/*.npy"], "no file matches"),
    ],
)
def test_nothing_of_value_is_replaced(folder, words, sentence):
    os.symlink("x/a.npz", "link.npz")
    if "x/other.npy" in words:
        os.link("x/a.npy", "x/other.npy")
    (folder / "theirs.npz").write_bytes(b"precious")
    (folder / "x" / "b_features.npy").write_bytes(b"precious")
    before = contents(folder)
    with pytest.raises(ValueError, match=sentence):
        run(*words)
    assert contents(folder) == before


def test_with_force_what_something_else_wrote_is_replaced(folder):
    (folder / "e.npz").write_bytes(b"old")
    run("x/a.npy", "--out", "e.npz", "--force")
    assert ReSUEncoder.load("e.npz").filters_.shape == (4, 8)
    resu_files.write_npz(folder / "e.npz", changed=np.arange(3))  # since then by somebody else
    with pytest.raises(ValueError, match="not written by this command"):
        run("x/a.npy", "--out", "e.npz")
    with pytest.raises(ValueError, match="not written by this command"):
        run("x/a.npy", "--out", "e.npz", "--memory", "6")


def test_a_buffer_named_like_features_is_read(folder):
    os.rename("x/b.npy", "x/a_features.npy")
    with pytest.raises(ValueError, match=r"x/a_features\.npy belongs to a buffer"):
        run("x/*.npy", "--out", "x/e.npz", "--encode")
    run("x/*.npy", "--out", "x/e.npz")
    assert fit_encoder.inputs(("x/*.npy",), "x/e.npz") == ("x/a.npy", "x/a_features.npy")


def test_features_do_not_replace_the_index_of_their_frames(folder):
    encoder = ReSUEncoder(grid=(2, 2)).fit([np.load("x/a.npy")])
    for target in ("x/a.npy", "x/a.npz", "link.npz"):
        if target == "link.npz":
            os.symlink("x/a.npz", target)
        with pytest.raises(ValueError, match="would replace its frames or their index"):
            resu_sharding.encode_file(encoder, "x/a.npy", target)
