"""Benchmark of the core: exact moments and encoding against what people would otherwise use, in one run.

Claim      2 CPU cores, random play, all five games, and Pong and Enduro at 210 x 160: the moments take 1/4 of the
           fastest peer's time (NumPy's or torch's lag trick, windowed Gram matrices); where fewer than 2 % of the
           pixels change, encoding takes 1/15 of the fastest peer's (conv2d + ReLU + average pooling; with memory that
           is kept; compiled); Enduro takes at most 1.5 times what multiplying and adding alone takes, and is never
           slower than the dense loops. 60,000 frames of Pong: moments at most 10 times one numpy pass over the bytes;
           one online step takes at most 60 microseconds; an update by one frame and a refit at most 1 ms; equal
           results, under 1.5 GB. Beside a process that keeps one core busy fitting, encoding and training a head take
           at most 2.5 times as long. Training a head, on one core, takes at most 2 times as long as its matrix
           products alone.
Falsified  if a ratio is lower or a time longer, a result differs, or the peak is higher.
Reads      data/<game>_random_s0_*          Writes  results/bench_core.{npz,json,log}
Run        python src/bench_core.py                    (6 min on 2 cores; most of it is the peers)
           python src/bench_core.py --smoke            (30 s, proves nothing)
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import atari_play
import heads
import peers
import rival_cells
import stats_ci
from players import TASKS
from resu_conv import ReSUEncoder
from resu_moments import LagMoments, changed_fraction
from resu_photometry import ToneMap
from resu_streaming import StreamingReSU
from rival_cells import AGREE, HORIZON, MEMORY, OPTIONS, Rivals, time_rivals
from stage_io import busy_neighbour, guard, peak_memory, require_positive, seconds
from stage_report import Report
from stage_run import Run, Stage, measured
from stats_ci import Verdict

PARALLEL = 16  # environments stepped together
CHUNK = 100  # frames of a live update
SLOWER = 2.5  # times, beside a busy process
HIDDEN, EPOCHS = (256, 256), 6  # of a head, as in stage 4a
OVER_PRODUCTS = 2  # times what the matrix products of its training take on the same core
STILL = 0.02  # share of pixels that change, below which events must pay
FASTER_MOMENTS, FASTER_ENCODING, NEAR = 4, 15, 1.5  # times the fastest peer's rate; times the bare arithmetic's time


@dataclass(frozen=True)
class Config:
    """Options."""

    games: tuple[str, ...] = tuple(TASKS)  # their motion differs; the first is compared with the peers
    n_frames: int = 60_000  # frames of random play [agent steps]
    repeats: int = 5  # timings of each of our kernels; the best counts
    some_frames: int = 6_000  # of each game and size against the fastest peers [agent steps]
    torch_repeats: int = 3  # timings of torch; the other peers run once
    chunk: int = 256  # frames per torch batch
    windows: int = 4_000_000  # windows of one pixel for the libraries, which cannot hold all; their times are scaled up
    network_frames: int = 6_400  # frames for the network, whose time is scaled up
    smoke: bool = False  # few frames


SMOKE = {
    "games": ("pong", "enduro"),
    "n_frames": 1500,
    "some_frames": 300,
    "repeats": 1,
    "torch_repeats": 1,
    "windows": 20_000,
    "network_frames": 256,
}


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(
        config, "n_frames", "some_frames", "repeats", "torch_repeats", "chunk", "windows", "network_frames"
    )


@dataclass(frozen=True)
class Ours:
    """Our kernels on frames of one game; two_layers: the fit of two as well; other options as in `Config`."""

    game: str
    n_frames: int
    repeats: int
    two_layers: bool


@dataclass(frozen=True)
class Beside:
    """Our work on frames of one game, alone and beside a busy process; options as in `Config`."""

    game: str
    n_frames: int
    repeats: int


@dataclass(frozen=True)
class Peers:
    """The same by other means; options as in `Config`."""

    game: str
    n_frames: int
    torch_repeats: int
    chunk: int
    windows: int
    network_frames: int


def load(run: Run, game: str, n_frames: int) -> np.ndarray:
    """Frames of random play in memory, as one episode: torch has no episode boundaries."""
    return np.array(atari_play.random_play(run.data, game, n_frames, 0, **TASKS[game].env).frames)


def our_times(frames: np.ndarray, encoder: ReSUEncoder, repeats: int) -> dict[str, float]:
    """name: seconds for all frames."""
    pixels = frames.reshape(len(frames), -1)

    def moments(method: str = "auto") -> LagMoments:
        return LagMoments(MEMORY, HORIZON).update(pixels, method=method)

    found: dict[str, Callable[[], object]] = {
        "one numpy pass over the bytes": pixels.sum,
        "moments": moments,
        "moments, dense": lambda: moments("dense"),
        "moments, event-driven": lambda: moments("events"),
        "encode": lambda: encoder.encode(frames),
        "encode, dense": lambda: encoder.encode(frames, "dense"),
        "encode, event-driven": lambda: encoder.encode(frames, "events"),
    }
    return {name: seconds(compute, repeats) for name, compute in found.items()}


def step_times(frames: np.ndarray, encoder: ReSUEncoder) -> dict[str, float]:
    """name: seconds per step, per update or per fit."""
    n = min(5000, len(frames) - 1)
    one, many = encoder.online(1), encoder.online(PARALLEL)
    one.reset(frames[:1])
    alone = seconds(lambda: [one.step(frames[t : t + 1]) for t in range(1, n)]) / (n - 1)
    apart = np.linspace(0, len(frames) - n // 4 - 1, PARALLEL).astype(int)  # each environment at its own place
    many.reset(frames[apart])
    together = seconds(lambda: [many.step(frames[apart + t]) for t in range(1, n // 4)]) / (n // 4 - 1)
    stream = StreamingReSU(**OPTIONS).update(frames[: n // 2])
    places = iter(range(n // 2, len(frames)))

    def update_and_refit() -> None:
        t = next(places)
        stream.update(frames[t : t + 1])
        stream.refit()

    tone, later = ToneMap(np.median(frames[:500], axis=0)), itertools.cycle(range(1000, len(frames)))
    chunks = itertools.cycle(range(n // 2, len(frames) - CHUNK, CHUNK))

    def update_by_a_chunk() -> None:
        t = next(chunks)
        stream.update(frames[t : t + CHUNK]).refit()

    return {
        "canonical directions": seconds(lambda: encoder.fit_moments(encoder.moments_, frames.shape[1:]), 50),
        "online step, 1 environment": alone,
        f"online step, {PARALLEL} environments": together,
        "update by one frame + refit": seconds(update_and_refit, 50),
        f"update by {CHUNK} frames + refit": seconds(update_by_a_chunk, 20),
        "a frame in home's grey values": seconds(lambda: tone.restored(frames[next(later)]), 1000),
    }


@measured()
def time_ours(run: Run, o: Ours) -> dict[str, Any]:
    """Our kernels. Returns name: seconds; share of pixels that change in a step; peak of memory until then  [GB]."""
    frames = load(run, o.game, o.n_frames)
    encoder = ReSUEncoder(**OPTIONS).fit([frames])
    for method in ("events", "dense"):
        encoder.encode(frames[:2000], method)  # compiles the kernels
    times = our_times(frames, encoder, o.repeats) | step_times(frames, encoder)
    peak = peak_memory() / 1e3
    run.log(f"{TASKS[o.game].label}: peak memory so far {peak:.2f} GB")
    if o.two_layers:
        deep = ReSUEncoder(**OPTIONS, n_layers=2)
        deep.fit([frames[:200]])  # compiles
        times["moments and directions of layers 1 and 2"] = seconds(lambda: deep.fit([frames]))
    return {"times": times, "changed": changed_fraction(frames.reshape(len(frames), -1)), "peak": peak}


@measured()
def time_beside(run: Run, b: Beside) -> dict[str, Any]:
    """times: {name: seconds alone (the best repeat) and beside a busy process (the median one)}; training: seconds of
    training a head, and of its matrix products alone."""
    played = atari_play.random_play(run.data, b.game, b.n_frames, 0, **TASKS[b.game].env)
    frames, actions = np.array(played.frames), np.array(played.actions)
    encoder = ReSUEncoder(**OPTIONS).fit([frames])
    features, taught, n_classes = encoder.encode(frames), np.arange(len(frames)), int(actions.max()) + 1

    def train(epochs: int) -> None:
        heads.fit_mlp(features, actions, n_classes, 0, HIDDEN, taught, epochs=epochs)

    def multiply() -> None:
        peers.products_of_training((features.shape[1], *HIDDEN, n_classes), len(frames), EPOCHS)

    found: dict[str, Callable[[], object]] = {
        "fit": lambda: ReSUEncoder(**OPTIONS).fit([frames]),
        "encode": lambda: encoder.encode(frames),
        "head, one epoch": lambda: train(1),
    }
    training = seconds(lambda: train(EPOCHS), b.repeats), seconds(multiply, b.repeats)
    alone = {name: seconds(compute, b.repeats) for name, compute in found.items()}
    with busy_neighbour():
        beside = {name: float(np.median([seconds(f) for _ in range(b.repeats)])) for name, f in found.items()}
    return {"times": {name: (alone[name], beside[name]) for name in found}, "training": training}


@measured()
def time_peers(run: Run, p: Peers) -> dict[str, Any]:
    """What others use. Returns name: seconds for all frames; our Gram matrix; how far their results are from ours.

    Raises   ValueError if the results differ: then timings mean nothing.
    """
    frames = load(run, p.game, p.n_frames)
    encoder = ReSUEncoder(**OPTIONS).fit([frames])
    options = (p.torch_repeats, p.chunk, p.windows, p.network_frames)
    times, results = peers.times(frames, encoder, p.game, *options)
    exact, features = LagMoments(MEMORY, HORIZON).update(frames.reshape(len(frames), -1)), encoder.encode(frames)
    gram, same = rival_cells.agree(results, exact.gram, features)
    return {"times": times, "gram": exact.gram, "gram_error": gram, "feature_error": same}


def cells(run: Run) -> dict[str, Any]:
    """Our kernels on every game, two layers and the peers on the first; all timed in every run."""
    c = run.config
    first = c.games[0]
    ours = {game: run.cell(time_ours, Ours(game, c.n_frames, c.repeats, game == first), fresh=True) for game in c.games}
    setting = Peers(first, c.n_frames, c.torch_repeats, c.chunk, c.windows, c.network_frames)
    both_sizes = first, c.games[-1]
    rivals = {
        key: run.cell(time_rivals, Rivals(*key, c.some_frames, c.torch_repeats, c.chunk), fresh=True)
        for key in [(game, size) for game in c.games for size in ((84, 0) if game in both_sizes else (84,))]
    }
    beside = run.cell(time_beside, Beside(first, c.n_frames, c.repeats), fresh=True)
    return {"ours": ours, "rivals": rivals, "beside": beside, "peers": run.cell(time_peers, setting, fresh=True)}


def table(c: Config, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows: against the fastest peers; of every game how much moves and our times; all peers' and how many of ours."""

    def row(what: str, time: float | str, more: str = "", least: float = 0.0) -> dict[str, Any]:
        rate = f"{c.n_frames / time:,.0f}" if isinstance(time, float) and time > least else ""
        return {"what": what, "seconds": time, "frames/s": rate, "a peer / ours": more}

    rows = rival_cells.rows(c.some_frames, found["rivals"])
    for game, ours in found["ours"].items():
        label = TASKS[game].label
        rows.append(row(f"{label}: pixels that change in a step", "", f"{ours['changed']:.2%}"))
        rows += [row(f"{label}: {name}", time, least=0.02) for name, time in ours["times"].items()]
    for name, (alone, shared) in found["beside"]["times"].items():
        rows.append(row(f"{TASKS[c.games[0]].label}: {name}, beside a busy process", shared, f"{shared / alone:.2f}"))
    names = f"a head, {EPOCHS} epochs", "its matrix products alone"
    rows += [
        row(f"{TASKS[c.games[0]].label}: {name}", t) for name, t in zip(names, found["beside"]["training"], strict=True)
    ]
    ours = found["ours"][c.games[0]]["times"]
    against = {
        **dict.fromkeys(peers.GRAMS, ours["moments"]),
        **dict.fromkeys(peers.CODES, ours["encode"]),
        "deeptime Covariance": ours["moments"],
        "the emulator alone, one process": ours["encode"],
    }
    fit = ours["moments"] + ours["canonical directions"]
    return rows + [row(name, t, f"{t / against.get(name, fit):,.3g}") for name, t in found["peers"]["times"].items()]


def verdicts(c: Config, found: dict[str, Any]) -> list[Verdict]:
    """On every bound of the claim."""
    ours = found["ours"][c.games[0]]["times"]
    busiest, label = found["ours"][c.games[-1]]["times"], TASKS[c.games[-1]].label
    per_pass, peak = ours["moments"] / ours["one numpy pass over the bytes"], found["ours"][c.games[0]]["peak"]
    moments, least = rival_cells.least_ratio(found["rivals"], "moments")
    still = {key: rival for key, rival in found["rivals"].items() if rival["changed"] < STILL}
    encode, hardest = rival_cells.least_ratio(still, "encode")
    busy = found["rivals"][c.games[-1], 84]
    near = busy["ours"]["encode"] / busy["arithmetic"]
    slower = max(busiest[name] / busiest[f"{name}, dense"] for name in ("moments", "encode"))
    step, refit = ours["online step, 1 environment"] * 1e6, ours["update by one frame + refit"] * 1e3
    slowest = max(shared / alone for alone, shared in found["beside"]["times"].values())
    over = found["beside"]["training"][0] / found["beside"]["training"][1]
    gram, same = found["peers"]["gram_error"], found["peers"]["feature_error"]
    of_gram = "largest relative difference below 1e-4 (theirs in float32)"
    judged = stats_ci.measured
    return [
        judged("moments / pass", "moments within 10 times one numpy pass over the bytes", per_pass, per_pass <= 10, 10),
        judged(
            "peer / moments", f"moments at least {FASTER_MOMENTS} times faster than the fastest peer (least: {least})",
            moments, moments >= FASTER_MOMENTS, FASTER_MOMENTS,
        ),
        judged(
            "peer / encode", f"encoding at least {FASTER_ENCODING} times faster than the fastest peer where fewer than "
            f"{STILL:.0%} of the pixels change (least: {hardest})", encode, encode >= FASTER_ENCODING, FASTER_ENCODING,
        ),
        judged(
            "encode / arithmetic", f"{label}: encoding takes at most {NEAR} times as long as its products alone", near,
            near <= NEAR, NEAR,
        ),
        judged("chosen / dense", f"{label}: no slower than the dense loops (within 10 %)", slower, slower <= 1.1, 1.1),
        judged("online step", "online step of one environment within 60 microseconds", step, step <= 60, 60),
        judged("update and refit", "update by one frame and refit within 1 ms", refit, refit <= 1, 1),
        judged("busy", f"beside a busy process at most {SLOWER} times slower", slowest, slowest <= SLOWER, SLOWER),
        judged(
            "head / products", f"a head is trained within {OVER_PRODUCTS} times the time of its matrix products, on "
            "one core", over, over <= OVER_PRODUCTS, OVER_PRODUCTS,
        ),
        judged("peak", "peak memory of our part under 1.5 GB", peak, peak < 1.5, 1.5),
        judged("gram", f"Gram matrices agree: {of_gram}", gram, gram <= AGREE, AGREE),
        judged("features", "features agree: largest difference below 1e-4 of the largest", same, same <= AGREE, AGREE),
    ]  # fmt: skip


def report(c: Config, found: dict[str, Any]) -> Report:
    """Times, ratios, verdicts."""
    note = (
        f"The libraries fit {c.windows:,} windows of single pixels drawn at random, the network {c.network_frames:,} "
        "frames, the emulator 3,000 steps; their times are scaled to all. What a peer's time is divided by: moments, "
        "encoding (also for the emulator), or moments and canonical directions together."
        + ("" if peers.CODES[-1] in found["peers"]["times"] else " Here torch could not compile.")
    )
    arrays = {"gram": np.array(found["peers"]["gram"])}
    return Report(table(c, found), verdicts(c, found), notes=[note], arrays=arrays)


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
