"""Beyond memory and beyond one machine: shards, files read in blocks, workers that die; always the same bits."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from dask import distributed

import atari_play
import fit_encoder
import resu_files
import resu_sharding
import stage_io
import workers
from resu_conv import ReSUEncoder
from resu_moments import LagMoments
from resu_sharding import FrameFile, Shard

OPTIONS = {"memory": 4, "horizon": 3, "n_units": 2, "grid": (3, 4)}
SRC = Path(__file__).resolve().parent.parent / "src"


def recorded(folder, seed, lengths, shape=(10, 12)):
    """A buffer of several episodes on disk, and its episodes."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 4, (sum(lengths), *shape), np.uint8).cumsum(axis=0, dtype=np.uint8)
    path = folder / f"game{seed}.npy"
    resu_files.write_npy(path, frames)
    starts = np.cumsum([0, *lengths[:-1]])
    resu_files.write_npz(path.with_suffix(".npz"), starts=starts)
    return path, np.split(frames, starts[1:])


@pytest.fixture
def buffers(tmp_path):
    made = [recorded(tmp_path, 0, [40, 3, 90, 7]), recorded(tmp_path, 1, [61])]
    return [path for path, _ in made], [episode for _, episodes in made for episode in episodes]


@pytest.mark.parametrize("shard", [1, 5, 38, 39, 40, 41, 1000])
def test_any_shards_give_the_fit_on_all_episodes(buffers, shard, monkeypatch):
    paths, episodes = buffers
    monkeypatch.setattr(resu_sharding, "BLOCK", 16)
    wanted = ReSUEncoder(**OPTIONS).fit(episodes)
    found = resu_sharding.fit(paths, shard=shard, **OPTIONS)
    assert found.moments_ == wanted.moments_ and found.moments_.exact
    assert np.array_equal(found.filters_, wanted.filters_) and np.array_equal(found.mean_, wanted.mean_)


def test_two_processes_and_another_order_change_nothing(buffers):
    paths, episodes = buffers
    wanted = ReSUEncoder(**OPTIONS).fit(episodes)
    for found in (
        resu_sharding.fit(paths, shard=30, n_jobs=2, **OPTIONS),
        resu_sharding.fit(paths[::-1], shard=30, **OPTIONS),
    ):
        assert found.moments_ == wanted.moments_ and np.array_equal(found.filters_, wanted.filters_)


def test_features_of_a_file_are_those_of_its_episodes(buffers, tmp_path, monkeypatch):
    paths, episodes = buffers
    monkeypatch.setattr(resu_sharding, "BLOCK", 16)
    encoder = ReSUEncoder(**OPTIONS).fit(episodes)
    resu_sharding.encode_file(encoder, paths[0], tmp_path / "features.npy")
    found = resu_files.open_npy(tmp_path / "features.npy")
    assert found.dtype == np.float32
    assert np.array_equal(found, np.concatenate([encoder.encode(episode) for episode in episodes[:-1]]))


def test_a_long_update_in_chunks_is_the_same(monkeypatch):
    import resu_moments

    x = np.random.default_rng(0).integers(0, 256, (500, 20), np.uint8)
    wanted = LagMoments(4, 3).update(x)
    monkeypatch.setattr(resu_moments, "CHUNK", 64)
    assert LagMoments(4, 3).update(x) == wanted
    assert LagMoments(4, 3).update(x[:100]).update(x[100:]) == wanted
    apart = LagMoments(4, 3).update(x[:250], new_episode=True).update(x[250:], new_episode=True)
    assert LagMoments(4, 3).update(x[:250]).end_episode().update(x[250:]) == apart != wanted


def test_what_is_wrong_with_a_file_is_said(tmp_path, buffers):
    paths, episodes = buffers
    with pytest.raises(FileNotFoundError, match=r"gone\.npy"):
        FrameFile(tmp_path / "gone.npy")
    broken = tmp_path / "broken.npy"
    broken.write_bytes(paths[0].read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"broken.npy is truncated: 140 frames"):
        FrameFile(broken)
    broken.write_bytes(b"something else entirely")
    with pytest.raises(ValueError, match=r"not an .npy file"):
        FrameFile(broken)
    np.save(broken, np.zeros((5, 10, 12)))
    with pytest.raises(ValueError, match="must hold uint8 frames"):
        FrameFile(broken)
    other, _ = recorded(tmp_path, 2, [30], (8, 8))
    with pytest.raises(ValueError, match=r"game2\.npy has frames"):
        resu_sharding.fit([*paths, other], **OPTIONS)
    short, _ = recorded(tmp_path, 3, [4, 5])
    with pytest.raises(ValueError, match=r"no episode has memory \+ horizon = 7 frames"):
        resu_sharding.fit([short], **OPTIONS)
    with pytest.raises(ValueError, match="no files"):
        resu_sharding.fit([], **OPTIONS)
    with pytest.raises(ValueError, match="only the first layer"):
        resu_sharding.fit(paths, n_layers=2, **OPTIONS)
    with pytest.raises(ValueError, match="only the first layer"):
        next(
            resu_sharding.encode_blocks(
                ReSUEncoder(n_layers=2, n_units2=2, **OPTIONS).fit(episodes[0]), FrameFile(paths[0])
            )
        )


LONG = """
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (700 << 20, 700 << 20))
sys.path.insert(0, {src!r})
import numpy as np, resu_sharding as sharding, stage_io
from resu_conv import ReSUEncoder
sharding.shard_moments(sharding.Shard({path!r}, 0, 50), 8, 4)  # everything is loaded and compiled
encoder = sharding.fit([{path!r}])
n = sum(len(part) for part in sharding.encode_blocks(encoder, sharding.FrameFile({path!r})))
print(n, encoder.moments_.n_windows, stage_io.peak_memory())
"""


def test_memory_does_not_grow_with_the_file(tmp_path):
    """1.4 GB of frames, nearly all of them holes of a sparse file, with less memory than half of that."""
    n, path = 200_000, tmp_path / "long.npy"
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (n, 84, 84)})
        file.write(np.random.default_rng(0).integers(0, 256, (100, 84, 84), np.uint8).tobytes())
        file.truncate(file.tell() + (n - 100) * 84 * 84)
    program = LONG.format(src=str(SRC), path=str(path))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1500:]
    frames, windows, peak = (float(word) for word in done.stdout.split())
    assert (frames, windows) == (n, n - 11)
    assert peak < 500, f"peak of {peak:.0f} MB"


def test_a_dask_cluster_that_loses_a_worker_gives_the_same_bits(tmp_path, monkeypatch):
    path, episodes = recorded(tmp_path, 5, [9_000, 11_000], (40, 40))
    wanted = ReSUEncoder(**OPTIONS).fit(episodes)
    monkeypatch.setenv("PYTHONPATH", str(SRC))
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    killed, fitted = threading.Event(), threading.Event()
    with cluster, distributed.Client(cluster) as client:
        pids = client.run(os.getpid)

        def kill() -> None:
            """Once a worker has something to do, kill it."""
            while not fitted.is_set():
                busy = [address for address, tasks in client.processing().items() if tasks]
                if busy:
                    os.kill(pids[busy[0]], signal.SIGKILL)
                    killed.set()
                    return
                time.sleep(0.01)

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            with workers.cluster(cluster.scheduler_address):
                found = resu_sharding.fit([path], shard=500, **OPTIONS)
        finally:
            fitted.set()
            thread.join()
    assert killed.is_set()
    assert found.moments_ == wanted.moments_ and np.array_equal(found.filters_, wanted.filters_)


def test_games_played_by_a_cluster_are_the_games(monkeypatch):
    here = atari_play.play(atari_play.RandomPolicy(), 5, 3, "breakout", max_steps=80)
    monkeypatch.setenv("PYTHONPATH", str(SRC))
    cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None)
    with cluster, workers.cluster(cluster.scheduler_address):
        there = atari_play.play(atari_play.RandomPolicy(), 5, 3, "breakout", max_steps=80)
        buffer = atari_play.collect(atari_play.RandomPolicy(), 150, 4, "breakout", max_steps=80)
    assert there == here
    assert np.array_equal(
        buffer.frames, atari_play.collect(atari_play.RandomPolicy(), 150, 4, "breakout", max_steps=80).frames
    )


def test_a_stage_takes_a_schedulers_address():
    config = stage_io.parse_config(fit_encoder.Config, ["a.npy", "--shard", "5"], fit_encoder.SMOKE)
    assert config == fit_encoder.Config(buffers=("a.npy",), shard=5)
    with pytest.raises(ValueError, match="no Dask scheduler at tcp"):
        stage_io.parse_config(fit_encoder.Config, ["a.npy", "--dask", "tcp://127.0.0.1:1"])


def test_no_scheduler_is_said():
    with (
        pytest.raises(ValueError, match="no Dask scheduler at tcp"),
        workers.cluster("tcp://127.0.0.1:1", timeout=1),
    ):
        pass


def test_shards_cover_every_frame_once(buffers):
    paths, _ = buffers
    found = resu_sharding.shards(paths, 50)
    assert [(s.start, s.stop) for s in found] == [(0, 50), (50, 100), (100, 140), (0, 50), (50, 61)]
    assert all(isinstance(s, Shard) and os.path.isabs(s.path) for s in found)
