"""Stage 10, what is no game: a video that is drawn here, and a film of it beside the ON/OFF maps of its code.

The whole path for a video of one's own, in two lines of the library; from the command line it is

    python src/fit_encoder.py data/flock.mp4 --size 120 160 --out data/flock.npz --film flock.gif

Writes     data/flock.mp4, media/flock.gif, results/record_flock.{json,log}
Run        python src/record_flock.py                       (20 s)
           python src/record_flock.py --smoke               (proves nothing)
"""

from dataclasses import dataclass
from operator import methodcaller
from typing import Any

import films
import flock
import resu_files
import resu_video
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage, measured


@dataclass(frozen=True)
class Config:
    """Options."""

    seconds: int = 24  # of video
    shown: int = 5  # of it in the film  [s]
    birds: int = 36
    size: tuple[int, int] = (120, 160)  # of the frames that are encoded
    seed: int = 0
    smoke: bool = False


SMOKE = {"seconds": 2, "shown": 1, "birds": 6}


def check(config: Config) -> None:
    """Refuse films of nothing."""
    require_positive(config, "seconds", "shown", "birds")


@measured()
def measure(run: Run, s: Config) -> dict[str, Any]:
    """Draw, fit, film."""
    path, film = run.data / "flock.mp4", run.media / "flock.gif"
    flock.write_video(path, s.seed, s.birds, s.seconds * flock.FPS)
    clip = resu_video.Clip(path, s.size)
    encoder = resu_video.fit(clip)
    gif = films.of_clip(encoder, clip, s.shown, f"{s.birds} birds under clouds")
    resu_files.write_atomically(film, methodcaller("write", gif))
    run.log(f"{film.name}: {len(gif) / 1e6:.2f} MB")
    return {"frames": clip.n_frames, "correlations": encoder.correlations_, "megabytes": len(gif) / 1e6}


def cells(run: Run) -> dict[str, Any]:
    """One, drawn in every run."""
    makes = [run.data / "flock.mp4", run.media / "flock.gif"]
    return run.cell(measure, run.config, makes=makes, fresh=True)


def report(c: Config, found: dict[str, Any]) -> Report:
    """One row."""
    correlations = " ".join(f"{value:.3f}" for value in found["correlations"])
    row = {"file": "flock.gif", "frames": found["frames"], "correlations": correlations}
    return Report([row | {"seconds": c.shown, "MB": found["megabytes"]}])


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
