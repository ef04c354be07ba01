"""Stages 17 and 18: a film of a panorama that moves past an eye, beside the maps of the fly's units.

L3, L2 and L1 are filters of natural scenes (stage 17), unit 2 is that of a second layer as released (stage 18), here
at every place of the eye. The eye turns one way, then back. No unit was fitted to the panorama that is shown.

Reads      data/natural_scenes.npz      Writes  media/fly.gif, results/record_fly.{json,log}
Run        python src/record_fly.py                       (15 s)
           python src/record_fly.py --panorama 8          (another one)
           python src/record_fly.py --smoke               (proves nothing)
"""

from dataclasses import dataclass
from operator import methodcaller
from typing import Any

import numpy as np

import dead_leaves
import films
import lamina_cells
import motion_eyes
import motion_units
import natural_scenes
import resu_files
from lamina_cells import NOISY
from resu_core import canonical_directions, rectify
from stage_io import ROOT, guard, require_positive
from stage_report import Report
from stage_run import Run, Stage, measured

NAMES = ("L3", "L2", "L1", "unit 2")
COLUMNS, EVERY = 44, 7  # of the eye, and columns of the panorama from one to the next (2.7 degrees)
FPS = 15


@dataclass(frozen=True)
class Config:
    """Options."""

    panorama: int = 1  # which one is shown, counted from 0; all others are fitted to
    steps: int = 75  # in each direction [columns]
    scenes: str = natural_scenes.OWN  # rows, as collect_natural_scenes.py writes them
    smoke: bool = False


SMOKE = {"steps": 4}


def check(config: Config) -> None:
    """Refuse films of nothing, and of a panorama that is not there."""
    require_positive(config, "steps")
    n = len(natural_scenes.load(ROOT / config.scenes).names)
    if not 0 <= config.panorama < n:
        raise ValueError(f"--panorama must be a number from 0 to {n - 1}, not {config.panorama}")


def responses(scenes: natural_scenes.Scenes, shown: int, path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the eye sees on a path (T,), (T', rows, COLUMNS), and its units' answers (T', rows, COLUMNS, 4), T' < T.

    Answers are in standard deviations over what is shown.
    """
    rng = np.random.default_rng(0)
    others = [i for i in range(len(scenes.names)) if i != shown]
    images = [scenes.of([i]) for i in others]
    eye = motion_eyes.fit_rows(motion_eyes.RELEASED, images, 0, 0, rng)
    noisy = dead_leaves.add_noise(np.concatenate(images), NOISY, rng)
    l1 = canonical_directions(lamina_cells.moments_of(noisy.T, motion_eyes.MEMORY, motion_eyes.HORIZON), 2, 0.0)
    pattern = motion_units.rows_pattern(scenes.of([shown]))
    offsets = EVERY * np.arange(COLUMNS)
    seen = np.stack([pattern(path + offset) for offset in offsets], axis=2)
    neighbours = [
        np.stack([pattern(path + offset + k * motion_units.SPACING) for offset in offsets], axis=2)
        for k in range(motion_units.N_NEIGHBOURS)
    ]
    channels = np.stack([eye.lamina.channels_of(its) for its in neighbours], axis=3)
    t4 = channels.reshape(*channels.shape[:3], -1) @ eye.weights[1]
    lamina = [motion_units.filtered(seen, taps) for taps in (*eye.lamina.filters, l1.filters[1])]
    z = np.stack([*lamina, t4], axis=3)
    return seen[motion_eyes.MEMORY - 1 :], z / z.std(axis=(0, 1, 2))


@measured()
def measure(run: Run, s: Config) -> dict[str, Any]:
    """Fit, look, film."""
    scenes, film = natural_scenes.load(ROOT / s.scenes), run.media / f"fly{natural_scenes.suffix(s.scenes)}.gif"
    there = np.concatenate([np.arange(1 - motion_eyes.MEMORY, s.steps), np.arange(s.steps)[::-1]]).astype(float)
    seen, z = responses(scenes, s.panorama, there)
    grey = np.clip(128 + 50 * seen, 0, 255).astype(np.uint8)
    maps = np.moveaxis(rectify(z), 3, 1)
    turns = ["the eye turns right"] * s.steps + ["the eye turns left"] * s.steps
    text = [[f"panorama {s.panorama}: {scenes.names[s.panorama]}, 120 x 98 degrees", turn] for turn in turns]
    gif = films.gif(np.stack([grey] * 3, axis=-1), maps, text, FPS, NAMES)
    resu_files.write_atomically(film, methodcaller("write", gif))
    run.log(f"{film.name}: {len(gif) / 1e6:.2f} MB")
    halves = np.stack([maps[: s.steps].mean(axis=(0, 2, 3)), maps[s.steps :].mean(axis=(0, 2, 3))])  # (2, 8)
    return {"panorama": scenes.names[s.panorama], "rates": halves, "megabytes": len(gif) / 1e6}


def cells(run: Run) -> dict[str, Any]:
    """One, drawn in every run."""
    return run.cell(
        measure, run.config, makes=[run.media / f"fly{natural_scenes.suffix(run.config.scenes)}.gif"], fresh=True
    )


def report(c: Config, found: dict[str, Any]) -> Report:
    """Mean rates of each unit, one way and back."""
    rates = np.array(found["rates"])
    rows = [
        {
            "unit": f"{name} {sign}",
            "rate, turning right": float(rates[0, i + 4 * off]),
            "rate, turning left": float(rates[1, i + 4 * off]),
            "film": f"fly{natural_scenes.suffix(c.scenes)}.gif, {found['panorama']}, {found['megabytes']:.1f} MB",
        }
        for i, name in enumerate(NAMES)
        for off, sign in enumerate(("ON", "OFF"))
    ]
    return Report(rows)


def variant(config: Config) -> str:
    """Other scenes are a result of their own."""
    return natural_scenes.suffix(config.scenes)


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check, variant=variant)

if __name__ == "__main__":
    guard(STAGE.main)
