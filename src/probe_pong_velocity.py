"""Stage 2: is the ball's velocity linear in the ReSU code?

Claim      Ridge probes on layer 2 read the ball's velocity with R2 >= .95, above layer 1, above raw pixels with as
           many past frames as the code sees, and above filters that were not learned.
Falsified  if the 95 % interval over seeds of the paired R2 gain lies below 0 (or the target's below .95).
Original   raw(t) .483, raw(t,t-1) .589, L1 .900, L2 .920 (one seed; no fair raw baseline, no controls)
Reads      data/pong_random_s*          Writes  results/probe_pong_velocity.{npz,json,log,png}
Run        python src/probe_pong_velocity.py            (20 min on 2 cores, 5 seeds; shares its cells with probe_pong)
           python src/probe_pong_velocity.py --smoke    (20 s, proves nothing)
"""

from dataclasses import dataclass

import numpy as np

import figures
import stats_ci
from pong_probe_cells import GROUPS, ORIGINAL, TARGETS, collect_cells, outlier_notes
from stage_io import guard, parse_config, require_positive
from stage_run import start_run

TARGET = 0.95  # R2 of layer 2
NAME = "ball velocity"
CODES = (
    "raw(t)", "raw(t,t-1)", "raw, 8 frames", "raw, 11 frames", "frame differences", "temporal PCA",
    "L1 random filters", "L2 random filters", "L1, third", "L2, third", "L1", "L2",
)  # fmt: skip
CONTRASTS = (
    ("L1, third", "raw(t,t-1)"),
    ("L1, third", "raw, 8 frames"),
    ("L2, third", "raw, 11 frames"),
    ("L2", "L1"),
    ("L1", "L1 random filters"),
    ("L2", "L2 random filters"),
    ("L1", "temporal PCA"),
    ("L1", "frame differences"),
    ("L2", "frame differences"),
)


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 5  # replications: own frames, own fit, own probe
    n_frames: int = 60_000  # per seed [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"seeds": 2, "n_frames": 3500}


def main(argv: list[str] | None = None) -> None:
    """All cells, then the table by coordinate, the verdicts and the figure."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "seeds", "n_frames")
    run = start_run(__file__, config)
    found = collect_cells(run, tuple(GROUPS))
    across, along = TARGETS[NAME][0]
    values = {code: {"horizontal": found[code][:, across], "vertical": found[code][:, along]} for code in CODES}
    for code in CODES:
        values[code]["both"] = (values[code]["horizontal"] + values[code]["vertical"]) / 2
    panels = ("horizontal", "vertical", "both")

    def estimate(sample: np.ndarray) -> stats_ci.Estimate:
        return stats_ci.estimate(sample, np.random.default_rng(0))

    estimates = {panel: [estimate(values[code][panel]) for code in CODES] for panel in panels}
    original = dict(zip(ORIGINAL, TARGETS[NAME][1], strict=True))
    table = []
    for i, code in enumerate(CODES):
        row = {"code": code} | {f"R2, {panel}": str(estimates[panel][i]) for panel in panels}
        table.append(row | {"original, both": f"{original[code]:.3f}" if code in original else ""})
    verdicts = []
    for code, other in CONTRASTS:
        gain = estimate(values[code]["both"] - values[other]["both"])
        verdicts.append(
            {"claim": f"{code} above {other}", "R2 gain": str(gain), "verdict": stats_ci.verdict_positive(gain)}
        )
    above = estimate(values["L2"]["both"] - TARGET)
    verdicts.append({"claim": f"L2 above {TARGET}", "R2 gain": str(above), "verdict": stats_ci.verdict_positive(above)})
    figure = figures.dots_by_panel(
        estimates,
        CODES,
        {"both": original},
        f"Ball velocity in Pong, random play, {run.config.n_frames:,} frames per seed",
        f"R2 on test episodes; mean and 95 % interval over {run.config.seeds} seeds; o: the original (1 seed)",
    )
    notes = [
        "'third': fitted on every third frame, as raw pixels are; the other codes are fitted on every frame.",
        "Velocity is the displacement since the step before; the step of a bounce has neither the old nor the new one.",
        *(note for note in outlier_notes(found) if NAME in note),
    ]
    run.finish(table, verdicts, figure, notes, **{code.replace(" ", "_"): found[code] for code in CODES})


if __name__ == "__main__":
    guard(main)
