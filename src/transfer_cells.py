"""An encoder that was fitted on one game goes on to another: frozen, streamed or fitted anew; and clones on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

import atari_play
import player_cells
import resu_controls
from filter_shapes import cosine
from recipes import RECIPES, RecipeName
from resu_conv import ReSUEncoder
from resu_streaming import StreamingReSU
from stage_run import SPREAD, Run, measured
from trained_cache import Setup, clone_of, fit

Arm = Literal["native", "frozen", "frozen filters", "streamed", "random filters"]


def milestones(
    encoder: ReSUEncoder,
    buffer: atari_play.Buffer,
    alpha: float,
    chunk: int,
    n_frames: int | None = None,
    recipe: RecipeName = "ours",
) -> Iterator[tuple[int, ReSUEncoder]]:
    """Stream a buffer, or its first n_frames, into an encoder's moments, chunk by chunk, with a recipe's clock.

    alpha     of that clock, see `StreamingReSU`
    Yields    after 1, 2, 4, ... chunks and after all of them: frames streamed, and the encoder refitted by then
    """
    n = len(buffer) if n_frames is None else n_frames
    streaming = StreamingReSU.from_encoder(encoder, alpha, **RECIPES[recipe].stream)
    n_chunks = -(-n // chunk)
    for i, (frames, starts) in enumerate(buffer.chunks(chunk, n), start=1):
        streaming.update(frames, starts=starts)
        if i == n_chunks or i & (i - 1) == 0:
            yield min(i * chunk, n), streaming.refit()


def stream(encoder: ReSUEncoder, buffer: atari_play.Buffer, n_frames: int, alpha: float, setup: Setup) -> ReSUEncoder:
    """The encoder after n_frames of a buffer were streamed into its moments; the encoder itself for none.

    alpha     of the clock of the setup's recipe, see `StreamingReSU`
    """
    if n_frames == 0:
        return encoder
    *_, (_, last) = milestones(encoder, buffer, alpha, setup.chunk, n_frames, setup.recipe)
    return last


def restored(
    moved: ReSUEncoder, home: ReSUEncoder, means: bool = True, gains: bool = False, weak: int | None = None
) -> ReSUEncoder:
    """A streamed encoder of which something is home's again.

    means   the pixel means       gains   the filters' lengths       weak   the filters from this one on
    """
    filters = moved.filters_.copy()
    if gains:
        filters *= (np.linalg.norm(home.filters_, axis=1) / np.linalg.norm(filters, axis=1))[:, None]
    if weak is not None:
        filters[weak:] = home.filters_[weak:]
    return ReSUEncoder(**home.options).with_filters(filters, home.mean_ if means else moved.mean_)


def adapted(
    setup: Setup, folder: Path, source: str, target: str, arm: Arm, n_stream: int, alpha: float, seed: int
) -> ReSUEncoder:
    """The encoder of one arm, from this seed's demonstrations of both games.

    native           fitted on the target (source, n_stream and alpha do not matter)
    frozen           fitted on the source: filters and pixel means stay
    frozen filters   the source's filters about the target's own pixel means
    streamed         fitted on the source, then n_stream frames of the target streamed into its moments with alpha
    random filters   the control, about the target's pixel means
    """
    if arm == "native":
        return fit(setup, folder, target, seed)
    if arm == "random filters":
        return resu_controls.random_filters(fit(setup, folder, target, seed), seed)
    first = fit(setup, folder, source, seed)
    if arm == "frozen":
        return first
    if arm == "frozen filters":
        return ReSUEncoder().with_filters(first.filters_, fit(setup, folder, target, seed).mean_)
    return stream(first, setup.demonstrations(folder, target, seed), n_stream, alpha, setup)


@dataclass(frozen=True)
class Setting:
    """A clone of the target's expert on the encoder of an arm.

    n_stream   frames of the target that are streamed, with alpha       seed   of everything
    """

    source: str
    target: str
    arm: Arm
    n_stream: int
    alpha: float
    seed: int
    setup: Setup = field(metadata=SPREAD)


@measured(shelf="adaptation")
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """Train the clone and play this seed's evaluation games.

    Returns   scores, lengths; accuracy on held-out games; twins: |cosine| of each filter with the source's; native:
              with those fitted on the target alone
    """
    encoder = adapted(s.setup, run.data, s.source, s.target, s.arm, s.n_stream, s.alpha, s.seed)
    clone, accuracy, _ = clone_of(s.setup, run.data, encoder, s.target, s.seed)
    result = s.setup.play(clone, s.target, s.seed, f"{s.source} > {s.target}, {s.arm} {s.n_stream}, seed {s.seed}")
    for name, game in (("twins", s.source), ("native", s.target)):
        other = fit(s.setup, run.data, game, s.seed)
        result[name] = [cosine(a, b) for a, b in zip(encoder.filters_, other.filters_, strict=True)]
    run.log(
        f"{s.source} > {s.target}, {s.arm}, {s.n_stream} frames, alpha {s.alpha:g}, seed {s.seed}: "
        f"{np.mean(result['scores']):.1f}, accuracy {accuracy:.3f}"
    )
    return {**result, "accuracy": accuracy}


def cells(
    run: Run,
    setup: Setup,
    source: str,
    target: str,
    arm: Arm,
    n_stream: int = 0,
    alpha: float = 1.0,
    seeds: int | None = None,
) -> list[dict[str, Any]]:
    """One arm's cells, of seeds 0 to seeds - 1 (by default the stage's): stages share them."""
    if arm in ("native", "random filters"):
        source = target
    if arm == "streamed" and n_stream == 0:
        arm, alpha = "frozen", 1.0
    return [
        run.cell(measure, Setting(source, target, arm, n_stream, alpha, seed, setup))
        for seed in range(seeds or run.config.seeds)
    ]


def references(run: Run, setup: Setup, game: str, who: Literal["random", "expert"]) -> list[dict[str, Any]]:
    """Random play, or the expert, in the evaluation games of seeds 0 to seeds - 1."""
    expert = "random" if who == "random" else setup.expert(game)
    player = player_cells.Player(0, setup.games, game, expert, "ram", setup.sticky, setup.max_steps)
    return player_cells.cells(run, [player], run.config.seeds)[0]
