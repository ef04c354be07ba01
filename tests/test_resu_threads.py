"""Blocks on threads: each once, errors come through, nobody waits in circles; equal bits anywhere, after a fork too."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import in_workers
import resu_threads
from resu_threads import for_blocks, for_spans, n_threads

HERE = Path(__file__).resolve().parent


@pytest.fixture
def threads(monkeypatch):
    """A function that sets how many threads there are."""
    for name in resu_threads.LIMITS:
        monkeypatch.delenv(name, raising=False)
    return lambda n: monkeypatch.setenv("RESU_NUM_THREADS", str(n))


def test_how_many_threads(monkeypatch):
    for name in ("RESU_NUM_THREADS", *resu_threads.LIMITS):
        monkeypatch.delenv(name, raising=False)
    cores = n_threads()
    assert cores == len(os.sched_getaffinity(0)) >= 1
    monkeypatch.setenv("RESU_NUM_THREADS", "7")
    assert n_threads() == 7
    monkeypatch.setenv("NUMBA_NUM_THREADS", "8")
    assert n_threads() == 7
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert n_threads() == 3
    monkeypatch.delenv("RESU_NUM_THREADS")
    assert n_threads() == min(3, cores)
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")  # what OpenMP allows and we do not know is left alone
    assert n_threads() == min(8, cores)
    for wrong in ("0", "-1", "two", "1.5"):
        monkeypatch.setenv("RESU_NUM_THREADS", wrong)
        with pytest.raises(ValueError, match="RESU_NUM_THREADS must be a whole number of at least 1"):
            n_threads()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_every_block_once(n, threads):
    threads(n)
    for n_blocks in (0, 1, 2, 300):
        done: list[int] = []
        for_blocks(done.append, n_blocks)
        assert sorted(done) == list(range(n_blocks))
    spans: list[tuple[int, int]] = []
    for_spans(lambda start, stop: spans.append((start, stop)), 25, 10)
    assert sorted(spans) == [(0, 10), (10, 20), (20, 25)]


def test_threads_take_part_and_one_block_asks_none(threads):
    """All of three blocks are at work at once: they wait for each other."""
    threads(3)
    met = threading.Barrier(3, timeout=3600)
    seen: set[int] = set()

    def block(_: int) -> None:
        met.wait()
        seen.add(threading.get_ident())

    for_blocks(block, 3)
    assert len(seen) == 3 and threading.get_ident() in seen
    alone: list[int] = []
    for_blocks(lambda _: alone.append(threading.get_ident()), 1)
    threads(1)
    for_blocks(lambda _: alone.append(threading.get_ident()), 4)
    assert set(alone) == {threading.get_ident()}


@pytest.mark.parametrize("n", [1, 4])
def test_an_error_in_a_block_comes_through_and_the_threads_live_on(n, threads):
    threads(n)
    for bad in (0, 3, 99):
        done: list[int] = []

        def block(b: int, bad: int = bad, done: list[int] = done) -> None:
            if b == bad:
                raise LookupError(f"block {b}")
            done.append(b)

        with pytest.raises(LookupError, match=f"block {bad}"):
            for_blocks(block, 100)
        assert len(done) < 100 and bad not in done
    done = []
    for_blocks(done.append, 100)
    assert len(done) == 100


def test_blocks_of_blocks_and_many_callers_do_not_wait_for_each_other(threads, monkeypatch):
    """With a pool of two threads, which the outer blocks take up."""
    threads(4)
    pool = ThreadPoolExecutor(2)
    monkeypatch.setattr(resu_threads, "_pool", lambda process: pool)
    done: list[int] = []
    for_blocks(lambda _: for_blocks(lambda _: for_blocks(done.append, 5), 5), 20)
    assert len(done) == 500
    with ThreadPoolExecutor(8) as callers:
        list(callers.map(lambda _: for_blocks(done.append, 50), range(8)))
    assert len(done) == 900


def test_the_number_of_threads_does_not_change_a_bit(threads):
    found = set()
    for n in (1, 2, 5):
        threads(n)
        found.add(in_workers.digest(0))
    assert len(found) == 1
    assert in_workers.digest(1) not in found  # negative control


@pytest.mark.parametrize("kind", ["fork", "spawn", "loky", "threading", "multiprocessing", "loader"])
def test_fit_and_encode_in_workers_after_the_parent_has_done_both(kind):
    """With GNU OpenMP a forked child died here, or waited for ever."""
    limits = dict.fromkeys((*resu_threads.LIMITS, "PYTEST_CURRENT_TEST"))
    env = {name: value for name, value in os.environ.items() if name not in limits}
    env |= {"RESU_NUM_THREADS": "3", "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent / 'src'}"}
    done = subprocess.run(
        [sys.executable, str(HERE / "in_workers.py"), kind], env=env, capture_output=True, text=True, timeout=7200
    )
    assert done.stdout.strip() == "same bits", done.stderr[-2000:]
    assert "fork() called" not in done.stderr
