"""Blocks of work on a few Python threads: for compiled loops that let go of Python's lock.

No OpenMP: its threads do not survive a fork (a pool of processes, a loader's workers), and they spin while they wait.
Results must not depend on who does which block, nor when: a block writes what no other block reads or writes.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

MOST = 256  # threads of a process; as many are started as are needed at a time
LIMITS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")  # what joblib and others set in the processes that they start


def n_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def n_threads() -> int:
    """Threads that a call may use: the cores that this process may run on, or RESU_NUM_THREADS, if that is set.

    Either way no more than OMP_NUM_THREADS and NUMBA_NUM_THREADS, where they are set.
    Raises   ValueError if RESU_NUM_THREADS is no whole number of at least 1.
    """
    wanted = os.environ.get("RESU_NUM_THREADS", "")
    if wanted and not (wanted.isdecimal() and int(wanted)):
        raise ValueError(f"the environment variable RESU_NUM_THREADS must be a whole number of at least 1: {wanted!r}")
    limits = [os.environ.get(name, "") for name in LIMITS]
    return min([int(wanted or n_cores()), *(int(limit) for limit in limits if limit.isdecimal() and int(limit))])


def for_blocks(function: Callable[[int], object], n_blocks: int) -> None:
    """Call function(0) .. function(n_blocks - 1), each once, on up to `n_threads` threads: the next to who is free.

    The caller is one of the threads, so that calls from many threads at once, or from within a block, cannot wait for
    each other. With one block or one thread, no thread is asked at all.
    Raises   what a block raises; blocks that were not begun by then are left out.
    """
    n = min(n_threads(), n_blocks, MOST)
    left = deque(range(n_blocks))  # its methods are atomic

    def work() -> None:
        while left:
            try:
                block = left.popleft()
            except IndexError:  # another thread was quicker
                return
            try:
                function(block)
            except BaseException:
                left.clear()
                raise

    helpers = _helpers(work, n - 1)
    try:
        work()
    finally:
        left.clear()
        begun = [helper for helper in helpers if not helper.cancel()]
        wait(begun)
    for helper in begun:
        helper.result()


def for_spans(function: Callable[[int, int], object], n: int, size: int) -> None:
    """Call function(start, stop) for the spans of at most `size` steps that n steps fall into, as `for_blocks` does."""
    for_blocks(lambda b: function(b * size, min((b + 1) * size, n)), -(-n // size))


def _helpers(work: Callable[[], None], n: int) -> list[Future]:
    """n further threads at work, or fewer if there are no more to be had (the interpreter is about to end)."""
    helpers: list[Future] = []
    try:
        for _ in range(n):
            helpers.append(_pool(os.getpid()).submit(work))
    except RuntimeError:
        pass
    return helpers


@functools.cache
def _pool(process: int) -> ThreadPoolExecutor:
    """The threads of a process: a forked child has another number, and so never waits for threads of its parent."""
    return ThreadPoolExecutor(MOST, thread_name_prefix=f"resu-{process}")
