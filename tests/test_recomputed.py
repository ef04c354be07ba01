"""Every number on RESULTS.md, and README's speeds, follow from the cells: computed anew, they are the page's.

The recomputation (measured_cells.py, recomputed.py, verdict_rules.py) shares no code with the stages and their reports;
recomputed_pages.py holds the pages against it.
"""

import itertools
import json
import re
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import measured_cells
import recomputed_pages as pages
import report_claims
import report_contributions
import report_stages
import report_steps
import report_tables
from measured_cells import Cells
from recomputed import TABLE, TWINS
from recomputed_pages import CLAIMS, FINDINGS, PLACES, RESULTS, ROOT, document, found, is_there
from verdict_rules import Found, adjusted, equal, interval, word_of, word_on_page

ALIKE = 1e-9  # relative


def disagreements(name: str, its: dict[str, Found]) -> dict[str, str]:
    """By id: what of a result's estimates or verdicts is not as recomputed."""
    verdicts = {verdict["id"]: verdict for verdict in document(name)["verdicts"]}
    wrong = {}
    for id, mine in its.items():
        if id not in verdicts:
            wrong[id] = "not in the result"
            continue
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


def skip_without(name: str) -> None:
    """A result that is not there has to be said to be missing on its stage's page."""
    if not (RESULTS / f"{name}.json").is_file():
        step = next(step for step in report_steps.STEPS if step.name == name)
        page = read(f"results/{report_stages.file_of(report_stages.page_of(step))}")
        assert f"**Missing**: `{name}.json` has not been computed." in page
        pytest.skip(f"{name} has not been computed")


def shown_first() -> set[tuple[str, str]]:
    """(result, id) of whatever a number on RESULTS.md, or among README's speeds, is said to come from."""
    texts = [text for finding in FINDINGS for text in (finding.short, finding.text)]
    named = {(name, id) for text in texts for name, id in PLACES.findall(text)}
    named |= {(name, id) for finding in FINDINGS for name, id, _ in finding.rests_on}
    named |= {(each.result, each.id) for each in (*CLAIMS, *pages.DEMONSTRATIONS, *pages.SPEED)}
    named |= {(its.result, id) for its in pages.compared() for control, id in its.ids.items() if control in its.numbers}
    return named | {(asked.result, asked.id) for _, pair, _ in pages.both_recipes(CLAIMS) for asked in pair}


def test_every_number_shown_is_recomputed():
    assert shown_first() >= report_claims.referred()
    for name, id in shown_first():
        assert name in TABLE, name
        assert id in found(name) if is_there(name, id) else True, (name, id)
    steps = {step.name for step in report_steps.STEPS}
    assert set(TABLE) <= steps
    assert {name for name in steps if name.endswith("_original")} <= set(TABLE)
    assert {f"{name}_original" for name in TWINS} == {
        step.name for step in report_steps.STEPS if "--recipe" in step.options
    }


def test_every_contribution_is_recomputed():
    theirs = report_contributions.contributions(report_tables.documents(RESULTS))
    mine = {(its.result, control): its for its in pages.compared() for control in its.numbers}
    assert {(one.result, one.control) for one in theirs} == mine.keys()
    assert len(theirs) == sum(len(its.numbers) for its in pages.compared())


@pytest.mark.parametrize("name", TABLE)
def test_estimates_and_verdicts_follow_from_the_cells(name):
    skip_without(name)
    assert disagreements(name, found(name)) == {}


# The pages


def read(name: str) -> str:
    return (ROOT / name).read_text()


def claims_of(page: str) -> list[Any]:
    names = {step.name for step in report_stages.pages()[page]}
    return [claim for claim in CLAIMS if claim.result in names]


@pytest.mark.parametrize("page", report_stages.pages())
def test_a_stages_page_shows_its_claims_and_both_recipes(page):
    text, said = read(f"results/{report_stages.file_of(page)}"), dict(zip(CLAIMS, pages.words(CLAIMS), strict=True))
    heading = "The original's claims"
    rows = pages.tables(pages.section(text, heading))[0] if f"\n## {heading}\n" in text else []
    for row, claim in zip(rows, claims_of(page), strict=True):
        pages.check_claim(row, claim, *said[claim])
    pages.check_recipes_table(text, claims_of(page))


def test_stages_pages_share_all_claims_among_them():
    assert sorted(claim.text for page in report_stages.pages() for claim in claims_of(page)) == sorted(
        claim.text for claim in CLAIMS
    )


@pytest.mark.parametrize("i", range(len(CLAIMS)), ids=lambda i: f"{CLAIMS[i].result}: {CLAIMS[i].id}")
def test_the_page_shows_a_claims_own_numbers_and_word(i):
    claim, (rows,) = CLAIMS[i], pages.tables(pages.section(read("RESULTS.md"), "The original's claims"))
    pages.check_claim(rows[i], claim, *pages.words(CLAIMS)[i])


CHECKS: dict[str, tuple[str, Callable[[str], object]]] = {  # page and check
    "claims": ("RESULTS.md", pages.check_claims),
    "words of claims": ("RESULTS.md", pages.check_count),
    "words of claims, README": ("README.md", pages.check_count),
    "clones": ("RESULTS.md", pages.check_beyond),
    "clones, README": ("README.md", pages.check_beyond),
    "findings": ("RESULTS.md", pages.check_findings),
    "findings, README": ("README.md", lambda text: pages.check_findings(text, short=True)),
    "contributions": ("RESULTS.md", pages.check_contributions),
    "demonstrations": ("RESULTS.md", pages.check_demonstrations),
    "limits": ("RESULTS.md", pages.check_limits),
    "cost": ("RESULTS.md", pages.check_cost),
    "speed, README": ("README.md", pages.check_speed),
}


@pytest.mark.parametrize("what", CHECKS)
def test_the_page_shows_what_was_recomputed(what):
    page, check = CHECKS[what]
    check(read(page))


@pytest.mark.parametrize("finding", FINDINGS, ids=range(len(FINDINGS)))
def test_what_a_finding_rests_on_is_so(finding):
    for name, id, word in finding.rests_on:
        its = found(name)[id]
        margin = re.fullmatch(r"equal within ([\d.]+)", word)
        now = equal(its.values, float(margin[1])) == "equivalent" if margin else word_on_page(its.word()) == word
        assert now, (name, id, word)


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
    """Whatever the last seed measured is another number, in each cell another one."""

    def one(self, shelf: str, **asked: Any) -> Any:
        result = super().one(shelf, **asked)
        last = self.config.get("first_seed", 0) + self.config.get("seeds", 0) - 1
        first = 1 + zlib.crc32(repr(sorted(asked.items(), key=repr)).encode()) % 1000
        return altered(result, itertools.count(first)) if asked.get("seed", last) == last else result


def altered(result: Any, numbers: itertools.count) -> Any:
    if isinstance(result, dict):
        return {key: value if key == "changed" else altered(value, numbers) for key, value in result.items()}
    if isinstance(result, list):
        return [altered(value, numbers) for value in result]
    return 1.5 * result + next(numbers) if isinstance(result, (int, float)) else result


@pytest.mark.parametrize("name", TABLE)
def test_other_measurements_of_one_seed_are_noticed_in_every_number(name):
    skip_without(name)
    its = TABLE[name](Altered(RESULTS / "cells", document(name)["config"], name))
    assert disagreements(name, its).keys() == its.keys()


def test_one_games_score_in_a_copied_cell_is_noticed(tmp_path):
    for shelf in ("clones", "players"):
        shutil.copytree(RESULTS / "cells" / shelf, tmp_path / shelf)
    cells = Cells(tmp_path, document("bc_pong")["config"], "bc_pong")
    assert disagreements("bc_pong", TABLE["bc_pong"](cells)) == {}
    asked = {"row": "resu linear", "seed": 3, "game": "pong", "sticky": cells["sticky"]}
    for path in (tmp_path / "clones").iterdir():
        cell = json.loads(path.read_text())
        if asked.items() <= cell["options"].items():
            cell["result"]["scores"][0] += 1
            path.write_text(json.dumps(cell))
    measured_cells.shelf_of.cache_clear()
    wrong = disagreements("bc_pong", TABLE["bc_pong"](cells))
    assert wrong.keys() == {"resu linear > raw linear", "resu mlp > resu linear"}


def test_cells_that_are_missing_or_not_told_apart_are_no_numbers(tmp_path):
    shutil.copytree(RESULTS / "cells" / "players", tmp_path / "players")
    cells = Cells(tmp_path, document("bc_pong")["config"], "bc_pong")
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
        pages.assert_shown(text, its)
    except AssertionError:
        assert not holds
    else:
        assert holds


def numbers_of(page: str, what: str) -> list[re.Match[str]]:
    """Where digits stand in the lines that a check is about, but for those of footnotes and columns' names."""
    text = read(page)
    first = {"claims": r"\|\[|Under its recipe", "words": r".*claims of the original", "clones": r".*Scores of clones",
             "findings": r"- (?!Of|Scores).*\]|\d\. \*\*", "contributions": r"\|\[", "demonstrations": r"\|(?!what)",
             "limits": r".*are adjusted", "cost": r".*CPU cores\)", "speed": r"\|(?!game|claim)"}  # fmt: skip
    titles = {"claims": "The original's claims", "contributions": "What ReSU contributes beyond its controls",
              "demonstrations": "Demonstrations", "findings": "Three findings", "limits": "Limits"}  # fmt: skip
    blocks = {"findings, README": "findings", "speed, README": "speed"}
    whole = text
    if what in blocks:
        whole = text.split(f"<!-- results: {blocks[what]} -->")[1].split("<!-- end -->")[0]
    elif what in titles:
        whole = pages.section(text, titles[what])
    start, kind = text.index(whole), re.split(r"[ ,]", what)[0]
    lines = [it for it in re.finditer(r"(?m)^.+$", whole) if re.match(first[kind], it[0])]
    wanted = {"words": r"Of .*? of the original: [^.]*", "clones": r"Scores of clones.*", "cost": r"\(all.*?cores",
              "findings": r"(\*\*|- ).*"}  # fmt: skip
    spans = [(it.start() + part.start(), it.start() + part.end()) for it in lines
             for part in [re.search(wanted.get(kind, r".+"), it[0])] if part]  # fmt: skip
    digits = re.compile(r"(?<![\d†])\d+")
    return [it for begin, end in spans for it in digits.finditer(text, start + begin, start + end)]


@pytest.mark.parametrize("what", CHECKS)
def test_every_number_of_a_page_that_is_changed_is_noticed(what):
    page, check = CHECKS[what]
    text, numbers = read(page), numbers_of(page, what)
    assert numbers
    for it in numbers:
        last = str((int(it[0][-1]) + 2) % 10)  # one more may be as near, where a number lies between two
        with pytest.raises((AssertionError, ValueError)):
            check(text[: it.end() - 1] + last + text[it.end() :])
            pytest.fail(f"not noticed: {text[it.start() - 40 : it.end() + 20]!r}")


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
