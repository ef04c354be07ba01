"""Fits, features and online steps on a GPU: the same bits as the compiled loops, and how long they take.

Claim      On a device of torch, fits, features and online steps of one and two layers have the bits of the compiled
           loops on the cores. On a GPU, two layers encode at least 30,000 frames/s of Enduro, where most pixels move,
           and more than the cores beside it.
Falsified  by one bit; by a lower rate.
Reads      data/{pong,enduro}_random_s0_*          Writes  results/bench_device.{json,log}
Run        python src/bench_device.py                   (3 min on a GPU, if torch finds one; 30 min without)
           python src/bench_device.py --smoke           (20 s, proves nothing)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import atari_play
import stats_ci
import workers
from players import TASKS
from resu_conv import ReSUEncoder
from resu_patch_layers import NEIGHBOURHOOD
from stage_io import guard, require_positive, seconds
from stage_report import Report
from stage_run import Run, Stage, measured

GAMES = ("pong", "enduro")  # little motion, and much
DEPTHS = (1, 2)
STEPS = 10
RATE = 30_000  # frames/s
COPIED = 2**28  # bytes, for the rate at which the device copies


@dataclass(frozen=True)
class Config:
    """Options."""

    device: str = "auto"  # of torch: "cuda", "cpu", ...; "auto" is a GPU if torch finds one
    n_frames: int = 60_000  # of random play in Pong [agent steps]
    busy_frames: int = 6_000  # of random play in Enduro [agent steps]
    environments: int = 256  # that are encoded together, step by step
    repeats: int = 3  # timings; the best counts
    smoke: bool = False  # few frames


SMOKE = {"device": "cpu", "n_frames": 60, "busy_frames": 60, "environments": 2, "repeats": 1}


def check(config: Config) -> None:
    """Refuse empty runs, and too short ones."""
    require_positive(config, "n_frames", "busy_frames", "environments", "repeats")
    if min(config.n_frames, config.busy_frames) < 2 * STEPS:
        raise ValueError(f"--n-frames and --busy-frames must be at least {2 * STEPS}: so many are encoded step by step")


@dataclass(frozen=True)
class Setting:
    """One game; options as in `Config`."""

    game: str
    device: str
    n_frames: int
    environments: int
    repeats: int


def device_of(name: str) -> str:
    """What torch calls the device; a number is that of the first one."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def model_of(device: str) -> str:
    """The device in words."""
    if torch.device(device).type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{workers.n_cores()} CPU cores"


def waited(device: str) -> None:
    """Until the device has done what it was told."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def copy_rate(device: str, repeats: int) -> float:
    """Bytes read and written per second in a copy within the device."""
    source = torch.zeros(COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)
        waited(device)

    copy()
    return 2 * COPIED / seconds(copy, repeats)


def step_seconds(encoder: ReSUEncoder, frames: np.ndarray, n: int, method: str) -> tuple[float, np.ndarray]:
    """Of one step of n environments, each at its own place; and all features seen (STEPS, n, D)."""
    apart = np.linspace(0, len(frames) - STEPS - 2, n).astype(int)
    state = encoder.online(n, method)

    def play() -> list[np.ndarray]:
        state.reset(frames[apart])
        return [state.step(frames[apart + t]) for t in range(1, STEPS + 1)]

    seen = np.stack(play())
    return seconds(play) / (STEPS + 1), seen


def compare(name: str, run: Run, frames: list[np.ndarray], s: Setting, depth: int) -> Iterator[dict[str, Any]]:
    """What is done on the cores and on the device: what, seconds by both, for how many frames, equal bits or not."""
    there = f"torch:{device_of(s.device)}"
    fits: dict[str, ReSUEncoder] = {}

    def fit(method: str) -> None:
        fits[method] = ReSUEncoder(n_layers=depth).fit(frames, method=method)

    ReSUEncoder(n_layers=depth).fit([frames[0][:100]], method=there)  # compiles, starts the device
    ours, theirs = seconds(lambda: fit("auto")), seconds(lambda: fit(there))
    encoder, other = fits["auto"], fits[there]
    same = np.array_equal(encoder.filters_, other.filters_) and all(
        np.array_equal(a.filters, b.filters) and np.array_equal(a.mean, b.mean)
        for a, b in zip(encoder.upper_, other.upper_, strict=True)
    )
    n = sum(len(episode) for episode in frames)
    yield dict(what=f"{name}: fit, layers to {depth}", cores=ours, device=theirs, n=n, same=same)
    longest = max(frames, key=len)
    encoder.encode(longest[:100])
    found = encoder.encode(longest, there)
    same = np.array_equal(found, encoder.encode(longest))
    ours = seconds(lambda: encoder.encode(longest), s.repeats)
    theirs = seconds(lambda: encoder.encode(longest, there), s.repeats)
    yield dict(what=f"{name}: encode, layers to {depth}", cores=ours, device=theirs, n=len(longest), same=same)
    for many in sorted({1, s.environments}):
        ours, seen = step_seconds(encoder, longest, many, "auto")
        theirs, again = step_seconds(encoder, longest, many, there)
        words = f"{name}: step of {many} environment{'s' * (many > 1)}, layers to {depth}"
        yield dict(what=words, cores=ours, device=theirs, n=many, same=np.array_equal(seen, again))
    run.log(f"{name}, layers to {depth}: compared")


@measured()
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """Returns the device's name, its copy rate [bytes/s], and rows as `compare` gives them."""
    buffer = atari_play.random_play(run.data, s.game, s.n_frames, 0, **TASKS[s.game].env)
    frames = [np.array(episode) for episode in buffer.episode_frames()]
    device = device_of(s.device)
    rows = [row for depth in DEPTHS for row in compare(TASKS[s.game].label, run, frames, s, depth)]
    return {
        "model": model_of(device),
        "cores": workers.n_cores(),
        "gpu": torch.device(device).type == "cuda",
        "copy": copy_rate(device, s.repeats),
        "rows": rows,
    }


def cells(run: Run) -> dict[str, Any]:
    """Both games, timed in every run."""
    c = run.config
    frames = dict(zip(GAMES, (c.n_frames, c.busy_frames), strict=True))
    return {
        game: run.cell(measure, Setting(game, c.device, n, c.environments, c.repeats), fresh=True)
        for game, n in frames.items()
    }


def report(c: Config, found: dict[str, Any]) -> Report:
    """Times by both, verdicts."""
    first = found[GAMES[0]]
    cores, model = f"{first['cores']} CPU cores", first["model"] if first["gpu"] else "torch on them"
    rows = [row for one in found.values() for row in one["rows"]]
    table = [
        {
            "what": row["what"],
            f"{cores} [s]": row["cores"],
            f"{model} [s]": row["device"],
            f"{model} [frames/s]": f"{row['n'] / row['device']:,.0f}",
            "cores / device": f"{row['cores'] / row['device']:.3g}",
            "same bits": "yes" if row["same"] else "no",
        }
        for row in rows
    ]
    differ = sum(not row["same"] for row in rows)
    verdicts = [stats_ci.measured("bits", "all results have the same bits: how many differ", differ, differ == 0, 0)]
    busy = next(row for row in found[GAMES[-1]]["rows"] if "encode" in row["what"] and row["what"].endswith("2"))
    rate, times = busy["n"] / busy["device"], busy["cores"] / busy["device"]
    if first["gpu"]:
        label = TASKS[GAMES[-1]].label
        verdicts += [
            stats_ci.measured(
                "rate", f"{label}: two layers encode at least {RATE:,} frames/s", rate, rate >= RATE, RATE
            ),
            stats_ci.measured("faster", f"{label}: faster than the {cores} beside it", times, times > 1, 1),
        ]
    return Report(table, verdicts, notes=[_note(first, rate, busy["what"])])


def _note(first: dict[str, Any], rate: float, what: str) -> str:
    """What bounds the device."""
    defaults = ReSUEncoder(n_layers=2)
    products = defaults.memory2 * NEIGHBOURHOOD**2 * 2 * defaults.n_units * defaults.n_units2 * 84 * 84
    where = "" if first["gpu"] else "torch found no GPU, so that nothing is said of one. "
    return (
        f"{where}Frames and features travel between the memories of both in all times. A copy within the device moves "
        f"{first['copy'] / 1e9:,.0f} GB/s; {what}: {2 * products * rate / 1e9:,.0f} GFLOP/s in float64."
    )


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
