"""AtariARI's cells: one game, one collection; codes are fitted on one part of play, frozen, and probed on another.

Encoders see their own 100,000 steps of random play (the first .8 of the episodes, runs of 32 steps, 25,000 frames held
at most, of which principal directions see 12,000), and nothing of the probes' 50,000. Neither is kept on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import ari_codes
import ari_probe
import atari_ari
from ari_codes import LinearCode, View
from atari_ari import Labels, Played
from stage_io import timed
from stage_run import Run, measured

FRAME_PCA, FRAME, COARSE = "frame, PCA", "frame, predictive", "frame coarse, predictive"
RESU, RANDOM, RESU_PCA = "ReSU, predictive", "random filters, predictive", "ReSU, PCA"
BOTH, MAJORITY = "frame and ReSU, predictive", "majority"
ARMS = {  # code: its view, and what becomes of the view's components
    FRAME_PCA: ("frame", "leading"),
    FRAME: ("frame", "predictive"),
    COARSE: ("coarse", "predictive"),
    RESU: ("ReSU", "predictive"),
    RANDOM: ("random", "predictive"),
    RESU_PCA: ("ReSU", "leading"),
    BOTH: ("both", "predictive"),
}
OFTEN = (FRAME_PCA, FRAME, RESU)  # codes that claims rest on: probed with more seeds
HELD = 25_000  # frames of the encoders' collection that are held in memory, about
FITTED = 12_000  # of them, those that principal directions are taken from, at most


@dataclass(frozen=True)
class Setting:
    """One cell.

    seed           of both collections, and with a number of its own of each probe
    steps, encoder_steps   of the probes' collection and of the encoders'  [steps]
    components, numbers    d and k of every code
    probe_seeds    of the codes that claims rest on      other_seeds   of the other ones
    epochs         of a probe at most
    """

    game: str
    seed: int
    steps: int
    encoder_steps: int
    components: int
    numbers: int
    probe_seeds: int
    other_seeds: int
    epochs: int


@dataclass
class Fitted:
    """The codes of one game.

    views     by name      codes   by arm      seconds   by arm, of all that its fit takes
    shares    by view: of the variance in its components  [1]
    """

    views: dict[str, View] = field(default_factory=dict)
    codes: dict[str, LinearCode] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)


def fit_codes(runs: Sequence[np.ndarray], n_components: int, numbers: int, seed: int) -> Fitted:
    """Every code of ARMS, on runs of frames (t, 210, 160) uint8.

    Raises   ValueError if the runs are too few for so many components, or nothing moves in them.
    """
    found, layers = Fitted(), dict[str, float]()
    frame, coarse = View((ari_codes.pixels, 1)), View((ari_codes.coarse_pixels, 1))
    with timed(layers, "layer 1"):
        fitted = ari_codes.layer_1(runs)
    resu = View((fitted.encode, 1), memory=ari_codes.MEMORY)
    control = View((ari_codes.control_1(fitted, seed).encode, 1), memory=ari_codes.MEMORY)
    views = {"frame": frame, "coarse": coarse, "ReSU": resu, "random": control, "both": None}
    for name, made in views.items():
        times = {"view": 0.0 if made in (frame, coarse) else layers["layer 1"]}
        with timed(times, "view"):
            view = coarse.beside(resu, runs) if made is None else made
            xs = view.of_runs(runs)
            code, found.shares[name] = ari_codes.components(xs, n_components, FITTED, seed)
            series = [code(x) for x in xs]
        found.views[name] = view
        for arm, (its, kind) in ARMS.items():
            if its == name:
                with timed(times, arm):
                    found.codes[arm] = getattr(ari_codes, kind)(code, series, numbers)
                found.seconds[arm] = times["view"] + times[arm]
        del xs, series
    return found


def encode(fitted: Fitted, name: str, played: Played) -> dict[str, np.ndarray]:
    """{arm: (T, k) float32} of all codes of one view; zeros in episodes that are not kept."""
    arms = [arm for arm, (its, _) in ARMS.items() if its == name]
    shape = len(played.frames), fitted.codes[arms[0]].matrix.shape[1]
    found = {arm: np.zeros(shape, np.float32) for arm in arms}
    for episode in played.kept():
        x = fitted.views[name](played.frames[episode])
        for arm in arms:
            found[arm][episode] = fitted.codes[arm](x)
    return found


def probe_codes(fitted: Fitted, played: Played, labels: Labels, s: Setting) -> dict[str, Any]:
    """{arm: f1 and accuracy (probe seeds, Q), epochs (probe seeds, Q)} of every code, and of the majority's label."""
    chance = ari_probe.majority(labels.values, labels.parts)
    found = {MAJORITY: {"f1": [chance.f1], "accuracy": [chance.accuracy], "epochs": [chance.epochs]}}
    for name in fitted.views:
        for arm, code in encode(fitted, name, played).items():
            seeds = s.probe_seeds if arm in OFTEN else s.other_seeds
            its = [
                ari_probe.probe(code, labels.values, labels.parts, 1000 * s.seed + seed, s.epochs)
                for seed in range(seeds)
            ]
            found[arm] = {what: [getattr(scores, what) for scores in its] for what in ("f1", "accuracy", "epochs")}
    return found


@measured(shelf="atariari")
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """Collect, fit, encode, probe.

    Returns   variables: names (Q,); passed: (Q,) whether the filter lets them pass; arms: as `probe_codes`; seconds:
              {arm: of its fit}; shares: {view: of the variance in its components}; steps: to train, validate and test
              on; removed: test frames that were taken out; held: frames that encoders were fitted on
    """
    runs = atari_ari.encoder_runs(s.game, s.encoder_steps, s.seed, HELD)
    fitted, held = fit_codes(runs, s.components, s.numbers, s.seed), sum(map(len, runs))
    del runs
    played = atari_ari.labelled_play(s.game, s.steps, s.seed)
    labels = atari_ari.labels_of(s.game, played)
    parts = labels.parts
    return {
        "variables": [variable.name for variable in labels.variables],
        "passed": labels.passed,
        "arms": probe_codes(fitted, played, labels, s),
        "seconds": fitted.seconds,
        "shares": fitted.shares,
        "steps": [sum(map(len, part)) for part in (parts.train, parts.validation, parts.test)],
        "removed": labels.removed,
        "held": held,
    }
