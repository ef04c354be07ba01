"""Recorded games: what the stages that collect them say about each buffer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import atari_play
from atari_play import Buffer
from players import TASKS, demonstrations
from resu_moments import changed_fraction
from stage_io import timed
from stage_report import Report
from stage_run import Run, measured

RANDOM = "random"


@dataclass(frozen=True)
class Recording:
    """One buffer under data/.

    game, player      who plays what: RANDOM, or a name of TASKS[game].experts
    n_frames, seed    frames in all  [agent steps]; root seed of the games
    sticky            probability that the emulator repeats an action
    """

    game: str
    player: str
    n_frames: int
    seed: int
    sticky: float = 0.25

    @property
    def options(self) -> dict[str, float]:
        """The protocol's options that are not the usual ones."""
        return {} if self.sticky == 0.25 else {"sticky": self.sticky}

    def files(self, folder: Path) -> list[Path]:
        """Where it lies."""
        name = atari_play.buffer_name(self.game, self.player, **self.options)
        return Buffer.files(atari_play.buffer_path(folder, name, self.n_frames, self.seed))

    def buffer(self, folder: Path) -> Buffer:
        """It, collected first if it is not there."""
        if self.player == RANDOM:
            return atari_play.random_play(folder, self.game, self.n_frames, self.seed, **self.options)
        return demonstrations(folder, self.game, self.player, self.n_frames, self.seed, **self.options)


@measured()
def measure(run: Run, recording: Recording) -> dict[str, Any]:
    """Collect it, or find it.

    Returns   frames, games, mean score of whole games (None: no game is whole), the share of each action that occurs,
              the share of pixels that change in a step, and the seconds that it took
    """
    times: dict[str, float] = {}
    with timed(times, "collect"):
        buffer = recording.buffer(run.data)
    names = atari_play.environment(game=recording.game, **TASKS[recording.game].env).action_names
    shares = np.bincount(buffer.actions, minlength=len(names)) / len(buffer)
    scores = [buffer.rewards[game].sum() for game in buffer.episodes()[:-1]]
    return {
        "frames": len(buffer),
        "games": len(buffer.starts),
        "score": np.mean(scores, dtype=np.float64) if scores else None,
        "actions": {name: share for name, share in zip(names, shares, strict=True) if share > 0},
        "changed": changed_fraction(buffer.frames.reshape(len(buffer), -1)),
        "seconds": times["collect"],
    }


def cell(run: Run, recording: Recording) -> dict[str, Any]:
    """What is in it; collected again when a file of it is gone."""
    return run.cell(measure, recording, makes=recording.files(run.data))


def report_random(found: Mapping[str, Any], more: Mapping[str, str] | None = None) -> Report:
    """The row of a buffer of random play, with `more` columns about what is seen in it."""
    row = {
        "frames": found["frames"],
        "games": found["games"],
        "mean score of whole games": found["score"],
        **(more or {}),
        "pixels changed per step": f"{100 * found['changed']:.2f} %",
        "seconds": found["seconds"],
    }
    return Report([row], timings={"collect": found["seconds"]})


def report_demonstrations(found: Mapping[str, Any]) -> Report:
    """The row of an expert's buffer."""
    row = {
        "frames": found["frames"],
        "games": found["games"],
        "mean score of whole games": "no game is whole" if found["score"] is None else f"{found['score']:.1f}",
        "actions": ", ".join(f"{name} {share:.2f}" for name, share in found["actions"].items()),
    }
    return Report([row], timings={"collect": found["seconds"]})
