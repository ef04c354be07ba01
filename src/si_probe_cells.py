"""What the Space Invaders probes ask (targets), of which codes (groups), and one measured cell.

T steps of 1/15 s, Q targets. Two kinds of targets. Truth from the console's memory: positions in screen pixels and
counts. Counts of lit pixels (grey value above 0) of the 84 x 84 observation itself: sums of one threshold per pixel,
hence nearly linear in raw pixels by construction; they ask what a code keeps of the picture, not what it has learned.
They use this step and the one before, nothing later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

import probes
import recipes
import resu_controls
import si_labels
from atari_play import Buffer, random_play
from recipes import RecipeName
from resu_conv import ReSUEncoder
from stage_run import Run, late, measured

# Target: the original's R2 for the codes of ORIGINAL; None where it has none
TARGETS = {
    "ship x": (0.833, 0.850, 0.939, 0.817, 0.948, 0.955),  # [screen pixels]
    "formation y": (0.991, 0.985, 0.986, 0.923, 0.992, 0.994),  # [screen pixels]
    "alive": None,  # aliens left
    "alive pixels": (0.994, 0.982, 0.986, 0.919, 0.994, 0.994),
    "bullet pixels": (1.0,) * 6,
    "bullets in flight": None,  # 0 to 3, from memory
    "our bullet y": None,  # [screen pixels]; only while it flies
}
ORIGINAL = ("raw(t)", "L1", "L2", "L3", "L1+L2", "L1+L2+L3")
STRIDE = 4  # of the samples that raw pixels are probed on: their kernel holds the square of their number
Group = Literal["raw", "resu", "wide", "leak"]
Cells = Mapping[Group, Sequence[Mapping[str, Any]]]  # of each group: a result per seed


@dataclass(frozen=True)
class Code:
    """What a probe reads off, and on which samples.

    label     for readers; names the code's numbers in a cell
    group     the codes of a group are measured together, in one cell
    lags      newest frames that raw pixels are taken from; 0 for layers' features
    layers    of the encoder, from 1, side by side
    random    filters in the place of the topmost layer's
    wider     rows and columns of cells, times these: as many numbers as L1+L2 (3,072) and L1+L2+L3 (5,120)
    stride    the probe is fitted on every such sample: "4th" beside raw pixels, which are
    by_frame  a faulty split, frames dealt out one by one, to see what it would have gained
    """

    label: str
    group: Group
    lags: int = 0
    layers: tuple[int, ...] = ()
    random: bool = False
    wider: tuple[float, float] = (1, 1)
    stride: int = 1
    by_frame: bool = False

    def grid(self, usual: tuple[int, int]) -> tuple[int, int]:
        """Its cells (rows, columns), where others have the usual ones; both must be even."""
        return int(self.wider[0] * usual[0]), int(self.wider[1] * usual[1])

    @property
    def learned(self) -> bool:
        """Layers with their own filters, no control."""
        return bool(self.layers) and not self.random and self.wider == (1, 1)


CODES = {
    code.label: code
    for code in (
        Code("raw(t)", "raw", lags=1, stride=STRIDE),
        Code("raw(t,t-1)", "raw", lags=2, stride=STRIDE),
        Code("L1, 4th", "resu", layers=(1,), stride=STRIDE),
        Code("L2, 4th", "resu", layers=(2,), stride=STRIDE),
        Code("L1", "resu", layers=(1,)),
        Code("L2", "resu", layers=(2,)),
        Code("L3", "resu", layers=(3,)),
        Code("L1+L2", "resu", layers=(1, 2)),
        Code("L1+L2+L3", "resu", layers=(1, 2, 3)),
        Code("wide L1 (3x)", "wide", layers=(1,), wider=(1.5, 2)),
        Code("wide L1 (5x)", "wide", layers=(1,), wider=(2, 2.5)),
        Code("L3 random filters", "resu", layers=(3,), random=True),
        Code("L1+L2+L3 random filters", "resu", layers=(1, 2, 3), random=True),
        Code("L1, by frame", "leak", layers=(1,), by_frame=True),
        Code("L2, by frame", "leak", layers=(2,), by_frame=True),
    )
}


@dataclass(frozen=True)
class Setting:
    """One cell: a group of codes on one seed's frames of random play (n_frames agent steps).

    grid       pooling cells (rows, columns), None for raw pixels
    n_windows  most windows that layers above the first are fitted on, None where there are none
    recipe     of the fit; raw pixels have none
    """

    group: Group
    seed: int
    n_frames: int
    grid: tuple[int, int] | None = late(None)
    n_windows: int | None = late(None)
    recipe: RecipeName = late("ours")

    @property
    def codes(self) -> list[Code]:
        """Those of the group."""
        return [code for code in CODES.values() if code.group == self.group]


Pieces = list[tuple[np.ndarray, probes.Split]]  # columns of targets that exist at the same steps, and their split

SKY, GROUND = 20, 185  # screen rows from below the score and the saucer to above our ship  [pixels]
SHIELDS = (157, 175)  # screen rows of the shields  [pixels]
ALIEN_HEIGHT = 10  # [pixels]
SCREEN_HEIGHT = 210  # [pixels]


def observed_rows(top: ArrayLike, bottom: ArrayLike, n_rows: int = 84) -> np.ndarray:
    """Which rows of an observation show any of the screen's rows top .. bottom - 1.

    top, bottom  (T,) in screen pixels; +inf and -inf for nothing      Returns  (T, n_rows) bool
    """
    height = SCREEN_HEIGHT / n_rows
    rows = np.arange(n_rows)
    first, last = np.floor(np.atleast_1d(top) / height), np.ceil(np.atleast_1d(bottom) / height)
    return (rows >= first[:, None]) & (rows < last[:, None])


def formation_rows(buffer: Buffer) -> np.ndarray:
    """(T, 84) bool: the rows between the uppermost and the lowest alien left, now or a step ago.

    A step ago as well, because the older of the two screens in an observation may show the formation before it
    descended, and because an alien that was just hit is still drawn.
    """
    aliens = np.asarray(si_labels.aliens_from_ram(buffer.ram).any(axis=2))
    upper = si_labels.from_ram(buffer.ram).formation_y
    stride, last = si_labels.ALIEN_STRIDE_Y, aliens.shape[1] - 1
    some = aliens.any(axis=1)
    top = np.where(some, upper + stride * aliens.argmax(axis=1), np.inf)
    bottom = np.where(some, upper + stride * (last - aliens[:, ::-1].argmax(axis=1)) + ALIEN_HEIGHT, -np.inf)
    before = np.maximum(np.arange(len(buffer)) - 1, buffer.begins())
    return observed_rows(np.minimum(top, top[before]), np.maximum(bottom, bottom[before]), buffer.frames.shape[1])


def free_rows(formation: np.ndarray) -> np.ndarray:
    """(T, 84) bool: rows between score and ship without formation and shields, where only bullets are drawn.

    formation  (T, 84) bool of `formation_rows`
    """
    n_rows = formation.shape[1]
    sky, shields = (observed_rows(*limits, n_rows) for limits in ((SKY, GROUND), SHIELDS))
    return sky & ~shields & ~formation


def targets(buffer: Buffer) -> tuple[np.ndarray, np.ndarray]:
    """(T, Q) float64 in the order of TARGETS, and (T, Q) bool: where each exists; NaN elsewhere."""
    objects = si_labels.from_ram(buffer.ram)
    lit = np.stack([np.count_nonzero(frame, axis=1) for frame in buffer.frames])
    formation = formation_rows(buffer)
    flies = [
        (y >= SKY) & (y < GROUND)  # beyond these rows the memory's counter runs on, but nothing is drawn
        for y in (objects.bullet_y, *objects.enemy_bullet_y.T)
    ]
    found = {
        "ship x": objects.ship_x,
        "formation y": objects.formation_y,
        "alive": objects.alive,
        "alive pixels": (lit * formation).sum(axis=1),
        "bullet pixels": (lit * free_rows(formation)).sum(axis=1),
        "bullets in flight": np.sum(flies, axis=0),
        "our bullet y": np.where(flies[0], objects.bullet_y, np.nan),
    }
    truth = np.stack([found[target] for target in TARGETS], axis=1).astype(np.float64)
    return truth, np.isfinite(truth)


def parts(episodes: list[slice], usable: np.ndarray, seed: int, stride: int) -> Pieces:
    """Targets that exist at the same steps, with their split: [(columns of the targets, split), ...].

    Episodes are dealt out once per seed, so that every target is tested on the same ones.
    usable   (T, Q) bool      Raises  ValueError as `probes.split_by_episode`.
    """
    patterns, pattern_of = np.unique(usable, axis=1, return_inverse=True)
    return [
        (np.flatnonzero(pattern_of.ravel() == i), probes.split_by_episode(episodes, seed, pattern, stride))
        for i, pattern in enumerate(patterns.T)
    ]


def parts_by_frame(usable: np.ndarray, seed: int) -> Pieces:
    """`parts` as they must not be: single frames are dealt out, so that neighbours of test frames are trained on."""
    every = [slice(t, t + 1) for t in range(len(usable))]
    return parts(every, usable, seed, 1)


def probe_parts(features: np.ndarray, truth: np.ndarray, pieces: Pieces) -> np.ndarray:
    """(Q, 2): R2 and chosen ridge of each target, for features (T, D), truth (T, Q) and pieces of `parts`."""
    out = np.empty((truth.shape[1], 2))
    for columns, split in pieces:
        probed = probes.probe(features, truth[:, columns], split)
        out[columns] = np.stack([probed.score, probed.strength], axis=1)
    return out


def encode_stack(encoder: ReSUEncoder, episodes: list[np.ndarray]) -> np.ndarray:
    """(T, sum of D) float32: the features of all layers side by side, lowest first, in one pass."""
    layers = range(1, encoder.n_layers + 1)
    widths = [encoder.n_features_of(layer) for layer in layers]
    out = np.empty((sum(len(frames) for frames in episodes), sum(widths)), np.float32)
    filled = 0
    for frames in episodes:
        np.concatenate(encoder.encode_layers(frames, layers), axis=1, out=out[filled : filled + len(frames)])
        filled += len(frames)
    return out


def columns_of(encoder: ReSUEncoder, layers: tuple[int, ...]) -> slice:
    """Where neighbouring layers lie among the columns of `encode_stack`."""
    ends = np.cumsum([0, *(encoder.n_features_of(layer) for layer in range(1, encoder.n_layers + 1))])
    return slice(int(ends[layers[0] - 1]), int(ends[layers[-1]]))


@measured(shelf="depth_ablation_si")
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """Fit and probe every code of the group.

    Returns   {"r2": {code: Q numbers}, "strength": {code: Q numbers}, "n": samples to fit on and to test on for each
              target (on every fourth frame for raw pixels), and, where layers were fitted, "spectra": one list of
              canonical correlations per layer}
    """
    buffer = random_play(run.data, "space_invaders", s.n_frames, s.seed)
    truth, usable = targets(buffer)
    every, fourth = (parts(buffer.episodes(), usable, s.seed, stride) for stride in (1, STRIDE))
    result: dict[str, Any] = {}
    if s.group == "raw":
        found = _probe_raw(buffer, truth, fourth, s.codes)
    else:
        found = {}
        for code, features in _features(s, buffer.episode_frames(), result):
            pieces = parts_by_frame(usable, s.seed) if code.by_frame else fourth if code.stride == STRIDE else every
            found[code.label] = probe_parts(features, truth, pieces)
    result["n"] = [[0, 0]] * len(TARGETS)
    for columns, split in fourth if s.group == "raw" else every:
        for q in columns:
            result["n"][q] = [len(split.train), len(split.test)]
    result["r2"] = {label: values[:, 0] for label, values in found.items()}
    result["strength"] = {label: values[:, 1] for label, values in found.items()}
    run.log(f"seed {s.seed}, {s.group}: mean R2 { {k: round(float(v[:, 0].mean()), 3) for k, v in found.items()} }")
    return result


def _probe_raw(buffer: Buffer, truth: np.ndarray, pieces: Pieces, codes: Sequence[Code]) -> dict[str, np.ndarray]:
    found = {code.label: np.empty((len(TARGETS), 2)) for code in codes}
    for columns, split in pieces:
        lags = [code.lags for code in codes]
        probed = probes.probe_lagged_frames(buffer.frames, truth[:, columns], split, lags, buffer.begins())
        for code, (one,) in zip(codes, probed, strict=True):
            found[code.label][columns] = np.stack([one.score, one.strength], axis=1)
    return found


def _features(s: Setting, episodes: list[np.ndarray], result: dict[str, Any]) -> Iterator[tuple[Code, np.ndarray]]:
    """(code, features (T, D)) one after the other; spectra go into result."""
    assert s.grid is not None
    if s.group == "wide":
        first = recipes.encoder(s.recipe).fit(episodes)
        for code in s.codes:
            wide = recipes.encoder(s.recipe, grid=code.grid(s.grid)).fit_moments(first.moments_, first.mean_.shape)
            yield code, encode_stack(wide, episodes)
        return
    assert s.n_windows is not None
    depth = max(max(code.layers) for code in s.codes)
    encoder = recipes.encoder(s.recipe, grid=s.grid, n_layers=depth, n_windows2=s.n_windows).fit(episodes)
    if s.group == "resu":
        result["spectra"] = [encoder.correlations_, *(layer.spectrum for layer in encoder.upper_)]
    for random in sorted({code.random for code in s.codes}, reverse=True):
        fitted = resu_controls.random_upper(encoder, episodes, s.seed) if random else encoder
        stack = encode_stack(fitted, episodes)
        for code in s.codes:
            if code.random == random:
                yield code, stack[:, columns_of(encoder, code.layers)]


def cells(run: Run) -> Cells:
    """Of every group a cell per seed."""
    c = run.config
    seeds = range(c.first_seed, c.first_seed + c.seeds)
    options: dict[Group, dict[str, Any]] = {
        "raw": {},
        "resu": {"grid": c.grid, "n_windows": c.n_windows, "recipe": c.recipe},
        "wide": {"grid": c.grid, "recipe": c.recipe},
        "leak": {"grid": c.grid, "n_windows": c.n_windows, "recipe": c.recipe},
    }
    return {
        group: [run.cell(measure, Setting(group, seed, c.n_frames, **its)) for seed in seeds]
        for group, its in options.items()
    }


def r2_of(found: Cells) -> dict[str, np.ndarray]:
    """R2 of every code: {label: (n seeds, Q)}."""
    return {
        code.label: np.array([cell["r2"][code.label] for cell in found[code.group]], np.float64)
        for code in CODES.values()
    }


def spectra_of(found: Cells) -> list[np.ndarray]:
    """Canonical correlations of layers 1 to 3: arrays (n seeds, correlations)."""
    by_seed = [cell["spectra"] for cell in found["resu"]]
    return [np.array(layer, np.float64) for layer in zip(*by_seed, strict=True)]
