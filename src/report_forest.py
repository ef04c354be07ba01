"""The forest: every claim of the original in units of its own scale, ours and the original's value; no drawing.

An effect is a share of the original's (1: as large). An equality is in margins (it holds within -1 and 1), a bound in
shares of itself, from where its scale begins (it holds up to 1).
"""

from __future__ import annotations

from collections.abc import Sequence

from figures_claims import ForestRow, Group
from report_original import INCOMPARABLE, Claim, Row
from stage_report import read_estimate

NOTHING = float("nan")


def unit(claim: Claim) -> float | None:
    """What 1 stands for, in the unit of our estimate; None for a claim without a size, or not comparable."""
    if claim.incomparable:
        return None
    for bound in (claim.at_most, claim.at_least):
        if bound is not None:
            return bound - claim.zero
    return claim.effect if claim.effect is not None else claim.margin


def forest_row(row: Row) -> ForestRow:
    """A claim in its units: NaN where there is no size, no result, or no figure of the original for this experiment."""
    scale, zero = unit(row.claim), row.claim.zero
    found = read_estimate(row.verdict["estimate"]) if row.verdict else None
    label = f"{row.claim.stage:>3}  {row.claim.text}"
    if scale is None or found is None:
        return ForestRow(label, row.word, NOTHING, NOTHING, NOTHING, NOTHING)
    low, high = sorted(((found.low - zero) / scale, (found.high - zero) / scale))
    reported = row.claim.effect if row.claim.effect is not None else row.claim.reported
    known = reported is not None and not row.same.startswith("no")
    original = (reported - zero) / scale if known and reported is not None else NOTHING
    return ForestRow(label, row.word, (found.mean - zero) / scale, low, high, original)


def groups(rows: Sequence[Row]) -> list[Group]:
    """Effects; equalities and bounds; and what has no size, of which the words alone are shown."""
    sized = [row for row in rows if unit(row.claim) is not None]
    effects = [forest_row(row) for row in sized if row.claim.effect is not None]
    others = [forest_row(row) for row in sized if row.claim.effect is None]
    rest = [forest_row(row) for row in rows if unit(row.claim) is None]
    rest = [ForestRow(row.label, row.word, 0.0, NOTHING, NOTHING, NOTHING) for row in rest]
    return [
        Group("Effects", "our effect / the original's", effects, None, (0.0, 0.5, 1.0)),
        Group(
            "Equalities (hold in the band) and bounds (hold up to 1)",
            "difference / margin, or value / bound",
            others,
            (-1.0, 1.0),
            (0.0,),
        ),
        Group(f"By eye, or {INCOMPARABLE}: the verdict alone", "", rest),
    ]
