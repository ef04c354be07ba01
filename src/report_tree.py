"""README's list of files: what each module says of itself, by kind, and what each stage cost; nothing typed by hand."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import report_steps
from stage_io import duration

KINDS = {
    "library": "library (`pip install .`): imports nothing but itself and packages",
    "game": "games: one of them, or all",
    "tool": "tools: no game, no claim",
    "cells": "what a family of stages measures",
    "report": "the pages",
    "stage": "stages: a claim and its falsifier each, in running order (cost on 2 CPU cores, all variants together)",
}
WIDTH = 118
COST = 10  # columns


def kind_of(path: Path) -> str:
    """Which of KINDS a source file is: its name says it, and a stage can be run."""
    name = path.stem
    if any(isinstance(node, ast.If) and "__main__" in ast.dump(node.test) for node in ast.parse(path.read_text()).body):
        return "stage"
    if name.startswith("resu_"):
        return "library"
    if name.endswith("_cells"):
        return "cells"
    if name.startswith("report_"):
        return "report"
    return "game" if name.endswith(("_labels", "_expert")) or name.startswith("atari_") or name == "players" else "tool"


def summary_of(path: Path) -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    first = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=[.?]) (?=[A-Z])", first)[0]


def cost_of(script: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    """What all results of a script took, cells included; empty if that is not known."""
    seconds = [
        results[step.name]["cost"]["seconds_of_cells"] + results[step.name]["cost"]["seconds_beside"]
        for step in report_steps.STEPS
        if step.script == script and results.get(step.name, {}).get("cost")
    ]
    return duration(sum(seconds)) if seconds else ""


def tree(src: Path, results: Mapping[str, Mapping[str, Any]]) -> str:
    """All modules by kind, one line each.

    results   documents by name, for the costs
    """
    paths = sorted(src.glob("*.py"))
    order = list(dict.fromkeys(step.script for step in report_steps.STEPS))
    longest = max(len(path.name) for path in paths)
    lines = []
    for kind, heading in KINDS.items():
        lines += ["", heading]
        its = [path for path in paths if kind_of(path) == kind]
        if kind == "stage":
            its.sort(key=lambda path: order.index(path.stem) if path.stem in order else len(order))
        for path in its:
            room = WIDTH - longest - 4 - (COST if kind == "stage" else 0)
            text = _cut(summary_of(path), room)
            cost = cost_of(path.stem, results) if kind == "stage" else ""
            lines.append(f"  {path.name:<{longest}}  {text:<{room}}{cost:>{COST if cost else 0}}".rstrip())
    return "\n".join(lines[1:])


def _cut(text: str, width: int) -> str:
    """text, or as many of its parts, else of its words, as fit."""
    if len(text) <= width:
        return text
    ends = [m.start() for m in re.finditer(r"[:;,](?= )", text[:width])]
    return text[: ends[-1]] if ends and ends[-1] > width / 3 else text[: text.rfind(" ", 0, width - 3)] + " ..."
