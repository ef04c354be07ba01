"""Stage 16: one agent learns five games in turn. What does it forget?

Claim      The encoder of five games in turn, in any order, is that of all at once, bit for bit, and so are the sums of
           a ridge head, to 1e-9: nothing is forgotten. With heads that are trained, a tenth of the games before,
           replayed, suffices: each game is played within 10 % of a head of its own (points above random play).
Falsified  if a bit differs, or if the interval of (in turn - random) - .9 (own head - random) lies below 0 in a game.
Controls   random filters in place of ReSU's; MLP heads and the DQN network in turn without replay, and with it
Original   left open there; "forgetting-free" is what it calls its streams
Reads      data/{pong,breakout,space_invaders,asteroids,enduro}_*   Writes  results/continual_games.{npz,json,log,png}
Run        python src/continual_games.py            (4 h on 2 cores)
           python src/continual_games.py --smoke    (1 min, proves nothing)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import continual_cells
import figures
import figures_rows
import stats_ci
from atari_env import MAX_STEPS
from continual_cells import GAMES, Arm, Setting
from players import TASKS
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage
from stats_ci import Verdict
from trained_cache import Setup

OWN = {head: Arm("ReSU", head, "alone") for head in ("ridge", "units", "MLP")}  # what the others are held against
ARMS = (
    *OWN.values(),
    Arm("ReSU", "ridge", "sums"),
    Arm("ReSU", "units", "sums"),
    Arm("ReSU", "MLP", "in turn"),
    Arm("ReSU", "MLP", "replay"),
    Arm("random filters", "ridge", "sums"),
    Arm("random filters", "MLP", "replay"),
)
NETWORKS = (Arm("frames", "network", "in turn"), Arm("frames", "network", "replay"))
SHARE, ROUNDING = 0.9, 1e-9
NOBODY = Arm("", "", "")


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 10  # replications: own demonstrations, own encoder, own heads, own games
    cnn_seeds: int = 5  # of the DQN network: the first of these
    n_frames: int = 60_000  # demonstrations per game and seed [agent steps]
    games: int = 10  # evaluation games per game and seed
    epochs: int = 6  # passes over each game's demonstrations
    cnn_epochs: int = 2  # the same for the network
    max_steps: int = MAX_STEPS  # games are cut here [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"seeds": 1, "cnn_seeds": 1, "n_frames": 600, "games": 1, "epochs": 1, "cnn_epochs": 1, "max_steps": 60}


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(config, "seeds", "cnn_seeds", "n_frames", "games", "epochs", "cnn_epochs")
    if config.cnn_seeds > config.seeds:
        raise ValueError(f"--cnn-seeds must be at most --seeds {config.seeds}, not {config.cnn_seeds}")


Results = Sequence[Mapping[str, Any]]  # a cell per seed


@dataclass(frozen=True)
class Found:
    """Cells: by arm, of random play, and of what must be the same."""

    arms: Mapping[Arm, Results]
    random: Results
    bits: Results


def cells(run: Run) -> Found:
    """Seed by seed, so that what they share stays in memory."""
    c = run.config
    setup = Setup(c.n_frames, c.games, c.epochs, max_steps=c.max_steps)
    arms: dict[Arm, list[Any]] = {arm: [] for arm in (*ARMS, *NETWORKS)}
    random, bits = [], []
    for seed in range(c.seeds):
        bits.append(run.cell(continual_cells.same_bits, Setting(Arm("ReSU", "", "any order"), seed, setup)))
        random.append(run.cell(continual_cells.at_random, Setting(NOBODY, seed, setup)))
        for arm in (*ARMS, *(NETWORKS if seed < c.cnn_seeds else ())):
            epochs = c.cnn_epochs if arm in NETWORKS else 0
            arms[arm].append(run.cell(continual_cells.measure, Setting(arm, seed, setup, epochs)))
    return Found(arms, random, bits)


def _means(its: Results, game: str) -> np.ndarray:
    return stats_ci.mean_over_games([cell["scores"][game] for cell in its])


def report(c: Config, found: Found) -> Report:
    """Table, verdicts, figure."""
    rows = [_row("random play", found.random, ""), *(_row(arm.label, its, arm.head) for arm, its in found.arms.items())]
    equal = float(np.mean([cell["equal"] for cell in found.bits]))
    apart = float(max(cell["apart"] for cell in found.bits))
    same, sums = "the encoder of games in turn is that of all at once, bit for bit", "sums of a ridge head agree"
    verdicts = [
        stats_ci.measured("same bits", f"{same} (share of orders and seeds)", equal, equal == 1.0, 1.0),
        stats_ci.measured("same sums", f"{sums} to {ROUNDING:g}", apart, apart <= ROUNDING, ROUNDING),
    ]
    for arm, its in found.arms.items():
        if arm.schedule == "alone":
            continue
        own = found.arms[OWN["MLP" if arm.head == "network" else arm.head]]
        verdicts += [_kept(found, arm, its, own, game) for game in GAMES]
    shares = {arm.label: _shares(found, arm) for arm in found.arms if arm.schedule != "alone"}
    return Report(rows, verdicts, {"": partial(_figure, c, shares)})


def _row(label: str, its: Results, head: str) -> dict[str, Any]:
    scores = {TASKS[game].label: stats_ci.estimate(_means(its, game)) for game in GAMES}
    return {"who": label, **scores, "seeds x games": f"{len(its)} x {len(its[0]['scores'][GAMES[0]])}"}


def _kept(found: Found, arm: Arm, its: Results, own: Results, game: str) -> Verdict:
    """Does an arm keep SHARE of what a head of the game's own reaches above random play?"""
    n = len(its)
    random = _means(found.random[:n], game)
    gain = stats_ci.estimate(_means(its, game) - random - SHARE * (_means(own[:n], game) - random))
    text = (
        f"{arm.label}: {TASKS[game].label} as with a head of its own, within {1 - SHARE:.0%} (points above {SHARE:g})"
    )
    return Verdict(f"{arm.label}: {game}", text, gain, stats_ci.verdict_positive(gain))


def _shares(found: Found, arm: Arm) -> dict[str, np.ndarray]:
    """By game (seeds,): points above random play as a share of those of a head of the game's own (mean over seeds)."""
    its, own = found.arms[arm], found.arms[OWN["MLP" if arm.head == "network" else arm.head]]
    out = {}
    for game in GAMES:
        random = _means(found.random[: len(its)], game)
        whole = float(np.mean(_means(own, game) - _means(found.random, game)))
        out[TASKS[game].label] = (_means(its, game) - random) / (whole or 1.0)
    return out


def _figure(c: Config, shares: Mapping[str, Mapping[str, np.ndarray]]) -> figures.Figure:
    """What is kept, by game and arm."""
    panels = [
        figures_rows.Panel(
            game,
            {label: its[game] for label, its in shares.items()},
            lines={"a head of its own": 1.0, "random play": 0.0},
            grey=[label for label in shares if label.startswith("random")],
        )
        for game in (TASKS[game].label for game in GAMES)
    ]
    title = f"Five games in turn: points above random play, as a share of a head of the game's own\nn = {c.seeds} seeds"
    blocks = [figures_rows.Rows(panels[:3]), figures_rows.Rows(panels[3:])]
    return figures.page(f"{title} ({c.cnn_seeds} of the network)", blocks)


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
