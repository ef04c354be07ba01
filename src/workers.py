"""Where tasks run: on all cores of this machine or on the workers of a Dask cluster, with progress bars.

for result in in_order(joblib.delayed(play_game)(rng) for rng in rngs): ...     # in the order of the tasks
with cluster("tcp://127.0.0.1:8786"): ...                                       # within it: on its workers
"""

import contextlib
import functools
import logging
import multiprocessing
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from typing import Any, TypeVar

import joblib
from joblib.parallel import ParallelBackendBase, SequentialBackend
from tqdm import tqdm

from resu_threads import n_cores

T = TypeVar("T")
ANSWER = 15.0  # seconds until a cluster has answered or is given up
AGREED = ("python", "dask", "distributed", "numpy", "numba")  # versions; of a scheduler the first three
QUIET = "ignore:resource_tracker:UserWarning"  # what loky's helper says when a stage is interrupted is no news
_scheduler = ""  # of the cluster whose workers are used; none: processes of this machine
_row: int | None = None  # of this process's progress bars while it has one core to itself; None: it has all


class _ClusterBackend(ParallelBackendBase):
    """Runs joblib's tasks on the workers of a Dask cluster.

    joblib has a backend of its own for this. There the scheduler must import whatever a task is made of, and an error
    that is not the task's (a module that is missing, a lost connection) is waited for instead of raised. Here the
    scheduler sees bytes, and every error is raised.
    """

    supports_retrieve_callback = True

    def __init__(self, client: Any, scheduler: str) -> None:
        super().__init__()
        self._client, self._scheduler = client, scheduler

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Threads of all workers, whatever is asked for; at least 2: with 1, joblib would compute here."""
        return max(2, sum(self._client.ncores().values()))

    def get_nested_backend(self) -> tuple[SequentialBackend, int]:
        """A task keeps to its thread."""
        return SequentialBackend(nesting_level=1), 1

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], None]) -> Any:
        """The future of func(); callback gets it when it is done."""

        def call(packed: bytes) -> Any:  # in here, so that it travels as code
            import pickle

            return pickle.loads(packed)()

        import cloudpickle  # comes with Dask

        future = self._client.submit(call, cloudpickle.dumps(func), pure=False)
        future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """The result of a future that is done.

        Raises   what the task raised; ConnectionError or ValueError with one sentence if the cluster failed.
        """
        from dask.distributed import KilledWorker
        from distributed.comm import CommClosedError

        lost = f"the connection to the Dask scheduler at {self._scheduler} was lost: run it again"
        if out.status in ("cancelled", "lost"):
            raise ConnectionError(lost)
        try:
            return out.result()
        except (CommClosedError, CancelledError) as error:  # while the result was on its way
            raise ConnectionError(lost) from error
        except KilledWorker as error:
            raise ValueError(
                f"the same task ended several workers of the Dask scheduler at {self._scheduler}, "
                "perhaps for lack of memory: see their logs"
            ) from error
        except ModuleNotFoundError as error:
            raise ValueError(f"a worker cannot import {error.name}: {_how_to_start(self._scheduler)}") from error


def _how_to_start(scheduler: str) -> str:
    return f"start the workers anew with `PYTHONPATH=src dask worker {scheduler} --nthreads 1`"


def _looker() -> Callable[..., str]:
    """A function that says what sources a worker has, "" for none; made in here, it travels as code itself."""

    def look(dask_worker: Any = None) -> str:
        import hashlib
        import importlib.util
        import pathlib

        spec = importlib.util.find_spec("workers")
        if spec is None or spec.origin is None:
            return ""
        digest = hashlib.sha256()
        for path in sorted(pathlib.Path(spec.origin).parent.glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        # modules that are loaded stay as they were: what counts is what lay there when the worker was first asked
        return vars(dask_worker).setdefault("resu_sources", digest.hexdigest()) if dask_worker else digest.hexdigest()

    return look


def _check(client: Any, scheduler: str) -> None:
    """Refuse a cluster whose results might not be ours: no workers, other versions, other sources.

    Raises   ValueError with one sentence.
    """
    try:
        client.wait_for_workers(1, timeout=ANSWER)
    except TimeoutError as error:
        raise ValueError(
            f"no worker has joined the Dask scheduler at {scheduler} in {ANSWER:.0f} s: {_how_to_start(scheduler)}"
        ) from error
    try:
        found = client.sync(client.get_versions, packages=list(AGREED), callback_timeout=ANSWER)
        sources = client.sync(client.run, _looker(), callback_timeout=ANSWER)
    except (TimeoutError, OSError) as error:
        raise ValueError(f"the Dask cluster at {scheduler} does not answer ({error}): start it anew") from error
    ours = found["client"]["packages"]
    parts: list[tuple[str, Any, tuple[str, ...]]] = [("scheduler", found["scheduler"], AGREED[:3])]
    parts += [(f"worker {address}", its, AGREED) for address, its in sorted(found["workers"].items())]
    for name, its, packages in parts:
        for package in packages:
            theirs = its["packages"].get(package)
            if theirs != ours[package]:
                raise ValueError(
                    f"the {name} has {package} {theirs or '(none)'}, here is {ours[package]}: "
                    "start the cluster in the same environment"
                )
    for address, digest in sorted(sources.items()):
        if digest != _looker()():
            what = "has other sources than those here" if digest else "cannot import the modules in src/"
            raise ValueError(f"the worker {address} {what}: {_how_to_start(scheduler)}")


@contextlib.contextmanager
def cluster(scheduler: str, timeout: float = 5.0) -> Iterator[None]:
    """Within it joblib's tasks run on the workers of a Dask scheduler ("tcp://host:8786").

    The workers need this project's src/ on their path, one thread each, and see the same files; the scheduler needs
    only Dask. A worker that dies is no loss: its tasks are done again elsewhere.

    timeout   for the connection [s]
    Raises    ValueError if there is no scheduler at that address, if no worker joins it or answers within `ANSWER`
              seconds, or if one has other versions or sources than this process; within it, from tasks,
              ConnectionError if the connection is lost, ValueError if a task kills its workers.
    """
    global _scheduler
    try:
        from dask.distributed import Client  # slow to import, and most who come here do without
    except ImportError as error:
        raise ValueError("a cluster needs Dask: pip install 'resu-features[dask]'") from error

    for name in ("distributed.client", "distributed.core", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what they would report comes as an exception, too
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions that differ: see `_check`
            client = Client(scheduler, timeout=timeout)
    except (OSError, ValueError) as error:
        raise ValueError(f"no Dask scheduler at {scheduler} ({error}): start one with `dask scheduler`") from error
    try:
        with client:
            _check(client, scheduler)
            _scheduler = scheduler
            with joblib.parallel_config(_ClusterBackend(client, scheduler)):
                yield
    finally:
        _scheduler = ""


@contextlib.contextmanager
def one_core(row: int = 0) -> Iterator[None]:
    """Within it `in_order` runs its tasks here, one after the other; progress bars go to this row of the terminal."""
    global _row
    before, _row = _row, row
    try:
        yield
    finally:
        _row = before


def in_order(tasks: Iterable[Any]) -> Generator[Any, None, None]:
    """Run joblib tasks on all cores, one thread each, or on a `cluster`; yield their results in order as they come."""
    if _row is not None:
        yield from (function(*words, **options) for function, words, options in tasks)
        return
    if _scheduler:
        yield from joblib.Parallel(n_jobs=-1, return_as="generator", pre_dispatch="n_jobs")(tasks)
        return
    warnings.filterwarnings("ignore", "A worker stopped")  # loky replaces one that has grown; no task is lost
    known = os.environ.get("PYTHONWARNINGS", "")
    if QUIET not in known:  # for the processes to come
        os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [known, QUIET]))
    tended = (joblib.delayed(_tended)(*task) for task in tasks)
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        yield from joblib.Parallel(n_jobs=n_cores(), return_as="generator", pre_dispatch="n_jobs")(tended)


def _tended(function: Callable[..., Any], words: tuple[Any, ...], options: dict[str, Any]) -> Any:
    end_with_parent()
    return function(*words, **options)


def progress(
    items: Iterable[T] | None, description: str, total: int | None = None, unit: str = "it", start: int = 0
) -> "tqdm[T]":
    """A tqdm bar on stderr; quiet when stderr is not a terminal, except for a line every 30 seconds.

    items   what is gone through; None: what was done is told by `update`
    start   how much was done before: it counts for what is left, not for the rate
    """
    shown = sys.stderr.isatty()
    return tqdm(
        items, desc=description, total=total, unit=unit, initial=start,
        mininterval=0.1 if shown else 30.0, dynamic_ncols=shown,
        position=_row, leave=None if _row else True,
    )  # fmt: skip


@functools.cache
def end_with_parent() -> None:
    """In a process of a pool, once: end when the stage is gone, so that nobody else writes its checkpoints."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    if multiprocessing.current_process().name != "MainProcess":
        threading.Thread(target=watch, daemon=True).start()
