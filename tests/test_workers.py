"""A cluster of real processes, begun in another folder: the same bits, or one sentence that says what is wrong."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import joblib
import numpy as np
import pytest

import resu_sharding
import workers
from resu_conv import ReSUEncoder

SRC = Path(workers.__file__).parent
OPTIONS = {"memory": 4, "horizon": 3, "n_units": 2, "grid": (3, 4)}


class Cluster:
    """A scheduler that knows nothing of this project, and workers as they are added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen] = []
        self.scheduler = self.start("", "scheduler", "--host", "127.0.0.1:0", "--scheduler-file", "at.json")
        while not (folder / "at.json").is_file() or not (folder / "at.json").read_text():
            assert self.scheduler.poll() is None, (folder / "scheduler.log").read_text()
            time.sleep(0.05)
        self.address = json.loads((folder / "at.json").read_text())["address"]

    def start(self, path: object, kind: str, *words: str) -> subprocess.Popen:
        with open(self.folder / f"{kind}.log", "ab") as log:
            program = [sys.executable, "-m", "dask", kind, *words, "--no-dashboard"]
            environment = {**os.environ, "PYTHONPATH": str(path)}
            process = subprocess.Popen(
                program, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)
        return process

    def worker(self, path: object = SRC, nanny: bool = False) -> subprocess.Popen:
        """One more, once it has registered."""
        from dask.distributed import Client

        process = self.start(path, "worker", self.address, "--nthreads", "1", "--nanny" if nanny else "--no-nanny")
        n = sum("worker" in process.args for process in self.processes)
        with Client(self.address, timeout=3600) as client:
            client.wait_for_workers(n)
        return process

    def close(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):  # with the processes that it began
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path)
    yield made
    made.close()


@pytest.fixture
def frames(tmp_path):
    array = np.random.default_rng(0).integers(0, 4, (3000, 10, 12), np.uint8).cumsum(axis=0, dtype=np.uint8)
    np.save(tmp_path / "a.npy", array)
    return tmp_path / "a.npy", array


def test_the_scheduler_needs_none_of_our_modules(cluster, frames):
    cluster.worker()
    with workers.cluster(cluster.address):
        found = resu_sharding.fit([frames[0]], shard=400, **OPTIONS)
        pids = list(workers.in_order(joblib.delayed(os.getpid)() for _ in range(5)))
    wanted = ReSUEncoder(**OPTIONS).fit(frames[1])
    assert found.moments_ == wanted.moments_ and np.array_equal(found.filters_, wanted.filters_)
    assert os.getpid() not in pids
    assert list(workers.in_order([joblib.delayed(workers.n_cores)()])) == [workers.n_cores()]  # here again


def refused(cluster, *words):
    """What is said instead of working there."""
    with pytest.raises(ValueError) as error, workers.cluster(cluster.address):
        pytest.fail("it was taken")
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_a_worker_that_lacks_the_modules_is_named(cluster):
    cluster.worker()
    with workers.cluster(cluster.address):
        pass
    cluster.worker("")
    refused(cluster, "the worker tcp://", "cannot import the modules", "PYTHONPATH=src dask worker tcp://")


def test_a_worker_with_other_sources_is_named_also_when_they_changed_since(cluster, tmp_path):
    other = tmp_path / "src"
    shutil.copytree(SRC, other, ignore=shutil.ignore_patterns("__pycache__"))
    cluster.worker(other)
    with workers.cluster(cluster.address):
        pass
    module = other / "resu_moments.py"
    text = module.read_text()
    module.write_text(text + "\n# changed\n")
    with workers.cluster(cluster.address):
        pass  # what it has loaded, or may load for us, is compared as it was when it was first asked
    cluster.worker(other)
    refused(cluster, "has other sources than those here")
    module.write_text(text)
    refused(cluster, "has other sources than those here")


@pytest.mark.parametrize("package", ["numba", "numpy"])
def test_other_versions_are_refused(cluster, tmp_path, package):
    """The version is read from a package's metadata: the first that are found on the path."""
    (tmp_path / f"{package}-0.1.dist-info").mkdir()
    (tmp_path / f"{package}-0.1.dist-info" / "METADATA").write_text(f"Name: {package}\nVersion: 0.1\n")
    cluster.worker(f"{SRC}{os.pathsep}{tmp_path}")
    refused(cluster, "the worker tcp://", f"has {package} 0.1, here is ")


def test_no_worker_and_one_that_does_not_answer_are_said(cluster, monkeypatch):
    monkeypatch.setattr(workers, "ANSWER", 1.0)
    refused(cluster, "no worker has joined", "in 1 s", "PYTHONPATH=src dask worker tcp://")
    worker = cluster.worker()
    worker.send_signal(signal.SIGSTOP)
    refused(cluster, "does not answer")


def pause(folder: Path, i: int) -> int:
    (folder / f"begun{i}").touch()
    time.sleep(0.2)
    return i


def stranger() -> None:
    raise json.JSONDecodeError("the task's own", "x", 0)


def test_a_scheduler_that_is_lost_in_the_middle_is_said(cluster, tmp_path):
    def kill() -> None:
        while not (tmp_path / "begun3").exists():
            time.sleep(0.01)
        cluster.scheduler.kill()

    cluster.worker(f"{SRC}{os.pathsep}{Path(__file__).parent}")
    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(ConnectionError, match=r"the connection to the Dask scheduler at tcp://.* was lost"):  # noqa: SIM117
        with workers.cluster(cluster.address, timeout=10):
            list(workers.in_order(joblib.delayed(pause)(tmp_path, i) for i in range(10**6)))
    thread.join()


def test_a_connection_that_is_lost_while_a_result_is_fetched_is_said():
    """Between the look at the future's state and the fetch: as on a busy machine."""

    from distributed.client import FutureCancelledError

    class Cancelled:
        status = "finished"

        def result(self) -> None:
            raise FutureCancelledError("call", "scheduler-connection-lost")

    with pytest.raises(ConnectionError, match="the connection to the Dask scheduler at tcp://here:1 was lost"):
        workers._ClusterBackend(None, "tcp://here:1").retrieve_result_callback(Cancelled())


def test_errors_of_tasks_arrive_as_they_are_and_those_of_workers_as_one_sentence(cluster):
    cluster.worker(f"{SRC}{os.pathsep}{Path(__file__).parent}", nanny=True)
    with workers.cluster(cluster.address):
        with pytest.raises(json.JSONDecodeError, match="the task's own"):
            list(workers.in_order(joblib.delayed(stranger)() for _ in range(3)))
        with pytest.raises(ValueError, match="the same task ended several workers"):
            list(workers.in_order(joblib.delayed(os._exit)(1) for _ in range(2)))
        assert list(workers.in_order(joblib.delayed(abs)(-i) for i in range(5))) == [0, 1, 2, 3, 4]


def test_a_worker_that_comes_later_without_the_modules_is_said(cluster):
    first = cluster.worker()
    with workers.cluster(cluster.address):
        cluster.worker("")
        first.kill()
        first.wait()
        with pytest.raises(ValueError, match="a worker cannot import resu_sharding: start the workers anew"):
            list(workers.in_order([joblib.delayed(resu_sharding.FrameFile)("a.npy")]))
