"""Which panoramas the fly's stages look at, dealt into sets: kept, so that reports need no file of scenes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import natural_scenes
from stage_io import ROOT
from stage_run import Run, measured


@dataclass(frozen=True)
class Deal:
    """A file of scenes, from the project's folder, whose panoramas are dealt into sets; the seed of the deal."""

    scenes: str
    sets: int
    deal_seed: int


@measured(shelf="scenes")
def dealt(run: Run, s: Deal) -> dict[str, Any]:
    """What tells the file's content from another's, and the panoramas of each set."""
    scenes = natural_scenes.load(ROOT / s.scenes)
    return {"digest": scenes.digest, "sets": scenes.deal(s.sets, s.deal_seed)}


def deal(run: Run, s: Deal) -> tuple[str, list[tuple[int, ...]]]:
    """The same, looked up in every run and remembered for reports: digest, and sets."""
    found = run.cell(dealt, s, fresh=True)
    return found["digest"], [tuple(its) for its in found["sets"]]
