"""Stage 6: is the DQN network, trained end to end on the same demonstrations, any better than ReSU with an MLP?

Claim      A clone of the reactive Pong expert by the DQN CNN (1.69 M parameters, end to end) and one by an MLP on ReSU
           features (0.33 M, nothing but the MLP trained) score alike: equivalent within +-2 points over 10 seeds.
Falsified  if the interval of CNN - ReSU, paired over seeds, lies wholly outside +-2.
Budget     Both sides had the same number of settings tried on the tuning seed 77 (--tune): two learning rates times two
           numbers of epochs, the one with the best validation accuracy taken.
Original   CNN -10.85 +- 1.04, ReSU + MLP -11.85 +- .86; validation accuracy .867 / .760 and .861; 10 s and 2 s
Reads      data/pong_reactive_s*          Writes  results/bc_pong_cnn.{npz,json,log,png}
Run        python src/bc_pong_cnn.py                   (25 min on 2 cores)
           python src/bc_pong_cnn.py --tune            (10 min; prints validation accuracies on seed 77, plays nothing)
           python src/bc_pong_cnn.py --smoke           (1 min, proves nothing)
"""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import atari_play
import cloning
import figures
import heads
import stats_ci
import transfer_cells
from convnet import ConvPolicy
from players import TASKS
from stage_io import guard, parse_config, require_positive
from stage_run import LegacyRun, start_run
from transfer_cells import Protocol

GAME = "pong"
TUNING_SEED = 77
SETTINGS = tuple((epochs, rate) for epochs in (3, 6) for rate in (3e-4, 1e-3))


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 10  # replications: own demonstrations, own training, own games
    n_frames: int = 60_000  # demonstrations per seed [agent steps]
    games: int = 20  # evaluation games per seed
    epochs: int = 6  # passes over the demonstrations, ReSU's MLP
    cnn_epochs: int = 6  # the same for the network
    cnn_learning_rate: float = 1e-3
    sticky: float = 0.25  # probability that the emulator repeats an action
    max_steps: int = 27_000  # games are cut here [agent steps]
    tune: bool = False  # try SETTINGS for both on the tuning seed instead
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"seeds": 2, "n_frames": 1200, "games": 1, "epochs": 1, "cnn_epochs": 1, "max_steps": 150}


def resu(run: LegacyRun, protocol: Protocol, seed: int) -> dict[str, Any]:
    """One seed's ReSU + MLP clone: accuracy, seconds to fit encoder and head, games."""
    buffer = protocol.demonstrations(run.data, GAME, seed)
    np.sum(buffer.frames[:, ::84], dtype=np.int64)  # from disk into memory
    started = time.perf_counter()
    encoder = transfer_cells.fit(protocol, run.data, GAME, seed)
    fitted = time.perf_counter() - started
    clone, accuracy, trained = transfer_cells.clone_of(protocol, run.data, encoder, GAME, seed)
    return {
        **protocol.play(clone, GAME, seed, f"ReSU + MLP, seed {seed}"),
        "accuracy": accuracy,
        "seconds": fitted + trained,
        "n_parameters": clone.head.n_parameters,
    }


def cnn(run: LegacyRun, protocol: Protocol, seed: int) -> dict[str, Any]:
    """One seed's CNN clone: accuracy, seconds to train, games."""
    c = run.config
    model, accuracy, seconds = transfer_cells.cnn_of(
        protocol, run.data, GAME, seed, epochs=c.cnn_epochs, learning_rate=c.cnn_learning_rate
    )
    policy = ConvPolicy(model, protocol.classes(GAME))
    return {
        **protocol.play(policy, GAME, seed, f"CNN, seed {seed}"),
        "accuracy": accuracy,
        "seconds": seconds,
        "n_parameters": model.n_parameters,
    }


def tune(run: LegacyRun, protocol: Protocol) -> None:
    """Validation accuracy of every setting for both sides on the tuning seed."""
    buffer = protocol.demonstrations(run.data, GAME, TUNING_SEED)
    names = protocol.classes(GAME)
    actions = atari_play.environment(game=GAME, **protocol.env(GAME)).action_names
    features = cloning.encode_buffer(transfer_cells.fit(protocol, run.data, GAME, TUNING_SEED), buffer)
    classes = cloning.class_indices(buffer.targets, actions, names)
    taught, held_out = cloning.split_by_game(buffer, 0.1)
    rows = []
    for epochs, rate in SETTINGS:
        head = heads.fit_mlp(features, classes, len(names), TUNING_SEED, (256, 256), taught, held_out, epochs=epochs,
                             learning_rate=rate)  # fmt: skip
        network = transfer_cells.cnn_of(protocol, run.data, GAME, TUNING_SEED, epochs=epochs, learning_rate=rate)
        rows.append(
            {
                "epochs": epochs,
                "learning rate": f"{rate:g}",
                "ReSU + MLP": f"{np.mean(head.predict(features[held_out]) == classes[held_out]):.4f}",
                "CNN": f"{network.accuracy:.4f}",
            }
        )
        run.log(str(rows[-1]))
    run.finish(rows)


def main(argv: list[str] | None = None) -> None:
    """All cells, then table, verdicts and the figure."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "seeds", "n_frames", "games", "epochs", "cnn_epochs")
    sticky = "" if config.sticky == Config.sticky else f"_sticky{config.sticky:g}"
    run = start_run(__file__, config, "_tuning" if config.tune else sticky)
    c = run.config
    protocol = Protocol(c.n_frames, c.games, c.epochs, sticky=c.sticky, max_steps=c.max_steps)
    if c.tune:
        tune(run, protocol)
        return
    cells: dict[str, list] = {"random policy": [], "expert": [], "ReSU + MLP 256x2": [], "DQN CNN, end to end": []}
    training = {"cnn_epochs": c.cnn_epochs, "cnn_learning_rate": c.cnn_learning_rate}
    for seed in range(c.seeds):
        cells["random policy"].append(transfer_cells.reference(run, protocol, GAME, "random", seed))
        cells["expert"].append(transfer_cells.reference(run, protocol, GAME, "expert", seed))
        for label, measure, more in (("ReSU + MLP 256x2", resu, {}), ("DQN CNN, end to end", cnn, training)):
            cells[label].append(
                run.cell(partial(measure, run, protocol, seed), label=label, seed=seed, **protocol.options, **more)
            )
            run.log(
                f"{label}, seed {seed}: {np.mean(cells[label][-1]['scores']):.2f}, {cells[label][-1]['accuracy']:.3f}"
            )
    rng = np.random.default_rng(0)
    means = {label: stats_ci.mean_over_games([x["scores"] for x in found]) for label, found in cells.items()}
    estimates = {label: stats_ci.estimate(values, rng) for label, values in means.items()}
    original = {
        "expert": "-13.4", "ReSU + MLP 256x2": "-11.85 +- .86 (acc .861, 2 s)",
        "DQN CNN, end to end": "-10.85 +- 1.04 (acc .867 / .760, 10 s)",
    }  # fmt: skip
    table = []
    for label, found in cells.items():
        learned = "accuracy" in found[0]
        table.append(
            {
                "policy": label,
                "original": original.get(label, ""),
                "score [95 % interval over seeds]": str(estimates[label]),
                "seed to seed sd": f"{means[label].std(ddof=1):.2f}" if c.seeds > 1 else "",
                "validation accuracy": str(stats_ci.estimate([x["accuracy"] for x in found], rng)) if learned else "",
                "parameters trained": f"{found[0]['n_parameters']:,}" if learned else "",
                "fit [s]": f"{np.median([x['seconds'] for x in found]):.1f}" if learned else "",
                "seeds x games": f"{c.seeds} x {c.games}",
            }
        )
    margin = TASKS[GAME].margin
    ours, theirs = means["ReSU + MLP 256x2"], means["DQN CNN, end to end"]
    difference = stats_ci.paired_difference(theirs, ours, rng)
    accuracy = stats_ci.paired_difference(
        [x["accuracy"] for x in cells["DQN CNN, end to end"]], [x["accuracy"] for x in cells["ReSU + MLP 256x2"]], rng
    )
    seconds = np.array([[x["seconds"] for x in cells[label]] for label in ("DQN CNN, end to end", "ReSU + MLP 256x2")])
    ratio = stats_ci.estimate(np.log10(seconds[0] / seconds[1]), rng)
    verdicts = [
        {
            "claim": f"CNN and ReSU + MLP score alike (within {margin:g})",
            "estimate": str(difference),
            "verdict": stats_ci.verdict_equivalent(difference, margin),
        },
        {
            "claim": "the CNN scores more than ReSU + MLP",
            "estimate": str(difference),
            "verdict": stats_ci.verdict_positive(difference),
        },
        {
            "claim": "the CNN's validation accuracy is higher",
            "estimate": str(accuracy),
            "verdict": stats_ci.verdict_positive(accuracy),
        },
        {
            "claim": "the CNN takes longer to fit (log10 of the ratio of times)",
            "estimate": str(ratio),
            "verdict": stats_ci.verdict_positive(ratio),
        },
    ]
    figure = figures.score_intervals(
        list(cells), list(estimates.values()), list(means.values()),
        f"Pong, imitating the reactive expert, sticky {c.sticky:g}: mean of {c.games} games per seed",
        f"score per game; dots: {c.seeds} seeds, black: mean and 95 % bootstrap interval",
    )  # fmt: skip
    arrays: dict[str, Any] = {label.split(" ")[0]: values for label, values in means.items()}
    run.finish(table, verdicts, figure, **arrays, seconds=seconds)


if __name__ == "__main__":
    guard(main)
