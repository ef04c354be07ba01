"""Are layer-1 filters the same in every game? The measurements behind the stress stage: one function per cell.

K = 4 filters of m = 8 taps, newest first; T steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import probes
import recipes
import resu_controls
import transfer_cells
from atari_env import GAMES
from atari_play import Buffer, load_or_collect, random_play
from enduro_expert import EnduroExpert
from filter_shapes import cosine
from recipes import RecipeName
from resu_conv import ReSUEncoder
from stage_run import Run, late, measured

# How moments become filters: ours, a guess with a relative ridge that gives the original's top correlations in Pong,
# Breakout and Enduro, and the better guess of `recipes`: options of `ReSUEncoder`
RECIPES: dict[str, Mapping[str, Any]] = {
    "centred": {},
    "uncentred": {"center": False, "ridge": 5e-3},
    "original": recipes.RECIPES["original"].encoder,
}
SOURCE, TARGETS = "pong", ("asteroids", "enduro")
CLOCKS: dict[RecipeName, dict[str, float]] = {  # of streams: weight of the past per chunk
    "ours": {"adding": 1.0, "forgetting": 0.9, "forgetting fast": 0.8},
    "original": {"forgetting": 0.99},
}
WITHIN = 8  # steps within which a reward counts
STRIDE = 4  # of the samples on which codes are compared with raw pixels
CODES = (
    "raw(t,t-1)", "random filters", "frame differences", "temporal PCA", "Pong", "Breakout", "Space Invaders",
    "streamed, adding", "streamed, forgetting", "native",
)  # fmt: skip


@dataclass(frozen=True)
class Fits:
    """The filters of all games: n_frames of random play each  [agent steps]."""

    part: str = field(default="filters", init=False)
    seed: int
    n_frames: int


@dataclass(frozen=True)
class Stream:
    """SOURCE's encoder on its way through a target game; alpha: of the recipe's clock, per chunk of frames."""

    part: str = field(default="stream", init=False)
    target: str
    alpha: float
    seed: int
    chunk: int
    n_frames: int
    recipe: RecipeName = late("ours")


@dataclass(frozen=True)
class Reward:
    """Reward probes in a game; Enduro's expert plays games that are cut at enduro_steps."""

    part: str = field(default="reward", init=False)
    game: str
    seed: int
    chunk: int
    enduro_steps: int
    n_frames: int
    recipe: RecipeName = late("ours")


@measured(shelf="asteroids_enduro_stress", version=2)
def fit_all(run: Run, s: Fits) -> dict[str, Any]:
    """Filters and correlations of every game under random play: {recipe: {game: {"filters", "correlations"}}}."""
    found: dict[str, Any] = {recipe: {} for recipe in RECIPES}
    for game in GAMES:
        plain = ReSUEncoder().fit(random_play(run.data, game, s.n_frames, s.seed).episode_frames())
        for recipe, options in RECIPES.items():
            fitted = ReSUEncoder(**options).fit_moments(plain.moments_, plain.mean_.shape)
            found[recipe][game] = {"filters": fitted.filters_, "correlations": fitted.correlations_}
    return found


@measured(shelf="asteroids_enduro_stress")
def stream_points(run: Run, s: Stream) -> list[dict[str, Any]]:
    """What `stream` notes on its way."""
    return stream(run.data, s)[0]


def stream(folder: Path, s: Stream) -> tuple[list[dict[str, Any]], ReSUEncoder]:
    """Stream a game under random play, chunk by chunk, through an encoder that was fitted on SOURCE.

    Returns   after 0, 1, 2, 4, ... chunks and all of them: frames streamed, |cosine| of each filter with the target's
              own, and the same as correlation of responses on the target; and the encoder at the end
    """
    start = recipes.encoder(s.recipe).fit(random_play(folder, SOURCE, s.n_frames, s.seed).episode_frames())
    buffer = random_play(folder, s.target, s.n_frames, s.seed)
    native = recipes.encoder(s.recipe).fit(buffer.episode_frames())
    covariance = native.moments_.C_pp
    points, encoder = [], start
    for n, now in [(0, start), *transfer_cells.milestones(start, buffer, s.alpha, s.chunk, recipe=s.recipe)]:
        pairs = list(zip(now.filters_, native.filters_, strict=True))
        points.append(
            {
                "frames": n,
                "cosine": [cosine(a, b) for a, b in pairs],
                "response": [cosine(a, b, covariance) for a, b in pairs],
            }
        )
        encoder = now
    return points, encoder


@measured(shelf="asteroids_enduro_stress")
def reward_probe(run: Run, s: Reward) -> dict[str, Any]:
    """AUC of linear probes of "a reward within the next WITHIN steps", for every code.

    Asteroids is played at random, Enduro by its expert (random play is never rewarded). Filters of other games come
    from random play and are applied about this game's own pixel means.
    Returns   {"auc": {code: on every STRIDE-th step}, "auc_all": {code: on every step}, "base_rate", "n"}
    """
    buffer = load(run.data, s.game, s.n_frames, s.seed, s.enduro_steps)
    label = np.zeros(len(buffer))
    for k in range(WITHIN):
        label = np.maximum(label, np.nan_to_num(buffer.shifted(buffer.rewards, k)) > 0)
    truth = label[:, None].astype(np.float64)
    usable = np.ones(len(buffer), bool)
    some, every = (probes.split_by_episode(buffer.episodes(), s.seed, usable, stride) for stride in (STRIDE, 1))
    raw = probes.probe_lagged_frames(buffer.frames, truth, some, (2,), buffer.begins(), metric=probes.auc)[0][0]
    result: dict[str, Any] = {
        "auc": {"raw(t,t-1)": float(raw.score[0])},
        "auc_all": {},
        "base_rate": float(label.mean()),
        "n": [len(some.train), len(every.train), len(every.test)],
    }
    episodes = buffer.episode_frames()
    for code, encoder in _codes(run.data, s, episodes):
        features = np.concatenate([encoder.encode(frames) for frames in episodes])
        result["auc"][code] = float(probes.probe(features, truth, some, metric=probes.auc).score[0])
        result["auc_all"][code] = float(probes.probe(features, truth, every, metric=probes.auc).score[0])
    return result


def _codes(folder: Path, s: Reward, episodes: list[np.ndarray]) -> Iterator[tuple[str, ReSUEncoder]]:
    """Every code but raw pixels, one after the other."""
    native = recipes.encoder(s.recipe).fit(episodes)
    yield "random filters", resu_controls.random_filters(native, s.seed)
    yield "frame differences", resu_controls.frame_differences(native)
    yield "temporal PCA", resu_controls.temporal_pca(native)
    for code, game in (("Pong", "pong"), ("Breakout", "breakout"), ("Space Invaders", "space_invaders")):
        fitted = recipes.encoder(s.recipe).fit(random_play(folder, game, s.n_frames, s.seed).episode_frames())
        yield code, ReSUEncoder().with_filters(fitted.filters_, native.mean_)
    for clock in [clock for clock in ("adding", "forgetting") if clock in CLOCKS[s.recipe]]:
        alpha = CLOCKS[s.recipe][clock]
        _, streamed = stream(folder, Stream(s.game, alpha, s.seed, s.chunk, s.n_frames, s.recipe))
        yield f"streamed, {clock}", ReSUEncoder().with_filters(streamed.filters_, native.mean_)
    yield "native", native


def load(folder: Path, game: str, n_frames: int, seed: int, enduro_steps: int) -> Buffer:
    """The frames that a game's rewards are probed on: Enduro's expert in cut games, else random play."""
    if game == "enduro":
        name = f"enduro_expert_max_steps{enduro_steps}"
        return load_or_collect(folder, name, EnduroExpert, n_frames, seed, game, max_steps=enduro_steps)
    return random_play(folder, game, n_frames, seed)
