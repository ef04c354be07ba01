"""RESULTS.md: what was asked, the claims of the original, findings, what ReSU contributes, limits, six figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import report_claims
import report_contributions
import report_ledger
import report_original
import report_recipes
import report_stages
import report_steps
from report_contributions import CONTROLS, Contribution
from report_ledger import Footnotes
from report_original import Row
from report_stages import added_to, file_of, page_of
from stage_io import duration
from stage_report import markdown_table, read_estimate

ASKED = """\
A Rectified Spectral Unit (ReSU; [Qin et al.](https://arxiv.org/abs/2512.23146)) learns filters in closed form: the
directions of a pixel's past that predict its near future best (canonical correlation), split into ON and OFF. [An
investigation](https://github.com/Pathos0925/resu-atari), below "the original", tested it on Atari games, mostly
with one seed. We rebuilt it from its text, with more seeds and with controls: which of its claims stand, and what
does ReSU add to random filters?

Usual setting: layer 1 (L1) is one bank of 4 filters over 8 frames, shared by all pixels, averaged in 16 x 8 cells;
60,000 frames per seed; on top a ridge probe (stages 2, 3, 8, 11), or a head that imitates a hand-written player (4
to 6, 9; 20 games per seed, sticky actions .25).
"""
LEGEND = """\
*Ours*: the difference of the two compared (R2 in stages 2, 3, 8; points of the game in 4a to 9c), or what
the claim names; Student's t over n seeds, each with its own frames, fit, head and games. An effect *stands* if the
interval is on its side of 0 and holds half of it or more, is *smaller* below that half, *falls* if the interval is
on the other side, or holds 0 and not the effect. An equality stands by two one-sided tests at 5 %, and falls wholly
outside its margin. Below 5 seeds all is undecided; n beside it would decide at this mean and spread.
*Same?*: is it the original's experiment? Its figures stand if so, or partly. Star: primary claims, p adjusted for their
number (Holm), named after most of these seeds had run.
"""
SIGNS = dict(zip(report_contributions.WORDS, (">", ">=", "=", "<=", "<", "?"), strict=True))
FIGURES = {  # of RESULTS.md beside the two of claims and contributions: result, and what it shows
    "probe_pong": "Stage 2: linear probes on Pong, by code",
    "bc_breakout": "Stage 5: clones in Breakout, by encoder",
    "transfer_forgetting": "Stage 9c: Pong after streaming on Breakout",
    "asteroids_enduro_stress": "Stage 11: filters of five games",
}


def results_page(found: Mapping[str, Any], results: str) -> str:
    """The whole text.

    found     documents of all results by name
    results   where their pages and figures lie, as seen from the page: "results/", or ""
    """
    rows, notes = report_original.rows(found), Footnotes()
    listed = "\n".join(f"{i}. {text}" for i, text in enumerate(report_claims.findings(found, notes), 1))
    parts = [
        "# RESULTS\n\n[PLAN.md](PLAN.md): claims, margins, log. A stage's number leads to its page.\n",
        f"## What was asked\n\n{ASKED}",
        f"In short: {in_short(rows, found)}\n",
        claims_part(rows, found, notes, results),
        f"## Three findings\n\n{listed}\n",
        contributions_part(found, results),
        demonstrations_part(found, notes),
        limits_part(rows, found),
        figures_part(found, results),
        rebuild_part(found),
        "Added or changed after a first look: " + " ".join(notes.lines()) + "\n",
    ]
    text = "\n".join(parts)
    return f"{text}\n{links(text, results)}"


def counted(rows: Sequence[Row]) -> str:
    """How many of the original's claims stand, in one sentence."""
    words = {"stands": "stand", "falls": "fall"}
    counts = {word: n for word, n in report_original.counted(rows).items() if n}
    listed = ", ".join(f"{n} {words.get(word, word)}" for word, n in counts.items())
    return f"Of {len(rows)} claims of the original: {listed}."


def in_short(rows: Sequence[Row], found: Mapping[str, Any]) -> str:
    """The two answers: how many claims stand, and where clones on ReSU's code play above those on random filters."""
    return f"{counted(rows)} {beyond(found)}"


def beyond(found: Mapping[str, Any]) -> str:
    """Where clones that play score above those on random filters and on temporal PCA."""
    known = report_contributions.contributions(found)
    parts = [report_contributions.summary(known, control) for control in ("random filters", "temporal PCA")]
    return f"Scores of clones on ReSU's code less those on {'. Less those on '.join(parts)}."


def claims_part(rows: Sequence[Row], found: Mapping[str, Any], notes: Footnotes, results: str) -> str:
    """The table of the original's claims, its footnotes, and the forest."""
    reasons, table = report_ledger.letters(), []
    for row in rows:
        cells = row.cells
        cells["stage"] = f"[{row.claim.stage}]"
        cells["claim of the original"] += notes.mark(added_to(row))
        if row.verdict and _by_label(row.verdict["estimate"]):
            cells["ours [95 %]"] = means(row.verdict["estimate"])
        word, _, reason = row.same.partition(": ")
        table.append(cells | {"same?": word + reasons.mark([reason] if reason else [])})
    return (
        f"## The original's claims\n\n{LEGEND}\n{markdown_table(table, compact=True)}\n\n"
        f"Same? {' '.join(reasons.lines())}\n\n{report_recipes.summary(found)}\n\n"
        f"![All claims in units of their margins]({results}claims.png)\n"
    )


def _by_label(estimate: Any) -> bool:
    return isinstance(estimate, Mapping) and read_estimate(estimate) is None


def means(estimates: Mapping[str, Any]) -> str:
    """Estimates by label without their intervals, which stand on the stage's page."""
    return ", ".join(f"{each['mean']:.3g} ({label})" for label, each in estimates.items())


def contributions_part(found: Mapping[str, Any], results: str) -> str:
    """What ReSU adds to its controls, by game: the headline, whatever it is."""
    known = report_contributions.contributions(found)
    controls = [control for control in CONTROLS if any(one.control == control for one in known)]
    table = []
    for its in report_contributions.by_row(known).values():
        first = next(iter(its.values()))
        margin = "" if first.margin is None else f"{first.margin:g}"
        row = {"game, measure": f"[{_page(first.result)}] {report_contributions.label(first)}", "n": str(first.found.n)}
        row |= {f"less {control}": _cell(its.get(control)) for control in controls}
        table.append(row | {"margin": margin})
    lacking = [control for control in CONTROLS if control not in controls]
    missing = f" Not compared so far: {', '.join(lacking)}." if lacking else ""
    return (
        "## What ReSU contributes beyond its controls\n\n"
        "The headline. ReSU's code less a control: same frames, head and number of features (raw frames: more), paired "
        "by seed. > above, < below, = equal within a margin fixed before (>= both), ? undecided (at 95 %; intervals of "
        "R2: on the page). A clone not above random play says little of its code."
        f"{missing}\n\n{markdown_table(table, compact=True)}\n\n"
        f"![The same in units of the margin of equality]({results}contributions.png)\n"
    )


def _cell(one: Contribution | None) -> str:
    if one is None:
        return ""
    number = f"{one.found.mean:.3f}" if one.what and one.margin is None else str(one.found)
    return f"{number} {SIGNS[one.word]}"


def _page(result: str) -> str:
    return page_of(next(step for step in report_steps.STEPS if step.name == result))


def demonstrations_part(found: Mapping[str, Any], notes: Footnotes) -> str:
    """What has no control yet: it shows what can be done."""
    table = report_claims.shown_rows(report_claims.demonstrations(found), found, notes)
    return (
        "## Demonstrations\n\n"
        "Without random filters: 4 filters over 4 frames span every window. PPO's recipe on features was chosen among "
        "several, that on frames was borrowed.\n\n"
        f"{markdown_table(table, compact=True)}\n"
    )


def limits_part(rows: Sequence[Row], found: Mapping[str, Any]) -> str:
    """What these results cannot say."""
    seeds = sorted({int(row.verdict["n"]) for row in rows if row.verdict})
    span = f"{seeds[0]} to {seeds[-1]}" if seeds else "(missing)"
    primary, full = sum(row.claim.primary for row in rows), sum(row.same == "yes" for row in rows)
    return (
        "## Limits\n\n"
        "- The original's code, grids and splits are unknown to us, its recipe is inferred: "
        f"{full or 'no'} row is its experiment in full.\n"
        f"- {span} seeds; {primary} primary claims are adjusted for their number, no other.\n"
        "- Five games, one frame skip, random or hand-written players.\n"
        "- How scores depend on the number of features, on filters, memory and grid was not measured.\n"
        "- Layers 2 and 3 were held against random ones by probes alone, not at play.\n"
    )


def figures_part(found: Mapping[str, Any], results: str) -> str:
    """The figures beside those of claims and contributions."""
    shown = [f"![{text}]({results}{name}.png)\n" for name, text in FIGURES.items() if name in found]
    return "## Figures\n\n" + "\n".join(shown)


def rebuild_part(found: Mapping[str, Any]) -> str:
    """Commands, and what all of it cost."""
    costs = [document["cost"] for document in found.values() if document.get("cost")]
    seconds = sum(cost["seconds_of_cells"] + cost["seconds_beside"] for cost in costs)
    return (
        "## How to rebuild\n\n"
        "`make report` rebuilds all pages and figures from `results/cells/`; "
        f'`make reproduce STAGES="9c"` runs a stage anew (all: {duration(seconds)} on 2 CPU cores).\n'
    )


def links(text: str, results: str) -> str:
    """Where the pages lie that a text refers to as `[2]` and the like; parts of a stage lead to its page."""
    found = {}
    for page, steps in report_stages.pages().items():
        found[page] = page
        for step in steps:
            for stage in step.stages.split():
                found.setdefault(stage, page)
    its = {label: page for label, page in found.items() if f"|[{label}]" in text}
    return "\n".join(f"[{label}]: {results}{file_of(page)}" for label, page in sorted(its.items())) + "\n"
