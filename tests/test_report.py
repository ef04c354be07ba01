"""RESULTS.md and README.md are what report_results.py makes of results/: nothing in them was typed by hand."""

import json
import re
import shutil
from pathlib import Path

import imageio.v3 as iio
import numpy as np

import report_claims
import report_original
import report_results
import stage_io
from stage_io import ROOT


def test_rebuilding_results_from_their_cells_changes_nothing(tmp_path, monkeypatch):
    """Tables, verdicts, arrays bit for bit; pictures but for the hinting of another machine's fonts."""
    shutil.copytree(ROOT / "results", tmp_path / "results", ignore=shutil.ignore_patterns("smoke", "*.log"))
    monkeypatch.setattr(stage_io, "ROOT", tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "results").iterdir() if path.is_file()}
    for path in before:
        if path.suffix == ".json":  # what is not rebuilt would be missed
            path.write_text(json.dumps(json.loads(before[path]) | {"rows": [], "verdicts": []}))
    monkeypatch.setattr(report_results, "ROOT", tmp_path)
    assert report_results.rebuild(tmp_path / "results", smoke=False) == []
    for path, content in before.items():
        if path.suffix == ".png":
            old, new = (iio.imread(data).astype(int) for data in (content, path.read_bytes()))
            assert old.shape == new.shape and np.abs(old - new).mean() < 1, path.name
        elif path.name != "index.json":
            assert path.read_bytes() == content, path.name


def test_a_result_whose_cells_are_gone_stays_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(stage_io, "ROOT", tmp_path)
    (tmp_path / "results").mkdir()
    path = Path(shutil.copy(ROOT / "results" / "bc_pong.json", tmp_path / "results"))
    before = path.read_bytes()
    (sentence,) = report_results.rebuild(tmp_path / "results", smoke=False)
    assert re.fullmatch(r"bc_pong stays as it was written: .*json not found: run python src/bc_pong\.py", sentence)
    assert path.read_bytes() == before


def test_rebuilding_changes_nothing():
    assert report_results.results_page(ROOT / "results") == (ROOT / "RESULTS.md").read_text()
    readme = (ROOT / "README.md").read_text()
    assert report_results.fill_readme(readme, ROOT / "results") == readme


def test_missing_and_uncommitted_results_are_shown_as_such(tmp_path):
    assert report_results.results_page(tmp_path).count("**Missing**") == len(report_results.STAGES)
    document = {
        "config": {"seeds": 5, "smoke": False},
        "rows": [{"policy": "clone", "score": 1.0}],
        "verdicts": [{"id": "wins", "claim": "it wins", "estimate": None, "verdict": "refuted"}],
        "timings": {"play": 1.23},
        "provenance": {
            "commit": "0123456789abcdef",
            "uncommitted": True,
            "hardware": "2 CPU cores",
            "python": "3.11",
            "versions": dict.fromkeys(("numpy", "numba", "torch", "ale-py"), "1"),
        },
    }
    (tmp_path / "bc_pong.json").write_text(json.dumps(document))
    page = report_results.results_page(tmp_path)
    assert (
        "**with uncommitted changes**" in page
        and "| it wins |          | refuted |" in page
        and "| clone  | 1     |" in page
    )


def test_readme_blocks_are_replaced_and_nothing_else(tmp_path):
    text = "before\n<!-- results: demo_pong -->\nold table\n<!-- end -->\nafter\n"
    assert report_results.fill_readme(text, tmp_path) == text.replace("old table", "(missing: `demo_pong.json`)")


def test_the_chief_results_are_read_from_the_verdicts(tmp_path):
    text = "<!-- results: headlines -->\n<!-- end -->"
    assert report_results.fill_readme(text, tmp_path).count("missing") == len(report_claims.HEADLINES) + 1
    verdicts = [{"id": "clone > target", "claim": "more than +8", "estimate": {"mean": 11.5, "low": 10.9, "high": 11.9,
                 "n": 3}, "verdict": "supported"}]  # fmt: skip
    (tmp_path / "bc_pong_winning.json").write_text(json.dumps({"verdicts": verdicts, "rows": [], "timings": {}}))
    (row,) = [line for line in report_results.fill_readme(text, tmp_path).splitlines() if "11.5" in line]
    assert "| 11.5 [10.9, 11.9] " in row and "| stands " in row


def test_every_chief_result_names_a_row_that_is_there():
    """Those of results that exist: a renamed row would be shown as missing for ever."""
    for claim in (*report_claims.HEADLINES, *report_original.CLAIMS):
        path = ROOT / "results" / f"{claim.result}.json"
        if path.is_file():
            assert claim.id in [verdict["id"] for verdict in json.loads(path.read_text())["verdicts"]], claim


def test_readme_blocks_may_show_some_rows_alone(tmp_path):
    rows = [{"what": "Pong: a", "s": "1", "x": ""}, {"what": "Enduro: b", "s": "2", "x": "3"}]
    (tmp_path / "bench.json").write_text(json.dumps({"rows": rows, "verdicts": [], "timings": {}}))
    text = "<!-- results: bench: Pong|Riverraid -->\nold\n<!-- end -->"
    filled = report_results.fill_readme(text, tmp_path)
    assert "| Pong: a | 1 |" in filled and "Enduro" not in filled and "| x |" not in filled
    assert report_results.fill_readme(filled, tmp_path) == filled
