"""Stage 9c: what does an encoder forget when it is streamed on another game?

Claim      A Pong clone's score is unchanged (equivalent within +-2 points) after its encoder was streamed on 60,000
           frames of Breakout and the old head is kept. Asked besides: with both clocks, with the pixel means kept, with
           the head refitted on Pong; and of the usual alternative, a CNN that is fine-tuned on Breakout.
Falsified  if the interval of after - before, paired over seeds, lies wholly outside +-2 points.
Original   -10.6 +- 1.2 before, -11.0 +- 1.0 after (head kept, alpha .99; called no forgetting)
Reads      data/{pong,breakout}_*          Writes  results/transfer_forgetting.{npz,json,log,png}
Run        python src/transfer_forgetting.py                   (2 h on 2 cores; shares cells with stages 5, 6, 9b)
           python src/transfer_forgetting.py --smoke           (1 min, proves nothing)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

import convnet
import figures
import figures_rows
import recipes
import stats_ci
import transfer_cells
from atari_env import MAX_STEPS
from atari_play import Policy
from cloning import Clone
from convnet import ConvNet, ConvPolicy
from players import TASKS
from recipes import RecipeName
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import SPREAD, Run, Stage, late, measured
from stats_ci import Estimate, Verdict
from trained_cache import Setup, clone_of, cnn_of, fit

HOME, OTHER = "pong", "breakout"
CLOCKS = (0.99, 1.0)
STRONG = 2  # filters whose correlations are well above 0


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 10  # replications: own demonstrations, own fits, own heads, own games
    n_frames: int = 60_000  # demonstrations per game and seed, and frames streamed [agent steps]
    games: int = 20  # evaluation games per seed
    epochs: int = 6  # passes over the demonstrations, ReSU heads
    cnn_epochs: int = 6  # the same for the network: its training, fine-tuning and refitted layer
    cnn_learning_rate: float = 1e-3
    sticky: float = 0.25  # probability that the emulator repeats an action
    experts: Literal["original", "best"] = "original"  # who is imitated: experts of the original's kind, or the best
    recipe: RecipeName = "ours"  # of fitting and streaming: ours, or the original's as near as it can be inferred
    max_steps: int = MAX_STEPS  # games are cut here [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"seeds": 2, "n_frames": 1200, "games": 1, "epochs": 1, "cnn_epochs": 1, "max_steps": 150}


@dataclass(frozen=True)
class Arm:
    """A row that is measured here.

    game    that is played
    alpha   of ReSU: the clock of the stream on the other game; None: a network
    kept    of ReSU: how much of the encoder stays Pong's under the old head: 0 nothing, 1 pixel means, 2 gains as well,
            3 and the weak filters; None: nothing, and the head is refitted
    network of a network: how it was trained
    """

    label: str
    game: str = HOME
    alpha: float | None = None
    kept: int | None = 0
    network: Literal["", "scratch", "tuned", "old last layer", "refitted last layer"] = ""

    @property
    def kind(self) -> str:
        """Whose "before" it is compared with."""
        return "CNN" if self.network else "ReSU"


KEPT: dict[int | None, str] = {
    0: "head kept",
    1: "head and pixel means kept",
    2: "head, means and gains kept",
    3: "head, means, gains and filters 3, 4 kept",
    None: "head refitted",
}
SHORT: dict[int | None, str] = {  # the same in the figure
    0: "old head kept", 1: "+ pixel means restored", 2: "+ gains restored", 3: "+ filters 3, 4 restored",
    None: "head refitted",
}  # fmt: skip
ARMS = (
    *(Arm(f"ReSU, alpha {alpha:g}: {text}", alpha=alpha, kept=kept) for alpha in CLOCKS for kept, text in KEPT.items()),
    Arm("CNN: before", network="scratch"),
    Arm("CNN, fine-tuned: last layer kept", network="old last layer"),
    Arm("CNN, fine-tuned: last layer refitted", network="refitted last layer"),
    Arm("CNN on Breakout, from scratch", OTHER, network="scratch"),
    Arm("CNN on Breakout, fine-tuned from Pong", OTHER, network="tuned"),
)
BEFORE = {"ReSU": "ReSU: before", "CNN": "CNN: before"}
FITTED_THERE, STREAMED_THERE = "ReSU on Breakout, fitted there", "ReSU on Breakout, streamed from Pong"
ORIGINAL = {BEFORE["ReSU"]: "-10.6 +- 1.2", "ReSU, alpha 0.99: head refitted": "-11.0 +- 1.0"}
Cells = Mapping[str, Sequence[Mapping[str, Any]]]  # of each row: a result per seed


@dataclass(frozen=True)
class Setting:
    """One seed of an arm, by its label; the network's training counts where there is a network."""

    label: str
    seed: int
    setup: Setup = field(metadata=SPREAD)
    cnn_epochs: int | None = late(None)
    cnn_learning_rate: float | None = late(None)


@measured(shelf="transfer_forgetting")
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """This seed's evaluation games: scores and lengths."""
    arm = next(arm for arm in ARMS if arm.label == s.label)
    policy: Policy = _resu(run.data, s, arm) if arm.alpha is not None else _network_policy(run.data, s, arm)
    result = s.setup.play(policy, arm.game, s.seed, f"{s.label}, seed {s.seed}")
    run.log(f"{s.label}, seed {s.seed}: {np.mean(result['scores']):.1f}")
    return result


def _resu(folder: Path, s: Setting, arm: Arm) -> Clone:
    """The Pong clone after its encoder was streamed on the other game."""
    assert arm.alpha is not None
    home = fit(s.setup, folder, HOME, s.seed)
    other = s.setup.demonstrations(folder, OTHER, s.seed)
    moved = transfer_cells.stream(home, other, s.setup.n_frames, arm.alpha, s.setup)
    if arm.kept is None:
        return clone_of(s.setup, folder, moved, HOME, s.seed).result
    clone = clone_of(s.setup, folder, home, HOME, s.seed).result
    if arm.kept:
        moved = transfer_cells.restored(moved, home, gains=arm.kept > 1, weak=STRONG if arm.kept > 2 else None)
    return Clone(moved, clone.head, clone.class_names)


def _network_policy(folder: Path, s: Setting, arm: Arm) -> ConvPolicy:
    """A network before or after fine-tuning on the other game."""

    def trained(game: str, **more: Any) -> ConvNet:
        assert s.cnn_epochs is not None and s.cnn_learning_rate is not None
        epochs, rate = s.cnn_epochs, s.cnn_learning_rate
        return cnn_of(s.setup, folder, game, s.seed, epochs=epochs, learning_rate=rate, **more).result

    if arm.network == "scratch":
        model = trained(arm.game)
    else:
        model = tuned = trained(OTHER, start=trained(HOME))
        if arm.network == "refitted last layer":
            model = trained(HOME, start=tuned, last_only=True)
        elif arm.network == "old last layer":
            old, model = trained(HOME), convnet.new(len(s.setup.classes(HOME)), s.seed)
            model.trunk.load_state_dict(tuned.trunk.state_dict())
            model.last.load_state_dict(old.last.state_dict())
            model.mean.copy_(old.mean)
    return ConvPolicy(model, s.setup.classes(arm.game))


def arms_of(c: Config) -> list[Arm]:
    """The rows: a clock that adds needs a recipe whose streams can."""
    return [arm for arm in ARMS if arm.alpha != 1 or recipes.adds(c.recipe)]


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(config, "seeds", "n_frames", "games", "epochs", "cnn_epochs")


def setup_of(c: Config) -> Setup:
    """What all clones share."""
    return Setup(
        c.n_frames, c.games, c.epochs, sticky=c.sticky, experts=c.experts, max_steps=c.max_steps, recipe=c.recipe
    )


def variant(config: Config) -> str:
    """Other experts, games without sticky actions and another recipe are results of their own."""
    return setup_of(config).variant


def cells(run: Run) -> Cells:
    """Of every row a cell per seed."""
    c, setup = run.config, setup_of(run.config)
    found = {
        "random policy": transfer_cells.references(run, setup, HOME, "random"),
        BEFORE["ReSU"]: transfer_cells.cells(run, setup, HOME, HOME, "native"),
    }
    for arm in arms_of(c):
        training = (c.cnn_epochs, c.cnn_learning_rate) if arm.network else ()
        its = replace(setup, recipe=Config.recipe) if arm.network else setup  # a network has no recipe
        found[arm.label] = [run.cell(measure, Setting(arm.label, seed, its, *training)) for seed in range(c.seeds)]
    found[FITTED_THERE] = transfer_cells.cells(run, setup, OTHER, OTHER, "native")
    found[STREAMED_THERE] = transfer_cells.cells(run, setup, HOME, OTHER, "streamed", c.n_frames, 0.99)
    return found


def report(c: Config, found: Cells) -> Report:
    """Table, verdicts and the figure."""
    margin = TASKS[HOME].margin
    means = {label: stats_ci.mean_over_games([cell["scores"] for cell in its]) for label, its in found.items()}
    estimates = {label: stats_ci.estimate(values) for label, values in means.items()}
    after = {arm.label: arm for arm in arms_of(c) if arm.game == HOME and arm.label not in BEFORE.values()}
    there = {FITTED_THERE, STREAMED_THERE, *(arm.label for arm in ARMS if arm.game == OTHER)}
    rows, verdicts = [], []
    for label in found:
        change: Estimate | str = ""
        if label in after:
            change = stats_ci.paired_difference(means[label], means[BEFORE[after[label].kind]])
            text = f"{label}: nothing is forgotten (within {margin:g})"
            verdicts.append(Verdict(label, text, change, stats_ci.verdict_equivalent(change, margin), margin))
        rows.append(
            {
                "policy": label,
                "game": TASKS[OTHER if label in there else HOME].label,
                "original": ORIGINAL.get(label, ""),
                "score [95 % interval over seeds]": estimates[label],
                "after - before (backward transfer)": change,
                "seeds x games": f"{c.seeds} x {c.games}",
            }
        )
    arrays = {label.replace(" ", "_").replace(",", "").replace(":", ""): values for label, values in means.items()}
    return Report(rows, [*verdicts, *_contrasts(means)], {"": partial(_figure, c, means)}, arrays=arrays)


def _figure(c: Config, means: Mapping[str, np.ndarray]) -> figures.Figure:
    """Changes in Pong, and what Pong is worth in Breakout."""
    columns: dict[str, dict[str, np.ndarray]] = {}
    for arm in (arm for arm in arms_of(c) if arm.game == HOME and arm.label not in BEFORE.values()):
        column = f"ReSU, streamed, alpha {arm.alpha:g}" if arm.alpha is not None else "CNN, fine-tuned"
        name = SHORT[arm.kept if arm.alpha is not None else None if "refitted" in arm.network else 0]
        columns.setdefault(column, {})[name] = means[arm.label] - means[BEFORE[arm.kind]]
    margin, streamed = TASKS[HOME].margin, next(iter(columns))
    said = {SHORT[kept]: -0.4 for kept in (0, None)}
    panels = [
        figures_rows.Panel(
            column, its, said if column == streamed else {}, "original (it does not say whether its head was kept)",
            (-margin, margin), f"margin: {margin:g} in Pong, {TASKS[OTHER].margin:g} in Breakout", {"no change": 0.0},
        )
        for column, its in columns.items()
    ]  # fmt: skip
    scratch, tuned = "CNN on Breakout, from scratch", "CNN on Breakout, fine-tuned from Pong"
    gains = {
        "ReSU: streamed from Pong - fitted there": means[STREAMED_THERE] - means[FITTED_THERE],
        "CNN: fine-tuned from Pong - from scratch": means[tuned] - means[scratch],
        "from scratch: CNN - ReSU": means[scratch] - means[FITTED_THERE],
    }
    margin = TASKS[OTHER].margin
    there = figures_rows.Panel(
        "Breakout, played afterwards", gains, band=(-margin, margin), lines={"no change": 0.0},
        unit="difference of scores",
    )  # fmt: skip
    title = f"Pong before and after adaptation to Breakout{recipes.label(c.recipe)}"
    return figures.page(
        f"{title}, n = {c.seeds} seeds x {c.games} games, sticky {c.sticky:g}",
        [
            figures_rows.Rows(panels, alike=True, title="Pong", foot="score after - score before"),
            figures_rows.Rows([there]),
        ],
    )


def _contrasts(means: Mapping[str, np.ndarray]) -> list[Verdict]:
    """ReSU against the network, and forward transfer."""
    kept, usual = "ReSU, alpha 0.99: head kept", "CNN, fine-tuned: last layer kept"
    less = (means[kept] - means[BEFORE["ReSU"]]) - (means[usual] - means[BEFORE["CNN"]])
    found = stats_ci.estimate(less)
    text = "streaming ReSU forgets less than fine-tuning a CNN"
    verdicts = [Verdict("ReSU forgets less", text, found, stats_ci.verdict_positive(stats_ci.estimate(less)))]
    scratch, tuned = "CNN on Breakout, from scratch", "CNN on Breakout, fine-tuned from Pong"
    for kind, adapted, anew in (("ReSU", STREAMED_THERE, FITTED_THERE), ("CNN", tuned, scratch)):
        forward = stats_ci.paired_difference(means[adapted], means[anew])
        text = f"{kind}: what was learned on Pong helps on Breakout (forward transfer)"
        verdicts.append(Verdict(f"{kind}: forward", text, forward, stats_ci.verdict_positive(forward)))
    gap = stats_ci.paired_difference(means[scratch], means[FITTED_THERE])
    text = "Breakout: the network end to end scores above ReSU with an MLP"
    return [*verdicts, Verdict("Breakout: CNN > ReSU", text, gap, stats_ci.verdict_positive(gap))]


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check, variant=variant)

if __name__ == "__main__":
    guard(STAGE.main)
