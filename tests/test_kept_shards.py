"""Moments of finished shards are kept: nothing is counted twice, whatever ends, and nothing stale is taken."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from dask import distributed

import fit_encoder
import resu_files
import resu_sharding
import stage_io
import workers
from resu_conv import ReSUEncoder

OPTIONS = {"memory": 4, "horizon": 2, "n_units": 2, "grid": (2, 2)}
SRC = Path(resu_sharding.__file__).parent


@pytest.fixture
def paths(tmp_path) -> list[str]:
    """Two files of three episodes together."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        resu_files.write_npy(tmp_path / f"{name}.npy", rng.integers(0, 256, (70, 12, 10)).astype(np.uint8))
    resu_files.write_npz(tmp_path / "a.npz", starts=np.array([0, 33]))
    return [str(tmp_path / "a.npy"), str(tmp_path / "b.npy")]


@pytest.fixture
def counted(monkeypatch) -> list[resu_sharding.Shard]:
    """The shards that are counted from now on."""
    found: list[resu_sharding.Shard] = []
    count = resu_sharding._counted
    monkeypatch.setattr(resu_sharding, "_counted", lambda shard, *rest: found.append(shard) or count(shard, *rest))
    return found


def wanted(paths: list[str]) -> ReSUEncoder:
    a, b = (np.load(path) for path in paths)
    return ReSUEncoder(**OPTIONS).fit([a[:33], a[33:], b])


def test_what_was_counted_before_an_end_is_not_counted_again(paths, counted, tmp_path):
    keep = tmp_path / "kept ü"

    def ends(parts, n):
        for i, part in enumerate(parts):
            if i == 3:
                raise KeyboardInterrupt
            yield part

    with pytest.raises(KeyboardInterrupt):
        resu_sharding.fit(paths, shard=10, keep=keep, progress=ends, **OPTIONS)
    before = len(list(keep.iterdir()))
    assert 3 <= before == len(counted) < 14
    counted.clear()
    fitted = resu_sharding.fit(paths, shard=10, keep=keep, **OPTIONS)
    assert len(counted) == 14 - before and len(list(keep.iterdir())) == 14
    counted.clear()
    again = resu_sharding.fit(paths[::-1], shard=10, keep=keep, **OPTIONS)
    assert not counted
    for found in (fitted, again):
        assert found.moments_ == wanted(paths).moments_ and np.array_equal(found.filters_, wanted(paths).filters_)


def test_kept_moments_are_those_of_these_frames_and_options(paths, counted, tmp_path):
    fit = lambda **options: resu_sharding.fit(paths, shard=35, keep=tmp_path / "kept", **(OPTIONS | options))  # noqa: E731
    fit()
    for options, n in (({}, 0), ({"memory": 5}, 4), ({"horizon": 3}, 4), ({"center": False}, 4), ({"n_units": 1}, 0)):
        counted.clear()
        fit(**options)
        assert len(counted) == n, options
    counted.clear()
    resu_files.write_npz(tmp_path / "a.npz", starts=np.array([0, 34, 50]))  # other episodes
    a = np.load(paths[0])
    moved = ReSUEncoder(**OPTIONS).fit([a[:34], a[34:50], a[50:], np.load(paths[1])])
    assert fit().moments_ == moved.moments_ and len(counted) == 2
    counted.clear()
    resu_files.write_npy(paths[1], 255 - np.load(paths[1]))  # of the same size
    moved = ReSUEncoder(**OPTIONS).fit([a[:34], a[34:50], a[50:], np.load(paths[1])])
    assert fit().moments_ == moved.moments_ and len(counted) == 2


def test_a_damaged_file_of_moments_is_named(paths, tmp_path):
    resu_sharding.fit(paths, shard=35, keep=tmp_path / "kept", **OPTIONS)
    file = sorted((tmp_path / "kept").iterdir())[0]
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=f"{file.name} is damaged"):
        resu_sharding.fit(paths, shard=35, keep=tmp_path / "kept", **OPTIONS)


def test_a_shard_without_a_window_is_kept_too(paths, counted, tmp_path):
    for _ in range(2):
        fitted = resu_sharding.fit(paths[1], shard=66, keep=tmp_path / "kept", **OPTIONS)
        assert fitted.moments_ == ReSUEncoder(**OPTIONS).fit([np.load(paths[1])]).moments_
    assert len(counted) == 2


def test_a_scheduler_that_ends_costs_only_what_was_not_finished(paths, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(SRC))
    keep = tmp_path / "kept"

    def started() -> distributed.LocalCluster:
        return distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None)

    first = started()

    def ends() -> None:
        while not (keep.is_dir() and len(list(keep.glob("*.npz"))) > 3):
            time.sleep(0.01)
        first.close()

    thread = threading.Thread(target=ends)
    with pytest.raises((ConnectionError, ValueError)), workers.cluster(first.scheduler_address):
        thread.start()
        resu_sharding.fit(paths, shard=1, keep=keep, progress=lambda parts, n: map(slowly, parts), **OPTIONS)
    thread.join()
    before = {file.name: os.stat(file).st_mtime_ns for file in keep.glob("*.npz")}
    with started() as second, workers.cluster(second.scheduler_address):
        fitted = resu_sharding.fit(paths, shard=1, keep=keep, **OPTIONS)
    assert fitted.moments_ == wanted(paths).moments_ and 3 < len(before) <= 140
    assert {name: os.stat(keep / name).st_mtime_ns for name in before} == before
    assert len(list(keep.iterdir())) == 140  # nothing half written


def slowly(part):
    time.sleep(0.02)
    return part


def test_the_command_keeps_moments_of_buffers_and_says_that_clips_have_none(paths, counted, tmp_path, monkeypatch):
    monkeypatch.setattr(stage_io, "ROOT", tmp_path / "root")
    monkeypatch.chdir(tmp_path)
    words = ["a.npy", "b.npy", "--out", "e.npz", "--workers", "1", "--grid", "2", "2", "--keep", "kept"]
    for n in (2, 2):
        fit_encoder.STAGE.main(words)
        assert len(counted) == n
    with pytest.raises(ValueError, match="--keep is for buffers"):
        fit_encoder.STAGE.main([*words, "--size", "6", "6", "--force"])
