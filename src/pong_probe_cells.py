"""What the Pong probes ask (targets), of which codes, and one measured cell: shared by the probing stages.

T steps of 1/15 s, D features. Targets are the truth from the console's memory in screen pixels. A paddle's height is
the middle of its visible part: what slides behind a bar cannot be read off the screen. Samples are steps at which the
ball is in play now, a step ago and AHEAD steps on, so that all targets exist.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

import pong_labels
import probes
import recipes
import resu_controls
from atari_play import Buffer, random_play
from recipes import RecipeName
from resu_conv import ReSUEncoder
from stage_run import Run, late, measured

AHEAD = 4  # steps
STRIDE = 3  # of the samples that raw pixels are probed on: their kernel holds the square of their number
FRAMES = 60_000  # from which on the stride grows, so that this number stays as it is
FINE = (42, 8)  # rows and columns of cells half as high as the paddle
OBSERVED = 2  # emulated frames whose maximum is observed, by the protocol
ORIGINAL = ("raw(t)", "raw(t,t-1)", "L1", "L2")  # what the original's columns are called here
Group = Literal["raw", "L1", "L2", "edge"]
Cells = Mapping[Group, Sequence[Mapping[str, Any]]]  # of each group: a result per seed


@dataclass(frozen=True)
class Target:
    """What is probed: columns of `targets` (their mean R2 counts), and the original's R2 of the codes in ORIGINAL."""

    columns: tuple[int, ...]
    reported: tuple[float, float, float, float]

    @property
    def original(self) -> dict[str, float]:
        """The original's R2 by code."""
        return dict(zip(ORIGINAL, self.reported, strict=True))


TARGETS = {
    "ball xy[t]": Target((0, 1), (0.787, 0.835, 0.976, 0.985)),
    "ball xy[t+4]": Target((2, 3), (0.746, 0.803, 0.946, 0.956)),
    "ball velocity": Target((4, 5), (0.483, 0.589, 0.900, 0.920)),
    "paddle y[t]": Target((6,), (0.990, 0.990, 0.997, 0.996)),
    "paddle y[t+4]": Target((7,), (0.738, 0.733, 0.651, 0.570)),
}


@dataclass(frozen=True)
class Code:
    """What a probe reads off, and on which samples.

    label    for readers; names the code's numbers in a cell
    group    the codes of a group are measured together, in one cell
    lags     newest frames that raw pixels are taken from; 0 for a layer's features
    layer    of the encoder, from 1; 0 for raw pixels
    filters  of that layer: learned ones, or those of a control
    grid     pooling cells (rows, columns); None: the usual ones
    third    the probe is fitted on as few samples as those of raw pixels are, every `stride_of`-th
    in_view  only samples with the whole paddle in view
    newest   measured as well where the newest frame alone is observed
    """

    label: str
    group: Group
    lags: int = 0
    layer: int = 0
    filters: Literal["learned", "random", "pca", "differences"] = "learned"
    grid: tuple[int, int] | None = None
    third: bool = False
    in_view: bool = False
    newest: bool = True

    @property
    def learned(self) -> bool:
        """A layer with its own filters, no control."""
        return self.layer > 0 and self.filters == "learned"


CODES = {
    code.label: code
    for code in (
        Code("raw(t)", "raw", lags=1, third=True),
        Code("raw(t,t-1)", "raw", lags=2, third=True),
        Code("raw, 8 frames", "raw", lags=8, third=True, newest=False),  # as many as layer 1 sees
        Code("raw, 11 frames", "raw", lags=11, third=True, newest=False),  # as many as layer 2 sees
        Code("L1", "L1", layer=1),
        Code("L1, third", "L1", layer=1, third=True),
        Code("L1 random filters", "L1", layer=1, filters="random"),
        Code("temporal PCA", "L1", layer=1, filters="pca"),
        Code("frame differences", "L1", layer=1, filters="differences"),
        Code("L2", "L2", layer=2, newest=False),
        Code("L2, third", "L2", layer=2, third=True, newest=False),
        Code("L2 random filters", "L2", layer=2, filters="random", newest=False),
        # Why paddle y[t] stays below the original's:
        Code("L1, 42 x 8 cells", "edge", layer=1, grid=FINE),
        Code("L1, paddle in full view", "edge", layer=1, in_view=True),
    )
}


@dataclass(frozen=True)
class Setting:
    """One cell: a group of codes on one seed's frames of random play (n_frames agent steps).

    max_over   emulated frames whose maximum is observed: 2 (the protocol) or 1
    recipe     of the fit; raw pixels have none
    """

    group: Group
    seed: int
    n_frames: int
    max_over: int = late(OBSERVED)
    recipe: RecipeName = late("ours")

    @property
    def codes(self) -> list[Code]:
        """Those that are measured."""
        return [code for code in codes_of(self.max_over) if code.group == self.group]


def codes_of(max_over: int) -> list[Code]:
    """What is measured: where the newest frame alone is observed, what settles the cost of the maximum over two."""
    return [code for code in CODES.values() if code.newest or max_over == OBSERVED]


def targets(buffer: Buffer) -> tuple[np.ndarray, np.ndarray]:
    """(T, 8) float64 in the order of TARGETS [screen pixels, pixels per step], and (T,) bool: all of them exist."""
    objects = pong_labels.from_ram(buffer.ram)
    ball, paddle = np.stack([objects.ball_x, objects.ball_y], axis=1), pong_labels.paddle_middle(objects)[:, None]
    later = [buffer.shifted(place, AHEAD) for place in (ball, paddle)]
    found = np.concatenate([ball, later[0], ball - buffer.shifted(ball, -1), paddle, later[1]], axis=1)
    return found, np.isfinite(found).all(axis=1)


def paddle_in_view(buffer: Buffer) -> np.ndarray:
    """(T,) bool: no part of our paddle is hidden behind a bar."""
    top = pong_labels.from_ram(buffer.ram).player_y
    return (top >= pong_labels.FIELD_TOP) & (top <= pong_labels.FIELD_BOTTOM - pong_labels.PADDLE_HEIGHT)


def stride_of(n_frames: int) -> int:
    """Every how manyth sample raw pixels are probed on, and the codes beside them."""
    return max(STRIDE, STRIDE * n_frames // FRAMES)


def note_on_strides(n_frames: int) -> str:
    """What "third" means, for readers."""
    often = {3: "third"}.get(stride_of(n_frames), f"{stride_of(n_frames)}th")
    return f"'third': fitted on every {often} frame, as raw pixels are; the other codes are fitted on every frame."


@measured(shelf="pong_probes")
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """Fit and probe every code of the group.

    Returns   {"r2": {code: 8 numbers}, "strength": {code: 8 numbers}, "n" and "n_third": samples to fit on and to
              test on, and, of layers on the usual cells, the canonical "correlations"}
    """
    options = {} if s.max_over == OBSERVED else {"max_over": s.max_over}
    buffer = random_play(run.data, "pong", s.n_frames, s.seed, **options)
    truth, usable = targets(buffer)
    whole = usable & paddle_in_view(buffer)

    def split(third: bool, in_view: bool = False) -> probes.Split:
        stride = stride_of(s.n_frames) if third else 1
        return probes.split_by_episode(buffer.episodes(), s.seed, whole if in_view else usable, stride)

    every, third = split(False), split(True)
    result: dict[str, Any] = {"n": [len(every.train), len(every.test)], "n_third": [len(third.train), len(third.test)]}
    if s.group == "raw":
        lags = [code.lags for code in s.codes]
        probed = probes.probe_lagged_frames(buffer.frames, truth, third, lags, buffer.begins())
        found = {code.label: results[0] for code, results in zip(s.codes, probed, strict=True)}
    else:
        episodes, found = buffer.episode_frames(), {}
        fitted = recipes.encoder(s.recipe, n_layers=max(code.layer for code in s.codes)).fit(episodes)
        if s.group != "edge":
            result["correlations"] = [fitted.correlations_, *(layer.correlations for layer in fitted.upper_)]
        for (filters, grid), codes in itertools.groupby(s.codes, lambda code: (code.filters, code.grid)):
            encoder = _variant(fitted, filters, grid, episodes, s.seed)
            features = np.concatenate([encoder.encode(frames) for frames in episodes])
            for code in codes:
                found[code.label] = probes.probe(features, truth, split(code.third, code.in_view))
    result["r2"] = {label: probed.score for label, probed in found.items()}
    result["strength"] = {label: probed.strength for label, probed in found.items()}
    means = {label: round(float(np.mean(probed.score)), 3) for label, probed in found.items()}
    run.log(f"seed {s.seed}, {s.group}: mean R2 {means}")
    return result


def _variant(
    fitted: ReSUEncoder, filters: str, grid: tuple[int, int] | None, episodes: list[np.ndarray], seed: int
) -> ReSUEncoder:
    """The encoder with a control's filters in its last layer, or on other cells."""
    if grid is not None:
        return ReSUEncoder(**fitted.options | {"grid": grid}).fit_moments(fitted.moments_, fitted.mean_.shape)
    if filters == "random":
        upper = fitted.n_layers > 1
        return (
            resu_controls.random_upper(fitted, episodes, seed) if upper else resu_controls.random_filters(fitted, seed)
        )
    if filters == "pca":
        return resu_controls.temporal_pca(fitted)
    return resu_controls.frame_differences(fitted) if filters == "differences" else fitted


def cells(run: Run, max_over: int = OBSERVED, recipe: RecipeName = "ours") -> Cells:
    """Of every group a cell per seed, 0 to seeds - 1: the probing stages share them."""
    c = run.config
    groups = dict.fromkeys(code.group for code in codes_of(max_over))

    def setting(group: Group, seed: int) -> Setting:
        return Setting(group, seed, c.n_frames, max_over, "ours" if group == "raw" else recipe)

    return {group: [run.cell(measure, setting(group, seed)) for seed in range(c.seeds)] for group in groups}


def r2_of(found: Cells) -> dict[str, np.ndarray]:
    """R2 of every code: {label: (n seeds, 8)}, columns as in `targets`."""
    return {
        code.label: np.array([cell["r2"][code.label] for cell in found[code.group]], np.float64)
        for code in CODES.values()
        if code.group in found and code.label in found[code.group][0]["r2"]
    }


def of_target(r2: np.ndarray, target: str) -> np.ndarray:
    """(n seeds,) R2 of one target, the mean over its coordinates; r2 (n seeds, 8)."""
    return r2[:, list(TARGETS[target].columns)].mean(axis=1)


def outlier_notes(r2: Mapping[str, np.ndarray], asked: Sequence[str] = tuple(TARGETS)) -> list[str]:
    """A sentence for every code and target that one seed alone spoils: its R2 lies more than .2 below all others'."""
    notes = []
    for label, its in r2.items():
        for target in asked:
            values = of_target(its, target)
            worst = int(np.argmin(values))
            rest = np.delete(values, worst)
            if len(rest) > 1 and values[worst] < rest.min() - 0.2:
                notes.append(
                    f"{label}, {target}: seed {worst} has R2 {values[worst]:.2f}, the others {rest.min():.2f} to "
                    f"{rest.max():.2f}. Where this was looked into (frame differences, seed 3), three test frames in "
                    "which the ball comes to a cell that training games hardly saw caused it, under the weakest ridge. "
                    "Intervals and verdicts that rest on this row say little."
                )
    return notes
