"""All pages are what report_results.py makes of results/: nothing in them was typed by hand."""

import io
import json
import re
import shutil
from pathlib import Path

import imageio.v3 as iio
import numpy as np

import report_claims
import report_original
import report_readme
import report_results
import report_steps
import stage_io
from report_tables import documents
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
    """Every page, byte by byte; the two pictures that it draws, but for another machine's fonts."""
    for path, text in report_results.pages(ROOT / "results", ROOT).items():
        assert text == path.read_text(), path.name
    readme = (ROOT / "README.md").read_text()
    assert report_readme.fill(readme, ROOT / "results") == readme
    assert report_readme.tree_page(ROOT / "results") == (ROOT / "src" / "README.md").read_text()
    drawn = report_results.figures(documents(ROOT / "results"))
    assert set(drawn) == {"claims.png", "contributions.png"}
    for name, figure in drawn.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=120)
        new, old = (
            iio.imread(data).astype(int) for data in (buffer.getvalue(), (ROOT / "results" / name).read_bytes())
        )
        assert new.shape == old.shape and np.abs(new - old).mean() < 1, name


def test_no_page_of_a_stage_is_left_from_before():
    """A stage that was renamed would leave its old page, which nothing rebuilds."""
    written = {path.name for path in report_results.pages(ROOT / "results", ROOT)} - {"RESULTS.md"}
    assert written == {path.name for path in (ROOT / "results").glob("*.md")}


def test_missing_and_uncommitted_results_are_shown_as_such(tmp_path):
    at = tmp_path / "results"
    at.mkdir()
    texts = report_results.pages(at, tmp_path)
    assert sum(text.count("**Missing**") for text in texts.values()) == len(report_results.STAGES)
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
    (at / "bc_pong.json").write_text(json.dumps(document))
    page = report_results.pages(at, tmp_path)[at / "stage_4a.md"]
    for words in ("**with uncommitted changes**", "|it wins|||refuted|", "|clone|1|", "play 1.2 s", "seeds 5"):
        assert words in page, words


def test_readme_blocks_are_replaced_and_nothing_else(tmp_path):
    text = "before\n<!-- results: demo_pong -->\nold table\n<!-- end -->\nafter\n"
    assert report_readme.fill(text, tmp_path) == text.replace("old table", "(missing: `demo_pong.json`)")


def test_every_chief_result_names_a_row_that_is_there():
    """Those of results that exist: a renamed row would be shown as missing for ever."""
    named = {(each.result, each.id) for each in report_original.CLAIMS} | report_claims.referred()
    named |= {(name, id) for finding in report_claims.FINDINGS for name, id, _ in finding.rests_on}
    assert len(named) > 50
    for name, id in named:
        path = ROOT / "results" / f"{name}.json"
        assert name in {step.name for step in report_steps.STEPS}
        if path.is_file():
            assert id in [verdict["id"] for verdict in json.loads(path.read_text())["verdicts"]], (name, id)


def test_readme_shows_a_result_without_its_empty_columns(tmp_path):
    rows = [{"what": "Pong: a", "s": "1", "x": ""}, {"what": "Enduro: b", "s": "2", "x": ""}]
    (tmp_path / "demo_pong.json").write_text(json.dumps({"rows": rows, "verdicts": [], "timings": {}}))
    text = "<!-- results: demo_pong -->\nold\n<!-- end -->"
    filled = report_readme.fill(text, tmp_path)
    assert "|Pong: a|1|" in filled and "|what|s|" in filled
    assert report_readme.fill(filled, tmp_path) == filled
