"""Stage 9c: what does an encoder forget when it is streamed on another game?

Claim      A Pong clone's score is unchanged (equivalent within +-2 points) after its encoder was streamed on 60,000
           frames of Breakout and the old head is kept. Asked besides: with both clocks, with the pixel means kept, with
           the head refitted on Pong; and of the usual alternative, a CNN that is fine-tuned on Breakout.
Falsified  if the interval of after - before, paired over seeds, lies wholly outside +-2 points.
Original   -10.6 +- 1.2 before, -11.0 +- 1.0 after (head kept, alpha .99; called no forgetting)
Reads      data/{pong,breakout}_*          Writes  results/transfer_forgetting.{npz,json,log,png}
Run        python src/transfer_forgetting.py                   (60 min on 2 cores; shares cells with stages 5, 6, 9b)
           python src/transfer_forgetting.py --smoke           (1 min, proves nothing)
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

import convnet
import figures
import stats_ci
import transfer_cells
from cloning import Clone
from convnet import ConvNet, ConvPolicy
from players import TASKS
from resu_conv import ReSUEncoder
from stage_io import guard, parse_config, require_positive
from stage_run import LegacyRun, start_run
from transfer_cells import Protocol

HOME, OTHER = "pong", "breakout"
CLOCKS = (0.99, 1.0)
STRONG = 2  # filters whose correlations are well above 0


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 5  # replications: own demonstrations, own fits, own heads, own games
    n_frames: int = 60_000  # demonstrations per game and seed, and frames streamed [agent steps]
    games: int = 20  # evaluation games per seed
    epochs: int = 6  # passes over the demonstrations, ReSU heads
    cnn_epochs: int = 6  # the same for the network: its training, fine-tuning and refitted layer
    cnn_learning_rate: float = 1e-3
    sticky: float = 0.25  # probability that the emulator repeats an action
    experts: Literal["original", "best"] = "original"  # who is imitated: experts of the original's kind, or the best
    max_steps: int = 27_000  # games are cut here [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"seeds": 2, "n_frames": 1200, "games": 1, "epochs": 1, "cnn_epochs": 1, "max_steps": 150}


def resu_arms(run: LegacyRun, protocol: Protocol, seed: int) -> dict[str, Callable[[], Any]]:
    """label: makes a Pong clone after adaptation to Breakout."""
    home = transfer_cells.fit(protocol, run.data, HOME, seed)
    other = protocol.demonstrations(run.data, OTHER, seed)

    def after(alpha: float, kept: int = 0) -> ReSUEncoder:
        """The streamed encoder, of which the first `kept` of these stay Pong's: pixel means, gains, weak filters."""
        moved = transfer_cells.stream(home, other, protocol.n_frames, alpha, protocol.chunk)
        if not kept:
            return moved
        filters = moved.filters_.copy()
        if kept > 1:
            filters *= np.linalg.norm(home.filters_, axis=1, keepdims=True) / np.linalg.norm(
                filters, axis=1, keepdims=True
            )
        if kept > 2:
            filters[STRONG:] = home.filters_[STRONG:]
        return ReSUEncoder().with_filters(filters, home.mean_)

    def old_head(alpha: float, kept: int = 0) -> Clone:
        encoder = after(alpha, kept)
        clone = transfer_cells.clone_of(protocol, run.data, home, HOME, seed).result
        return Clone(encoder, clone.head, clone.class_names)

    def new_head(alpha: float) -> Clone:
        return transfer_cells.clone_of(protocol, run.data, after(alpha), HOME, seed).result

    arms: dict[str, Callable[[], Any]] = {}
    for alpha in CLOCKS:
        name = f"ReSU, alpha {alpha:g}"
        arms[f"{name}: head kept"] = partial(old_head, alpha)
        arms[f"{name}: head and pixel means kept"] = partial(old_head, alpha, 1)
        arms[f"{name}: head, means and gains kept"] = partial(old_head, alpha, 2)
        arms[f"{name}: head, means, gains and filters 3, 4 kept"] = partial(old_head, alpha, 3)
        arms[f"{name}: head refitted"] = partial(new_head, alpha)
    return arms


def cnn_arms(run: LegacyRun, protocol: Protocol, seed: int) -> dict[str, tuple[str, Callable[[], ConvPolicy]]]:
    """label: (game, makes a network's policy), before and after fine-tuning on Breakout."""
    c = run.config
    training = {"epochs": c.cnn_epochs, "learning_rate": c.cnn_learning_rate}

    def trained(game: str, **more: Any) -> ConvNet:
        return transfer_cells.cnn_of(protocol, run.data, game, seed, **training, **more).result

    def tuned() -> ConvNet:
        return trained(OTHER, start=trained(HOME))

    def kept() -> ConvNet:
        model, old = tuned(), trained(HOME)
        back = convnet.new(len(protocol.classes(HOME)), seed)
        back.trunk.load_state_dict(model.trunk.state_dict())
        back.last.load_state_dict(old.last.state_dict())
        back.mean.copy_(old.mean)
        return back

    def policy(game: str, make: Callable[[], ConvNet]) -> tuple[str, Callable[[], ConvPolicy]]:
        return game, lambda: ConvPolicy(make(), protocol.classes(game))

    return {
        "CNN: before": policy(HOME, lambda: trained(HOME)),
        "CNN, fine-tuned: last layer kept": policy(HOME, kept),
        "CNN, fine-tuned: last layer refitted": policy(HOME, lambda: trained(HOME, start=tuned(), last_only=True)),
        "CNN on Breakout, from scratch": policy(OTHER, lambda: trained(OTHER)),
        "CNN on Breakout, fine-tuned from Pong": policy(OTHER, tuned),
    }


def main(argv: list[str] | None = None) -> None:
    """All cells, then table, verdicts and the figure."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "seeds", "n_frames", "games", "epochs", "cnn_epochs")
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
    training = {"cnn_epochs": c.cnn_epochs, "cnn_learning_rate": c.cnn_learning_rate}

    def cell(label: str, game: str, make: Callable[[], Any], seed: int, more: dict[str, Any]) -> dict[str, Any]:
        def measure() -> dict[str, Any]:
            result = protocol.play(make(), game, seed, f"{label}, seed {seed}")
            run.log(f"{label}, seed {seed}: {np.mean(result['scores']):.1f}")
            return result

        return run.cell(measure, label=label, seed=seed, **protocol.options, **more)

    found: dict[str, list] = {}

    def note(label: str, result: dict[str, Any]) -> None:
        found.setdefault(label, []).append(result)

    for seed in range(c.seeds):
        note("random policy", transfer_cells.reference(run, protocol, HOME, "random", seed))
        note("ReSU: before", transfer_cells.cell(run, protocol, HOME, HOME, "native", seed))
        for label, make in resu_arms(run, protocol, seed).items():
            note(label, cell(label, HOME, make, seed, {}))
        for label, (game, make) in cnn_arms(run, protocol, seed).items():
            note(label, cell(label, game, make, seed, training))
        note("ReSU on Breakout, fitted there", transfer_cells.cell(run, protocol, OTHER, OTHER, "native", seed))
        note("ReSU on Breakout, streamed from Pong",
             transfer_cells.cell(run, protocol, HOME, OTHER, "streamed", seed, c.n_frames, 0.99))  # fmt: skip

    rng = np.random.default_rng(0)
    means = {label: stats_ci.mean_over_games([x["scores"] for x in cells]) for label, cells in found.items()}
    estimates = {label: stats_ci.estimate(values, rng) for label, values in means.items()}
    original = {"ReSU: before": "-10.6 +- 1.2", "ReSU, alpha 0.99: head kept": "-11.0 +- 1.0"}
    margin = TASKS[HOME].margin
    table, verdicts = [], []

    def judge(claim: str, difference: stats_ci.Estimate, verdict: str) -> None:
        verdicts.append({"claim": claim, "estimate": str(difference), "verdict": verdict})

    for label in found:
        before = next((f"{kind}: before" for kind in ("ReSU", "CNN") if label.startswith(f"{kind},")), "")
        change = stats_ci.paired_difference(means[label], means[before], rng) if before else None
        table.append(
            {
                "policy": label,
                "game": TASKS[OTHER if "Breakout" in label else HOME].label,
                "original": original.get(label, ""),
                "score [95 % interval over seeds]": str(estimates[label]),
                "after - before (backward transfer)": str(change) if change else "",
                "seeds x games": f"{c.seeds} x {c.games}",
            }
        )
        if change:
            judge(f"{label}: nothing is forgotten (within {margin:g})", change,
                  stats_ci.verdict_equivalent(change, margin))  # fmt: skip
    kept, usual = "ReSU, alpha 0.99: head kept", "CNN, fine-tuned: last layer kept"
    less = (means[kept] - means["ReSU: before"]) - (means[usual] - means["CNN: before"])
    judge("streaming ReSU forgets less than fine-tuning a CNN", stats_ci.estimate(less, rng),
          stats_ci.verdict_positive(stats_ci.estimate(less, rng)))  # fmt: skip
    for kind, adapted, scratch in (
        ("ReSU", "ReSU on Breakout, streamed from Pong", "ReSU on Breakout, fitted there"),
        ("CNN", "CNN on Breakout, fine-tuned from Pong", "CNN on Breakout, from scratch"),
    ):
        forward = stats_ci.paired_difference(means[adapted], means[scratch], rng)
        judge(f"{kind}: what was learned on Pong helps on Breakout (forward transfer)", forward,
              stats_ci.verdict_positive(forward))  # fmt: skip
    gap = stats_ci.paired_difference(
        means["CNN on Breakout, from scratch"], means["ReSU on Breakout, fitted there"], rng
    )
    judge("Breakout: the network end to end scores above ReSU with an MLP", gap, stats_ci.verdict_positive(gap))
    panels = {}
    for game in (HOME, OTHER):
        names = [row["policy"] for row in table if row["game"] == TASKS[game].label]
        panels[TASKS[game].label] = (names, [estimates[name] for name in names], [means[name] for name in names])
    figure = figures.score_panels(
        panels,
        f"Pong before and after adaptation to Breakout, n = {c.seeds} seeds x {c.games} games, sticky {c.sticky:g}",
        "score per game; dots: seeds, black: mean and 95 % bootstrap interval",
    )
    arrays: dict[str, Any] = {
        label.replace(" ", "_").replace(",", "").replace(":", ""): values for label, values in means.items()
    }
    run.finish(table, verdicts, figure, **arrays)


if __name__ == "__main__":
    guard(main)
