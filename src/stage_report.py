"""What a stage found, as numbers until the page is written: rows, verdicts, figures, arrays; and tables of them.

In JSON an `Estimate` is {"mean", "low", "high", "n"}; several of them are a list, or by label a dictionary, of such.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stats_ci import Estimate, FineEstimate, Verdict


@dataclass(frozen=True)
class Report:
    """A stage's result, made by its pure `report(config, found)` from its cells alone.

    rows      of the table, all of the same columns; a value is text, a number, an `Estimate`, or several of these as a
              list, or by label
    verdicts  on the claims; those that could not be judged are there as well, with the verdict "missing"
    figures   by the suffix of their file ("" or "__name"): functions that draw a matplotlib Figure, called when written
    notes     sentences for the reader, below the tables: reasons, limits
    arrays    for the .npz, by name
    timings   seconds of named steps, where these are the result
    """

    rows: Sequence[Mapping[str, Any]]
    verdicts: Sequence[Verdict] = ()
    figures: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    arrays: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Everything but figures and arrays, for the result's file."""
        return {
            "rows": plain(self.rows),
            "verdicts": [plain(verdict) for verdict in self.verdicts],
            "notes": list(self.notes),
            "timings": {name: round(seconds, 2) for name, seconds in self.timings.items()},
        }


def plain(value: Any) -> Any:
    """value with NumPy scalars, arrays, paths and dataclasses turned into what JSON holds; non-finite becomes None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping):
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


def read_estimate(value: Any) -> Estimate | None:
    """An estimate as JSON holds it; None if the value is something else."""
    if not isinstance(value, Mapping) or not {"mean", "low", "high", "n"} <= set(value):
        return None
    numbers: dict[str, Any] = {name: float("nan") if number is None else number for name, number in value.items()}
    return FineEstimate(**numbers) if "digits" in value else Estimate(**numbers)


def shown(value: Any) -> str:
    """A value of a row, from a report or read from JSON, as a table shows it; numbers with three significant digits."""
    if (estimate := read_estimate(value)) is not None:
        return str(estimate)
    if isinstance(value, Mapping):
        return "; ".join(f"{label}: {shown(item)}" for label, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(item) for item in value)
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def verdict_row(verdict: Verdict | Mapping[str, Any]) -> dict[str, str]:
    """What a table shows of a verdict, or of one that was read from JSON."""
    read = verdict if isinstance(verdict, Mapping) else plain(verdict)
    return {"claim": read["claim"], "estimate": shown(read["estimate"]), "verdict": read["verdict"]}


def in_their_words(who: str, claims: Mapping[str, Sequence[str]], verdicts: Sequence[Verdict]) -> list[str]:
    """A note for each claim of somebody, in words, with what became of it: the verdicts of its ids."""
    words = {verdict.id: verdict.verdict for verdict in verdicts}
    return [
        f"{who}: {text}: {', '.join(dict.fromkeys(words[id] for id in ids)) if ids else 'nothing can be judged'}"
        for text, ids in claims.items()
    ]


def markdown_table(rows: Sequence[Mapping[str, Any]], compact: bool = False) -> str:
    """Rows of equal keys as a Markdown table: aligned for the eye, or compact, without a space that can be spared."""
    if not rows:
        return "(no rows)"

    def text(value: Any) -> str:
        return shown(value).replace("|", "\\|")

    header = list(rows[0])
    cells = [[text(name) for name in header], *([text(row.get(name, "missing")) for name in header] for row in rows)]
    if compact:
        lines = ["|" + "|".join(line) + "|" for line in cells]
        return "\n".join([lines[0], "|" + "-|" * len(header), *lines[1:]])
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])
