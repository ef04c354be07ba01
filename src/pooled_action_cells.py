"""What the stage on actions in a layer on pooled features measures: codes that a probe reads, and a forward model.

T steps of 1/15 s, F pooled features of layer 1, d of their principal components, A actions, N samples (every third
step). Action a_t is chosen after frame t: a_{t-1}, a_{t-2}, ... are known at frame t, a_t is the one about to be taken.

    past    [x_t, ..., x_{t-3}; a_s, ..., a_{s-7}]    8 actions, s the newest that is given    future  [x_{t+1}, ...]

Weights. Canonical directions do not change with invertible maps of the past; the unit of the actions matters through
the ridge and through truncation alone. So the one-hots stay out of the principal components, which are the features',
and both blocks are divided by the root of the largest eigenvalue of their own covariance at a step: the ridge, a
millionth of the past's largest variance, then weighs alike on both. And they stand in the past alone (`past_only`):
nothing is spent on predicting draws. Whatever is fitted on targets or futures sees training episodes only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import linalg
from sklearn.metrics import r2_score

import atari_play
import probes
from atari_play import Buffer
from heads import Scaling
from object_labels import objects_of
from resu_conv import ReSUEncoder
from resu_conv_action import ActionReSUEncoder
from resu_core import rectify
from resu_vector import VectorReSU
from resu_vector_projection import principal_directions
from stage_run import Run, measured

TARGETS = {"pong": ("paddle y", "ball y"), "breakout": ("paddle x", "ball x"), "space_invaders": ("ship x",)}
AHEAD = 4  # steps
STRIDE = 3  # of the steps that probes and forecasts see, as in stage 3
MEMORY, HORIZON = 4, 4  # of VectorReSU [steps]
GIVEN = 2 * MEMORY  # actions that a code is given, as many as layer 1 sees frames
STEPS = (1, 2, 4, 8)  # ahead, of the forward model
WEIGHT = 10.0  # of a standardised action beside one feature of a code, so that the probe's ridge hardly shrinks it
COPYING, RIDGE, RIDGE_ON, VECTOR, VECTOR_ON = FORECASTS = (
    "copying the present", "ridge", "ridge on actions", "VectorReSU", "VectorReSU on actions",
)  # fmt: skip


@dataclass(frozen=True)
class Given:
    """Which actions: the newest is a_{t + newest}; drawn anew, they have nothing to do with the game."""

    newest: int = -1
    drawn: bool = False


PAST, NOW, DRAWN = Given(), Given(0), Given(0, drawn=True)


@dataclass(frozen=True)
class Code:
    """What a probe reads off: one to three blocks beside each other.

    layer1   features of layer 1: "plain", or "conditioned", with the actions `inside` in the past of its pixels
    vector   VectorReSU on the plain features, with the actions `inside` in its past if layer 1 is not conditioned
    all_units   VectorReSU has as many units as there are, not those of the highest correlations alone
    beside   actions beside the code
    """

    label: str
    layer1: Literal["plain", "conditioned", ""] = ""
    vector: bool = False
    all_units: bool = False
    inside: Given | None = None
    beside: Given | None = None


CODES = {
    code.label: code
    for code in (
        Code("L1", "plain"),
        Code("L1 + actions", "plain", beside=PAST),
        Code("L1 + actions now", "plain", beside=NOW),
        Code("L1 on actions", "conditioned", inside=PAST),
        Code("L1 on actions now", "conditioned", inside=NOW),
        Code("VectorReSU", vector=True),
        Code("VectorReSU + actions now", vector=True, beside=NOW),
        Code("VectorReSU on actions", vector=True, inside=PAST),
        Code("VectorReSU on actions now", vector=True, inside=NOW),
        Code("VectorReSU on other actions", vector=True, inside=DRAWN),
        Code("VectorReSU, all units", vector=True, all_units=True),
        Code("VectorReSU, all units + actions now", vector=True, all_units=True, beside=NOW),
        Code("VectorReSU, all units on actions now", vector=True, all_units=True, inside=NOW),
        Code("L1, VectorReSU + actions now", "plain", vector=True, beside=NOW),
        Code("L1, VectorReSU on actions now", "plain", vector=True, inside=NOW),
    )
}


@dataclass(frozen=True)
class Setting:
    """One cell: all codes and forecasts in one game, on one seed's frames of random play.

    n_frames  [agent steps]      components  d      units  k of VectorReSU as a code, which has 2 k numbers
    """

    game: str
    seed: int
    n_frames: int
    components: int
    units: int


class Sample:
    """One seed's games and what is made of them once.

    features  (T, F) float32 of plain layer 1, standardised on the training samples
    reduced   (T, d) float32: their principal components over the training episodes, in the unit of the largest one
    kept      share of the features' variance in them  [1]
    split     samples to fit, validate and test on        training   the episodes of the first
    """

    def __init__(
        self, buffer: Buffer, features: np.ndarray, n_actions: int, split: probes.Split, components: int, seed: int
    ) -> None:
        """features (T, F) float32 as encoded; n_actions A; components d. Raises ValueError if d is too large."""
        self.buffer, self.n_actions, self.split, self.seed = buffer, n_actions, split, seed
        self.episodes = buffer.episodes()
        begins = set(buffer.begins()[split.train].tolist())
        self.training = [episode for episode in self.episodes if episode.start in begins]
        scaling = Scaling.fit(features, split.train)
        self.features = (features - scaling.mean) * scaling.factor
        found, offset, self.kept = principal_directions([self.features[e] for e in self.training], components)
        reduced = ((self.features - offset.astype(np.float32)) @ found.T.astype(np.float32)).astype(np.float32)
        self.reduced = reduced / np.float32(_unit(self._of_training(reduced)))

    def _of_training(self, x: np.ndarray) -> np.ndarray:
        return np.concatenate([x[episode] for episode in self.training])

    def actions(self, given: Given, lags: Sequence[int]) -> np.ndarray:
        """(T, lags * A) float32: one-hots of a_{t + newest - lag} about their means, which stand for missing ones."""
        chosen = self.buffer.actions
        if given.drawn:
            chosen = np.random.default_rng([self.seed, 3]).integers(self.n_actions, size=len(chosen))
        one_hot = np.eye(self.n_actions, dtype=np.float32)[chosen]
        seen = self._of_training(one_hot)
        one_hot = (one_hot - seen.mean(axis=0)) / np.float32(_unit(seen))
        blocks = [np.nan_to_num(self.buffer.shifted(one_hot, given.newest - lag)) for lag in lags]
        return np.concatenate(blocks, axis=1).astype(np.float32)

    def responses(self, given: Given | None, horizon: int, units: int | None) -> np.ndarray:
        """(T, k) float32: canonical responses of the reduced features and of the actions given; k units, or all."""
        columns, past_only = self.reduced, 0
        if given is not None:  # at a step two actions, MEMORY apart: over MEMORY steps each of the GIVEN stands once
            acted = self.actions(given, (0, MEMORY))
            columns, past_only = np.concatenate([columns, acted], axis=1), acted.shape[1]
        resu = VectorReSU(MEMORY, horizon, units, past_only=past_only, constant_columns="ignore")
        resu.fit_episodes([columns[episode] for episode in self.training])
        return np.concatenate([resu.transform(columns[e]).astype(np.float32) for e in self.episodes])

    def conditioned(self, given: Given) -> np.ndarray:
        """(T, F) float32: features of layer 1 with these actions in its past, as in stage 3."""
        games = [(self.buffer.frames[e], self.buffer.actions[e]) for e in self.episodes]
        encoder = ActionReSUEncoder(self.n_actions, include_current=given.newest == 0)
        long = [game for game in games if len(game[0]) > 2 * GIVEN]
        encoder.fit(*map(list, zip(*long, strict=True)))
        return np.concatenate([encoder.encode(*game) for game in games])


def _unit(x: np.ndarray) -> float:
    """Root of the largest eigenvalue of the covariance of x (N, D); 1 where nothing varies."""
    largest = float(linalg.eigvalsh(np.cov(x.T, bias=True).reshape(x.shape[1], -1))[-1])
    return float(np.sqrt(largest)) if largest > 0 else 1.0


def places(game: str, buffer: Buffer) -> tuple[np.ndarray, np.ndarray]:
    """(T, Q) float64 in the order of TARGETS, AHEAD steps on [screen pixels]; (T,) bool: there, now and then."""
    objects = objects_of(game, buffer)
    ahead = np.stack([buffer.shifted(objects.places[name], AHEAD) for name in TARGETS[game]], axis=1)
    return ahead, objects.there & np.isfinite(ahead).all(axis=1)


def acts(buffer: Buffer, n_actions: int) -> np.ndarray:
    """(T, 2 A) float64: one-hots of a_{t-1}, then of a_t; NaN before the game began."""
    one_hot = np.eye(n_actions)[buffer.actions]
    return np.concatenate([buffer.shifted(one_hot, -1), one_hot], axis=1)


def read_codes(
    sample: Sample, truth: np.ndarray, units: int, codes: Iterable[Code] = tuple(CODES.values())
) -> dict[str, np.ndarray]:
    """R2 (Q,) of each code on test episodes, by a ridge on its standardised numbers; truth (T, Q)."""
    rows, split = _gathered(sample.split)
    made: dict[Any, np.ndarray] = {}

    def block(kind: str, given: Given | None) -> np.ndarray:
        if (kind, given) not in made:
            if kind in ("vector", "whole"):
                x = rectify(sample.responses(given, HORIZON, None if kind == "whole" else units)[rows])
            elif given is None:
                x = sample.features[rows]
            elif kind == "conditioned":
                x = sample.conditioned(given)[rows]
            else:
                x = sample.actions(given, range(GIVEN))[rows]
            scaling = Scaling.fit(x, split.train)
            made[kind, given] = (x - scaling.mean) * (scaling.factor * (WEIGHT if kind == "beside" else 1))
        return made[kind, given]

    found = {}
    for code in codes:
        blocks = [block(code.layer1, code.inside if code.layer1 == "conditioned" else None)] if code.layer1 else []
        blocks += [block("whole" if code.all_units else "vector", code.inside)] if code.vector else []
        blocks += [block("beside", code.beside)] if code.beside else []
        found[code.label] = probes.probe(np.concatenate(blocks, axis=1), truth[rows], split, scale=False).score
    return found


def forecasts(sample: Sample) -> dict[str, list[float]]:
    """R2 of the reduced features STEPS ahead, on test episodes, as `r2_over_features`, by each of FORECASTS.

    Forecasts on actions are given the last GIVEN ones up to a_{t+n-1}, the last before the step that is forecast.
    """
    x, last = sample.reduced, max(STEPS)
    begins = sample.buffer.begins()
    same = np.isfinite(sample.buffer.shifted(x[:, :1], last)[:, 0])
    rows, split = _gathered(probes.split_by_episode(sample.episodes, sample.seed, same, STRIDE))
    past = np.concatenate([x[np.maximum(rows - lag, begins[rows])] for lag in range(MEMORY)], axis=1)
    found: dict[str, list[float]] = {name: [] for name in FORECASTS}
    for n in STEPS:
        target, given = x[rows + n].astype(np.float64), Given(n - 1)
        acted = sample.actions(given, range(GIVEN))[rows]
        found[COPYING].append(r2_over_features(target[split.test], x[rows][split.test]))
        for name, features in (
            (RIDGE, past),
            (RIDGE_ON, np.concatenate([past, acted], axis=1)),
            (VECTOR, sample.responses(None, n, x.shape[1])[rows]),
            (VECTOR_ON, sample.responses(given, n, x.shape[1])[rows]),
        ):
            found[name].append(regress(features, target, split))
    return found


def regress(features: np.ndarray, target: np.ndarray, split: probes.Split) -> float:
    """R2 over features (N, D) -> (N, Q) by ridge regression, of the strength that is best on validation samples."""
    tried = probes.ridge(features, target, split, probes.STRENGTHS, scale=False)
    best = max(tried, key=lambda pair: r2_over_features(target[split.validation], pair[0]))
    return r2_over_features(target[split.test], best[1])


def r2_over_features(truth: np.ndarray, prediction: np.ndarray) -> float:
    """1 - all squared errors / all squared deviations from each column's mean: columns count by their variance."""
    return float(r2_score(truth, prediction, multioutput="variance_weighted"))


def _gathered(split: probes.Split) -> tuple[np.ndarray, probes.Split]:
    """All samples of a split in a row, and where among these its parts are."""
    parts = split.train, split.validation, split.test
    ends = np.cumsum([len(part) for part in parts])
    return np.concatenate(parts), probes.Split(*np.split(np.arange(ends[-1]), ends[:-1]))


@measured(shelf="pooled_action")
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """Read every code, and forecast.

    Returns   r2: {code: own place, ball}; acts: {code: of a_{t-1} and of a_t, the mean over actions}; forward:
              {forecast: R2 by STEPS}; kept: share of the features' variance in the components; n: samples to fit on
              and to test on
    """
    buffer = atari_play.random_play(run.data, s.game, s.n_frames, s.seed)
    truth, usable = places(s.game, buffer)
    split = probes.split_by_episode(buffer.episodes(), s.seed, usable, STRIDE)
    n_actions = len(atari_play.environment(game=s.game).action_names)
    encoder = ReSUEncoder().fit(buffer.episode_frames())
    features = np.concatenate([encoder.encode(frames) for frames in buffer.episode_frames()])
    sample = Sample(buffer, features, n_actions, split, s.components, s.seed)
    n, scores = truth.shape[1], read_codes(sample, np.concatenate([truth, acts(buffer, n_actions)], axis=1), s.units)
    return {
        "r2": {code: r2[:n] for code, r2 in scores.items()},
        "acts": {code: r2[n:].reshape(2, -1).mean(axis=1) for code, r2 in scores.items()},
        "forward": forecasts(sample),
        "kept": sample.kept,
        "n": [len(split.train), len(split.test)],
    }
