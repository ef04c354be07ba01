"""What every stage needs around its claim: options from the command line, one sentence for bad input, provenance.

Runs, cells and reports are in stage_run.py and stage_report.py.
"""

import atexit
import contextlib
import dataclasses
import importlib.metadata
import math
import os
import platform
import resource
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import tyro

import workers

ROOT = Path(__file__).resolve().parent.parent
VERSIONS_OF = ("numpy", "scipy", "numba", "torch", "scikit-learn", "ale-py", "gymnasium", "opencv-python-headless")
T = TypeVar("T")
C = TypeVar("C")
_POSITIONAL = get_args(tyro.conf.Positional[int])[-1]  # what marks an option that is given without its name


@dataclasses.dataclass(frozen=True)
class _Cluster:
    """What every stage takes beside its own options."""

    dask: str = ""  # address of a Dask scheduler whose workers play the games, e.g. tcp://127.0.0.1:8786


def parse_config(config: type[C], argv: Sequence[str] | None, smoke: dict[str, Any] | None = None) -> C:
    """Options of a stage from the command line (tyro), described by the calling script's docstring.

    Every stage also takes `--dask ADDRESS`: games are played and files are read by the workers of that scheduler.

    smoke   values that `--smoke` puts in place of defaults that were not changed on the command line
    Exits with status 2 and a message on an unknown option or a value of the wrong type.
    Raises  ValueError if there is no Dask scheduler at that address.
    """
    description = sys.modules[config.__module__].__doc__ or ""
    groups: list[Any] = [
        (name, kind, dataclasses.field(default_factory=kind))
        for name, kind in (("stage", config), ("cluster", _Cluster))
    ]
    both = dataclasses.make_dataclass("Options", groups)
    parsed: Any = tyro.cli(both, args=argv, description=description, config=(tyro.conf.OmitArgPrefixes,))
    chosen = parsed.stage
    if parsed.cluster.dask:
        stack = contextlib.ExitStack()
        stack.enter_context(workers.cluster(parsed.cluster.dask))
        atexit.register(stack.close)
    if smoke and getattr(chosen, "smoke", False):
        default = config()
        small = {name: value for name, value in smoke.items() if getattr(chosen, name) == getattr(default, name)}
        chosen = dataclasses.replace(chosen, **small)
    return chosen


def seconds(compute: Callable[[], object], repeats: int = 1) -> float:
    """Wall-clock time of compute(), the best of some repeats: what else the machine does only ever adds to it."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        compute()
        times.append(time.perf_counter() - started)
    return min(times)


@contextlib.contextmanager
def busy_neighbour() -> Iterator[None]:
    """Within it another process computes without a pause, as a busy machine's would: one core is shared with it."""
    never = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(100_000))"
    with subprocess.Popen([sys.executable, "-c", never]) as neighbour:
        try:
            time.sleep(0.5)  # until it has begun
            yield
        finally:
            neighbour.kill()


@contextlib.contextmanager
def timed(times: dict[str, float], name: str) -> Iterator[None]:
    """Within it the wall-clock time runs that is added to times[name] in the end  [s]."""
    started = time.perf_counter()
    yield
    times[name] = times.get(name, 0.0) + time.perf_counter() - started


def duration(seconds: float) -> str:
    """40 s, 12 min, 3 h 05 min, or 12 days."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes >= 72 * 60:
        return f"{minutes / 1440:,.0f} days"
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def peak_memory() -> float:
    """Largest resident size of this process so far [MB]."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would count what the parent held when it started this process
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1e3
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def command_line(script: str, config: Any, smoke: Mapping[str, Any] | None = None) -> str:
    """The command of a run: its script, what stands without a name, and the options that are not the default ones.

    smoke   what `--smoke` puts in place of defaults, as in `parse_config`
    """
    words, options = ["python", f"src/{script}"], []
    small = {**(smoke or {}), "smoke": True} if getattr(config, "smoke", False) else {}
    kinds = get_type_hints(type(config), include_extras=True)
    for field in dataclasses.fields(config) if dataclasses.is_dataclass(config) else ():
        value, option = getattr(config, field.name), f"--{field.name.replace('_', '-')}"
        if field.name != "smoke" and value == small.get(field.name, field.default):
            continue
        if isinstance(value, bool):
            options += [option if value else f"--no-{option[2:]}"] if value != field.default else []
            continue
        texts = [shlex.quote(str(item)) for item in (value if isinstance(value, (list, tuple)) else [value])]
        if _POSITIONAL in get_args(kinds[field.name]):
            words += texts
        else:
            options += [option, *texts]
    return " ".join([*words, *options])


def require_positive(config: Any, *names: str) -> None:
    """Refuse a configuration before anything is computed.

    Raises   ValueError naming the first of these options that is below 1.
    """
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(config, name)}")


_RANGES = {  # of options, wherever they occur: smallest and largest value
    "epsilon": (0.0, 1.0),
    "alpha": (1e-9, 1.0),
    "cnn_learning_rate": (1e-12, 1.0),
    "leash": (0.0, 1e9),
}


def require_ranges(config: Any) -> None:
    """Refuse numbers that no stage can use, before anything is computed.

    Raises   ValueError naming the option.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        low, high = _RANGES.get(field.name, (-math.inf, math.inf))
        if isinstance(value, float) and not low <= value <= high:  # nor NaN
            option = f"--{field.name.replace('_', '-')}"
            raise ValueError(f"{option} must be a number from {low:g} to {high:g}, not {value:g}")


def guard(main: Callable[[], None]) -> None:
    """Run a stage: however it ends, the reader gets one sentence on stderr at most, and the shell a status.

    1 with a sentence for bad input, a full disk, too little memory; 130 and 143 when it was interrupted or terminated
    (finished cells are kept); 141, quietly, when nobody reads stdout or stderr any more. RESU_TRACEBACK=1 shows where.
    """
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:  # it was closed before: no file that is opened later may take its place
            _to_nowhere(descriptor)
            setattr(sys, name, open(descriptor, "w", closefd=False))  # noqa: SIM115
    here = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, _stopped) for number in (signal.SIGINT, signal.SIGTERM) if here}
    try:
        main()
        sys.stdout.flush()
    except (ValueError, OSError, OverflowError, MemoryError, RuntimeError) as error:
        if isinstance(error, BrokenPipeError) and _unheard():
            for descriptor in (1, 2):
                _to_nowhere(descriptor)
            sys.exit(141)
        if isinstance(error, BrokenExecutor):
            sys.exit("error: a process was ended from outside, perhaps for lack of memory: the same command continues")
        ours = isinstance(error, RuntimeError) and "allocate" not in str(error)  # torch's word for too little memory
        if os.environ.get("RESU_TRACEBACK") or ours:
            raise
        no_memory = isinstance(error, (MemoryError, RuntimeError))
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        sys.exit(f"error: not enough memory: {reason}" if no_memory else f"error: {error}")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


STOPPED = "stopped: finished cells are kept, the same command continues"
GRACE = 5  # seconds between a signal and the end, for what tidies up


def _stopped(number: int, frame: Any) -> None:
    """Unwind, as an exception does; end all the same if that is lost in a callback, or waits for somebody."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)  # once is enough
    os.write(2, f"{STOPPED}\n".encode())
    signal.signal(signal.SIGALRM, lambda *_: os._exit(128 + number))
    signal.alarm(GRACE)
    sys.exit(128 + number)


def _unheard() -> bool:
    """Whether nobody reads stdout or stderr any more."""
    poll = select.poll()
    for descriptor in (1, 2):
        poll.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _to_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def provenance() -> dict[str, Any]:
    """Commit, uncommitted changes under src/, versions and hardware, for every result file."""

    def git(*words: str) -> str:
        try:
            done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True)
        except (OSError, subprocess.SubprocessError):
            return "unknown"
        return done.stdout.strip()

    return {
        "commit": git("rev-parse", "HEAD"),
        "uncommitted": git("status", "--porcelain", "--", "src") != "",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS_OF},
        "hardware": f"{workers.n_cores()} CPU cores",
    }
