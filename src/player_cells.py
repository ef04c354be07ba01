"""How good are policies by themselves? Scores, lengths and shares of actions, measured once for all stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import atari_play
import stats_ci
from atari_env import MAX_STEPS
from players import TASKS
from stage_run import Run, late, measured


@dataclass(frozen=True)
class Player:
    """One policy in one game, with one seed.

    games, sticky     evaluation games; probability that the emulator repeats an action
    expert            a name of TASKS[game].experts, or "random" for random play
    source            what an expert looks at: "ram" or "pixels"
    max_steps         games are cut here  [agent steps]
    """

    seed: int
    games: int
    game: str
    expert: str
    source: str = "ram"
    sticky: float = 0.25
    max_steps: int = late(MAX_STEPS)

    @property
    def label(self) -> str:
        """For readers."""
        who = "random play" if self.expert == "random" else f"{self.expert}, from {self.source}"
        return f"{TASKS[self.game].label}: {who}"

    @property
    def env(self) -> dict[str, Any]:
        """Options of `AtariEnv` beside sticky."""
        limit = {} if self.max_steps == MAX_STEPS else {"max_steps": self.max_steps}
        return {**TASKS[self.game].env, **limit}

    def policy(self) -> atari_play.Policy:
        """A new one."""
        if self.expert == "random":
            return atari_play.RandomPolicy()
        make = TASKS[self.game].experts[self.expert]
        return make(source=self.source) if self.source != "ram" else make()


def lineup(game: str, sticky: float, games: int, pixel_games: int, max_steps: int = MAX_STEPS) -> list[Player]:
    """Random play and every expert of a game, from RAM and, where they can, from pixels; of seed 0."""
    found = [Player(0, games, game, "random", sticky=sticky, max_steps=max_steps)]
    for name, make in TASKS[game].experts.items():
        seeing = replace(found[0], expert=name)
        found.append(seeing)
        if hasattr(make(), "source"):
            found.append(replace(seeing, source="pixels", games=pixel_games))
    return found


@measured(shelf="players")
def measure(run: Run, player: Player) -> dict[str, Any]:
    """Its games. Returns scores, lengths, and the share of each action of the minimal set."""
    played = atari_play.play(
        player.policy(), player.games, (player.seed, atari_play.EVALUATION), player.game,
        f"{player.label}, seed {player.seed}", sticky=player.sticky, **player.env,
    )  # fmt: skip
    actions = np.sum([game.actions for game in played], axis=0)
    return {
        "scores": [game.score for game in played],
        "lengths": [game.length for game in played],
        "actions": actions / actions.sum(),
    }


def cells(run: Run, players: Sequence[Player], seeds: int) -> list[list[dict[str, Any]]]:
    """Of every player a cell per seed, 0 to seeds - 1; measured once for all stages that show this player."""
    return [[run.cell(measure, replace(player, seed=seed)) for seed in range(seeds)] for player in players]


def means_of(players: Sequence[Player], found: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, np.ndarray]:
    """(seeds,) mean scores, by label and sticky probability."""
    return {
        f"{player.label}, sticky {player.sticky:g}": stats_ci.mean_over_games([cell["scores"] for cell in its])
        for player, its in zip(players, found, strict=True)
    }


def table(
    players: Sequence[Player],
    found: Sequence[Sequence[Mapping[str, Any]]],
    estimates: Mapping[str, stats_ci.Estimate],
    original: Mapping[tuple[str, str], str],
) -> list[dict[str, Any]]:
    """A row per player.

    estimates  of the mean scores, under the keys of `means_of`
    original   (game, expert): what was reported elsewhere
    """
    rows = []
    for player, its in zip(players, found, strict=True):
        shares = np.mean([cell["actions"] for cell in its], axis=0)
        names = atari_play.environment(game=player.game, sticky=player.sticky, **player.env).action_names
        scores = np.concatenate([cell["scores"] for cell in its])
        rows.append(
            {
                "policy": player.label,
                "sticky": f"{player.sticky:g}",
                "original": original.get((player.game, player.expert), "") if player.source == "ram" else "",
                "score [95 % interval over seeds]": estimates[f"{player.label}, sticky {player.sticky:g}"],
                "worst and best game": f"{scores.min():.0f} .. {scores.max():.0f}",
                "steps per game": f"{np.mean([cell['lengths'] for cell in its]):.0f}",
                "actions": ", ".join(f"{n} {s:.2f}" for n, s in zip(names, shares, strict=True) if s >= 0.005),
                "seeds x games": f"{len(its)} x {player.games}",
            }
        )
    return rows
