"""Every number that decides a claim, a headline or a finding follows from the cells: computed anew, it is the page's.

The recomputation (recomputed.py, verdict_rules.py) shares no code with the stages and their reports.
"""

import functools
import itertools
import json
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import recomputed
import report_claims
import report_original
from recomputed import TABLE, Cells
from stage_io import ROOT
from verdict_rules import LEAST, Found, adjusted, interval, p_of, sized, word_of, word_on_page

RESULTS = ROOT / "results"
CLAIMS, HEADLINES, FINDINGS = report_original.CLAIMS, report_claims.HEADLINES, report_claims.FINDINGS
PLACES = re.compile(r"\{([^}:]+): ([^}]+)\}")  # what a finding shows: {result: id}, whose id may hold a colon
ALIKE = 1e-9  # relative


@functools.cache
def document(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text())


@functools.cache
def found(name: str) -> dict[str, Found]:
    return TABLE[name](Cells(RESULTS / "cells", document(name)["config"]))


def disagreements(name: str, its: dict[str, Found]) -> dict[str, str]:
    """By id: what of a result's estimates or verdicts is not as recomputed."""
    verdicts = {verdict["id"]: verdict for verdict in document(name)["verdicts"]}
    wrong = {}
    for id, mine in its.items():
        estimates = verdicts[id]["estimate"]
        several = estimates if isinstance(estimates, dict) and "mean" not in estimates else {"": estimates}
        if list(several) != list(mine.parts):
            wrong[id] = f"parts {list(several)}"
            continue
        for label, values in mine.parts.items():
            theirs = several[label]
            if isinstance(theirs, dict):
                there, here = (theirs["mean"], theirs["low"], theirs["high"]), (np.mean(values), *interval(values))
                n = theirs["n"]
            else:
                there, here, n = (theirs,), values, 1
            if n != len(values) or not np.allclose(here, there, rtol=0, atol=ALIKE * np.abs(there).max()):
                wrong[id] = f"{label} {here} of {len(values)} seeds, not {there} of {n}"
        if mine.word() != verdicts[id]["verdict"]:
            wrong[id] = f"{mine.word()}, not {verdicts[id]['verdict']}"
    return wrong


def shown_first() -> set[tuple[str, str]]:
    places = (match.groups() for text in FINDINGS for match in PLACES.finditer(text))
    return {(it.result, it.id) for it in (*CLAIMS, *HEADLINES)} | {(name, id) for name, id in places}


def test_every_claim_headline_and_finding_is_recomputed():
    assert {name for name, _ in shown_first()} == set(TABLE)
    for name, id in shown_first():
        assert id in found(name), (name, id)


@pytest.mark.parametrize("name", TABLE)
def test_estimates_and_verdicts_follow_from_the_cells(name):
    assert disagreements(name, found(name)) == {}


# The pages


def tables(text: str) -> list[dict[str, str]]:
    """Rows of all tables, by column."""
    rows, header = [], []
    for line in text.splitlines():
        if not line.startswith("|"):
            header = []
            continue
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not header:
            header = cells
        elif set(cells[0]) != {"-"} and len(cells) == len(header):
            rows.append(dict(zip(header, cells, strict=True)))
    return rows


@functools.cache
def pages() -> str:
    return "\n".join(path.read_text() for path in sorted(ROOT.glob("*.md")))


@functools.cache
def rows_with_estimates() -> list[tuple[str, str, dict[str, str]]]:
    """(claim, our estimate, row) of every row that shows both."""
    columns = (({key.split(" ")[0]: value for key, value in row.items()}, row) for row in tables(pages()))
    return [(short["claim"], short["ours"], row) for short, row in columns if {"claim", "ours"} <= short.keys()]


def rows_of(text: str) -> list[tuple[str, dict[str, str]]]:
    its = [(estimate, row) for claim, estimate, row in rows_with_estimates() if claim == text]
    assert its, f"no page shows: {text}"
    return its


def assert_shown(text: str, its: Found) -> None:
    """A page's estimate is the recomputed one to its last digit."""
    for shown, (label, values) in zip(text.split("; "), its.parts.items(), strict=True):
        assert shown.startswith(f"{label}: " if label else ""), shown
        numbers = re.findall(r"-?\d+(?:\.\d+)?", re.sub(r"\(all \d+ alike\)", "", shown.removeprefix(f"{label}: ")))
        wanted = [float(np.mean(values)), *interval(values)] if len(numbers) == 3 else [float(np.mean(values))]
        assert len(numbers) == 3 or len(values) == 1 or np.ptp(values) == 0, shown
        for number, value in zip(numbers, wanted, strict=True):
            step = 10.0 ** -len(number.partition(".")[2])
            assert abs(float(number) - value) <= 0.5 * step * (1 + 1e-6), (text, wanted)


@functools.cache
def judged() -> list[tuple[str, float | None]]:
    """(word, adjusted p of the primary ones) for each claim of the original."""
    mine = [found(claim.result)[claim.id] for claim in CLAIMS]
    tested = [
        (i, its.values) for i, its in enumerate(mine)
        if CLAIMS[i].primary and not CLAIMS[i].incomparable and len(its.values) >= LEAST
    ]  # fmt: skip
    p = dict(zip((i for i, _ in tested), adjusted([p_of(CLAIMS[i], values) for i, values in tested]), strict=True))
    words: list[tuple[str, float | None]] = []
    for i, (claim, its) in enumerate(zip(CLAIMS, mine, strict=True)):
        word = word_of(claim, its.values, p.get(i)) if sized(claim) else word_on_page(its.word())
        words.append(("not comparable" if claim.incomparable else word, p.get(i)))
    return words


@pytest.mark.parametrize("i", range(len(CLAIMS)), ids=lambda i: f"{CLAIMS[i].result}: {CLAIMS[i].id}")
def test_the_page_shows_a_claims_own_numbers_and_word(i):
    claim, (word, p) = CLAIMS[i], judged()[i]
    for estimate, row in rows_of(claim.text + (" *" if claim.primary else "")):
        its = found(claim.result)[claim.id]
        assert_shown(estimate, its)
        assert int(row["n"]) == len(next(iter(its.parts.values())))
        shown = re.fullmatch(r"([a-z ]+?)(?: \(p (.+)\))?", row["verdict"])
        assert shown and shown[1] == word, row
        assert shown[2] == (None if p is None or word == "falls" else f"{p:.2g}"), row


def test_the_page_counts_the_words():
    counts = Counter(word for word, _ in judged())
    plural = {"stands": "stand", "falls": "fall"}
    sentences = re.findall(r"Of (\d+) claims of the original: (.+)\.", pages())
    assert sentences
    for total, text in sentences:
        assert int(total) == len(CLAIMS)
        assert sorted(text.split(", ")) == sorted(f"{n} {plural.get(word, word)}" for word, n in counts.items())


@pytest.mark.parametrize("claim", HEADLINES, ids=lambda claim: f"{claim.result}: {claim.id}")
def test_the_page_shows_a_headlines_own_numbers_and_word(claim):
    for estimate, row in rows_of(claim.text):
        assert_shown(estimate, found(claim.result)[claim.id])
        assert row["verdict"] == word_on_page(found(claim.result)[claim.id].word()), row


@pytest.mark.parametrize("text", FINDINGS, ids=range(len(FINDINGS)))
def test_the_page_shows_a_findings_own_numbers(text):
    estimate = r"(-?[\d.]+ \[-?[\d.]+, -?[\d.]+\])"
    parts = re.split(r"\{[^}]+\}", text)
    shown = re.findall(estimate.join(re.escape(part) for part in parts), pages())
    assert shown, text
    for numbers in shown:
        places = [match.groups() for match in PLACES.finditer(text)]
        for number, (name, id) in zip([numbers] if isinstance(numbers, str) else numbers, places, strict=True):
            assert_shown(number, found(name)[id])


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim.effect is not None], ids=lambda claim: claim.id)
def test_an_effect_is_the_difference_of_the_originals_figures(claim):
    first, *_, last = [float(it) for it in re.findall(r"(?<!\+- )(?<![\d.])-?(?:\d*\.)?\d+", claim.figures)]
    if "log10" in claim.text:
        assert claim.effect == pytest.approx(np.log10(first / last), abs=0.01)
    elif " to " in claim.figures:  # from a range to a value: the least change counts
        _, least = claim.figures.split(" to ")[0].split(" .. ")
        assert claim.effect == float(claim.figures.split(" to ")[1]) - float(least)
    else:
        assert claim.effect == pytest.approx(first - last, abs=1e-9)


# Negative controls


class Altered(Cells):
    """Whatever the last seed measured is another number."""

    def one(self, shelf: str, **asked: Any) -> Any:
        result = super().one(shelf, **asked)
        last = self.config.get("first_seed", 0) + self.config.get("seeds", 0) - 1
        return altered(result, itertools.count(1)) if asked.get("seed", last) == last else result


def altered(result: Any, numbers: itertools.count) -> Any:
    if isinstance(result, dict):
        return {key: value if key == "changed" else altered(value, numbers) for key, value in result.items()}
    if isinstance(result, list):
        return [altered(value, numbers) for value in result]
    return 1.5 * result + next(numbers) if isinstance(result, (int, float)) else result


@pytest.mark.parametrize("name", TABLE)
def test_other_measurements_of_one_seed_are_noticed_in_every_number(name):
    its = TABLE[name](Altered(RESULTS / "cells", document(name)["config"]))
    assert disagreements(name, its).keys() == its.keys()


def test_one_games_score_in_a_copied_cell_is_noticed(tmp_path):
    for shelf in ("clones", "players"):
        shutil.copytree(RESULTS / "cells" / shelf, tmp_path / shelf)
    cells = Cells(tmp_path, document("bc_pong")["config"])
    assert disagreements("bc_pong", TABLE["bc_pong"](cells)) == {}
    asked = {"row": "resu linear", "seed": 3, "game": "pong", "sticky": cells["sticky"]}
    for path in (tmp_path / "clones").iterdir():
        cell = json.loads(path.read_text())
        if asked.items() <= cell["options"].items():
            cell["result"]["scores"][0] += 1
            path.write_text(json.dumps(cell))
    recomputed.shelf_of.cache_clear()
    wrong = disagreements("bc_pong", TABLE["bc_pong"](cells))
    assert wrong.keys() == {"resu linear > raw linear", "resu mlp > resu linear"}


def test_cells_that_are_missing_or_not_told_apart_are_no_numbers(tmp_path):
    shutil.copytree(RESULTS / "cells" / "players", tmp_path / "players")
    cells = Cells(tmp_path, document("bc_pong")["config"])
    asked = {"game": "pong", "expert": "reactive"}
    assert np.isfinite(cells.scores("players", **asked)).all()
    with pytest.raises(LookupError, match="0 cells of players fit"):
        cells.one("players", seed=10**6, **asked)
    with pytest.raises(LookupError, match=r"[2-9] cells of players fit"):
        cells.one("players", seed=0, expert="random")  # in which game?


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("2.0 [0.8, 3.2]", True),
        ("2.00 [0.76, 3.24]", True),
        ("2.0 [0.7, 3.2]", False),
        ("2.1 [0.8, 3.2]", False),
        ("2.0", False),
        ("2.0 (all 3 alike)", False),
    ],
)
def test_a_wrong_digit_on_a_page_is_noticed(text, holds):
    its = Found(np.array([1.5, 2.0, 2.5]))
    try:
        assert_shown(text, its)
    except AssertionError:
        assert not holds
    else:
        assert holds


@dataclass
class Size:
    """A claim's numbers."""

    effect: float | None = None
    margin: float | None = None
    at_most: float | None = None
    at_least: float | None = None


@pytest.mark.parametrize(
    ("size", "words"),  # for intervals of .8 to 1.2, -.2 to .2 and -1.2 to -.8
    [
        (Size(effect=2.0), "stands falls falls"),
        (Size(effect=2.5), "smaller falls falls"),
        (Size(effect=0.1), "stands undecided falls"),
        (Size(effect=-2.0), "falls falls stands"),
        (Size(margin=1.3), "stands stands stands"),
        (Size(margin=1.0), "undecided stands undecided"),
        (Size(margin=0.7), "falls stands falls"),
        (Size(at_most=1.0), "undecided stands stands"),
        (Size(at_most=0.5), "falls stands stands"),
        (Size(at_least=-0.1), "stands undecided falls"),
    ],
)
def test_words_follow_from_intervals(size, words):
    around = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    around *= 0.2 / interval(around)[1]
    found = [word_of(size, middle + around, None) for middle in (1.0, 0.0, -1.0)]
    assert found == words.split()
    assert {word_of(size, middle + around[1:], None) for middle in (1.0, 0.0)} == {"undecided"}  # four seeds
    unsure = [word_of(size, middle + around, 0.05) for middle in (1.0, 0.0, -1.0)]
    assert unsure == [{"stands": "undecided", "smaller": "undecided"}.get(word, word) for word in found]


def test_p_values_are_adjusted_for_their_number():
    assert adjusted([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert adjusted([0.9, 0.8]) == [1.0, 1.0]
