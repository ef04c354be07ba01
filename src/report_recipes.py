"""The original's claims under both recipes, ours and its own as near as it can be inferred: where do they differ?

A result that was measured under both has a twin of the same name with the recipe's suffix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import report_original
import report_steps
from recipes import suffix
from report_original import CLAIMS, OPEN, Claim, verdict_of
from stage_report import shown

TWIN = suffix("original")
TWINS = tuple(
    step.name.removesuffix(TWIN)
    for step in report_steps.STEPS
    if step.name.endswith(TWIN) and "--recipe" in step.options
)
SAME = "changes nothing"
SHAPES = {"ours": "centred: ", "original": "original: "}  # stage 11's ids name the recipe of filters, all in one result


def has_both(claim: Claim) -> bool:
    """Whether it can be judged under both."""
    return claim.result.removesuffix(TWIN) in TWINS and not claim.incomparable


def under(claim: Claim, recipe: str) -> Claim:
    """A claim as it is judged under a recipe; the claim itself where that does not matter."""
    if not has_both(claim):
        return claim
    base, shape = claim.result.removesuffix(TWIN), claim.id.removeprefix(SHAPES["original"])
    if shape != claim.id:
        return replace(claim, result=base, id=SHAPES[recipe] + shape)
    return replace(claim, result=base if recipe == "ours" else base + TWIN)


def table(results: Mapping[str, Any], claims: Sequence[Claim] = CLAIMS) -> list[dict[str, str]]:
    """A row per claim that was judged under both: estimates, verdicts, and what the recipe changes.

    claims   that are shown; the primary ones are adjusted among all, whichever are shown
    """
    judged = {
        recipe: report_original.words_for(results, [under(claim, recipe) for claim in CLAIMS]) for recipe in SHAPES
    }
    rows = []
    for claim, ours, its in zip(CLAIMS, judged["ours"], judged["original"], strict=True):
        if claim not in claims or not has_both(claim):
            continue
        rows.append(
            {
                "stage": claim.stage,
                "claim of the original": claim.text,
                "its figures": claim.figures,
                "our recipe [95 % interval]": _estimate(results, ours[0]),
                "verdict": ours[1],
                "its recipe [95 % interval]": _estimate(results, its[0]),
                "its verdict": its[1],
                "the recipe": _difference(ours[1], its[1]),
            }
        )
    return rows


def summary(results: Mapping[str, Any]) -> str:
    """What the recipe changes in the claims that were judged under both, in a sentence or two."""
    rows = [row for row in table(results) if row["the recipe"] != report_original.MISSING]
    if not rows:
        return "(missing: nothing was measured under the original's recipe)"
    moved = [row for row in rows if row["the recipe"] != SAME]
    text = f"Under the original's recipe {len(rows) - len(moved)} of {len(rows)} verdicts are those under ours"
    if not moved:
        return text + "."
    listed = "; ".join(
        f"[{row['stage']}] {row['claim of the original']}: {row['verdict']}, {row['its verdict']}" for row in moved
    )
    return f"{text}; the others (ours, its): {listed}."


def _difference(ours: str, its: str) -> str:
    """What a change of recipe does to a verdict."""
    if report_original.MISSING in (ours, its):
        return report_original.MISSING
    if ours == its:
        return SAME
    return "leaves it open" if OPEN in (ours, its) else "decides"


def _estimate(results: Mapping[str, Any], claim: Claim) -> str:
    verdict = verdict_of(claim.result, claim.id, results)
    return "" if verdict is None else f"{shown(verdict['estimate'])}, n = {verdict['n']}"
