"""Recorded games: what is said of a buffer is what is in it; files that are gone are collected again."""

import numpy as np
import pytest

import collect_asteroids_demos
import collect_pong_buffer
import collect_si_buffer
import collect_si_expert_demos
import players
import stage_io
from atari_play import Buffer, buffer_name
from collect_cells import RANDOM, Recording, measure
from stage_run import Run

FOUND = {"frames": 7, "games": 2, "score": 1.25, "actions": {"NOOP": 0.75, "FIRE": 0.25}, "changed": 0.01234,
         "seconds": 3.0}  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(stage_io, "ROOT", tmp_path)
    return Run("collect_si_buffer.py", collect_si_buffer.Config(n_frames=600, seed=5))


def test_a_buffer_is_described_by_what_lies_in_its_files(run):
    recording = Recording("space_invaders", RANDOM, 900, 3, sticky=0.0)
    found = measure(run, recording)
    assert all(path.is_file() for path in recording.files(run.data))
    assert recording.files(run.data)[0].name == "space_invaders_random_sticky0_s3_n900.npy"
    frames, table = np.load(recording.files(run.data)[0]), np.load(recording.files(run.data)[1])
    changed = np.mean([np.mean(a != b) for a, b in zip(frames[1:], frames[:-1], strict=True)])
    assert found["frames"] == len(frames) == 900 and found["games"] == len(table["starts"])
    assert sum(found["actions"].values()) == pytest.approx(1)
    assert found["changed"] == pytest.approx(changed, rel=0.4)  # of 64 steps
    whole = slice(0, table["starts"][-1])
    scores = table["rewards"][whole].sum() / max(len(table["starts"]) - 1, 1)
    assert found["games"] > 1 and found["score"] == pytest.approx(scores)


def test_names_hold_the_options_that_are_not_the_usual_ones():
    assert buffer_name("pong", "random") == "pong_random"
    assert buffer_name("pong", "random", sticky=0.0, max_steps=50) == "pong_random_max_steps50_sticky0"
    folder = stage_io.ROOT / "data"
    files = Recording("pong", RANDOM, 60_000, 2).files(folder)
    assert [path.name for path in files] == ["pong_random_s2_n60000.npy", "pong_random_s2_n60000.npz"]


def test_what_is_gone_is_collected_again_and_nothing_else(run):
    buffer, labels = collect_si_buffer.cells(run)
    files = [
        *Recording("space_invaders", RANDOM, 600, 5).files(run.data),
        collect_si_buffer.Labels(600, 5).path(run.data),
    ]
    before = [path.stat().st_mtime_ns for path in files]
    content = [path.read_bytes() for path in files]
    assert collect_si_buffer.cells(run) == (buffer, labels)
    assert [path.stat().st_mtime_ns for path in files] == before
    files[2].unlink()
    assert collect_si_buffer.cells(run) == (buffer, labels)
    after = [path.stat().st_mtime_ns for path in files]
    assert after[:2] == before[:2] and after[2] > before[2]
    files[0].unlink()
    files[1].unlink()
    again, _ = collect_si_buffer.cells(run)
    assert {**again, "seconds": 0} == {**buffer, "seconds": 0}
    assert [path.read_bytes() for path in files] == content


def test_frames_without_their_table_are_collected_anew(run):
    recording = Recording("pong", RANDOM, 300, 1)
    config = collect_pong_buffer.Config(300, 1)
    run = Run("collect_pong_buffer.py", config)
    first = collect_pong_buffer.cells(run)
    content = [path.read_bytes() for path in recording.files(run.data)]
    for path in recording.files(run.data)[1:]:
        path.unlink()
    assert collect_pong_buffer.cells(run)["changed"] == first["changed"]
    assert [path.read_bytes() for path in recording.files(run.data)] == content


def test_reports_need_cells_alone():
    (row,) = collect_pong_buffer.report(collect_pong_buffer.Config(), FOUND).rows
    assert row == {"frames": 7, "games": 2, "mean score of whole games": 1.25, "pixels changed per step": "1.23 %",
                   "seconds": 3.0}  # fmt: skip
    shares = {"ship": 1.0, "saucer": 0.0871}
    (row,) = collect_si_buffer.report(collect_si_buffer.Config(), (FOUND, shares)).rows
    assert row["ship"] == "100.0 %" and row["saucer"] == "8.7 %"
    assert list(row)[:4] == ["frames", "games", "mean score of whole games", "ship"]
    for stage in (collect_asteroids_demos, collect_si_expert_demos):
        (row,) = stage.report(stage.Config(), FOUND).rows
        assert row == {"frames": 7, "games": 2, "mean score of whole games": "1.2", "actions": "NOOP 0.75, FIRE 0.25"}
        (row,) = stage.report(stage.Config(), {**FOUND, "score": None}).rows
        assert row["mean score of whole games"] == "no game is whole"


def test_a_buffer_is_the_one_that_others_read(run):
    recording = Recording("space_invaders", "dodging", 200, 4)
    recording.buffer(run.data)
    assert all(path.is_file() for path in recording.files(run.data))
    frames = recording.files(run.data)[0]
    changed = frames.stat().st_mtime_ns
    other = players.demonstrations(run.data, "space_invaders", "dodging", 200, 4)
    assert frames.stat().st_mtime_ns == changed and len(other) == 200
    assert Buffer.files(frames.with_suffix("")) == recording.files(run.data)
