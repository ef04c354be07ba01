"""What the Space Invaders probes ask (targets), of which codes (groups), and one measured cell.

T steps of 1/15 s, Q targets. Two kinds of targets. Truth from the console's memory: positions in screen pixels and
counts. Counts of lit pixels (grey value above 0) of the 84 x 84 observation itself: sums of one threshold per pixel,
hence nearly linear in raw pixels by construction; they ask what a code keeps of the picture, not what it has learned.
They use this step and the one before, nothing later.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import probes
import resu_controls
import si_labels
from atari_play import Buffer, random_play
from resu_conv import ReSUEncoder
from stage_run import LegacyRun

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
LAGS = {"raw(t)": 1, "raw(t,t-1)": 2}
STACK = ("L1", "L2", "L3", "L1+L2", "L1+L2+L3")
# Layer 1 on more cells, (rows, columns) times these: as many numbers as L1+L2 (3,072) and L1+L2+L3 (5,120)
WIDE = {"wide L1 (3x)": (1.5, 2), "wide L1 (5x)": (2, 2.5)}
# Codes that are measured together. "4th" marks probes fitted on every fourth frame, as those of raw pixels are; "by
# frame" marks a faulty split, frames dealt out one by one, to see what it would have gained.
GROUPS = {
    "raw": tuple(LAGS),
    "resu": (*STACK, "L1, 4th", "L2, 4th", "L3 random filters", "L1+L2+L3 random filters"),
    "wide": tuple(WIDE),
    "leak": ("L1, by frame", "L2, by frame"),
}
STRIDE = 4  # of the samples that raw pixels are probed on: their kernel holds the square of their number

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


def parts(episodes: list[slice], usable: np.ndarray, seed: int, stride: int) -> list[tuple[np.ndarray, probes.Split]]:
    """Targets that exist at the same steps, with their split: [(columns of the targets, split), ...].

    Episodes are dealt out once per seed, so that every target is tested on the same ones.
    usable   (T, Q) bool      Raises  ValueError as `probes.split_by_episode`.
    """
    patterns, pattern_of = np.unique(usable, axis=1, return_inverse=True)
    return [
        (np.flatnonzero(pattern_of.ravel() == i), probes.split_by_episode(episodes, seed, pattern, stride))
        for i, pattern in enumerate(patterns.T)
    ]


def parts_by_frame(usable: np.ndarray, seed: int) -> list[tuple[np.ndarray, probes.Split]]:
    """`parts` as they must not be: single frames are dealt out, so that neighbours of test frames are trained on."""
    every = [slice(t, t + 1) for t in range(len(usable))]
    return parts(every, usable, seed, 1)


def probe_parts(features: np.ndarray, truth: np.ndarray, pieces: list[tuple[np.ndarray, probes.Split]]) -> np.ndarray:
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


def columns_of(encoder: ReSUEncoder, code: str) -> slice:
    """Where a code such as "L2" or "L1+L2" lies among the columns of `encode_stack`."""
    ends = np.cumsum([0, *(encoder.n_features_of(layer) for layer in range(1, encoder.n_layers + 1))])
    layers = [int(name[1:]) for name in code.split("+")]
    return slice(int(ends[layers[0] - 1]), int(ends[layers[-1]]))


def wide_grid(grid: tuple[int, int], code: str) -> tuple[int, int]:
    """The cells (rows, columns) of a code of WIDE, when the stack has `grid` cells; both must be even."""
    rows, columns = WIDE[code]
    return int(rows * grid[0]), int(columns * grid[1])


def measure(run: LegacyRun, group: str, seed: int) -> dict[str, Any]:
    """One cell: every code of a group, fitted and probed on one seed's frames.

    Returns   {"r2": {code: Q numbers}, "strength": {code: Q numbers}, "n": samples to fit on and to test on for each
              target (on every fourth frame for raw pixels), and, where layers were fitted, "spectra": one list of
              canonical correlations per layer}
    """
    buffer = random_play(run.data, "space_invaders", run.config.n_frames, seed)
    truth, usable = targets(buffer)
    every, fourth = (parts(buffer.episodes(), usable, seed, stride) for stride in (1, STRIDE))
    found: dict[str, np.ndarray] = {}
    result: dict[str, Any] = {}
    if group == "raw":
        found = {code: np.empty((len(TARGETS), 2)) for code in LAGS}
        for columns, split in fourth:
            probed = probes.probe_lagged_frames(
                buffer.frames, truth[:, columns], split, list(LAGS.values()), buffer.begins()
            )
            for code, (one,) in zip(LAGS, probed, strict=True):
                found[code][columns] = np.stack([one.score, one.strength], axis=1)
    else:
        pieces = parts_by_frame(usable, seed) if group == "leak" else every
        for code, features in _features(run, group, buffer.episode_frames(), seed, result):
            found[code] = probe_parts(features, truth, fourth if code.endswith("4th") else pieces)
    result["n"] = [[0, 0]] * len(TARGETS)
    for columns, split in fourth if group == "raw" else every:
        for q in columns:
            result["n"][q] = [len(split.train), len(split.test)]
    result["r2"] = {code: values[:, 0] for code, values in found.items()}
    result["strength"] = {code: values[:, 1] for code, values in found.items()}
    run.log(f"seed {seed}, {group}: mean R2 { {code: round(float(v[:, 0].mean()), 3) for code, v in found.items()} }")
    return result


def _features(run: LegacyRun, group: str, episodes: list[np.ndarray], seed: int, result: dict[str, Any]):
    """(code, features (T, D)) one after the other; spectra go into result."""
    if group == "wide":
        first = ReSUEncoder().fit(episodes)
        for code in WIDE:
            wide = ReSUEncoder(grid=wide_grid(run.config.grid, code)).fit_moments(first.moments_, first.mean_.shape)
            yield code, encode_stack(wide, episodes)
        return
    if group == "leak":
        encoder = ReSUEncoder(grid=run.config.grid, n_layers=2, n_windows2=run.config.n_windows).fit(episodes)
        stack = encode_stack(encoder, episodes)
        for code in GROUPS[group]:
            yield code, stack[:, columns_of(encoder, code.removesuffix(", by frame"))]
        return
    encoder = ReSUEncoder(grid=run.config.grid, n_layers=3, n_windows2=run.config.n_windows).fit(episodes)
    result["spectra"] = [encoder.correlations_, *(layer.spectrum for layer in encoder.upper_)]
    for suffix, fitted in ((" random filters", resu_controls.random_upper(encoder, episodes, seed)), ("", encoder)):
        stack = encode_stack(fitted, episodes)
        for code in GROUPS[group]:
            if code.endswith("random filters") == bool(suffix):
                plain = code.removesuffix(", 4th").removesuffix(suffix)
                yield code, stack[:, columns_of(encoder, plain)]


def collect_cells(run: LegacyRun) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """All groups and seeds; finished cells are read from their files.

    Returns   R2 of every code {code: (n seeds, Q)}, and the spectra of layers 1 to 3: 3 arrays (n seeds, correlations)
    """
    c = run.config
    found: dict[str, list[Any]] = {}
    spectra: list[Any] = []
    for group in GROUPS:
        for seed in range(c.first_seed, c.first_seed + c.seeds):
            cell = run.cell(
                partial(measure, run, group, seed),
                group=group,
                seed=seed,
                n_frames=c.n_frames,
                **({} if group == "raw" else {"grid": c.grid}),
                **({"n_windows": c.n_windows} if group in ("resu", "leak") else {}),
            )
            for code, r2 in cell["r2"].items():
                found.setdefault(code, []).append(r2)
            spectra += [cell["spectra"]] if "spectra" in cell else []
    by_layer = [np.array(layer, np.float64) for layer in zip(*spectra, strict=True)]
    return {code: np.array(values, np.float64) for code, values in found.items()}, by_layer
