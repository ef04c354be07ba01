"""What the Pong probes ask (targets), of which codes (groups), and one measured cell: shared by the probing stages.

Targets are the truth from the console's memory in screen pixels. A paddle's height is the middle of its visible part:
what slides behind a bar cannot be read off the screen. Samples are steps at which the ball is in play now, a step ago
and AHEAD steps on, so that all targets exist. Steps are 1/15 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

import pong_labels
import probes
import resu_controls
from atari_play import Buffer, random_play
from resu_conv import ReSUEncoder
from stage_run import LegacyRun

AHEAD = 4  # steps
# Target: columns of `targets`, and the original's R2 for raw(t), raw(t,t-1), L1 and L2
TARGETS = {
    "ball xy[t]": ((0, 1), (0.787, 0.835, 0.976, 0.985)),
    "ball xy[t+4]": ((2, 3), (0.746, 0.803, 0.946, 0.956)),
    "ball velocity": ((4, 5), (0.483, 0.589, 0.900, 0.920)),
    "paddle y[t]": ((6,), (0.990, 0.990, 0.997, 0.996)),
    "paddle y[t+4]": ((7,), (0.738, 0.733, 0.651, 0.570)),
}
ORIGINAL = ("raw(t)", "raw(t,t-1)", "L1", "L2")  # what the original's columns are called here
LAGS = {"raw(t)": 1, "raw(t,t-1)": 2, "raw, 8 frames": 8, "raw, 11 frames": 11}  # L1 sees 8 frames, L2 sees 11
# Codes that are measured together. "third" marks probes fitted on every third frame, as those of raw pixels are.
GROUPS = {
    "raw": tuple(LAGS),
    "L1": ("L1", "L1, third", "L1 random filters", "temporal PCA", "frame differences"),
    "L2": ("L2", "L2, third", "L2 random filters"),
    "edge": ("L1, 42 x 8 cells", "L1, paddle in full view"),  # why paddle y[t] stays below the original's
}
STRIDE = 3  # of the samples that raw pixels are probed on: their kernel holds the square of their number
FINE = (42, 8)  # rows and columns of cells half as high as the paddle
SHELF = "pong_probes"


def targets(buffer: Buffer) -> tuple[np.ndarray, np.ndarray]:
    """(T, 8) float64 in the order of TARGETS [screen pixels, pixels per step], and (T,) bool: all of them exist."""
    objects = pong_labels.from_ram(buffer.ram)
    top = np.maximum(objects.player_y, pong_labels.FIELD_TOP)
    bottom = np.minimum(objects.player_y + pong_labels.PADDLE_HEIGHT, pong_labels.FIELD_BOTTOM)
    ball, paddle = np.stack([objects.ball_x, objects.ball_y], axis=1), (top + bottom)[:, None] / 2
    later = [buffer.shifted(place, AHEAD) for place in (ball, paddle)]
    found = np.concatenate([ball, later[0], ball - buffer.shifted(ball, -1), paddle, later[1]], axis=1)
    return found, np.isfinite(found).all(axis=1)


def measure(run: LegacyRun, group: str, seed: int, **env_options: Any) -> dict[str, Any]:
    """One cell: every code of a group, fitted and probed on one seed's frames.

    Returns   {"r2": {code: 8 numbers}, "strength": {code: 8 numbers}, "n": samples to fit on and to test on, and
              the canonical correlations}
    """
    buffer = random_play(run.data, "pong", run.config.n_frames, seed, **env_options)
    truth, usable = targets(buffer)
    every, third = (probes.split_by_episode(buffer.episodes(), seed, usable, stride) for stride in (1, STRIDE))
    found: dict[str, probes.Probed] = {}
    result: dict[str, Any] = {"n": [len(every.train), len(every.test)], "n_third": [len(third.train), len(third.test)]}
    if group == "raw":
        lags = LAGS if not env_options else {code: LAGS[code] for code in ORIGINAL[:2]}
        probed = probes.probe_lagged_frames(buffer.frames, truth, third, list(lags.values()), buffer.begins())
        found = {code: results[0] for code, results in zip(lags, probed, strict=True)}
    elif group == "edge":
        episodes = buffer.episode_frames()
        plain = ReSUEncoder().fit(episodes)
        fine = ReSUEncoder(grid=FINE).fit_moments(plain.moments_, plain.mean_.shape)
        top = pong_labels.from_ram(buffer.ram).player_y
        in_view = (top >= pong_labels.FIELD_TOP) & (top <= pong_labels.FIELD_BOTTOM - pong_labels.PADDLE_HEIGHT)
        whole = probes.split_by_episode(buffer.episodes(), seed, usable & in_view)
        for code, encoder, split in zip(GROUPS[group], (fine, plain), (every, whole), strict=True):
            found[code] = probes.probe(np.concatenate([encoder.encode(f) for f in episodes]), truth, split)
    else:
        episodes = buffer.episode_frames()
        for code, features in _features(group, episodes, seed, result):
            found[code] = probes.probe(features, truth, every)
            if code in ("L1", "L2"):
                found[f"{code}, third"] = probes.probe(features, truth, third)
    result["r2"] = {code: probed.score for code, probed in found.items()}
    result["strength"] = {code: probed.strength for code, probed in found.items()}
    means = {code: round(float(np.mean(probed.score)), 3) for code, probed in found.items()}
    run.log(f"seed {seed}, {group}: mean R2 {means}")
    return result


def _features(
    group: str, episodes: list[np.ndarray], seed: int, result: dict[str, Any]
) -> Iterator[tuple[str, np.ndarray]]:
    """(code, features (T, D)) one after the other; correlations go into result."""
    encoder = ReSUEncoder(n_layers=int(group[1])).fit(episodes)
    result["correlations"] = [encoder.correlations_, *(layer.correlations for layer in encoder.upper_)]
    if group == "L1":
        codes = {
            "L1": encoder,
            "L1 random filters": resu_controls.random_filters(encoder, seed),
            "temporal PCA": resu_controls.temporal_pca(encoder),
            "frame differences": resu_controls.frame_differences(encoder),
        }
    else:
        codes = {"L2": encoder, "L2 random filters": resu_controls.random_upper(encoder, episodes, seed)}
    for code, fitted in codes.items():
        yield code, np.concatenate([fitted.encode(frames) for frames in episodes])


def collect_cells(run: LegacyRun, groups: tuple[str, ...], **env_options: Any) -> dict[str, np.ndarray]:
    """R2 of every code of the groups: {code: (n seeds, 8)}; finished cells are read from their files."""
    c = run.config
    found: dict[str, list[Any]] = {}
    for group in groups:
        for seed in range(c.seeds):
            cell = run.cell(
                partial(measure, run, group, seed, **env_options),
                shelf=SHELF,
                group=group,
                seed=seed,
                n_frames=c.n_frames,
                **env_options,
            )
            for code, r2 in cell["r2"].items():
                found.setdefault(code, []).append(r2)
    return {code: np.array(values, np.float64) for code, values in found.items()}


def of_target(r2: np.ndarray, target: str) -> np.ndarray:
    """(n seeds,) R2 of one target, the mean over its coordinates."""
    return r2[:, list(TARGETS[target][0])].mean(axis=1)


def outlier_notes(found: dict[str, np.ndarray]) -> list[str]:
    """A sentence for every code and target that one seed alone spoils: its R2 lies more than .2 below all others'."""
    notes = []
    for code, r2 in found.items():
        for target in TARGETS:
            values = of_target(r2, target)
            worst = int(np.argmin(values))
            rest = np.delete(values, worst)
            if len(rest) > 1 and values[worst] < rest.min() - 0.2:
                notes.append(
                    f"{code}, {target}: seed {worst} has R2 {values[worst]:.2f}, the others {rest.min():.2f} to "
                    f"{rest.max():.2f}. Where this was looked into (frame differences, seed 3), three test frames in "
                    "which the ball comes to a cell that training games hardly saw caused it, under the weakest ridge. "
                    "Intervals and verdicts that rest on this row say little."
                )
    return notes
