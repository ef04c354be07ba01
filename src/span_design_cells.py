"""The design of "When do canonical directions pay?": codes of equal size, where they are compared, and what it costs.

m frames of memory, K filters, F features: 2 K maps (ON and OFF) on F / 2K cells. One factor at a time from a centre,
and half of the corners: those of K = 1 and those of K = m meet every m and every F once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import cloning
import resu_controls
from players import TASKS
from resu_conv import ReSUEncoder

GAMES = tuple(TASKS)
CHOOSING = ("pong", "breakout", "enduro")  # the games in which the recommended configuration is chosen, ...
CONFIRMING = ("space_invaders", "asteroids")  # ... and those which take no part in that and measure it
ENDS = ("pong", "enduro")  # the games of the corners: few pixels move, and more than in all others

CANONICAL, ROTATED, RANDOM, PCA = "canonical", "rotated span", "random filters", "temporal PCA"
DCT, DIFFERENCES, POOLED = "lowest cosines", "frame differences", "pooled raw pixels"
CODES = (CANONICAL, ROTATED, PCA, DCT, RANDOM, DIFFERENCES, POOLED)
CONTROLS = CODES[1:]
PLAYED = (CANONICAL, ROTATED, PCA, RANDOM, POOLED)  # by MLPs, at the centre
FEW, PAIR = (CANONICAL, PCA, RANDOM), (CANONICAL, RANDOM)
HORIZON = 4  # frames ahead that are predicted; K where that is more, since there are no more directions than those


@dataclass(frozen=True, order=True)
class Point:
    """m, K and F of a code."""

    memory: int
    n_units: int
    n_features: int

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of the cells on which K filters, ON and OFF, give F features."""
        return grid_of(self.n_features // (2 * self.n_units))

    @property
    def label(self) -> str:
        """For readers."""
        return f"m = {self.memory}, K = {self.n_units}, {self.n_features:,} features"

    def encoder(self) -> ReSUEncoder:
        """Not fitted yet."""
        horizon = max(HORIZON, self.n_units)
        return ReSUEncoder(memory=self.memory, horizon=horizon, n_units=self.n_units, grid=self.grid)

    def codes(self, among: Sequence[str] = CODES) -> tuple[str, ...]:
        """Those that differ here: a single filter cannot be turned."""
        return tuple(code for code in among if self.n_units > 1 or code != ROTATED)

    def code(self, name: str, fitted: ReSUEncoder, seed: int) -> cloning.Code:
        """A code of F numbers; all share the fit's pixel means, cells and rectification.

        Pooled raw pixels hold the newest 2 K frames on the same cells. Where 2 K is more than the m frames that the
        others see (K = m), they hold those m on twice as many cells.
        """
        if name == POOLED:
            n_frames = min(2 * self.n_units, self.memory)
            return resu_controls.RawPixels(n_frames, fitted.mean_.shape, grid_of(self.n_features // n_frames))
        if name == ROTATED:
            return resu_controls.rotated(fitted, seed)
        if name == RANDOM:
            return resu_controls.random_filters(fitted, seed)
        made = {PCA: resu_controls.temporal_pca, DCT: resu_controls.dct, DIFFERENCES: resu_controls.frame_differences}
        return made[name](fitted) if name in made else fitted


Found = Mapping[tuple[Point, str], Sequence[Mapping[str, Any]]]  # of a point in a game: a result per seed


def grid_of(n_cells: int) -> tuple[int, int]:
    """(rows, columns) of a number of cells that is a power of 2: rows = columns or twice as many.

    Raises   ValueError for another number.
    """
    power = int(n_cells).bit_length() - 1
    if n_cells < 1 or 2**power != n_cells:
        raise ValueError(f"{n_cells} cells are no power of 2")
    return 2 ** (power - power // 2), 2 ** (power // 2)


CENTRE = Point(8, 4, 1024)
MEMORIES = tuple(Point(m, 4, 1024) for m in (4, 8, 16))
UNITS = tuple(Point(8, k, 1024) for k in (1, 2, 4, 8))
SIZES = tuple(Point(8, 4, n) for n in (256, 1024, 2048, 8192))
CORNERS = (Point(4, 1, 8192), Point(4, 4, 256), Point(16, 1, 256), Point(16, 16, 8192))
MOST_RECOMMENDED = 2048  # features: a head on 8,192 takes a minute and 2 GB to train


@dataclass(frozen=True)
class Part:
    """A point in some games.

    codes     that are measured by a ridge head and by probes
    trained   of those: with an MLP; played: with games of that MLP
    centre    with more seeds than the others
    """

    point: Point
    games: tuple[str, ...]
    codes: tuple[str, ...]
    trained: tuple[str, ...] = ()
    played: tuple[str, ...] = ()
    centre: bool = False

    def seconds(self, game: str) -> float:
        """What one seed takes on one core, recorded games at hand: the numbers behind the plan."""
        n = self.point.n_features
        read = ENCODING + N_READ * n**2 / PRODUCTS + N_STRENGTHS * n**3 / 3 / SOLVING
        head = MLP_SECONDS[0] + MLP_SECONDS[1] * n / 1024
        return 3 + len(self.codes) * read + len(self.trained) * head + len(self.played) * PLAYING[game]


# Of one core, by tries on seed 77: encoding, with what a ridge costs at any size; products per second in single
# precision, the same of a solution in double; an MLP, six epochs: at any size, and per 1,024 features; ten games of a
# clone (Enduro's are cut); 60,000 frames of a player; the DQN network  [s]
ENCODING, PRODUCTS, SOLVING = 2.5, 7.5e10, 1.5e10
N_READ, N_STRENGTHS = 14_000, 3
MLP_SECONDS, NETWORK_SECONDS, COLLECTING = (8.0, 8.0), 200.0, 40.0
PLAYING = {"pong": 15.0, "breakout": 5.0, "space_invaders": 8.0, "asteroids": 6.0, "enduro": 33.0}

DESIGN = (
    Part(CENTRE, GAMES, CODES, PLAYED, PLAYED, True),
    *(Part(point, GAMES, point.codes()) for point in (*MEMORIES, *UNITS) if point != CENTRE),
    *(Part(point, CHOOSING, CODES, PAIR, PAIR) for point in SIZES[:3] if point != CENTRE),
    *(Part(point, CONFIRMING, CODES) for point in SIZES[:3] if point != CENTRE),
    Part(SIZES[-1], CHOOSING, FEW, PAIR, PAIR),
    *(Part(point, ENDS, FEW) for point in CORNERS),
)


def parts(games: Sequence[str], most_features: int) -> list[Part]:
    """The design, or what is left of it without some games and the larger codes (a smoke run)."""
    kept = [(part, tuple(game for game in part.games if game in games)) for part in DESIGN]
    return [
        Part(part.point, its, part.codes, part.trained, part.played, part.centre)
        for part, its in kept
        if its and part.point.n_features <= most_features
    ]


def table(seeds: int = 5, centre_seeds: int = 10, network_seeds: int = 3) -> list[dict[str, Any]]:
    """The design as PLAN.md shows it, with what each part costs on one core, and the sum of all."""
    rows, total = [], np.zeros(2)
    for part in DESIGN:
        n_seeds = centre_seeds if part.centre else seeds
        cost = n_seeds * sum(part.seconds(game) for game in part.games)
        rows.append(_row(part.point.label, part, n_seeds, cost))
        total += n_seeds * len(part.games), cost
    games = len(CHOOSING) * network_seeds
    best = Part(SIZES[2], CONFIRMING, (CANONICAL,), (CANONICAL,), (CANONICAL,))
    more = {
        f"recommended, where not measured above (at most {SIZES[2].n_features:,} features)": (
            len(CONFIRMING) * seeds,
            seeds * sum(best.seconds(game) for game in CONFIRMING),
        ),
        "the DQN network, and games": (games, games * NETWORK_SECONDS),
        "recorded games, 60,000 frames each": (len(GAMES) * centre_seeds, len(GAMES) * centre_seeds * COLLECTING),
    }
    for name, (n, cost) in more.items():
        rows.append({**dict.fromkeys(rows[0], ""), "what": name, "cells": str(n), "core minutes": f"{cost / 60:.0f}"})
        total += n, cost
    rows.append(
        {**dict.fromkeys(rows[0], ""), "what": "sum", "cells": f"{total[0]:.0f}",
         "core minutes": f"{total[1] / 60:.0f}: {total[1] / 7200:.1f} h on 2 cores"}
    )  # fmt: skip
    return rows


def _row(name: str, part: Part, n_seeds: int, cost: float) -> dict[str, Any]:
    games = {GAMES: "all five", CHOOSING: "choosing", CONFIRMING: "confirming", ENDS: "Pong, Enduro"}
    codes = {
        CODES: "all 7",
        PLAYED: "all but cosines, differences",
        FEW: "canonical, PCA, random",
        PAIR: "canonical, random",
        (): "",
    }
    return {
        "what": name + (" (centre)" if part.centre else ""),
        "games": games[part.games],
        "seeds": str(n_seeds),
        "codes: ridge and probes": codes.get(part.codes, f"all but {ROTATED}"),
        "MLP": codes[part.trained],
        "games of the MLP": codes[part.played],
        "cells": str(n_seeds * len(part.games)),
        "core minutes": f"{cost / 60:.0f}",
    }
