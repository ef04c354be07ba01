"""Collect natural scenes: rows of the panoramas in some folders, as the fly stages read them.

A panorama is an equirectangular picture, 360 x 180 degrees: EXR, PNG or JPEG. The file that comes with the project was
made of 25 under CC0: data/natural_scenes.md says how to fetch them.

Reads      panoramas             Writes  what --out says; results/collect_natural_scenes.json
Run        python src/collect_natural_scenes.py FOLDER [FOLDER ...] --out data/my_scenes.npz     (1 s a panorama)
           python src/collect_natural_scenes.py --smoke          (seconds, proves nothing)
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tyro

import natural_scenes
from natural_scenes import name_of, panoramas_in
from stage_io import guard
from stage_report import Report
from stage_run import Run, Stage, measured


@dataclass(frozen=True)
class Config:
    """Options."""

    folders: tyro.conf.Positional[tuple[str, ...]] = ()  # of panoramas
    out: str = "data/my_scenes.npz"  # where the rows go
    sources: tuple[str, ...] = ()  # of each folder: who made them, and the licence; kept beside them
    leave_out: tuple[str, ...] = ()  # panoramas that are not taken, as folder/name without a suffix
    force: bool = field(default=False, compare=False)  # replace a file that is there
    smoke: bool = False  # two panoramas of noise, drawn here


SMOKE: dict[str, Any] = {"sources": ("noise",)}


@dataclass(frozen=True)
class Setting:
    """One collection."""

    folders: tuple[str, ...]
    out: str
    sources: tuple[str, ...]
    leave_out: tuple[str, ...]


def _noise(folder: Path) -> str:
    """A folder with two small panoramas that are none."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(2):
        cv2.imwrite(str(folder / f"noise_{i}.png"), rng.integers(0, 256, (128, 256, 3), np.uint8))
    return str(folder)


@measured()
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """Rows of each panorama, and the spread of their contrast."""
    folders = s.folders or (_noise(run.data / "panoramas"),)
    sources = s.sources or ("",) * len(folders)
    if len(sources) != len(folders):
        raise ValueError(f"--sources must be one for each of {len(folders)} folders, not {len(sources)}")
    found = {path: source for folder, source in zip(folders, sources, strict=True) for path in panoramas_in(folder)}
    names = {path: f"{path.parent.name}/{name_of(path)}" for path in found}
    if unknown := sorted(set(s.leave_out) - set(names.values())):
        raise ValueError(f"--leave-out {unknown[0]} is none of {', '.join(sorted(names.values()))}")
    chosen = [path for path, name in names.items() if name not in s.leave_out]
    if not chosen:
        raise ValueError("--leave-out leaves no panorama")
    scenes = natural_scenes.scenes_of(chosen, [found[path] for path in chosen])
    natural_scenes.save(s.out, scenes)
    counts = np.bincount(scenes.image)
    spread = [float(scenes.rows[scenes.image == i].std()) for i in range(len(counts))]
    return {"names": scenes.names, "rows": counts.tolist(), "spread": spread}


def check(config: Config) -> None:
    """Refuse nothing to read, and to replace what is there."""
    if not config.folders and not config.smoke:
        raise ValueError("give at least one folder of panoramas")
    if Path(config.out).exists() and not config.force and not config.smoke:
        raise ValueError(f"{config.out} is there: choose another place with --out, or give --force to replace it")


def cells(run: Run) -> dict[str, Any]:
    """What was collected; always anew, as files may have changed."""
    c = run.config
    out = str(run.data / "scenes.npz") if c.smoke else c.out
    return run.cell(measure, Setting(c.folders, out, c.sources, c.leave_out), fresh=True)


def report(c: Config, found: dict[str, Any]) -> Report:
    """A row per panorama."""
    its = zip(found["names"], found["rows"], found["spread"], strict=True)
    return Report([{"panorama": name, "rows": rows, "spread of contrast": spread} for name, rows, spread in its])


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
