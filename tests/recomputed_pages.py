"""What the pages must show of the recomputed numbers: words of claims, tables, sentences; each check takes a text.

Of src/ only the lists of claims, findings, demonstrations and results are read: what is asked, in whose words.
"""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import report_claims
import report_original
import report_steps
from measured_cells import Cells
from recomputed import MARGINS, TABLE, TWINS, faster, rivals
from stage_io import ROOT
from verdict_rules import LEAST, Found, above, adjusted, equal, interval, p_of, sized, word_of, word_on_page, word_shown

RESULTS = ROOT / "results"
CLAIMS, FINDINGS = report_original.CLAIMS, report_claims.FINDINGS
DEMONSTRATIONS, SPEED = report_claims.DEMONSTRATIONS, report_claims.SPEED
STAGES = {step.name: step.stages.split()[0] for step in report_steps.STEPS}
PLACES = re.compile(r"\{([^}:]+): ([^}]+)\}")  # what a finding shows: {result: id}, whose id may hold a colon
MARKS = r"(?: †\d+)*"
ESTIMATE = r"(-?[\d.]+ (?:\[-?[\d.]+, -?[\d.]+\]|\(all \d+ alike\)))"


# Numbers


@functools.cache
def document(name: str) -> dict[str, Any]:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else {"verdicts": []}


@functools.cache
def found(name: str) -> dict[str, Found]:
    return TABLE[name](Cells(RESULTS / "cells", document(name)["config"], name))


def is_there(name: str, id: str) -> bool:
    """Whether a result has such a verdict; without it the pages say that it is missing."""
    return any(verdict["id"] == id for verdict in document(name)["verdicts"])


def mine(name: str, id: str) -> Found | None:
    return found(name)[id] if is_there(name, id) else None


@functools.cache
def words(claims: tuple[Any, ...]) -> list[tuple[str, float | None]]:
    """(word, adjusted p of the primary ones) for each of some claims that are judged together."""
    its = [mine(claim.result, claim.id) for claim in claims]
    tested = {
        i: one.values for i, one in enumerate(its)
        if one and claims[i].primary and not claims[i].incomparable and len(one.values) >= LEAST
    }  # fmt: skip
    p = dict(zip(tested, adjusted([p_of(claims[i], values) for i, values in tested.items()]), strict=True))
    said: list[tuple[str, float | None]] = []
    for i, (claim, one) in enumerate(zip(claims, its, strict=True)):
        if claim.incomparable:
            said.append(("not comparable", None))
        elif one is None:
            said.append(("missing", None))
        else:
            word = word_of(claim, one.values, p.get(i)) if sized(claim) else word_on_page(one.word())
            said.append((word, p.get(i)))
    return said


def n_of(its: Found) -> int:
    return len(next(iter(its.parts.values())))


# Texts


def section(text: str, title: str) -> str:
    """What stands below a heading, down to the next one."""
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def tables(text: str) -> list[list[dict[str, str]]]:
    """Every table: its rows, by column."""
    found: list[list[dict[str, str]]] = []
    header: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            header = []
            continue
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not header:
            header = cells
            found.append([])
        elif set(cells[0]) != {"-"}:
            found[-1].append(dict(zip(header, cells, strict=True)))
    return found


def bare(text: str) -> str:
    """Without daggers."""
    return re.sub(r"(?: †\d+)+$", "", text)


def assert_shown(text: str, its: Found) -> None:
    """A page's estimate is the recomputed one to its last digit."""
    for shown, (label, values) in zip(text.split("; "), its.parts.items(), strict=True):
        assert shown.startswith(f"{label}: " if label else ""), shown
        alike = re.search(r" \(all (\d+) alike\)", shown)
        assert not alike or int(alike[1]) == len(values), shown
        numbers = re.findall(r"-?\d+(?:\.\d+)?", re.sub(r"\(all \d+ alike\)", "", shown.removeprefix(f"{label}: ")))
        wanted = [float(np.mean(values)), *interval(values)] if len(numbers) == 3 else [float(np.mean(values))]
        assert len(numbers) == 3 or len(values) == 1 or np.ptp(values) == 0, shown
        for number, value in zip(numbers, wanted, strict=True):
            assert_rounded(number, value)


def assert_rounded(number: str, value: float) -> None:
    step = 10.0 ** -len(number.partition(".")[2])
    assert abs(float(number) - value) <= 0.5 * step * (1 + 1e-6), (number, value)


def assert_sentence(text: str, parts: Sequence[str | Found]) -> None:
    """A text has these words and numbers, one after the other; daggers may follow numbers."""
    pattern = "".join(re.escape(part) if isinstance(part, str) else ESTIMATE + MARKS for part in parts)
    shown = re.search(pattern, text)
    assert shown, pattern
    for number, its in zip(shown.groups(), (part for part in parts if isinstance(part, Found)), strict=True):
        assert_shown(number, its)


# Claims


def check_claim(row: Mapping[str, str], claim: Any, word: str, p: float | None) -> None:
    """One row of RESULTS.md, which shows several estimates without intervals, or of a stage's page."""
    assert bare(row["claim of the original"]) == claim.text + (" *" if claim.primary else ""), row
    unlike = claim.incomparable or claim.same.startswith("no")
    assert row["its figures"] == ("" if unlike else claim.figures), row
    its, n_primary = mine(claim.result, claim.id), sum(one.primary for one in CLAIMS)
    assert row["verdict"] == word_shown(word, p, claim, its and its.values, n_primary), row
    if its is None:
        assert (row["ours [95 %]"], row["n"]) == ("", ""), row
        return
    assert int(row["n"]) == n_of(its), row
    if "" in its.parts or "stage" not in row:
        assert_shown(row["ours [95 %]"], its)
        return
    means = re.findall(r"(-?[\d.]+) \(([^)]+)\)(?:, |$)", row["ours [95 %]"])
    assert [label for _, label in means] == list(its.parts), row
    for (number, _), values in zip(means, its.parts.values(), strict=True):
        assert_rounded(number, float(np.mean(values)))


def check_claims(text: str) -> None:
    """The table of RESULTS.md, in order, and what is said of the recipes below it."""
    (rows,) = tables(section(text, "The original's claims"))
    for row, claim, said in zip(rows, CLAIMS, words(CLAIMS), strict=True):
        assert row["stage"] == f"[{claim.stage}]", row
        check_claim(row, claim, *said)
    check_recipes_summary(text)


def check_count(text: str) -> None:
    counts, plural = Counter(word for word, _ in words(CLAIMS)), {"stands": "stand", "falls": "fall"}
    ((total, listed),) = re.findall(r"Of (\d+) claims of the original: ([^.]+)\.", text)
    assert int(total) == len(CLAIMS)
    assert sorted(listed.split(", ")) == sorted(f"{n} {plural.get(word, word)}" for word, n in counts.items())


def check_findings(text: str, short: bool = False) -> None:
    """Every finding with its numbers."""
    for finding in FINDINGS:
        template = finding.short if short else finding.text
        parts = re.split(r"\{[^}]+\}", template)
        numbers = [found(name)[id] for name, id in PLACES.findall(template)]
        its: list[str | Found] = [part for pair in zip(parts, numbers, strict=False) for part in pair]
        assert_sentence(text, [*its, parts[-1]])


# Both recipes


def both_recipes(claims: Sequence[Any]) -> list[tuple[Any, list[Any], list[tuple[str, float | None]]]]:
    """(claim, as it is asked under ours and its recipe, what is said of it) of those claims that have both."""
    pairs = []
    for claim in CLAIMS:  # all primary ones are adjusted together, under each recipe
        base = claim.result.removesuffix("_original")
        pair = [claim, claim]
        if base in TWINS and not claim.incomparable:
            if claim.id.startswith("original: "):  # filters under all recipes stand in one result
                ids = [claim.id.replace("original: ", "centred: "), claim.id]
                pair = [replace(claim, result=base, id=id) for id in ids]
            else:
                pair = [replace(claim, result=name) for name in (base, f"{base}_original")]
        pairs.append((claim, pair))
    said = zip(*(words(tuple(pair[i] for _, pair in pairs)) for i in range(2)), strict=True)
    both = [(claim, pair, list(its)) for (claim, pair), its in zip(pairs, said, strict=True) if claim in claims]
    return [one for one in both if one[1][0] != one[1][1] and "missing" not in dict(one[2])]


def check_recipes_summary(text: str) -> None:
    its = [(claim, [word for word, _ in said]) for claim, _, said in both_recipes(CLAIMS)]
    moved = [(claim, said) for claim, said in its if len(set(said)) > 1]
    sentence = f"Under the original's recipe {len(its) - len(moved)} of {len(its)} verdicts are those under ours"
    listed = "; ".join(f"[{claim.stage}] {claim.text}: {', '.join(said)}" for claim, said in moved)
    assert sentence + (f"; the others (ours, its): {listed}." if moved else ".") in text, (sentence, listed)


def check_recipes_table(text: str, claims: Sequence[Any]) -> int:
    """A stage's page, on which these claims stand: how many of them were judged under both recipes."""
    its = both_recipes(claims)
    assert ("\n## Under both recipes\n" in text) == bool(its)
    (rows,) = tables(section(text, "Under both recipes")) if its else [[]]
    for row, (claim, pair, said) in zip(rows, its, strict=True):
        assert row["claim of the original"] == claim.text and row["its figures"] == claim.figures, row
        columns = ("our recipe [95 % interval]", "verdict"), ("its recipe [95 % interval]", "its verdict")
        for asked, (word, _), (estimate, verdict) in zip(pair, said, columns, strict=True):
            shown, n = row[estimate].rsplit(", n = ", 1)
            assert_shown(shown, found(asked.result)[asked.id])
            assert int(n) == n_of(found(asked.result)[asked.id]) and row[verdict] == word, row
        (ours, _), (theirs, _) = said
        change = "leaves it open" if "undecided" in (ours, theirs) else "decides"
        assert row["the recipe"] == ("changes nothing" if ours == theirs else change), row
    return len(its)


# Contributions


@dataclass(frozen=True)
class Compared:
    """A code of ReSU and its controls: ids by control; what a probe reads, or "" for a clone's score."""

    result: str
    game: str
    what: str
    margin: float | None
    ids: Mapping[str, str]
    whom: str = ""

    @property
    def title(self) -> str:
        return self.game.replace("_", " ").title()

    @property
    def idle(self) -> bool:
        """A clone that was not shown to play above random."""
        id = "resu mlp > random"
        return not self.what and is_there(self.result, id) and found(self.result)[id].word() != "supported"

    @property
    def label(self) -> str:
        """The page's first column."""
        measure = f"a clone's score{self.whom}{' (not above random)' * self.idle}" if not self.what else self.what
        return f"[{STAGES[self.result]}] {self.title}, {measure}"

    @property
    def numbers(self) -> dict[str, Found]:
        """By control, of those that the result has."""
        return {name: found(self.result)[id] for name, id in self.ids.items() if is_there(self.result, id)}


def word_and_sign(values: np.ndarray, margin: float | None) -> tuple[str, str]:
    near = margin is not None and equal(values, margin) == "equivalent"
    word = {"supported": "above", "refuted": "below", "undecided": "undecided"}[above(values, 0.0)]
    if word == "undecided":
        return ("equal", "=") if near else (word, "?")
    sign = {"above": ">", "below": "<"}[word]
    return (f"{word}, within the margin", f"{sign}=") if near else (word, sign)


def _compared() -> Iterator[Compared]:
    rows = {"random filters": "filters", "temporal PCA": "pca", "pooled raw pixels": "pooled", "raw frames": "raw"}
    clone = {control: f"resu mlp > {row} mlp" for control, row in rows.items()}
    for target in ("ball xy[t]", "ball xy[t+4]", "ball velocity", "paddle y[t]", "paddle y[t+4]"):
        ids = {"random filters": f"{target}: L1 > L1 random filters", "temporal PCA": f"{target}: L1 > temporal PCA",
               "raw frames": f"{target}: L1, third > raw, 8 frames"}  # fmt: skip
        yield Compared("probe_pong", "pong", f"R2 of {target}", None, ids)
    for game in ("asteroids", "enduro"):
        ids = {"random filters": f"{game}: native > random filters", "temporal PCA": f"{game}: native > temporal PCA",
               "raw frames": f"{game}: native > raw(t,t-1)"}  # fmt: skip
        yield Compared("asteroids_enduro_stress", game, "AUC of rewards", 0.01, ids)
    for result in ("bc_pong", "bc_pong_balanced"):
        yield Compared(result, "pong", "", MARGINS["pong"], clone, " (balanced expert)" * result.endswith("balanced"))
    yield Compared("bc_games_breakout", "breakout", "", MARGINS["breakout"], clone)
    result = "bc_games_breakout_dagger_selecting"
    yield Compared(result, "breakout", "", MARGINS["breakout"], clone, " (aggregation)")
    for game in ("space_invaders", "asteroids", "enduro"):
        yield Compared(f"bc_games_{game}", game, "", MARGINS[game], clone)
    yield Compared("bc_breakout", "breakout", "", MARGINS["breakout"], {"random filters": "native > random"})


def compared() -> list[Compared]:
    """In the order of the record, those that are there."""
    return [its for its in _compared() if its.numbers]


def check_contributions(text: str) -> None:
    (rows,) = tables(section(text, "What ReSU contributes beyond its controls"))
    for row, its in zip(rows, compared(), strict=True):
        assert row.pop("game, measure") == its.label, (row, its.label)
        assert row.pop("margin") == ("" if its.margin is None else f"{its.margin:g}"), its
        numbers = {f"less {control}": found for control, found in its.numbers.items()}
        assert {int(row.pop("n"))} == {n_of(one) for one in numbers.values()}, its
        assert {column for column, cell in row.items() if cell} == numbers.keys(), row
        for column, one in numbers.items():
            number, sign = row[column].rsplit(" ", 1)
            assert sign == word_and_sign(one.values, its.margin)[1], (its, row)
            if its.what and its.margin is None:
                assert_rounded(number, float(np.mean(one.values)))
            else:
                assert_shown(number, one)


def check_beyond(text: str) -> None:
    """The sentence on clones that play: where above random filters and temporal PCA, and where not."""
    order = ("above", "above, within the margin", "equal", "below, within the margin", "below", "undecided")
    parts: list[str | Found] = ["Scores of clones on ReSU's code less those on "]
    for control in ("random filters", "temporal PCA"):
        its = [one for one in compared() if control in one.numbers and not (one.what or one.idle)]
        places: dict[str, list[tuple[str, Found]]] = {}
        for one in its:
            several = sum(other.game == one.game and "aggregation" not in other.whom for other in its) > 1
            place = one.title + (f" (stage {STAGES[one.result]})" if several else "")
            place = f"{one.title} with aggregation" if "aggregation" in one.whom else place
            word, _ = word_and_sign(one.numbers[control].values, one.margin)
            places.setdefault(word, []).append((place, one.numbers[control]))
        parts += [". Less those on ", f"{control}: "] if len(parts) > 1 else [f"{control}: "]
        for i, word in enumerate(word for word in order if word in places):
            parts.append(f"{'; ' * (i > 0)}{word} in ")
            for j, (place, number) in enumerate(places[word]):
                parts += [f"{', ' * (j > 0)}{place} ", number]
    assert_sentence(text, [*parts, "."])


# The rest


def check_shown(row: Mapping[str, str], each: Any) -> None:
    """A demonstration, or a speed."""
    assert bare(row["what"]) == each.text, row
    its = mine(each.result, each.id)
    assert row["verdict"] == ("missing" if its is None else word_on_page(its.word())), row
    if its is None:
        assert not row["ours [95 %]"], row
        return
    assert_shown(row["ours [95 %]"], its)
    assert int(row.get("n", n_of(its))) == n_of(its), row


def check_demonstrations(text: str) -> None:
    """Those whose results have no control."""
    (rows,) = tables(section(text, "Demonstrations"))
    controlled = {its.result for its in compared()}
    shown = [each for each in DEMONSTRATIONS if each.result not in controlled]
    for row, each in zip(rows, shown, strict=True):
        check_shown(row, each)


def check_speed(text: str) -> None:
    """README's tables: every game against the fastest peers, and what is claimed of it."""
    games, claims = tables(text.split("<!-- results: speed -->")[1].split("<!-- end -->")[0])
    cells = Cells(RESULTS / "cells", document("bench_core")["config"], "bench_core")
    for row, ((game, size), its) in zip(games, rivals(cells).items(), strict=True):
        assert row["game"] == game.replace("_", " ").title() + ("" if size else " at 210 x 160"), row
        assert row["pixels that change"] == f"{its['changed']:.2%}", row
        for what in ("moments", "encode"):
            assert row[f"{what}, frames/s"] == f"{cells['some_frames'] / its['ours'][what]:,.0f}", row
            assert_rounded(row[f"{what}, ours / peer's"], faster(its, what))
    for row, each in zip(claims, SPEED, strict=True):
        check_shown({"what": row["claim"], "ours [95 %]": row["measured"], "verdict": row["verdict"]}, each)


def check_limits(text: str) -> None:
    n = {n_of(its) for claim in CLAIMS if (its := mine(claim.result, claim.id))}
    primary = sum(claim.primary for claim in CLAIMS)
    line = f"- {min(n)} to {max(n)} seeds; {primary} primary claims are adjusted for their number, no other.\n"
    assert line in section(text, "Limits"), line


def check_cost(text: str) -> None:
    """What all of it cost: not from cells alone, as a result's cost counts its work beside them, too."""
    costs = [cost for step in report_steps.STEPS if (cost := document(step.name).get("cost"))]
    minutes = sum(cost["seconds_of_cells"] + cost["seconds_beside"] for cost in costs) / 60
    ((hours, rest),) = re.findall(r"\(all: (\d+) h (\d+) min on 2 CPU cores\)", text)
    assert abs(60 * int(hours) + int(rest) - minutes) <= 1, minutes
