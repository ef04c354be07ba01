"""What was added or changed after a first look at results, shown where the numbers stand; and footnotes for that.

PLAN.md's log tells each of these at length. Nothing here holds a number of ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import report_steps

DAGGER = "†"


@dataclass(frozen=True)
class Added:
    """Something that was added or changed after results had been seen.

    results  names of the results, as a regular expression
    text     the footnote
    where    what of them, as a regular expression for ids of verdicts and texts of rows; without it all of it
    beyond   only numbers of more seeds than these
    aside    it touches no number that other pages show: it stands on the stage's page alone
    """

    results: str
    text: str
    where: str = ""
    beyond: int = 0
    aside: bool = False


SEEDS = "seeds beyond the first 5 (stage 5: 10; DQN: 3), their number fixed after those had been seen"
ADDED = (
    Added("bench_core", "the best of several timings counts since a first run, in which medians moved by half"),
    Added("bench_device", "run again after a first run had missed the rate: a patch's products became one"),
    Added("bench_play", "run again after a first run had met the bound in Pong alone, and again for the refits"),
    Added("probe_pong|probe_pong_newest", "rows added after the first run, to find out about paddle y[t]",
          where="42 x 8 cells|paddle in full view"),
    Added("probe_pong_action", "rows added after the claim had fallen at once, to see how the action gets through",
          where="quiet"),
    Added("asteroids_enduro_stress", "a faster clock, added after the first had not brought filter 2 to Asteroids' own",
          where="fast stream"),
    Added("asteroids_enduro_stress", SEEDS,
          where="^(asteroids|enduro): native", beyond=5),
    Added("live_adaptation", "the mean of all shifts, as of the others, added after single shifts had been judged",
          where="mean of all shifts: ReSU, tone, Wiener"),
    Added("depth_ablation_si", "rows added after ship x had stayed below the original's figures", where="by frame"),
    Added("bc_pong|transfer_matrix|transfer_forgetting",
          SEEDS,
          where=".", beyond=5),
    Added("bc_breakout", SEEDS,
          where=".", beyond=10),
    Added("bc_pong_winning", "few seeds for want of time; the last clone was fitted again after a stop"),
    Added("bc_games_space_invaders_dagger", "played after clones without aggregation had scored like random play"),
    Added("bc_pong|bc_games_.*", "a control added after the other rows had run, stated before its own runs",
          where="pooled"),
    Added("transfer_forgetting", "arms added after the old head had failed with the old pixel means, too",
          where="gains"),
    Added("ppo_pong", "asked after the runs; the claim stated before is that of more than 17", where="> 0"),
    Added("ppo_pong_breakout|ppo_pong_space_invaders", "seeds beyond 3 were added after those had decided nothing",
          beyond=3, where="."),
    Added("ppo_pong_clone", "begins as one saved clone in all runs, since clones made anew for each seed lost"),
    Added("dqn_pong", "an arm added after the others had run, stated before its own runs", where="slow"),
    Added("dqn_pong_warmstart", "an arm added after the others had run, stated before its own runs",
          where="kept leash"),
    Added("dqn_pong_warmstart", "the column of the whole run was added after five of the arms had run",
          aside=True),
    Added("dqn_pong_warmstart", SEEDS, where=".", beyond=3),
)  # fmt: skip


def of_result(name: str, page: bool = True) -> list[str]:
    """Footnotes on all of a result: on its own page, or wherever else its numbers stand."""
    its = [added for added in ADDED if not added.where and re.fullmatch(added.results, name)]
    return [added.text for added in its if page or not added.aside]


def of_number(name: str, text: str, n: int = 0) -> list[str]:
    """Footnotes on one row or verdict of a result.

    text   the verdict's id, or what the row says
    n      its seeds, where they are known
    """
    its = [added for added in ADDED if added.where and re.fullmatch(added.results, name)]
    return [added.text for added in its if re.search(added.where, text) and (not added.beyond or n > added.beyond)]


def unknown() -> list[str]:
    """Entries that no result of the record matches: a result that was renamed."""
    names = [step.name for step in report_steps.STEPS]
    return [added.results for added in ADDED if not any(re.fullmatch(added.results, name) for name in names)]


class Footnotes:
    """Footnotes of one page, numbered in the order in which they are first needed; each stands once."""

    def __init__(self, label: Callable[[int], str] = lambda i: f"{DAGGER}{i + 1}") -> None:
        self._label = label
        self._texts: list[str] = []

    def mark(self, texts: Iterable[str]) -> str:
        """What stands where they belong: their labels with a space before each."""
        return "".join(f" {self._of(text)}" for text in texts)

    def _of(self, text: str) -> str:
        if text not in self._texts:
            self._texts.append(text)
        return self._label(self._texts.index(text))

    def lines(self) -> list[str]:
        """A line for each, in order."""
        return [f"{self._label(i)}: {text}." for i, text in enumerate(self._texts)]


def letters() -> Footnotes:
    """Footnotes a, b, c, ..."""
    return Footnotes(lambda i: chr(ord("a") + i))
