"""One execution of a stage: its options, its cells, its report.

    @measured(shelf="clones", version=1)
    def measure(run: Run, setting: Setting) -> dict: ...             # hours, perhaps; JSON-able

    def cells(run: Run) -> list[dict]:                               # what there is to know, measured once
        return [run.cell(measure, Setting(seed)) for seed in range(run.config.seeds)]

    def report(config: Config, found: list[dict]) -> Report: ...     # pure: tables, verdicts, figures

    STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE)

A finished cell is a small JSON file under results/cells/<shelf>/, named by its setting; `make report` calls `cells` on
what is there and `report` on that. `--smoke` keeps everything under results/smoke and data/smoke.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import joblib
from tqdm import tqdm

import resu_files
import stage_io
import workers
from stage_report import Report, markdown_table, plain, verdict_row

T = TypeVar("T")
C = TypeVar("C")
K = TypeVar("K")
Measure = Callable[["Run", Any], Any]
SPREAD = {"spread": True}  # metadata of a setting's field that is a setting itself: its fields count as the whole's own


def measured(shelf: str = "", version: int = 1) -> Callable[[Measure], Measure]:
    """Marks a function (run, setting) -> JSON-able whose results are kept as cells.

    shelf     folder of its cells under results/cells/; by default the stage's own. Stages share what lies on one shelf.
    version   to be raised when the same setting gives other numbers than before: older cells are then computed again
    """

    def mark(function: Measure) -> Measure:
        vars(function).update(shelf=shelf, version=version)
        return function

    return mark


def late(default: Any) -> Any:
    """A setting's field that was added when cells existed: while it has its default it does not change their names."""
    return dataclasses.field(default=default, metadata={"late": True})


def key_of(setting: Any) -> Any:
    """What names a cell: a frozen dataclass (a mapping, in tests) as JSON holds it, without late fields at default."""
    if dataclasses.is_dataclass(setting) and not isinstance(setting, type):
        key: dict[str, Any] = {}
        for f in dataclasses.fields(setting):
            value = getattr(setting, f.name)
            if f.compare and not (f.metadata.get("late") and value == f.default):
                key |= key_of(value) if f.metadata.get("spread") else {f.name: key_of(value)}
        return key
    if isinstance(setting, Mapping):
        return {str(key): key_of(value) for key, value in setting.items()}
    return [key_of(item) for item in setting] if isinstance(setting, (list, tuple)) else plain(setting)


class MissingCellError(ValueError):
    """A cell that a report needs was not computed, or was deleted."""


def _timed(compute: Callable[[], Any], row: int | None = None) -> tuple[Any, float]:
    """What compute() returns, as JSON holds it, and its seconds; with a row, on one core."""
    started = time.perf_counter()
    if row is not None:
        workers.end_with_parent()
        tqdm.set_lock(threading.RLock())  # its own is between processes: one that is ended would be said to leak it
    with contextlib.nullcontext() if row is None else workers.one_core(row % workers.n_cores()):
        result = plain(compute())
    return result, time.perf_counter() - started


class Run:
    """One execution of a stage: where it reads and writes, its log and its cells.

    reading   only read: a cell that is not there raises MissingCellError, and nothing is logged
    small     what `--smoke` put in place of the defaults
    """

    def __init__(
        self,
        script: str,
        config: Any,
        variant: str = "",
        reading: bool = False,
        small: Mapping[str, Any] | None = None,
    ) -> None:
        self.stage = Path(script).stem + variant
        self._script = Path(script).name
        self.command = stage_io.command_line(self._script, config, small)
        self.config = config
        self.smoke = bool(getattr(config, "smoke", False))
        self.results = stage_io.ROOT / "results" / "smoke" if self.smoke else stage_io.ROOT / "results"
        self.data = stage_io.ROOT / "data" / "smoke" if self.smoke else stage_io.ROOT / "data"
        self.media = self.results / "media" if self.smoke else stage_io.ROOT / "media"
        self.reading = reading
        self._cells: list[dict[str, Any]] = []  # documents of the cells that this run showed
        self._computing = 0.0  # seconds spent on cells in this run
        self._started = time.perf_counter()
        self._lines: list[str] = []
        self._made: list[Path] = []  # files that cells leave
        self.log(f"{self.stage} {plain(config)}")

    def path(self, suffix: str) -> Path:
        """results/<stage><suffix>, e.g. suffix ".png"."""
        return self.results / f"{self.stage}{suffix}"

    def log(self, message: str) -> None:
        """Print a line (above any progress bar) and keep it for the log file."""
        if self.reading:
            return
        elapsed = time.perf_counter() - self._started
        for line in message.splitlines() or [""]:
            tqdm.write(line, file=sys.stdout)
            self._lines.append(f"{elapsed:9.1f} s  {line}")
        sys.stdout.flush()
        text = "\n".join(self._lines) + "\n"
        resu_files.write_atomically(self.path(".log"), lambda file: file.write(text.encode()))

    def _cell_path(self, measure: Measure, key: dict[str, Any]) -> Path:
        label = "-".join(f"{name}_{value}" for name, value in key.items() if isinstance(value, (str, int)))
        digest = hashlib.sha256(repr(sorted(key.items())).encode()).hexdigest()[:10]
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in label)[:90]
        return self.results / "cells" / (getattr(measure, "shelf", "") or self.stage) / f"{safe}-{digest}.json"

    def _key(self, measure: Measure, setting: Any) -> dict[str, Any]:
        version = getattr(measure, "version", 1)
        return key_of(setting) | ({"version": version} if version > 1 else {})

    def cell(self, measure: Measure, setting: Any, *, makes: Sequence[Path] = (), fresh: bool = False) -> Any:
        """The result of measure(run, setting), from its file if this setting was measured before.

        setting   frozen dataclass of everything the result depends on; it names the file
        makes     files that it leaves: where one is missing, it is measured again
        fresh     measured in every run, and kept for the report: times, films
        """
        key = self._key(measure, setting)
        path = self._cell_path(measure, key)
        self._made += makes
        if not self.reading and (fresh or not path.is_file() or not all(made.exists() for made in makes)):
            result, seconds = _timed(partial(measure, self, setting))
            self._keep(path, key, result, seconds, makes)
            self._computing += seconds
        return self._read(path)

    def known(self, measure: Measure, setting: Any) -> Any | None:
        """What the last measurement of this setting gave, if it is there."""
        path = self._cell_path(measure, self._key(measure, setting))
        return resu_files.read_json(path)["result"] if path.is_file() else None

    def cells(
        self,
        measure: Measure,
        arms: Mapping[K, Sequence[Any]],
        makes: Callable[[Any], Sequence[Path]] = lambda setting: (),
    ) -> dict[K, list[Any]]:
        """As `cell` for each arm's settings; those that were not measured yet are measured side by side.

        measure   runs on one core, in a process of its own, and does not log; games that it plays follow one another
        makes     the files that a setting's measurement leaves
        Returns   {arm: results in order}
        """
        keys = {arm: [self._key(measure, setting) for setting in settings] for arm, settings in arms.items()}
        paths = {arm: [self._cell_path(measure, key) for key in its] for arm, its in keys.items()}
        missing = [
            (path, key, setting)
            for arm, settings in arms.items()
            for path, key, setting in zip(paths[arm], keys[arm], settings, strict=True)
            if not path.is_file() or not all(made.exists() for made in makes(setting))
        ]
        if missing and not self.reading:
            started, at_once = time.perf_counter(), min(workers.n_cores(), len(missing))
            tasks = [joblib.delayed(_timed)(partial(measure, self, s), row) for row, (*_, s) in enumerate(missing)]
            for (path, key, setting), (result, seconds) in zip(missing, workers.in_order(tasks), strict=True):
                self._keep(path, key, result, seconds, makes(setting), at_once)
                self.log(f"{path.stem}: {seconds:.0f} s")
            self._computing += time.perf_counter() - started
        return {arm: [self._read(path) for path in its] for arm, its in paths.items()}

    def _keep(
        self, path: Path, key: dict[str, Any], result: Any, seconds: float, makes: Sequence[Path], at_once: int = 1
    ) -> None:
        lacking = [made for made in makes if not made.exists()]
        if lacking:
            raise ValueError(f"{lacking[0]} was to be made by this cell of {self._script}, and was not")
        document = {
            "stage": self.stage,
            "options": key,
            "result": result,
            "seconds": round(seconds, 3),
            "at_once": at_once,
            "provenance": stage_io.provenance(),
        }
        resu_files.write_json(path, document)

    def _read(self, path: Path) -> Any:
        if not path.is_file():
            raise MissingCellError(f"{path.relative_to(stage_io.ROOT)} not found: run {self.command}")
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

    def finish(self, report: Report) -> None:
        """Write <stage>.json, .npz and the figures, and print the tables."""
        write_report(
            self,
            report,
            {
                "stage": self.stage,
                "config": plain(self.config),
                "command": self.command,
                "seconds": round(time.perf_counter() - self._started, 1),
                "cost": self._cost(),
                "provenance": stage_io.provenance(),
            },
        )
        self.log("\n" + markdown_table(report.rows))
        if report.verdicts:
            self.log("\n" + markdown_table([verdict_row(verdict) for verdict in report.verdicts]))
        if report.timings:
            self.log("\n" + markdown_table([{"step": k, "seconds": f"{s:.1f}"} for k, s in report.timings.items()]))
        for note in report.notes:
            self.log(f"- {note}")
        elapsed = time.perf_counter() - self._started
        self.log(f"\n{self.path('.json').relative_to(stage_io.ROOT)} written, {elapsed:.0f} s in all")
        drawn = [*(self.path(f"{suffix}.png") for suffix in report.figures), *self._made]
        pictures = [path for path in drawn if path.suffix in (".gif", ".png") and path.is_relative_to(stage_io.ROOT)]
        if pictures:
            self.log(f"look at {', '.join(dict.fromkeys(str(path.relative_to(stage_io.ROOT)) for path in pictures))}")


def write_report(run: Run, report: Report, origin: Mapping[str, Any]) -> None:
    """The files of a result: a report, and where it came from (command, cost, commit)."""
    if report.arrays:
        resu_files.write_npz(run.path(".npz"), compress=True, **report.arrays)
    for suffix, draw in report.figures.items():
        figure = draw()
        resu_files.write_atomically(run.path(f"{suffix}.png"), partial(figure.savefig, format="png", dpi=120))
    resu_files.write_json(run.path(".json"), {**origin, **report.as_json()})


@dataclasses.dataclass(frozen=True)
class Stage(Generic[C]):
    """A stage: what it may be told, what it measures, what it says.

    script    its file              config    frozen dataclass of its options, with `smoke`
    cells     of a run: everything that the report needs, by `Run.cell`; reads no data outside of a measurement
    report    (config, what `cells` returned) -> Report, without side effects
    smoke     options in place of the defaults in a smoke run
    check     raises ValueError for options that make no sense, before anything is written
    variant   (config) -> what sets this experiment's files apart from the script's other ones
    """

    script: str
    config: type[C]
    cells: Callable[[Run], Any]
    report: Callable[[C, Any], Report]
    smoke: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    check: Callable[[C], None] = lambda config: None
    variant: Callable[[C], str] = lambda config: ""

    def main(self, argv: Sequence[str] | None = None) -> None:
        """Run it with options from the command line."""
        config = stage_io.parse_config(self.config, argv, dict(self.smoke))
        stage_io.require_ranges(config)
        self.check(config)
        run = Run(self.script, config, self.variant(config), small=self.smoke)
        run.finish(self.report(config, self.cells(run)))

    def rebuild(self, argv: Sequence[str]) -> None:
        """Write the result of these options anew from its cells; its cost and commit stay.

        Raises   MissingCellError, or FileNotFoundError if there is no result.
        """
        config = stage_io.parse_config(self.config, argv, dict(self.smoke))
        run = Run(self.script, config, self.variant(config), True, self.smoke)
        known = resu_files.read_json(run.path(".json"))
        origin = {"stage": run.stage, "config": plain(config), "command": run.command}
        origin |= {name: known[name] for name in ("seconds", "cost", "provenance") if name in known}
        write_report(run, self.report(config, self.cells(run)), origin)
