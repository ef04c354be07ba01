"""Rebuild RESULTS.md, and the tables in README.md, from results/*.json alone. No number in them is typed by hand.

A block in README.md between `<!-- results: NAME -->` and `<!-- end -->` is replaced by the tables of results/NAME.json;
with `<!-- results: NAME: PATTERN -->` only by the rows that match, and `<!-- results: headlines -->` by the chief ones.
A stage without a result is listed as missing; a result that came from uncommitted code is marked.

Reads      results/*.json          Writes  RESULTS.md, README.md (or, with --smoke, results/smoke/RESULTS.md)
Run        python src/report_results.py
           python src/report_results.py --smoke    (reports the smoke runs, proves nothing)
"""

import importlib
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import report_claims
import report_original
import report_power
import report_steps
import report_tree
import resu_files
from stage_io import ROOT, guard, parse_config
from stage_report import markdown_table, verdict_row
from stage_run import MissingCellError

STAGES = tuple(
    (step.name, step.heading, step.question) for step in report_steps.STEPS if step.heading
)  # in reading order


@dataclass(frozen=True)
class Config:
    """Options."""

    smoke: bool = False


def tables(document: dict[str, Any]) -> str:
    """The tables of one result."""
    parts = [markdown_table(document["rows"])]
    if document["verdicts"]:
        parts.append(markdown_table([verdict_row(verdict) for verdict in document["verdicts"]]))
    if document.get("notes"):
        parts.append("\n".join(f"- {note}" for note in document["notes"]))
    if document["timings"]:
        parts.append(
            "Time of each step: "
            + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in document["timings"].items())
        )
    return "\n\n".join(parts)


def origin(document: dict[str, Any]) -> str:
    """Where one result came from, in one line."""
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


LEGEND = (
    "An effect *stands* if our interval lies on its side of 0 and holds at least half of it, is *smaller* below that "
    "half, and *falls* if the interval lies on the other side, or holds 0 and not the effect. An equality stands by "
    "two one-sided tests at 5 %, and falls wholly outside its margin. With fewer than 5 seeds all is undecided. "
    "A star: primary claims, whose p values are adjusted for their number (Holm); they were named after most of these "
    "seeds had run. The other verdicts describe. Filters are numbered from 1."
)


def summary(results: Path) -> str:
    """Every claim of the original with our verdict, counted; what surprised us; the power of the comparisons."""
    documents = _documents(results)
    compared = {comparison.result for comparison in report_power.COMPARISONS}
    arrays = {name: resu_files.read_npz(results / f"{name}.npz") for name in compared if _has(results, name, "npz")}
    rows, counts = report_original.table(documents)
    found = "\n".join(f"{i}. {text}" for i, text in enumerate(report_claims.findings(documents), 1))
    strength = markdown_table(report_power.table(arrays)) if arrays else "(no results yet)"
    return (
        f"## Summary\n\n{_counted(counts)}\n\n{LEGEND}\n\n{markdown_table(rows)}\n\n"
        f"### What surprised us most\n\n{found}\n\n"
        f"### Power\n\nThe spread between seeds says what a comparison could have found.\n\n{strength}\n"
    )


def headlines(results: Path) -> str:
    """The chief results, and how many of the original's claims stand."""
    documents = _documents(results)
    _, counts = report_original.table(documents)
    return f"{markdown_table(report_claims.headlines(documents))}\n\n{_counted(counts)}"


def _documents(results: Path) -> dict[str, Any]:
    names = [step.name for step in report_steps.STEPS]
    return {name: resu_files.read_json(results / f"{name}.json") for name in names if _has(results, name, "json")}


def _counted(counts: dict[str, int]) -> str:
    words = {"stands": "stand", "falls": "fall"}
    counted = ", ".join(f"{n} {words.get(verdict, verdict)}" for verdict, n in counts.items() if n)
    return f"Of {sum(counts.values())} claims of the original: {counted}."


def _has(results: Path, name: str, suffix: str) -> bool:
    return (results / f"{name}.{suffix}").is_file()


def index(results: Path) -> dict[str, Any]:
    """What there is, for machines: per result its files, commit, options, cost and verdicts."""
    found: dict[str, Any] = {}
    for name, heading, _ in STAGES:
        if not _has(results, name, "json"):
            found[name] = {"heading": heading, "missing": True}
            continue
        document = resu_files.read_json(results / f"{name}.json")
        found[name] = {
            "heading": heading,
            "files": sorted(path.name for path in [*results.glob(f"{name}.*"), *results.glob(f"{name}__*")]),
            "commit": document["provenance"]["commit"],
            "uncommitted": document["provenance"]["uncommitted"],
            "config": document["config"],
            "cost": document.get("cost", {}),
            "verdicts": document["verdicts"],
        }
    return found


def section(results: Path, name: str, heading: str, question: str) -> str:
    """One stage's part of RESULTS.md."""
    path = results / f"{name}.json"
    if not path.is_file():
        return f"## {heading}\n\n{question}\n\n**Missing**: `{path.name}` has not been computed.\n"
    document = resu_files.read_json(path, f"delete {path.name} and run its stage again")
    drawn = sorted([*results.glob(f"{name}.png"), *results.glob(f"{name}__*.png")], key=lambda path: path.stem)
    figures = "".join(f"\n![{heading}](results/{path.name})\n" for path in drawn)
    return f"## {heading}\n\n{question}\n\n{tables(document)}\n{figures}\n{origin(document)}\n"


def results_page(results: Path) -> str:
    """The whole text of RESULTS.md."""
    head = "# RESULTS\n\nGenerated by `make report` from `results/`; claims and margins are in PLAN.md.\n"
    return "\n".join([head, summary(results), *(section(results, *stage) for stage in STAGES)])


def fill_readme(text: str, results: Path) -> str:
    """README text with every marked block rebuilt; `<!-- results: NAME: PATTERN -->` shows the rows that match."""

    def replace(match: re.Match[str]) -> str:
        name, pattern = match[1], match[2]
        path = results / f"{name}.json"
        body = f"(missing: `{path.name}`)"
        if name == "headlines":
            body = headlines(results)
        elif name == "tree":
            body = f"```text\n{report_tree.tree(ROOT / 'src', _documents(results))}\n```"
        elif path.is_file():
            document = resu_files.read_json(path)
            if pattern:
                rows = [row for row in document["rows"] if re.search(pattern, " ".join(map(str, row.values())))]
                shown = [column for column in rows[0] if any(row[column] != "" for row in rows)] if rows else []
                document["rows"] = [{column: row[column] for column in shown} for row in rows]
            body = tables(document)
        return f"<!-- results: {name}{f': {pattern}' if pattern else ''} -->\n{body}\n<!-- end -->"

    return re.sub(r"<!-- results: (\w+)(?:: (.+?))? -->\n.*?<!-- end -->", replace, text, flags=re.DOTALL)


def rebuild(results: Path, smoke: bool) -> list[str]:
    """Every result that is there anew from its cells: tables, verdicts, arrays and figures.

    Returns   a sentence for each result whose cells are not all there: it stays as it was written
    """
    kept = []
    for step in report_steps.STEPS:
        if _has(results, step.name, "json"):
            stage = importlib.import_module(step.script).STAGE
            try:
                stage.rebuild(["--smoke"] if smoke else shlex.split(step.options))
            except MissingCellError as missing:
                kept.append(f"{step.name} stays as it was written: {missing}")
    return kept


def main(argv: list[str] | None = None) -> None:
    """Rebuild the results, then write both files."""
    config = parse_config(Config, argv)
    results = ROOT / "results" / "smoke" if config.smoke else ROOT / "results"
    for sentence in rebuild(results, config.smoke):
        print(sentence, file=sys.stderr)
    text = results_page(results)
    target = results / "RESULTS.md" if config.smoke else ROOT / "RESULTS.md"
    resu_files.write_atomically(target, lambda file: file.write(text.encode()))
    resu_files.write_json(results / "index.json", index(results))
    if not config.smoke:
        readme = fill_readme((ROOT / "README.md").read_text(), results)
        resu_files.write_atomically(ROOT / "README.md", lambda file: file.write(readme.encode()))
    print(f"{target.relative_to(ROOT)} written")


if __name__ == "__main__":
    guard(main)
