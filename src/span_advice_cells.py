"""What a user can do with "When do canonical directions pay?": sentences that its verdicts choose, and its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

import span_design_cells as design
import span_gain_cells as gain
import stats_ci
from players import TASKS
from span_design_cells import CANONICAL, CENTRE
from span_gain_cells import METRICS, MLP, OBJECTS, PURPOSES, RIDGE, Found
from stats_ci import EQUIVALENT, MISSING, REFUTED, SUPPORTED, UNDECIDED, Verdict


def names(games: Sequence[str]) -> str:
    """For readers."""
    return "all five games" if len(games) == len(design.GAMES) else ", ".join(TASKS[game].label for game in games)


def conclusions(found: Found, games: Sequence[str], verdicts: Sequence[Verdict]) -> list[str]:
    """What a user can act on, in the words that the verdicts allow."""
    its = {verdict.id: verdict for verdict in verdicts}
    return [
        said([its[f"K: {RIDGE}: {control}"] for control in gain.TESTED], {
            SUPPORTED: "Few filters make the choice of filters matter: the fewer, the more canonical ones gain",
            REFUTED: "With more filters canonical ones gain more, not less",
            UNDECIDED: "Whether canonical filters gain more where they are few is open",
        }, "loss of accuracy per doubling of K"),
        said([its["K = m: canonical = random"]], {
            EQUIVALENT: "With as many filters as frames (K = m) any filters do, random ones, too",
            REFUTED: "Even with as many filters as frames (K = m) it matters which basis they are",
            UNDECIDED: "Whether any filters do where K = m is open",
        }, "canonical less random"),
        said([its[f"motion: {RIDGE}: {control}"] for control in gain.TESTED], {
            SUPPORTED: "The more pixels move, the more canonical filters gain",
            REFUTED: "The more pixels move, the less canonical filters gain",
            UNDECIDED: "Whether canonical filters gain more where more pixels move is open",
        }, "accuracy per tenfold share"),
        said([its[f"unit: {metric}"] for metric in (RIDGE, MLP, OBJECTS)], {
            SUPPORTED: "The unit matters: rectified canonical directions beat the same span in another basis",
            REFUTED: "The canonical basis is worse than a random one of the same span",
            UNDECIDED: "Whether the basis within the canonical span matters is open",
        }, "canonical less rotated: ridge, MLP, objects"),
        said([its[f"span: {metric}"] for metric in (RIDGE, MLP, OBJECTS)], {
            SUPPORTED: "The span matters: even in a random basis it beats random filters",
            REFUTED: "The canonical span in a random basis is worse than random filters",
            UNDECIDED: "Whether the canonical span in a random basis beats random filters is open",
        }, "rotated less random: ridge, MLP, objects"),
        *_by_game(found, games),
        *_best_units(found, games),
        *_use(found, games, its),
    ]  # fmt: skip


def said(verdicts: Sequence[Verdict], words: Mapping[str, str], of: str) -> str:
    """The sentence for a family of verdicts: that of the one word they share, else what each of them is."""
    kinds = dict.fromkeys(verdict.verdict for verdict in verdicts)
    numbers = "; ".join(str(verdict.estimate) for verdict in verdicts)
    each = "; ".join(f"{verdict.verdict} {verdict.estimate}" for verdict in verdicts)
    if MISSING in kinds:
        return f"Not measured: {of}."
    if len(kinds) == 1:
        return f"{words[next(iter(kinds))]} ({of}: {numbers})."
    return f"{words[SUPPORTED if SUPPORTED in words else EQUIVALENT]}: not everywhere ({of}: {each})."


def _by_game(found: Found, games: Sequence[str]) -> list[str]:
    """Where canonical filters are above a control, and where they are not."""
    notes = []
    for control in gain.TESTED:
        by_word: dict[str, list[str]] = {SUPPORTED: [], REFUTED: [], UNDECIDED: []}
        for game in games:
            its = gain.gains(found, CENTRE, game, control, RIDGE)
            if its is not None:
                by_word[stats_ci.verdict_positive(stats_ci.estimate(its))].append(TASKS[game].label)
        above, below, still = (", ".join(by_word[word]) or "none" for word in (SUPPORTED, REFUTED, UNDECIDED))
        notes.append(
            f"Closed-form clones at the centre, canonical filters against {control}: above in {above}; below in "
            f"{below}; undecided in {still}."
        )
    return notes


def _best_units(found: Found, games: Sequence[str]) -> list[str]:
    """How many filters to spend a number of features on."""
    notes = []
    for metric, purpose in ((RIDGE, PURPOSES[RIDGE]), (OBJECTS, PURPOSES[OBJECTS])):
        its = gain.beside(
            [
                gain.mean_over([gain.values(found, point, game, CANONICAL, metric) for game in games])
                for point in design.UNITS
            ]
        )
        if its is None:
            continue
        order = np.argsort(-its.mean(axis=0))
        first, second = (design.UNITS[i].n_units for i in order[:2])
        gap = stats_ci.estimate(its[:, order[0]] - its[:, order[1]])
        if stats_ci.verdict_positive(gap) == SUPPORTED:
            advice = f"use K = {first}"
        else:
            advice = f"use K = {min(first, second)} or {max(first, second)}, which are not told apart,"
        notes.append(
            f"For {purpose}, with {CENTRE.n_features:,} features and m = 8: {advice} (K = {first} less K = {second}, "
            f"{METRICS[metric]}: {gap}; chosen after the fact)."
        )
    return notes


def _use(found: Found, games: Sequence[str], its: Mapping[str, Verdict]) -> list[str]:
    """The recommended configuration per purpose, and what it did elsewhere."""
    notes = []
    choosing, confirming = ([g for g in games if g in part] for part in (design.CHOOSING, design.CONFIRMING))
    for choice in gain.choices(found, choosing):
        verdict = its[f"recommended: {choice.metric}"]
        usual = (choice.point, choice.code) == (CENTRE, CANONICAL)
        there = "not measured" if verdict.verdict == MISSING else f"{verdict.estimate}, {verdict.verdict}"
        notes.append(
            f"For {PURPOSES[choice.metric]} use: {choice.label}. Chosen in {names(choosing)}; "
            + (
                "it is the usual code itself."
                if usual
                else f"less the usual code in {names(confirming)}, which took no part: {there}."
            )
        )
    return notes


REMARKS = (
    "All codes of a row have equally many numbers, the same pixel means, cells, rectification and heads. Pooled raw "
    "pixels hold the newest 2 K frames; where 2 K is more than m, m frames on twice as many cells.",
    "More than 4 filters need a horizon of as many frames, so that K = 8 and K = 16 predict 8 and 16 frames, the "
    "others 4. With K = m the span is the whole window in any case.",
    "Intervals are over seeds: the five games are these five, and a slope over their shares of moving pixels says "
    "nothing of a sixth.",
    "Ridge heads and probes see every third step; players are those of the original's kind, in Asteroids the aiming "
    "one (its clones play hardly better than at random); games of Enduro end after 4,000 steps. The objects read are "
    "those always there: ball and paddle, ship and formation, ship, and in Enduro our place, the bend and both speeds.",
)
