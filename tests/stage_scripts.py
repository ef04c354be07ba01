"""Small stages as scripts of their own, for tests of how a process ends."""

import sys
from pathlib import Path

import stage_io

HEAD = """
import os, sys, time
from dataclasses import dataclass
from pathlib import Path
sys.path.insert(0, {src!r})
import joblib
import numpy as np
import stage_io
import workers
from stage_report import Report
from stage_run import Run, measured
stage_io.ROOT = Path({root!r})

@dataclass(frozen=True)
class Setting:
    seed: int
"""


def script(folder: Path, body: str, name: str = "bc_test") -> list[str]:
    """The command of a stage with this body, which keeps everything in a folder."""
    path = folder / f"{name}.py"
    path.write_text(HEAD.format(src=str(Path(stage_io.__file__).parent), root=str(folder)) + body)
    return [sys.executable, str(path)]
