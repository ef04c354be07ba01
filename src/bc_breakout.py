"""Stage 5: does streaming a Pong encoder on Breakout match fitting anew?

Claim      Clones of the tracking Breakout expert on a Pong encoder that was streamed on the demonstrations score like
           clones on an encoder fitted on Breakout (equivalent within +-5 points), and better than on the frozen one.
Falsified  if the interval of the paired difference over seeds lies outside the margin, or below 0 for "better".
Original   frozen 14.8 +- 1.7, streamed 19.2 +- 2.5, scratch 17.4 +- 2.1; validation accuracy
           .825, .817, .843; expert 38
Reads      data/{pong,breakout}_*          Writes  results/bc_breakout.{npz,json,log,png}, results/clones/
Run        python src/bc_breakout.py                   (50 min on 2 cores; FIRE is pressed when the game waits for it)
           python src/bc_breakout.py --smoke           (1 min, proves nothing)
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

import figures
import stats_ci
import transfer_cells
from filter_shapes import cosine
from players import TASKS
from resu_streaming import StreamingReSU
from stage_io import guard, parse_config, require_positive
from stage_run import LegacyRun, start_run
from transfer_cells import Arm, Protocol

SOURCE, TARGET = "pong", "breakout"
# Arms: label, arm, clock. The original streamed with .99.
ARMS: tuple[tuple[str, Arm, float], ...] = (
    ("random filters", "random filters", 1.0),
    ("Pong encoder, frozen", "frozen", 1.0),
    ("Pong filters, Breakout's pixel means", "frozen filters", 1.0),
    ("Pong encoder, streamed, alpha .99", "streamed", 0.99),
    ("Pong encoder, streamed, alpha 1", "streamed", 1.0),
    ("fitted on Breakout", "native", 1.0),
)
FROZEN, STREAMED, ADDED, FITTED = (ARMS[i][0] for i in (1, 3, 4, 5))
ORIGINAL = {
    FROZEN: "14.8 +- 1.7 (acc .825)",
    STREAMED: "19.2 +- 2.5 (acc .817)",
    FITTED: "17.4 +- 2.1 (acc .843)",
    "expert": "38",
}


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 10  # replications: own demonstrations, own fits, own head, own games
    n_frames: int = 60_000  # demonstrations per game and seed [agent steps]
    games: int = 20  # evaluation games per seed
    epochs: int = 6  # passes over the demonstrations
    sticky: float = 0.25  # probability that the emulator repeats an action
    experts: Literal["original", "best"] = "original"  # who is imitated: experts of the original's kind, or the best
    max_steps: int = 27_000  # games are cut here [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"seeds": 2, "n_frames": 1200, "games": 1, "epochs": 1, "max_steps": 150}


def drift(run: LegacyRun, protocol: Protocol, alpha: float, seed: int) -> dict[str, list]:
    """|cosine| of each filter with its Pong twin after 0, 1, 2, 4, ... chunks: {"frames": (n,), "cosine": (n, K)}."""
    first = transfer_cells.fit(protocol, run.data, SOURCE, seed)
    buffer = protocol.demonstrations(run.data, TARGET, seed)
    streaming = StreamingReSU.from_encoder(first, alpha)
    frames_seen, cosines = [0], [[1.0] * first.n_units]
    n_chunks = -(-len(buffer) // protocol.chunk)
    for i, (frames, starts) in enumerate(buffer.chunks(protocol.chunk), start=1):
        streaming.update(frames, starts=starts)
        if i == n_chunks or i & (i - 1) == 0:
            now = streaming.refit()
            frames_seen.append(min(i * protocol.chunk, len(buffer)))
            cosines.append([cosine(a, b) for a, b in zip(now.filters_, first.filters_, strict=True)])
    return {"frames": frames_seen, "cosine": cosines}


def main(argv: list[str] | None = None) -> None:
    """All cells, then table, verdicts and figures."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "seeds", "n_frames", "games", "epochs")
    protocol = Protocol(
        config.n_frames,
        config.games,
        config.epochs,
        sticky=config.sticky,
        experts=config.experts,
        max_steps=config.max_steps,
    )
    run = start_run(__file__, config, protocol.variant)
    c = run.config
    cells: dict[str, list] = {"random policy": [], "expert": [], **{label: [] for label, _, _ in ARMS}}
    for seed in range(c.seeds):
        cells["random policy"].append(transfer_cells.reference(run, protocol, TARGET, "random", seed))
        cells["expert"].append(transfer_cells.reference(run, protocol, TARGET, "expert", seed))
        for label, arm, alpha in ARMS:
            n_stream = c.n_frames if arm == "streamed" else 0
            cells[label].append(transfer_cells.cell(run, protocol, SOURCE, TARGET, arm, seed, n_stream, alpha))
    encoder = transfer_cells.fit(protocol, run.data, TARGET, 0)
    transfer_cells.clone_of(protocol, run.data, encoder, TARGET, 0).result.save(
        run.results / "clones" / f"{TARGET}_{protocol.expert(TARGET)}"
    )

    rng = np.random.default_rng(0)
    means = {label: stats_ci.mean_over_games([cell["scores"] for cell in found]) for label, found in cells.items()}
    estimates = {label: stats_ci.estimate(values, rng) for label, values in means.items()}
    accuracies = {label: np.array([cell["accuracy"] for cell in cells[label]]) for label, _, _ in ARMS}
    table = [
        {
            "policy": label,
            "original": ORIGINAL.get(label, ""),
            "score [95 % interval over seeds]": str(estimates[label]),
            "validation accuracy": str(stats_ci.estimate(accuracies[label], rng)) if label in accuracies else "",
            "|cosine| of filters with Pong's": " ".join(
                f"{x:.3f}" for x in np.mean([cell["twins"] for cell in found], axis=0)
            )
            if "streamed" in label
            else "",
            "steps per game": f"{np.mean([cell['lengths'] for cell in found]):.0f}",
            "seeds x games": f"{c.seeds} x {c.games}",
        }
        for label, found in cells.items()
    ]
    margin = TASKS[TARGET].margin
    verdicts = []

    def judge(claim: str, difference: stats_ci.Estimate, verdict: str) -> None:
        verdicts.append({"claim": claim, "estimate": str(difference), "verdict": verdict})

    for label in (STREAMED, ADDED):
        difference = stats_ci.paired_difference(means[label], means[FITTED], rng)
        judge(f"{label}: equivalent to fitting anew (within {margin:g})", difference,
              stats_ci.verdict_equivalent(difference, margin))  # fmt: skip
        difference = stats_ci.paired_difference(means[label], means[FROZEN], rng)
        judge(f"{label}: better than frozen", difference, stats_ci.verdict_positive(difference))
        twins = np.array([cell["twins"][1] for cell in cells[label]])
        above = stats_ci.estimate(twins - 0.99, rng)
        judge(f"{label}: filter 1 keeps a cosine of .99 or more with Pong's", stats_ci.estimate(twins, rng),
              stats_ci.verdict_positive(above))  # fmt: skip
    difference = stats_ci.paired_difference(means[FITTED], means[FROZEN], rng)
    judge("fitting on Breakout: better than the frozen Pong encoder", difference, stats_ci.verdict_positive(difference))
    difference = stats_ci.paired_difference(means[FITTED], means["random filters"], rng)
    judge("fitting on Breakout: better than random filters", difference, stats_ci.verdict_positive(difference))
    difference = stats_ci.paired_difference(accuracies[FITTED], accuracies["random filters"], rng)
    judge("the same for validation accuracy", difference, stats_ci.verdict_positive(difference))

    drifts = {
        alpha: [
            run.cell(partial(drift, run, protocol, alpha, seed), part="drift", alpha=alpha, seed=seed,
                     n_frames=c.n_frames, chunk=protocol.chunk, sticky=c.sticky)
            for seed in range(c.seeds)
        ]
        for alpha in (0.99, 1.0)
    }  # fmt: skip
    curves = {
        f"alpha = {alpha:g}": (found[0]["frames"], np.array([cell["cosine"] for cell in found]))
        for alpha, found in drifts.items()
    }
    figure = {
        "": figures.score_intervals(
            list(cells), list(estimates.values()), list(means.values()),
            f"Breakout, imitating the {protocol.expert(TARGET)} expert, sticky {c.sticky:g}: means of {c.games} games",
            f"score per game; dots: {c.seeds} seeds, black: mean and 95 % bootstrap interval",
        ),
        "__filters": figures.stream_curves(
            curves, f"A Pong encoder streamed on Breakout: filters and their Pong twins, n = {c.seeds} seeds",
            "|cosine| with the Pong twin",
        ),
    }  # fmt: skip
    arrays: dict[str, Any] = {label.replace(" ", "_").replace(",", ""): np.array([x["scores"] for x in found])
                              for label, found in cells.items()}  # fmt: skip
    arrays |= {f"drift_{a:g}": v[1] for a, v in zip(drifts, curves.values(), strict=True)}
    run.finish(table, verdicts, figure, **arrays)


if __name__ == "__main__":
    guard(main)
