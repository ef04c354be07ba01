"""What README and RESULTS.md say first: findings, demonstrations and speed, in templates that hold no number of ours.

{result: id} stands for the estimate of a result's verdict. A text that interprets names the verdicts that it rests on;
where one of them is another, the page says so, and a test fails.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import report_contributions
import report_ledger
import stats_ci
from report_ledger import Footnotes
from report_original import CLAIMS, FALLS, MISSING, STANDS, by_words, verdict_of
from stage_report import read_estimate, shown

STALE = "(**The verdicts no longer say so: this text is to be written anew.**)"


@dataclass(frozen=True)
class Finding:
    """Something that surprised us.

    short, text   for README and for RESULTS.md
    rests_on      (result, id, word) of the verdicts that the wording supposes; a word may be "equal within 2", too
    """

    short: str
    text: str
    rests_on: tuple[tuple[str, str, str], ...]


FINDINGS = (
    Finding(
        "Streamed on Breakout, Pong's encoder no longer serves its old head "
        "({transfer_forgetting: ReSU, alpha 0.99: head kept}); a refitted one plays as before, within 2 "
        "({transfer_forgetting: ReSU, alpha 0.99: head refitted}).",
        "**Forgetting is a matter of the basis.** After streaming on Breakout Pong's old head scores otherwise by "
        "{transfer_forgetting: ReSU, alpha 0.99: head kept}. The pixel means moved, the first filter shrank, and the "
        "two weakest, whose correlations are near 0, turned. With these three put back the change is "
        "{transfer_forgetting: ReSU, alpha 0.99: head, means, gains and filters 3, 4 kept} (under the original's "
        "recipe, which leaves the still picture in, "
        "{transfer_forgetting_original: ReSU, alpha 0.99: head, means, gains and filters 3, 4 kept}); with a head "
        "refitted on the streamed code {transfer_forgetting: ReSU, alpha 0.99: head refitted}; with the last layer "
        "of a fine-tuned network refitted {transfer_forgetting: CNN, fine-tuned: last layer refitted}. The original "
        "calls its encoder free of forgetting: that holds for a refitted head alone.",
        (
            ("transfer_forgetting", "ReSU, alpha 0.99: head kept", FALLS),
            ("transfer_forgetting", "ReSU, alpha 0.99: head, means, gains and filters 3, 4 kept", STANDS),
            ("transfer_forgetting_original", "ReSU, alpha 0.99: head, means, gains and filters 3, 4 kept", FALLS),
            ("transfer_forgetting", "ReSU, alpha 0.99: head refitted", STANDS),
        ),
    ),
    Finding(
        "In Breakout Pong's filters serve better than Breakout's own: fitting anew changes the score by "
        "{bc_breakout: native > frozen}; a network trained end to end scores higher still.",
        "**Filters from another game can serve better.** In Breakout fitting anew, in place of Pong's frozen encoder, "
        "changes a clone's score by {bc_breakout: native > frozen}, under the original's recipe by "
        "{bc_breakout_original: native > frozen}. Here (one player, one grid) the "
        "canonical directions of a game are not those with which it is played best. A network trained end to end on "
        "the same frames scores higher still, by {transfer_forgetting: Breakout: CNN > ReSU}.",
        (
            ("bc_breakout", "native > frozen", FALLS),
            ("bc_breakout_original", "native > frozen", FALLS),
            ("transfer_forgetting", "Breakout: CNN > ReSU", STANDS),
        ),
    ),
    Finding(
        "Raw pixels are a stronger baseline than the original found: in Pong, with the same MLP, ReSU differs from "
        "two raw frames by {bc_pong: resu mlp > raw mlp}.",
        "**Raw pixels are a strong baseline in Pong.** With the same MLP ReSU differs from two raw frames by "
        "{bc_pong: resu mlp > raw mlp}, where the original's raw frames lost every point, and from pooled pixels by "
        "{bc_pong: resu mlp > pooled mlp}; with linear heads the difference is {bc_pong: resu linear > raw linear}. "
        "A linear probe of the ball's velocity does gain by ReSU.",
        (
            ("bc_pong", "resu mlp > raw mlp", "equal within 2"),
            ("bc_pong", "resu mlp > pooled mlp", "equal within 2"),
            ("bc_pong", "resu linear > raw linear", FALLS),
            ("probe_pong", "ball velocity: L1, third > raw(t,t-1)", STANDS),
        ),
    ),
)


@dataclass(frozen=True)
class Shown:
    """One of our results in a reader's words, and the verdict that decides it."""

    text: str
    result: str
    id: str


# Policies without a control of random filters beside them: they show what can be done, not what ReSU adds.
DEMONSTRATIONS = (
    Shown("Pong, clone of a winning player, aggregation: above 8", "bc_pong_winning", "clone > target"),
    Shown("Breakout, clone, aggregation: above 40", "bc_games_breakout_dagger", "clone > target"),
    Shown("Space Invaders, clone, aggregation: above 450", "bc_games_space_invaders_dagger", "clone > target"),
    Shown("Pong, PPO on frozen features: above 17", "ppo_pong", "features > 17"),
    Shown("the same, above PPO on frames: after about as many minutes", "ppo_pong", "minutes: features > frames"),
    Shown("the same, above PPO on frames: training games, as many steps", "ppo_pong", "steps: features > frames"),
    Shown("Pong, PPO begun as the clone of a winner: above that clone", "ppo_pong_clone", "learned > clone"),
    Shown("Breakout, PPO after 10 M frames: above linear Blob-PROST (12.3)", "ppo_pong_breakout", "features > 12.3"),
    Shown("Space Invaders, PPO after 10 M frames: above Blob-PROST (466)", "ppo_pong_space_invaders", "features > 466"),
    Shown("Pong, DQN on features: above DQN on frames, as many steps", "dqn_pong", "features > frames"),
)
SPEED = (
    Shown("moments, in the hardest game: times faster than the fastest peer (4 and more)", "bench_core",
          "peer / moments"),
    Shown("encoding, in the hardest game that moves little: the same (15 and more)", "bench_core", "peer / encode"),
    Shown("a clone at play: share of the bare emulator's rate (.9 and more)", "bench_play", "pong_winning"),
)  # fmt: skip
Documents = Mapping[str, Mapping[str, Any]]


def decided(name: str, id: str, results: Documents) -> tuple[str, str]:
    """(estimate, stands or falls or undecided or missing) of one verdict, from the documents of results by name."""
    found = verdict_of(name, id, results)
    word = by_words(found)
    return ("" if found is None or found["estimate"] is None else shown(found["estimate"])), word


def filled(text: str, results: Documents, notes: Footnotes | None = None) -> str:
    """A template with our estimates in their places; `(missing)` where a result is not there.

    notes   where daggers go, for numbers that were added after looking
    """

    def number(match: re.Match[str]) -> str:
        name, id = match[1].split(": ", 1)
        mark = notes.mark(added(name, id, results)) if notes else ""
        return (decided(name, id, results)[0] or "(missing)") + mark

    return re.sub(r"\{([^}]+)\}", number, text)


def added(name: str, id: str, results: Documents) -> list[str]:
    """What was added after looking, of one verdict."""
    found = verdict_of(name, id, results)
    n = int(found["n"]) if found and found.get("n") else 0
    return report_ledger.of_result(name, page=False) + report_ledger.of_number(name, id, n)


def stale(finding: Finding, results: Documents) -> list[str]:
    """The verdicts that a finding's wording supposes and that are others by now; missing ones do not count."""
    return [f"{name}: {id}" for name, id, word in finding.rests_on if not _holds(name, id, word, results)]


def _holds(name: str, id: str, word: str, results: Documents) -> bool:
    verdict = verdict_of(name, id, results)
    now = by_words(verdict)
    if verdict is None or now == MISSING or not word.startswith("equal within "):
        return now in (word, MISSING)
    found = read_estimate(verdict["estimate"])
    return found is not None and stats_ci.verdict_equivalent(found, float(word.split()[-1])) == stats_ci.EQUIVALENT


def findings(results: Documents, notes: Footnotes | None = None, short: bool = False) -> list[str]:
    """The findings in full or in short, with our estimates in their places."""
    return [
        filled(each.short if short else each.text, results, notes) + (f" {STALE}" if stale(each, results) else "")
        for each in FINDINGS
    ]


def shown_rows(chosen: tuple[Shown, ...], results: Documents, notes: Footnotes) -> list[dict[str, str]]:
    """Rows of demonstrations or of speeds: result, seeds, verdict, daggers where they belong."""
    rows = []
    for each in chosen:
        estimate, word = decided(each.result, each.id, results)
        found = verdict_of(each.result, each.id, results)
        rows.append(
            {
                "what": each.text + notes.mark(added(each.result, each.id, results)),
                "ours [95 %]": estimate,
                "n": str(found["n"]) if found else "",
                "verdict": word,
            }
        )
    return rows


def demonstrations(results: Documents) -> tuple[Shown, ...]:
    """Those whose results have no control: what has one stands among the contributions."""
    controlled = {one.result for one in report_contributions.contributions(results)}
    return tuple(each for each in DEMONSTRATIONS if each.result not in controlled)


def referred() -> set[tuple[str, str]]:
    """(result, id) of every verdict that claims, findings, demonstrations and speeds refer to."""
    texts = " ".join(finding.text + finding.short for finding in FINDINGS)
    named = {tuple(match.split(": ", 1)) for match in re.findall(r"\{([^}]+)\}", texts)}
    chosen = {(each.result, each.id) for each in (*CLAIMS, *DEMONSTRATIONS, *SPEED)}
    return {(name, id) for name, id in named | chosen}
