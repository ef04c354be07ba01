"""Rebuild every page from results/*.json alone: RESULTS.md, a page per stage, README's blocks, src/README.md.

No number in them is typed by hand. A stage without a result is listed as missing; a result that came from uncommitted
code is marked.

Reads      results/*.json          Writes  RESULTS.md, README.md, src/README.md, results/stage_*.md, results/index.json,
                                           results/claims.png, results/contributions.png
                                           (with --smoke: RESULTS.md and stages' pages under results/smoke/ alone)
Run        python src/report_results.py
           python src/report_results.py --smoke    (reports the smoke runs, proves nothing)
"""

import importlib
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import figures_claims
import report_contributions
import report_forest
import report_original
import report_page
import report_readme
import report_stages
import report_steps
import resu_files
from report_tables import documents
from stage_io import ROOT, guard, parse_config
from stage_run import MissingCellError

STAGES = tuple(
    (step.name, step.heading, step.question) for step in report_steps.STEPS if step.heading
)  # in reading order


@dataclass(frozen=True)
class Config:
    """Options."""

    smoke: bool = False


def pages(results: Path, at: Path) -> dict[Path, str]:
    """{path: text} of RESULTS.md, which stands in the folder `at`, and of the stages' pages."""
    found = documents(results)
    prefix = "" if at == results else f"{results.relative_to(at).as_posix()}/"
    texts = {at / "RESULTS.md": report_page.results_page(found, prefix)}
    for page in report_stages.pages():
        texts[results / report_stages.file_of(page)] = report_stages.stage_page(page, results, found)
    return texts


def figures(found: Mapping[str, Any]) -> dict[str, Any]:
    """{file: matplotlib Figure} of the pictures of all claims and of all contributions; none without results."""
    known = report_forest.groups(report_original.rows(found))
    rows = report_contributions.forest_rows(report_contributions.contributions(found))
    drawn = {"claims.png": figures_claims.forest(known)} if found else {}
    axis = "ReSU less control / margin of equality (equal in the band)"
    return drawn | ({"contributions.png": figures_claims.contributions(rows, axis)} if rows else {})


def index(results: Path) -> dict[str, Any]:
    """What there is, for machines: per result its files, commit, options, cost and verdicts."""
    found: dict[str, Any] = {}
    for name, heading, _ in STAGES:
        if not (results / f"{name}.json").is_file():
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


def rebuild(results: Path, smoke: bool) -> list[str]:
    """Every result that is there anew from its cells: tables, verdicts, arrays and figures.

    Returns   a sentence for each result whose cells are not all there: it stays as it was written
    """
    kept = []
    for step in report_steps.STEPS:
        if (results / f"{step.name}.json").is_file():
            stage = importlib.import_module(step.script).STAGE
            try:
                stage.rebuild(["--smoke"] if smoke else shlex.split(step.options))
            except MissingCellError as missing:
                kept.append(f"{step.name} stays as it was written: {missing}")
    return kept


def main(argv: list[str] | None = None) -> None:
    """Rebuild the results, then write the pages."""
    config = parse_config(Config, argv)
    results = ROOT / "results" / "smoke" if config.smoke else ROOT / "results"
    for sentence in rebuild(results, config.smoke):
        print(sentence, file=sys.stderr)
    at = results if config.smoke else ROOT
    for path, text in pages(results, at).items():
        _write(path, text)
    for name, figure in figures(documents(results)).items():
        resu_files.write_atomically(results / name, partial(figure.savefig, format="png", dpi=120))
    resu_files.write_json(results / "index.json", index(results))
    if not config.smoke:
        _write(ROOT / "README.md", report_readme.fill((ROOT / "README.md").read_text(), results))
        _write(ROOT / "src" / "README.md", report_readme.tree_page(results))
    print(f"{(at / 'RESULTS.md').relative_to(ROOT)} written")


def _write(path: Path, text: str) -> None:
    resu_files.write_atomically(path, lambda file: file.write(text.encode()))


if __name__ == "__main__":
    guard(main)
