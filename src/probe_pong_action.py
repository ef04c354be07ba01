"""Stage 3: does it help to inject the agent's actions into layer 1's past?

Claim      No: the action is the same number in every pixel and is crushed. The paddle 4 steps on is read no better
           off an action-conditioned layer 1 than off the plain one, though actions beside raw pixels or beside the
           pooled code help.
Falsified  if the 95 % interval over seeds of the R2 gain of the conditioned layer 1 over the plain one lies above
           +.02; equivalent if it lies within +-.02.
Original   raw(t,t-1) .733, raw + actions .822, L1 .651, action-conditioned L1 .660 (one seed)
Reads      data/pong_random_s*          Writes  results/probe_pong_action.{npz,json,log,png}
Run        python src/probe_pong_action.py            (8 min on 2 cores, 5 seeds)
           python src/probe_pong_action.py --smoke    (20 s, proves nothing)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

import figures_rows
import pong_probe_cells
import probes
import stats_ci
from atari_play import Buffer, random_play
from heads import Scaling
from pong_probe_cells import STRIDE, TARGETS
from resu_conv import ReSUEncoder
from resu_conv_action import ActionReSUEncoder
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage, measured
from stats_ci import Estimate, Verdict

N_ACTIONS = 6  # Pong's minimal set
MEMORY = 8  # past actions that are given, as many as layer 1 sees frames
WEIGHT = 10.0  # of a standardised action feature beside one feature of the code, so that the ridge hardly shrinks it
QUIET = 0.2  # a cell is quiet whose features deviate by less than this share of the median cell's
MARGIN = 0.02  # R2 within which two codes count as equivalent
NAMES = ("paddle y[t]", "paddle y[t+4]")
AHEAD = NAMES.index("paddle y[t+4]")  # what the claims are about
ORIGINAL = {"raw(t,t-1)": 0.733, "raw(t,t-1) + actions": 0.822, "L1": 0.651, "L1 on actions": 0.660}
Group = Literal["raw", "beside", "inside", "quiet"]
Cells = Mapping[Group, Sequence[Mapping[str, Any]]]  # of each group: a result per seed


@dataclass(frozen=True)
class Given:
    """Which actions are given: those of the last MEMORY steps, perhaps the one about to be taken; or a control."""

    now: bool = False  # the action about to be taken as well
    drawn: bool = False  # drawn anew: they have nothing to do with the game


@dataclass(frozen=True)
class Code:
    """What a probe reads off.

    label    for readers; names the code's numbers in a cell
    group    the codes of a group are measured together; "raw" ones are raw pixels, all others layer 1, and "quiet" ones
             are its cells in which the plain layer hardly moves
    beside   actions that stand beside the code
    inside   actions in layer 1's past
    """

    label: str
    group: Group
    beside: Given | None = None
    inside: Given | None = None


CODES = {
    code.label: code
    for code in (
        Code("raw(t,t-1)", "raw"),
        Code("raw(t,t-1) + actions", "raw", beside=Given()),
        Code("raw(t,t-1) + actions now", "raw", beside=Given(now=True)),
        Code("L1", "beside"),
        Code("L1 + actions", "beside", beside=Given()),
        Code("L1 + actions now", "beside", beside=Given(now=True)),
        Code("L1 + other actions", "beside", beside=Given(drawn=True)),
        Code("L1 on actions", "inside", inside=Given()),
        Code("L1 on actions now", "inside", inside=Given(now=True)),
        Code("L1 on other actions", "inside", inside=Given(drawn=True)),
        Code("L1, quiet cells", "quiet"),
        Code("L1 on actions, quiet cells", "quiet", inside=Given()),
    )
}
CONTRASTS = (
    ("raw(t,t-1) + actions", "raw(t,t-1)"),
    ("raw(t,t-1) + actions now", "raw(t,t-1) + actions"),
    ("L1 + actions", "L1"),
    ("L1 + actions now", "L1 + actions"),
    ("L1 + other actions", "L1"),
    ("L1 on actions", "L1"),
    ("L1 on actions", "L1 on other actions"),
    ("L1 on actions now", "L1 on actions"),
    ("L1 + actions", "L1 on actions"),
    ("L1 on actions, quiet cells", "L1, quiet cells"),
)


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 5  # replications: own frames, own fit, own probe
    n_frames: int = 60_000  # per seed [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"seeds": 2, "n_frames": 4000}


@dataclass(frozen=True)
class Setting:
    """One cell: a group of codes on one seed's frames (n_frames agent steps), probed on every third one."""

    group: Group
    seed: int
    n_frames: int

    @property
    def codes(self) -> list[Code]:
        """Those of the group."""
        return [code for code in CODES.values() if code.group == self.group]


@dataclass(frozen=True)
class Sample:
    """One seed's games, their truth (T, 2) in the order of NAMES [screen pixels], and who is probed on what."""

    buffer: Buffer
    truth: np.ndarray
    split: probes.Split
    seed: int

    def actions(self, given: Given) -> np.ndarray:
        """(T,) the game's actions, or others."""
        if given.drawn:
            return np.random.default_rng([self.seed, 3]).integers(N_ACTIONS, size=len(self.buffer))
        return self.buffer.actions

    def beside(self, given: Given) -> np.ndarray:
        """(T, D) float32: actions to stand beside a standardised code, in the order of the ridge."""
        features = history(self.buffer, self.actions(given), given.now)
        scaling = Scaling.fit(features, self.split.train)
        return (features - scaling.mean) * (scaling.factor * WEIGHT)

    def plain(self) -> tuple[np.ndarray, ReSUEncoder]:
        """Features (T, D) of plain layer 1, and the encoder."""
        encoder = ReSUEncoder().fit(self.buffer.episode_frames())
        return np.concatenate([encoder.encode(frames) for frames in self.buffer.episode_frames()]), encoder

    def conditioned(self, given: Given) -> tuple[np.ndarray, ActionReSUEncoder]:
        """Features (T, D) of layer 1 on these actions, and the encoder."""
        actions = self.actions(given)
        games = [(self.buffer.frames[game], actions[game]) for game in self.buffer.episodes()]
        long = [game for game in games if len(game[0]) > 2 * MEMORY]
        encoder = ActionReSUEncoder(N_ACTIONS, include_current=given.now).fit(*map(list, zip(*long, strict=True)))
        return np.concatenate([encoder.encode(*game) for game in games]), encoder


def history(buffer: Buffer, actions: np.ndarray, now: bool) -> np.ndarray:
    """One-hot actions (T, lags * N_ACTIONS) float32 of the last MEMORY steps, and of this one if `now`; 0 before the
    game began."""
    one_hot = np.eye(N_ACTIONS, dtype=np.float32)[actions]
    lags = range(0 if now else 1, MEMORY + 1)
    return np.concatenate([np.nan_to_num(buffer.shifted(one_hot, -lag)) for lag in lags], axis=1).astype(np.float32)


@measured()
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """Fit and probe every code of the group.

    Returns   {"r2": {code: 2 numbers}, "n": samples to fit on and to test on}; of codes on actions "share, <code>", the
              actions' share of each unit's variance, and "correlations, <code>"; of quiet cells "n_quiet"
    Raises    ValueError if no cell is quiet.
    """
    buffer = random_play(run.data, "pong", s.n_frames, s.seed)
    truth, usable = pong_probe_cells.targets(buffer)
    truth = truth[:, [TARGETS[name].columns[0] for name in NAMES]]
    split = probes.split_by_episode(buffer.episodes(), s.seed, usable, STRIDE)
    sample = Sample(buffer, truth, split, s.seed)
    result: dict[str, Any] = {"n": [len(split.train), len(split.test)]}
    if s.group == "raw":
        extras = [None if code.beside is None else sample.beside(code.beside) for code in s.codes]
        found = probes.probe_lagged_frames(buffer.frames, truth, split, (2,), buffer.begins(), extras)[0]
    elif s.group == "beside":
        found = _probe_beside(sample, s.codes)
    elif s.group == "inside":
        found = _probe_inside(sample, s.codes, result)
    else:
        found = _probe_quiet(sample, s.codes, result)
    result["r2"] = {code.label: probed.score for code, probed in zip(s.codes, found, strict=True)}
    run.log(f"seed {s.seed}, {s.group}: { {code: np.round(r2, 3).tolist() for code, r2 in result['r2'].items()} }")
    return result


def _probe_beside(sample: Sample, codes: Sequence[Code]) -> list[probes.Probed]:
    features, _ = sample.plain()
    scaling = Scaling.fit(features, sample.split.train)
    features = (features - scaling.mean) * scaling.factor
    found = []
    for code in codes:
        if code.beside is None:
            found.append(probes.probe(features, sample.truth, sample.split))
        else:
            both = np.concatenate([features, sample.beside(code.beside)], axis=1)
            found.append(probes.probe(both, sample.truth, sample.split, scale=False))
    return found


def _probe_inside(sample: Sample, codes: Sequence[Code], result: dict[str, Any]) -> list[probes.Probed]:
    found = []
    for code in codes:
        features, encoder = sample.conditioned(code.inside or Given())
        found.append(probes.probe(features, sample.truth, sample.split))
        result[f"share, {code.label}"] = encoder.action_share_
        result[f"correlations, {code.label}"] = encoder.correlations_
    return found


def _probe_quiet(sample: Sample, codes: Sequence[Code], result: dict[str, Any]) -> list[probes.Probed]:
    plain, encoder = sample.plain()
    moving = plain[sample.split.train].std(axis=0).reshape(2 * encoder.n_units, -1).max(axis=0)  # by cell
    quiet = moving < QUIET * np.median(moving)
    result["n_quiet"] = int(quiet.sum())
    if not quiet.any():
        raise ValueError("no cell of these games is quiet: collect more of them")
    columns = np.tile(quiet, 2 * encoder.n_units)
    features = [plain if code.inside is None else sample.conditioned(code.inside)[0] for code in codes]
    return [probes.probe(its[:, columns], sample.truth, sample.split) for its in features]


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(config, "seeds", "n_frames")


def cells(run: Run) -> Cells:
    """Of every group of codes a cell per seed."""
    c = run.config
    groups = dict.fromkeys(code.group for code in CODES.values())
    return {group: [run.cell(measure, Setting(group, seed, c.n_frames)) for seed in range(c.seeds)] for group in groups}


def report(c: Config, found: Cells) -> Report:
    """Table, verdicts, figure."""
    r2 = {
        code.label: np.array([cell["r2"][code.label] for cell in found[code.group]], np.float64)
        for code in CODES.values()
    }  # (n seeds, 2) each
    estimates = {name: {code: stats_ci.estimate(r2[code][:, i]) for code in CODES} for i, name in enumerate(NAMES)}
    rows: list[dict[str, Any]] = []
    for label, code in CODES.items():
        shares = [cell[f"share, {label}"] for cell in found[code.group] if f"share, {label}" in cell]
        rows.append(
            {"code": label}
            | {f"R2, {name}": estimates[name][label] for name in NAMES}
            | {
                "original, y[t+4]": f"{ORIGINAL[label]:.3f}" if label in ORIGINAL else "",
                "actions' share of each unit's variance": " ".join(f"{x:.1e}" for x in np.mean(shares, 0))
                if shares
                else "",
            }
        )
    drawn = [label for label, code in CODES.items() if code.group != "quiet"]  # near 0: they would squeeze all others
    figure = partial(
        figures_rows.quantities,
        f"Our paddle in Pong, random play, with and without actions\n{c.n_frames:,} frames, n = {c.seeds} seeds",
        {name: {label: r2[label][:, i] for label in drawn} for i, name in enumerate(NAMES)},
        {NAMES[AHEAD]: ORIGINAL},
        "R2 on test episodes",
        [label for label in drawn if CODES[label].group == "raw"],
    )
    arrays = {label.replace(" ", "_"): its for label, its in r2.items()}
    return Report(rows, _verdicts(r2), {"": figure}, _notes(found, estimates[NAMES[AHEAD]]), arrays)


def _verdicts(r2: Mapping[str, np.ndarray]) -> list[Verdict]:
    name, ahead = NAMES[AHEAD], {label: its[:, AHEAD] for label, its in r2.items()}
    verdicts = [
        stats_ci.positive(f"{code} > {other}", f"{name}: {code} above {other}", ahead[code] - ahead[other])
        for code, other in CONTRASTS
    ]
    gain = stats_ci.estimate(ahead["L1 on actions"] - ahead["L1"])
    text = f"{name}: L1 on actions equivalent to L1 (within {MARGIN})"
    word = stats_ci.verdict_equivalent(gain, MARGIN)
    return [*verdicts, Verdict("L1 on actions = L1", text, gain, word, MARGIN)]


def _notes(found: Cells, ahead: Mapping[str, Estimate]) -> list[str]:
    n_quiet = sorted({cell["n_quiet"] for cell in found["quiet"]})
    plain, on_actions = (ahead[code.label] for code in CODES.values() if code.group == "quiet")
    return [
        "All probes are fitted on every third frame, as those of raw pixels are.",
        "One way in which the action gets through although each response hardly depends on it: in quiet cells "
        f"({n_quiet[0]} to {n_quiet[-1]} of 128) little else moves the code, and a linear probe can scale it up again. "
        f"From these cells alone paddle y[t+4] is read with R2 {plain} off plain layer 1 and {on_actions} off layer 1 "
        "on actions.",
    ]


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
