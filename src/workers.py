"""Where tasks run: on all cores of this machine or on the workers of a Dask cluster, with progress bars.

for result in in_order(joblib.delayed(play_game)(rng) for rng in rngs): ...     # in the order of the tasks
with cluster("tcp://127.0.0.1:8786"): ...                                       # within it: on its workers
"""

import contextlib
import functools
import multiprocessing
import os
import sys
import threading
import time
import warnings
from collections.abc import Generator, Iterable, Iterator
from typing import Any, TypeVar

import joblib
from tqdm import tqdm

T = TypeVar("T")
_scheduler = ""  # of the cluster whose workers are used; none: processes of this machine
_row: int | None = None  # of this process's progress bars while it has one core to itself; None: it has all


def n_cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def cluster(scheduler: str, timeout: float = 5.0) -> Iterator[None]:
    """Within it joblib's tasks run on the workers of a Dask scheduler ("tcp://host:8786").

    The workers need this project's src/ on their path, one thread each, and see the same files. A worker that dies is
    no loss: its tasks are done again elsewhere.
    Raises   ValueError if there is no scheduler at that address.
    """
    global _scheduler
    from dask.distributed import Client  # slow to import, and most who come here do without

    try:
        client = Client(scheduler, timeout=timeout)
    except (OSError, ValueError) as error:
        raise ValueError(f"no Dask scheduler at {scheduler} ({error}): start one with `dask scheduler`") from error
    _scheduler = scheduler
    try:
        with client, joblib.parallel_config("dask"):
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
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        yield from joblib.Parallel(n_jobs=n_cores(), return_as="generator", pre_dispatch="n_jobs")(tasks)


def progress(
    items: Iterable[T], description: str, total: int | None = None, unit: str = "it", start: int = 0
) -> Iterable[T]:
    """A tqdm bar on stderr; quiet when stderr is not a terminal, except for a line every 30 seconds.

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
