"""What ReSU contributes beyond its controls, by game: read from the verdicts of all stages that have such controls."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import report_steps
import stats_ci
from figures_claims import ForestRow
from report_original import STANDS
from stage_report import read_estimate
from stats_ci import EQUIVALENT, LEAST, REFUTED, SUPPORTED, Estimate

CONTROLS = {  # ids of verdicts: the control that they are about; "what: " names the target of a probe
    "random filters": r"resu mlp > filters mlp|native > random|(?P<what>.+): (L1|native) > (L1 )?random filters",
    "temporal PCA": r"resu mlp > pca mlp|(?P<what>.+): (L1|native) > temporal PCA",
    "pooled raw pixels": r"resu mlp > pooled( raw)? mlp|(?P<what>.+): (L1|native)(, third)? > pooled raw( pixels)?",
    "raw frames": r"resu mlp > raw mlp|(?P<what>.+): (L1, third > raw, 8 frames|native > raw\(t,t-1\))",
}
GAMES = ("pong", "breakout", "space_invaders", "asteroids", "enduro")
USUAL_FRAMES = 60_000
USUAL = ("", "reactive")  # experts, as configurations name them
ABOVE_RANDOM = "resu mlp > random"  # the id of "a clone plays better than at random"
ABOVE, BELOW, EQUAL, OPEN = "above", "below", "equal", "undecided"
BOTH = "{}, within the margin"
WORDS = (ABOVE, BOTH.format(ABOVE), EQUAL, BOTH.format(BELOW), BELOW, OPEN)


@dataclass(frozen=True)
class Contribution:
    """A code of ReSU against one control of equal size, under the same head and data.

    result, what   of the record; what a probe reads, or "" for the score of a clone
    margin         of equality, as fixed before the runs; None if there is none
    idle           a clone that was not shown to play better than at random: it says little about its code
    expert         who is imitated, if not who usually is
    aggregated     clones that learned from their own games, too
    """

    result: str
    what: str
    game: str
    control: str
    found: Estimate
    margin: float | None
    idle: bool = False
    expert: str = ""
    aggregated: bool = False

    @property
    def word(self) -> str:
        """One of `WORDS`; with fewer than 5 seeds undecided."""
        alike = self.margin is not None and stats_ci.verdict_equivalent(self.found, self.margin) == EQUIVALENT
        sign = {SUPPORTED: ABOVE, REFUTED: BELOW}.get(stats_ci.verdict_positive(self.found), "")
        return BOTH.format(sign) if sign and alike else sign or (EQUAL if alike else OPEN)


def is_control(id: str) -> bool:
    """Whether a verdict of this id compares with a control."""
    return any(re.fullmatch(pattern, id) for pattern in CONTROLS.values())


def _game(name: str, what: str, config: Mapping[str, Any]) -> str:
    for text in (what, config.get("game", ""), name):
        for game in GAMES:
            if game in text:
                return game
    return ""


def _usual(config: Mapping[str, Any]) -> bool:
    """Not a variant for comparison alone: no sticky actions, newest or more frames, the original's recipe."""
    if config.get("n_frames", USUAL_FRAMES) > USUAL_FRAMES:
        return False
    return config.get("sticky") != 0 and config.get("max_over") != 1 and config.get("recipe", "") != "original"


def contributions(results: Mapping[str, Mapping[str, Any]]) -> list[Contribution]:
    """All comparisons with controls that the results hold, in the order of the record."""
    found = []
    for step in report_steps.STEPS:
        document = results.get(step.name)
        if document is None or not step.heading:
            continue
        config = document.get("config", {})
        if not _usual(config):
            continue
        words = {verdict["id"]: verdict["verdict"] for verdict in document["verdicts"]}
        expert = config.get("expert", "")
        idle = words.get(ABOVE_RANDOM, SUPPORTED) != SUPPORTED
        for verdict in document["verdicts"]:
            estimate = read_estimate(verdict["estimate"])
            for control, pattern in CONTROLS.items():
                match = re.fullmatch(pattern, verdict["id"])
                if match and estimate is not None:
                    what = match.groupdict().get("what") or ""
                    one = Contribution(
                        result=step.name,
                        what=what,
                        game=_game(step.name, what, config),
                        control=control,
                        found=estimate,
                        margin=_margin(document["verdicts"], what),
                        idle=idle,
                        expert=expert if expert not in USUAL else "",
                        aggregated=bool(config.get("dagger_rounds")),
                    )
                    found.append(one)
    return found


def _margin(verdicts: Sequence[Mapping[str, Any]], what: str) -> float | None:
    """Of the first equality of the same result and target."""
    equalities = [v for v in verdicts if " = " in v["id"] and v.get("margin")]
    its = [v for v in equalities if v["id"].startswith(f"{what}: ")] if what else equalities
    return its[0]["margin"] if its else None


def label(one: Contribution) -> str:
    """The game and what is measured."""
    game = one.game.replace("_", " ").title()
    if not one.what:
        whom = f" ({one.expert} expert)" if one.expert else " (aggregation)" if one.aggregated else ""
        return f"{game}, a clone's score{whom}" + (" (not above random)" if one.idle else "")
    return f"{game}, AUC of rewards" if one.what in GAMES else f"{game}, R2 of {one.what}"


def by_row(found: Sequence[Contribution]) -> dict[tuple[str, str], dict[str, Contribution]]:
    """{(result, what): {control: comparison}}"""
    rows: dict[tuple[str, str], dict[str, Contribution]] = {}
    for one in found:
        rows.setdefault((one.result, one.what), {})[one.control] = one
    return rows


def summary(found: Sequence[Contribution], control: str) -> str:
    """Where ReSU's clones score above a control, where not: made of verdicts, on clones that play."""
    its = [one for one in found if one.control == control and not (one.what or one.idle)]
    parts = []
    for word in WORDS:
        places = [f"{place(one, its)} {one.found}" for one in its if one.word == word]
        if places:
            parts.append(f"{word} in {', '.join(places)}")
    return f"{control}: {'; '.join(parts)}" if parts else f"(missing: no control of {control})"


def place(one: Contribution, others: Sequence[Contribution]) -> str:
    """The game, and the stage where one game has several; whether with aggregation."""
    name = one.game.replace("_", " ").title()
    if one.aggregated:
        return f"{name} with aggregation"
    stage = next(step.stages.split()[0] for step in report_steps.STEPS if step.name == one.result)
    return (
        f"{name} (stage {stage})"
        if sum(other.game == one.game and not other.aggregated for other in others) > 1
        else name
    )


def forest_rows(found: Sequence[Contribution]) -> list[tuple[str, list[tuple[str, ForestRow]]]]:
    """In margins, for those that have one and at least 5 seeds."""
    rows = []
    for its in by_row(found).values():
        drawn = []
        for one in its.values():
            if one.margin and one.found.n >= LEAST:
                mean, low, high = (x / one.margin for x in (one.found.mean, one.found.low, one.found.high))
                drawn.append((one.control, ForestRow("", STANDS, mean, low, high, float("nan"))))
        first = next(iter(its.values()))
        if drawn:
            rows.append((f"{label(first)}\n(margin {first.margin:g}, n = {first.found.n})", drawn))
    return rows
