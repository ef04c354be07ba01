"""Cells resume, files are whole or absent, smoke runs keep to themselves, errors are one sentence."""

import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pytest

import resu_files
import stage_io
import workers
from stage_io import guard, parse_config

SRC = Path(stage_io.__file__).parent


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 5
    n_frames: int = 60_000
    smoke: bool = False


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(stage_io, "ROOT", tmp_path)
    return tmp_path


def test_options_from_the_command_line_and_smoke_defaults():
    smoke = {"seeds": 2, "n_frames": 100}
    assert parse_config(Config, [], smoke) == Config()
    assert parse_config(Config, ["--smoke"], smoke) == Config(2, 100, True)
    assert parse_config(Config, ["--smoke", "--n-frames", "7"], smoke) == Config(2, 7, True)
    for wrong in (["--sedes", "3"], ["--seeds", "many"]):
        with pytest.raises(SystemExit) as stopped:
            parse_config(Config, wrong)
        assert stopped.value.code == 2


def test_one_core_is_given_back():
    with workers.one_core(1):
        assert list(workers.in_order([joblib.delayed(os.getpid)()])) == [os.getpid()]
    assert list(workers.in_order([joblib.delayed(os.getpid)()] * 2)) != [os.getpid()] * 2


def test_guard_turns_bad_input_into_one_sentence(capsys):
    def main():
        raise ValueError("frames.npy is truncated: run python src/collect_pong_buffer.py")

    with pytest.raises(SystemExit) as stopped:
        guard(main)
    assert stopped.value.code == "error: frames.npy is truncated: run python src/collect_pong_buffer.py"


def test_no_file_is_left_or_overwritten_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "result.npz"
    resu_files.write_npz(path, a=np.arange(3))
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*result\.npz: No space left on device"):
        resu_files.write_npz(path, a=np.arange(9))
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["result.npz"]
    with pytest.raises(ValueError, match="Python objects"):
        resu_files.write_npz(path, a=np.array([object()]))


def test_equal_arrays_give_equal_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        resu_files.write_npz(tmp_path / name, compress=True, x=np.arange(100), y="text")
        time.sleep(0.01)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_pickle_is_never_loaded(tmp_path):
    np.savez(tmp_path / "evil.npz", a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"evil\.npz is damaged"):
        resu_files.read_npz(tmp_path / "evil.npz")
