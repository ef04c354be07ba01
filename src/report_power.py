"""Power: from the spread between seeds, the smallest difference that each comparison could have found.

Paired t-tests with n seeds, two-sided at 5 %, found in 80 % of repetitions; the same for the number of seeds that the
margin of an equivalence would need (two one-sided tests at 5 %, true difference 0), as in `stats_ci`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, stats

from stats_ci import LEAST

POWER, LEVEL = 0.8, 0.05
MOST = 1000  # seeds that are looked at


@dataclass(frozen=True)
class Comparison:
    """Two arrays of one result's .npz, scores (seeds,) or (seeds, games), and the margin of their equivalence."""

    result: str
    a: str
    b: str
    text: str
    margin: float


COMPARISONS = (
    Comparison("bc_pong", "resu_mlp", "expert", "Pong: clone and reactive expert", 2.0),
    Comparison("bc_pong", "resu_mlp", "filters_mlp", "Pong: ReSU and random filters", 2.0),
    Comparison("bc_pong", "resu_mlp", "pca_mlp", "Pong: ReSU and temporal PCA", 2.0),
    Comparison("bc_pong_cnn", "DQN", "ReSU", "Pong: DQN network and ReSU with MLP", 2.0),
    Comparison("bc_breakout", "Pong_encoder_streamed_alpha_.99", "fitted_on_Breakout",
               "Breakout: streamed and fitted anew", 5.0),
    Comparison("bc_breakout", "Pong_encoder_streamed_alpha_.99", "Pong_encoder_frozen",
               "Breakout: streamed and frozen", 5.0),
    Comparison("transfer_matrix", "space_invaders_pong_streamed", "space_invaders_pong_frozen",
               "Space Invaders > Pong: streamed and frozen", 2.0),
    Comparison("transfer_matrix", "breakout_space_invaders_streamed", "breakout_space_invaders_frozen",
               "Breakout > Space Invaders: streamed and frozen", 50.0),
    Comparison("transfer_forgetting", "ReSU_alpha_0.99_head_refitted", "ReSU_before",
               "Pong: before and after, head refitted", 2.0),
)  # fmt: skip


def detectable(deviation: float, n: int) -> float:
    """The smallest true mean that a two-sided t-test on n values of this standard deviation finds with POWER."""
    if n < 2:
        return float("nan")
    critical = stats.t.ppf(1 - LEVEL / 2, n - 1)

    def found(effect: float) -> float:
        return float(stats.nct.sf(critical, n - 1, effect * np.sqrt(n))) - POWER  # the other side adds next to nothing

    most = 1.0
    while found(most) < 0:
        most *= 1.5
    return float(optimize.brentq(found, 0.0, most)) * deviation


def seeds_for(margin: float, deviation: float) -> int | None:
    """The fewest seeds with which equal means are found equivalent within the margin with POWER; None beyond MOST."""
    for n in range(LEAST, MOST + 1) if deviation > 0 else ():
        reach = margin / (deviation / np.sqrt(n)) - stats.t.ppf(1 - LEVEL, n - 1)
        if reach > 0 and 2 * stats.t.cdf(reach, n - 1) - 1 >= POWER:
            return n
    return None if deviation > 0 else LEAST


def table(arrays: Mapping[str, Mapping[str, np.ndarray]]) -> list[dict[str, Any]]:
    """A row per comparison whose two arms are there: arrays of results by name."""
    rows = []
    for c in COMPARISONS:
        if not {c.a, c.b} <= set(arrays.get(c.result, ())):
            continue
        a, b = (np.asarray(arrays[c.result][name], float) for name in (c.a, c.b))
        difference = (a - b).reshape(len(a), -1).mean(axis=1)
        deviation, n = float(difference.std(ddof=1)), len(difference)
        rows.append(
            {
                "comparison": c.text,
                "seeds": n,
                "deviation between seeds": f"{deviation:.2f}",
                "difference found in 80 % of cases": f"{detectable(deviation, n):.1f}",
                "margin": f"{c.margin:g}",
                "seeds to find equality within it": seeds_for(c.margin, deviation) or f"more than {MOST}",
            }
        )
    return rows
