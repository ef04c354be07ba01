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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

import atari_play
import cloning
import figures
import figures_rows
import heads
import stats_ci
import transfer_cells
from atari_env import MAX_STEPS
from convnet import ConvPolicy
from players import TASKS
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import SPREAD, Run, Stage, late, measured
from stats_ci import Verdict
from trained_cache import Setup, clone_of, cnn_of, fit

GAME = "pong"
TUNING_SEED = 77
TRIED = tuple((epochs, rate) for epochs in (3, 6) for rate in (3e-4, 1e-3))


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
    max_steps: int = MAX_STEPS  # games are cut here [agent steps]
    tune: bool = False  # try TRIED for both on the tuning seed instead
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"seeds": 2, "n_frames": 1200, "games": 1, "epochs": 1, "cnn_epochs": 1, "max_steps": 150}


RESU, CNN = "ReSU + MLP 256x2", "DQN CNN, end to end"
ORIGINAL = {
    "expert": "-13.4", RESU: "-11.85 +- .86 (acc .861, 2 s)", CNN: "-10.85 +- 1.04 (acc .867 / .760, 10 s)",
}  # fmt: skip
REPORTED: dict[str, float | tuple[float, float]] = {"expert": -13.4, RESU: (-11.85, 0.86), CNN: (-10.85, 1.04)}
Cells = Mapping[str, Sequence[Mapping[str, Any]]]  # of each row: a result per seed


@dataclass(frozen=True)
class Setting:
    """One seed of a row; the network's training counts where the network is trained."""

    label: str
    seed: int
    setup: Setup = field(metadata=SPREAD)
    cnn_epochs: int | None = late(None)
    cnn_learning_rate: float | None = late(None)


@dataclass(frozen=True)
class Tried:
    """One setting of both sides on the tuning seed, or what is tried."""

    setup: Setup = field(metadata=SPREAD)
    epochs_and_rates: tuple[tuple[int, float], ...] = TRIED


@measured()
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """Accuracy on held-out games, seconds to fit encoder and head or network, numbers that were trained, games."""
    found = _resu(run, s) if s.label == RESU else _cnn(run, s)
    run.log(f"{s.label}, seed {s.seed}: {np.mean(found['scores']):.2f}, {found['accuracy']:.3f}")
    return found


def _resu(run: Run, s: Setting) -> dict[str, Any]:
    buffer = s.setup.demonstrations(run.data, GAME, s.seed)
    np.sum(buffer.frames[:, ::84], dtype=np.int64)  # from disk into memory
    started = time.perf_counter()
    encoder = fit(s.setup, run.data, GAME, s.seed)
    fitted = time.perf_counter() - started
    clone, accuracy, trained = clone_of(s.setup, run.data, encoder, GAME, s.seed)
    return {
        **s.setup.play(clone, GAME, s.seed, f"ReSU + MLP, seed {s.seed}"),
        "accuracy": accuracy,
        "seconds": fitted + trained,
        "n_parameters": clone.head.n_parameters,
    }


def _cnn(run: Run, s: Setting) -> dict[str, Any]:
    assert s.cnn_epochs is not None and s.cnn_learning_rate is not None
    model, accuracy, seconds = cnn_of(
        s.setup, run.data, GAME, s.seed, epochs=s.cnn_epochs, learning_rate=s.cnn_learning_rate
    )
    policy = ConvPolicy(model, s.setup.classes(GAME))
    return {
        **s.setup.play(policy, GAME, s.seed, f"CNN, seed {s.seed}"),
        "accuracy": accuracy,
        "seconds": seconds,
        "n_parameters": model.n_parameters,
    }


@measured()
def tune(run: Run, s: Tried) -> list[dict[str, Any]]:
    """Validation accuracy of every setting for both sides on the tuning seed."""
    setup = s.setup
    buffer = setup.demonstrations(run.data, GAME, TUNING_SEED)
    names = setup.classes(GAME)
    actions = atari_play.environment(game=GAME, **setup.env(GAME)).action_names
    features = cloning.encode_buffer(fit(setup, run.data, GAME, TUNING_SEED), buffer)
    classes = cloning.class_indices(buffer.targets, actions, names)
    taught, held_out = cloning.split_by_game(buffer, 0.1)
    found = []
    for epochs, rate in s.epochs_and_rates:
        head = heads.fit_mlp(features, classes, len(names), TUNING_SEED, (256, 256), taught, held_out, epochs=epochs,
                             learning_rate=rate)  # fmt: skip
        network = cnn_of(setup, run.data, GAME, TUNING_SEED, epochs=epochs, learning_rate=rate)
        accuracy = float(np.mean(head.predict(features[held_out]) == classes[held_out]))
        found.append({"epochs": epochs, "rate": rate, "resu": accuracy, "cnn": network.accuracy})
        run.log(str(found[-1]))
    return found


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(config, "seeds", "n_frames", "games", "epochs", "cnn_epochs")


def variant(config: Config) -> str:
    """Tuning, and games without sticky actions, are results of their own."""
    sticky = "" if config.sticky == Config.sticky else f"_sticky{config.sticky:g}"
    return "_tuning" if config.tune else sticky


def cells(run: Run) -> Cells:
    """Of every row a cell per seed; or what was tried."""
    c = run.config
    setup = Setup(c.n_frames, c.games, c.epochs, sticky=c.sticky, max_steps=c.max_steps)
    if c.tune:
        return {"tried": run.cell(tune, Tried(setup))}
    seeds = range(c.seeds)
    return {
        "random policy": transfer_cells.references(run, setup, GAME, "random"),
        "expert": transfer_cells.references(run, setup, GAME, "expert"),
        RESU: [run.cell(measure, Setting(RESU, seed, setup)) for seed in seeds],
        CNN: [run.cell(measure, Setting(CNN, seed, setup, c.cnn_epochs, c.cnn_learning_rate)) for seed in seeds],
    }


def report(c: Config, found: Cells) -> Report:
    """Table, verdicts and the figure."""
    if c.tune:
        return Report(
            [
                {
                    "epochs": one["epochs"],
                    "learning rate": f"{one['rate']:g}",
                    "ReSU + MLP": f"{one['resu']:.4f}",
                    "CNN": f"{one['cnn']:.4f}",
                }
                for one in found["tried"]
            ]
        )
    means = {label: stats_ci.mean_over_games([cell["scores"] for cell in its]) for label, its in found.items()}
    estimates = {label: stats_ci.estimate(values) for label, values in means.items()}
    rows = [_row(c, label, its, means[label], estimates[label]) for label, its in found.items()]
    seconds = np.array([[cell["seconds"] for cell in found[label]] for label in (CNN, RESU)])
    verdicts = _verdicts(found, means, seconds)
    margin = TASKS[GAME].margin
    panel = figures_rows.Panel(
        "", means, REPORTED, "original (bar: its standard error)", figures_rows.around(means[RESU], margin),
        f"{RESU} +- {margin:g}", unit="score per game",
    )  # fmt: skip
    title = f"Pong, imitating the reactive expert, sticky {c.sticky:g}, n = {c.seeds} seeds x {c.games} games"
    figure = partial(figures.page, title, [figures_rows.Rows([panel])])
    arrays: dict[str, Any] = {label.split(" ")[0]: values for label, values in means.items()}
    return Report(rows, verdicts, {"": figure}, arrays={**arrays, "seconds": seconds})


def _row(
    c: Config,
    label: str,
    its: Sequence[Mapping[str, Any]],
    means: np.ndarray,
    estimate: stats_ci.Estimate,
) -> dict[str, Any]:
    learned = "accuracy" in its[0]
    return {
        "policy": label,
        "original": ORIGINAL.get(label, ""),
        "score [95 % interval over seeds]": estimate,
        "seed to seed sd": f"{means.std(ddof=1):.2f}" if c.seeds > 1 else "",
        "validation accuracy": stats_ci.estimate([cell["accuracy"] for cell in its]) if learned else "",
        "parameters trained": f"{its[0]['n_parameters']:,}" if learned else "",
        "fit [s]": f"{np.median([cell['seconds'] for cell in its]):.1f}" if learned else "",
        "seeds x games": f"{c.seeds} x {c.games}",
    }


def _verdicts(found: Cells, means: Mapping[str, np.ndarray], seconds: np.ndarray) -> list[Verdict]:
    margin = TASKS[GAME].margin
    gap = stats_ci.paired_difference(means[CNN], means[RESU])
    accuracies = {label: [cell["accuracy"] for cell in found[label]] for label in (CNN, RESU)}
    accuracy = stats_ci.paired_difference(accuracies[CNN], accuracies[RESU])
    ratio = stats_ci.estimate(np.log10(seconds[0] / seconds[1]))
    alike = stats_ci.verdict_equivalent(gap, margin)
    return [
        Verdict("CNN = ReSU", f"CNN and ReSU + MLP score alike (within {margin:g})", gap, alike, margin),
        Verdict("CNN > ReSU", "the CNN scores more than ReSU + MLP", gap, stats_ci.verdict_positive(gap)),
        Verdict(
            "accuracy: CNN > ReSU", "the CNN's validation accuracy is higher", accuracy,
            stats_ci.verdict_positive(accuracy),
        ),
        Verdict(
            "seconds: CNN > ReSU", "the CNN takes longer to fit (log10 of the ratio of times)", ratio,
            stats_ci.verdict_positive(ratio),
        ),
    ]  # fmt: skip


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check, variant=variant)

if __name__ == "__main__":
    guard(STAGE.main)
