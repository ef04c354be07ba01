"""What every stage needs around its claim: options, run folder, log, progress, resumable cells, tables.

    run = start_run(__file__, parse_config(Config, argv, SMOKE))
    result = run.cell(lambda: measure(seed), kind="clone", seed=seed)       # computed once, then read from its file
    run.finish(rows, verdicts, figure=figure, curve=array)

Finished cells are small JSON files under results/cells/<stage>/, named by their options. `--smoke` shrinks a stage to
seconds and keeps everything it writes under results/smoke and data/smoke: real results are never touched.
"""

import atexit
import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import multiprocessing
import os
import platform
import resource
import shlex
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import joblib
import numpy as np
import tyro
from tqdm import tqdm

import resu_files

ROOT = Path(__file__).resolve().parent.parent
VERSIONS_OF = ("numpy", "scipy", "numba", "torch", "scikit-learn", "ale-py", "gymnasium", "opencv-python-headless")
T = TypeVar("T")
C = TypeVar("C")
_scheduler = ""  # of the cluster whose workers are used; none: processes of this machine
_row: int | None = None  # of this process's progress bars while it has one core to itself; None: it has all


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
        stack.enter_context(workers(parsed.cluster.dask))
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


def command_line(script: str, config: Any) -> str:
    """The command of a run: its script and the options that are not the default ones (a smoke run: `--smoke` alone)."""
    words = ["python", f"src/{script}"]
    if getattr(config, "smoke", False):
        return " ".join([*words, "--smoke"])
    for field in dataclasses.fields(config) if dataclasses.is_dataclass(config) else ():
        value, option = getattr(config, field.name), f"--{field.name.replace('_', '-')}"
        if value == field.default:
            continue
        if isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
        else:
            items = value if isinstance(value, (list, tuple)) else [value]
            words += [option, *(shlex.quote(str(item)) for item in items)]
    return " ".join(words)


def require_positive(config: Any, *names: str) -> None:
    """Refuse a configuration before anything is computed.

    Raises   ValueError naming the first of these options that is below 1.
    """
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(config, name)}")


def guard(main: Callable[[], None]) -> None:
    """Run a stage; bad input or a full disk ends in one sentence on stderr and exit status 1, not in a traceback."""
    try:
        main()
    except (ValueError, OSError, OverflowError) as error:
        if os.environ.get("RESU_TRACEBACK"):
            raise
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped: finished cells are kept, the same command continues")


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
        "hardware": f"{n_cores()} CPU cores",
    }


def n_cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def workers(scheduler: str, timeout: float = 5.0) -> Iterator[None]:
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
    """Run joblib tasks on all cores, one thread each, or on `workers`; yield their results in order as they come."""
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


def plain(value: Any) -> Any:
    """value with NumPy scalars, arrays, paths and dataclasses turned into what JSON holds; non-finite becomes None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def markdown_table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of equal keys as an aligned Markdown table; numbers with three significant digits."""
    if not rows:
        return "(no rows)"

    def text(value: Any) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value).replace("|", "\\|")

    header = list(rows[0])
    cells = [header, *([text(row.get(name, "missing")) for name in header] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


@functools.cache
def _end_with_parent() -> None:
    """In a process of `Run.cells`, once: end when the stage is gone, so that nobody else writes its checkpoints."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    if multiprocessing.current_process().name != "MainProcess":
        threading.Thread(target=watch, daemon=True).start()


def _timed(compute: Callable[[], Any], row: int | None = None) -> tuple[Any, float]:
    """What compute() returns, as JSON holds it, and its seconds; with a row, on one core."""
    started = time.perf_counter()
    if row is not None:
        _end_with_parent()
        tqdm.set_lock(threading.RLock())  # its own is between processes: one that is ended would be said to leak it
    with contextlib.nullcontext() if row is None else one_core(row % n_cores()):
        result = plain(compute())
    return result, time.perf_counter() - started


class Run:
    """One execution of a stage: where it reads and writes, its log and its cells."""

    def __init__(self, script: str, config: Any, variant: str = "") -> None:
        self.stage = Path(script).stem + variant
        self._script = Path(script).name
        self.config = config
        self.smoke = bool(getattr(config, "smoke", False))
        self.results = ROOT / "results" / "smoke" if self.smoke else ROOT / "results"
        self.data = ROOT / "data" / "smoke" if self.smoke else ROOT / "data"
        self.media = self.results / "media" if self.smoke else ROOT / "media"
        self.timings: dict[str, float] = {}  # wall-clock seconds of each named step, in order
        self._cells: list[dict[str, Any]] = []  # documents of the cells that this run showed
        self._computing = 0.0  # seconds spent on cells in this run
        self._started = time.perf_counter()
        self._lines: list[str] = []
        self.log(f"{self.stage} {plain(config)}")

    def path(self, suffix: str) -> Path:
        """results/<stage><suffix>, e.g. suffix ".png"."""
        return self.results / f"{self.stage}{suffix}"

    def log(self, message: str) -> None:
        """Print a line (above any progress bar) and keep it for the log file."""
        elapsed = time.perf_counter() - self._started
        for line in message.splitlines() or [""]:
            tqdm.write(line, file=sys.stdout)
            self._lines.append(f"{elapsed:9.1f} s  {line}")
        sys.stdout.flush()
        self.results.mkdir(parents=True, exist_ok=True)
        text = "\n".join(self._lines) + "\n"
        resu_files.write_atomically(self.path(".log"), lambda file: file.write(text.encode()))

    def timed(self, name: str, compute: Callable[[], T]) -> T:
        """compute(), its wall-clock time added to `timings[name]`."""
        started = time.perf_counter()
        result = compute()
        self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - started
        return result

    def _cell_path(self, shelf: str, options: dict[str, Any]) -> Path:
        label = "-".join(f"{key}_{value}" for key, value in options.items() if isinstance(value, (str, int)))
        digest = hashlib.sha256(repr(sorted(plain(options).items())).encode()).hexdigest()[:10]
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in label)[:90]
        return self.results / "cells" / (shelf or self.stage) / f"{safe}-{digest}.json"

    def cell(self, compute: Callable[[], Any], *, shelf: str = "", **options: Any) -> Any:
        """The result of compute(), a JSON-able value, from its file if these options were computed before.

        shelf     folder under results/cells/, this stage's own unless stages share their cells
        options   everything the result depends on (kind, seed, sizes, ...); they name the file
        """
        path = self._cell_path(shelf, options)
        if not path.is_file():
            result, seconds = _timed(compute)
            self._keep(path, options, result, seconds)
            self._computing += seconds
        return self._read(path)

    def cells(self, arms: Mapping[str, Sequence[tuple[Callable[[], Any], dict[str, Any]]]], *, shelf: str = "") -> Any:
        """As `cell` for each arm's pairs (compute, options); those without a file are computed side by side.

        compute   runs on one core, in a process of its own, and does not log; games that it plays follow one another
        Returns   {arm: results in order}
        """
        paths = {arm: [self._cell_path(shelf, options) for _, options in tasks] for arm, tasks in arms.items()}
        missing = [
            (path, *task)
            for arm, tasks in arms.items()
            for path, task in zip(paths[arm], tasks, strict=True)
            if not path.is_file()
        ]
        started, at_once = time.perf_counter(), min(n_cores(), len(missing))
        found = in_order(joblib.delayed(_timed)(compute, row) for row, (_, compute, _) in enumerate(missing))
        for (path, _, options), (result, seconds) in zip(missing, found, strict=True):
            self._keep(path, options, result, seconds, at_once)
            self.log(f"{path.stem}: {seconds:.0f} s")
        self._computing += time.perf_counter() - started
        return {arm: [self._read(path) for path in its] for arm, its in paths.items()}

    def _keep(self, path: Path, options: dict[str, Any], result: Any, seconds: float, at_once: int = 1) -> None:
        document = {
            "stage": self.stage,
            "options": plain(options),
            "result": result,
            "seconds": round(seconds, 3),
            "at_once": at_once,
            "provenance": provenance(),
        }
        resu_files.write_json(path, document)

    def _read(self, path: Path) -> Any:
        document = resu_files.read_json(path, f"delete {path.name} and run python src/{self._script}")
        self._cells.append(document)
        return document["result"]

    def _cost(self) -> dict[str, Any]:
        """Of all cells that this run showed, whenever they were computed: seconds and commits; and of the rest."""
        commits = sorted({cell["provenance"]["commit"][:10] for cell in self._cells})
        return {
            "cells": len(self._cells),
            "seconds_of_cells": round(sum(cell["seconds"] / cell.get("at_once", 1) for cell in self._cells), 1),
            "seconds_beside": round(time.perf_counter() - self._started - self._computing, 1),
            "commits": commits,
            "uncommitted_cells": sum(cell["provenance"]["uncommitted"] for cell in self._cells),
        }

    def finish(
        self,
        rows: Sequence[dict[str, Any]],
        verdicts: Sequence[dict[str, Any]] = (),
        figure: Any = None,
        notes: Sequence[str] = (),
        **arrays: Any,
    ) -> None:
        """Write <stage>.json, .npz and .png and print the tables.

        rows, verdicts   what the tables show; verdicts hold claim, estimate, verdict
        figure           a matplotlib Figure, or several by the suffix of their file ("" and "__name")
        notes            sentences for the reader, below the tables: reasons, limits
        arrays           named arrays for the .npz
        """
        document = {
            "stage": self.stage,
            "config": plain(self.config),
            "rows": plain(rows),
            "verdicts": plain(verdicts),
            "notes": list(notes),
            "timings": {name: round(seconds, 2) for name, seconds in self.timings.items()},
            "command": command_line(self._script, self.config),
            "seconds": round(time.perf_counter() - self._started, 1),
            "cost": self._cost(),
            "provenance": provenance(),
        }
        if arrays:
            resu_files.write_npz(self.path(".npz"), compress=True, **arrays)
        for suffix, drawn in (figure if isinstance(figure, dict) else {"": figure}).items():
            if drawn is not None:
                resu_files.write_atomically(self.path(f"{suffix}.png"), partial(drawn.savefig, format="png", dpi=120))
        resu_files.write_json(self.path(".json"), document)
        self.log("\n" + markdown_table(rows))
        if verdicts:
            self.log("\n" + markdown_table(verdicts))
        for note in notes:
            self.log(f"- {note}")
        self.log(f"\n{self.path('.json').relative_to(ROOT)} written, {document['seconds']:.0f} s in all")


def start_run(script: str, config: Any, variant: str = "") -> Run:
    """Begin a run of the stage whose file is `script` with resolved options `config`.

    variant   goes behind the stage's name in its result files, for one script with several experiments
    """
    return Run(script, config, variant)
