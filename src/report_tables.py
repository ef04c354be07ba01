"""What pages show of one result: its rows, its verdicts, where it came from. Compact tables, nothing typed by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import report_ledger
import report_steps
import resu_files
from report_ledger import Footnotes
from report_step import Step
from stage_report import markdown_table, shown, verdict_row

MOST = 12  # rows of a main table


def documents(results: Path) -> dict[str, Any]:
    """Every result of the record that is there, by name."""
    paths = {step.name: results / f"{step.name}.json" for step in report_steps.STEPS}
    return {
        name: resu_files.read_json(path, f"delete {path.name} and run its stage again")
        for name, path in paths.items()
        if path.is_file()
    }


def main_rows(rows: Sequence[Mapping[str, Any]], pattern: str = "") -> list[Mapping[str, Any]]:
    """The rows of the main table: those that match the step's pattern, or the first ones, `MOST` at most."""
    chosen = [row for row in rows if re.search(pattern, row_text(row))] if len(rows) > MOST else list(rows)
    return chosen[:MOST]


def main_of(step: Step) -> str:
    """The pattern for the rows of a step's main table; that of its script's first step where it has none."""
    same = (step, *(other for other in report_steps.STEPS if other.script == step.script))
    return next((each.main for each in same if each.main), "")


def row_text(row: Mapping[str, Any]) -> str:
    """A row as its pattern sees it: its values, ` | ` between them."""
    return " | ".join(shown(value) for value in row.values())


def rows_table(rows: Sequence[Mapping[str, Any]], name: str, notes: Footnotes) -> str:
    """Rows without the columns that are empty in all of them, with daggers at what was added after looking."""
    used = [column for column in rows[0] if any(shown(row[column]) for row in rows)] if rows else []
    table = []
    for row in rows:
        cells = {column: shown(row[column]) for column in used}
        mark = notes.mark(report_ledger.of_number(name, row_text(row)))
        if mark:
            cells[used[0]] += mark
        table.append(cells)
    return markdown_table(table, compact=True)


def verdicts_table(verdicts: Sequence[Mapping[str, Any]], name: str, notes: Footnotes) -> str:
    """Claims of ours with estimate, seeds and verdict."""
    table = []
    for verdict in verdicts:
        row = verdict_row(verdict)
        mark = notes.mark(report_ledger.of_number(name, verdict["id"], verdict.get("n", 0)))
        row["claim"] += mark
        table.append({"claim": row["claim"], "estimate": row["estimate"], "n": str(verdict.get("n") or ""),
                      "verdict": row["verdict"]})  # fmt: skip
    return markdown_table(table, compact=True)


def timings(document: Mapping[str, Any]) -> str:
    """The steps of a result whose times are the result, in one line."""
    times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in document["timings"].items())
    return f"Time of each step: {times}" if times else ""


def origin(document: Mapping[str, Any]) -> str:
    """Where one result came from, in one line: command, cost, commit, versions, options."""
    source = document["provenance"]
    commit = source["commit"][:10] + (", **with uncommitted changes**" if source["uncommitted"] else "")
    versions = ", ".join(f"{name} {source['versions'][name]}" for name in ("numpy", "numba", "torch", "ale-py"))
    cost = document.get("cost")
    if cost:
        marked = f", **{cost['uncommitted_cells']} with uncommitted changes**" if cost["uncommitted_cells"] else ""
        minutes = (cost["seconds_of_cells"] + cost["seconds_beside"]) / 60
        time = f"{minutes:.0f} min in all" if minutes >= 1.5 else f"{60 * minutes:.0f} s in all"
        commits = ", ".join(cost["commits"])
        time += f" ({cost['cells']} cells of commits {commits}{marked})" if cost["cells"] else ""
    else:
        time = f"{document.get('seconds', 0):.0f} s in the last run"
    config = ", ".join(f"{name} {value}" for name, value in document["config"].items() if name not in ("smoke", "rows"))
    made = f"`{document['command']}`: " if "command" in document else ""
    return (
        f"*{made}{time}. Commit {commit}; {source['hardware']}; Python {source['python']}, {versions}. "
        f"Options: {config}.*"
    )
