"""What decides each claim, headline and finding, computed from results/cells/ by other code than the stages'.

A cell is one measurement: {"options": what names it, "result": what was measured}. `TABLE` says for every result how
its verdicts follow from cells: by id, one number per seed (n,), the rule that judges them and the rule's bound. Nothing
of src/ is imported.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from verdict_rules import Found, above, above_or_equal, at_least, below, equal

# Options that neither a cell nor a result's config names while they are as always.
DEFAULTS = {"max_steps": 27_000, "max_over": 2, "source": "ram", "experts": "original", "chunk": 1_000,
            "clone_epochs": 6, "evaluate_at": [500_000], "recipe": "ours"}  # fmt: skip
BEST = {"breakout": "predictive", "space_invaders": "dodging", "enduro": "planning"}  # experts


@functools.cache
def shelf_of(folder: Path) -> list[tuple[dict[str, Any], Any]]:
    """(options, result) of every cell in a folder; those of an algorithm's recipe count as the cell's own."""
    found = []
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_text())
        options = document["options"]
        if isinstance(recipe := options.get("recipe"), dict):
            options = recipe | {name: value for name, value in options.items() if name != "recipe"}
        found.append((DEFAULTS | options, document["result"]))
    return found


@dataclass(frozen=True)
class Cells:
    """The cells of one result: folder/<shelf>/*.json, chosen by the options in the result's own config."""

    folder: Path
    config: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.config[name]

    def one(self, shelf: str, **asked: Any) -> Any:
        """Result of the one cell that has all asked options, and of the config's those that it has at all.

        Raises   LookupError if there is none, or more than one.
        """
        wanted = DEFAULTS | self.config | asked
        fitting = [
            (options, result)
            for options, result in shelf_of(self.folder / shelf)
            if asked.keys() <= options.keys() and all(wanted[name] == options[name] for name in wanted.keys() & options)
        ]
        if len(fitting) != 1:
            raise LookupError(f"{len(fitting)} cells of {shelf} fit {asked}: {[options for options, _ in fitting]}")
        return fitting[0][1]

    def each(self, shelf: str, number: Callable[[Any], Any], **asked: Any) -> np.ndarray:
        """number(result) for each seed of the config."""
        first = self.config.get("first_seed", 0)
        seeds = range(first, first + self["seeds"])
        return np.array([number(self.one(shelf, seed=seed, **asked)) for seed in seeds], float)

    def of(self, **other: Any) -> Cells:
        """The same with other options in place of the config's."""
        return replace(self, config={**self.config, **other})

    def scores(self, shelf: str, **asked: Any) -> np.ndarray:
        """(n seeds,) means over the games of each seed."""
        return self.each(shelf, lambda result: np.mean(result["scores"]), **asked)


# Results


def dead_leaves(c: Cells) -> dict[str, Found]:
    def by_noise(unit: int, name: str) -> dict[float, np.ndarray]:
        return {
            noise: c.each("probe_deadleaves", lambda r: r["lobes"][unit][name], condition="dead leaves", noise=noise)
            for noise in c["noise"]
        }

    share, depth, count = by_noise(0, "first_share"), by_noise(1, "depth"), by_noise(1, "count")
    rises = {f"{a:g} to {b:g}": count[b] - count[a] for a, b in pairwise(c["noise"])}
    return {
        "filter 1: first lobe": Found({f"{noise:g}": values for noise, values in share.items()}, above, 0.8),
        "filter 2: depth": Found({f"{noise:g}": values for noise, values in depth.items()}, below, -0.25),
        "filter 2: fewer lobes": Found(rises, below, 0.0),
    }


def pong_probes(c: Cells) -> dict[str, Found]:
    targets = {"ball xy[t]": (0, 2), "ball xy[t+4]": (2, 4), "ball velocity": (4, 6), "paddle y[t]": (6, 7),
               "paddle y[t+4]": (7, 8)}  # fmt: skip
    groups = {"raw(t,t-1)": "raw", "L1, third": "L1", "L1": "L1", "L2": "L2"}
    of = {group: c.of(recipe="ours") if group == "raw" else c for group in groups.values()}  # pixels have no recipe
    r2 = {
        code: of[group].each("pong_probes", lambda r: r["r2"][code], group=group)  # noqa: B023
        for code, group in groups.items()
    }
    return {
        f"{target}: {code} > {other}": Found((r2[code] - r2[other])[:, start:stop].mean(axis=1))
        for target, (start, stop) in targets.items()
        for code, other in (("L1, third", "raw(t,t-1)"), ("L2", "L1"))
    }


def action_probes(c: Cells) -> dict[str, Found]:
    def ahead(code: str, group: str) -> np.ndarray:
        """R2 of the paddle four steps on."""
        return c.each("probe_pong_action", lambda r: r["r2"][code][1], group=group)

    beside = ahead("raw(t,t-1) + actions", "raw") - ahead("raw(t,t-1)", "raw")
    inside = ahead("L1 on actions", "inside") - ahead("L1", "beside")
    return {"raw(t,t-1) + actions > raw(t,t-1)": Found(beside), "L1 on actions = L1": Found(inside, equal, 0.02)}


def pong_clones(c: Cells) -> dict[str, Found]:
    def clone(row: str) -> np.ndarray:
        return c.scores("clones", row=row, game="pong")

    resu, linear = clone("resu mlp"), clone("resu linear")
    expert = c.scores("players", game="pong", expert=c["expert"])
    others = {"resu linear": linear, **{row: clone(row) for row in ("raw mlp", "filters mlp", "pca mlp")}}
    return {
        "clone = expert": Found(resu - expert, equal, 2.0),
        "resu linear > raw linear": Found(linear - clone("raw linear")),
        **{f"resu mlp > {row}": Found(resu - its) for row, its in others.items()},
    }


def clone_of_the_best(c: Cells, game: str, expert: str, target: float) -> dict[str, Found]:
    return {"clone > target": Found(c.scores("clones", row="resu mlp", game=game, expert=expert), above, target)}


def enduro_clones(c: Cells) -> dict[str, Found]:
    def clone(row: str) -> np.ndarray:
        return c.scores("clones", row=row, game="enduro", expert=BEST["enduro"])

    return {f"resu mlp > {row}": Found(clone("resu mlp") - clone(row)) for row in ("filters mlp", "pca mlp")}


def adapted(c: Cells, source: str, target: str, arm: str, n_stream: int = 0) -> dict[str, Any]:
    """Shelf and options of clones on an encoder that was fitted on the source and goes on to the target."""
    games, alpha = c.config.get("n_games", c["games"]), 0.99 if n_stream else 1.0
    return {"shelf": "adaptation", "source": source, "target": target, "arm": arm, "n_stream": n_stream,
            "alpha": alpha, "games": games}  # fmt: skip


def pong_to_breakout(c: Cells) -> dict[str, Found]:
    stream = adapted(c, "pong", "breakout", "streamed", c["n_frames"])
    streamed, frozen = c.scores(**stream), c.scores(**adapted(c, "pong", "breakout", "frozen"))
    native = c.scores(**adapted(c, "breakout", "breakout", "native"))
    random = c.scores(**adapted(c, "breakout", "breakout", "random filters"))
    return {
        "streamed 0.99 = native": Found(streamed - native, equal, 5.0),
        "streamed 0.99 > frozen": Found(streamed - frozen),
        "streamed 0.99: filter 1 kept": Found(c.each(number=lambda r: r["twins"][0], **stream), above, 0.99),
        "streamed 0.99: filters 3, 4 kept": Found(c.each(number=lambda r: max(r["twins"][2:]), **stream), above, 0.9),
        "native > frozen": Found(native - frozen),
        "native > random": Found(native - random),
    }


def pong_network(c: Cells) -> dict[str, Found]:
    network, resu = ({"shelf": "bc_pong_cnn", "label": name} for name in ("DQN CNN, end to end", "ReSU + MLP 256x2"))
    seconds = [c.each(number=lambda r: r["seconds"], **its) for its in (network, resu)]
    return {
        "CNN = ReSU": Found(c.scores(**network) - c.scores(**resu), equal, 2.0),
        "seconds: CNN > ReSU": Found(np.log10(seconds[0]) - np.log10(seconds[1])),
    }


def matrix(c: Cells) -> dict[str, Found]:
    margins = {"pong": 2.0, "breakout": 5.0, "space_invaders": 50.0}

    most = c.of(seeds=c["breakout_seeds"])

    def on_breakout(n_stream: int) -> np.ndarray:
        return most.scores(**adapted(c, "pong", "breakout", "streamed" if n_stream else "frozen", n_stream))

    best, last = c["timescale"][1], c["timescale"][-1]
    found = {f"timescale: {best} > {n}": Found(on_breakout(best) - on_breakout(n)) for n in (0, last)}
    for source in c["games"]:
        for target in (game for game in c["games"] if game != source):
            its = most if (source, target) == ("pong", "breakout") else c
            frozen = its.scores(**adapted(c, source, target, "frozen"))
            gain = its.scores(**adapted(c, source, target, "streamed", c["n_frames"])) - frozen
            lost = frozen - its.scores(**adapted(c, target, target, "native"))
            found[f"{source} > {target}"] = Found(gain)
            found[f"{source} > {target}: frozen = native"] = Found(lost, equal, margins[target])
    return found


def forgetting(c: Cells) -> dict[str, Found]:
    def arm(label: str) -> np.ndarray:
        its = c.of(recipe="ours") if label.startswith("CNN") else c  # networks have no recipe
        return its.scores("transfer_forgetting", label=label)

    before, other = (c.scores(**adapted(c, game, game, "native")) for game in ("pong", "breakout"))
    kept = ("head kept", "head refitted", "head, means, gains and filters 3, 4 kept")
    tuned = "CNN, fine-tuned: last layer refitted"
    return {
        **{f"ReSU, alpha 0.99: {it}": Found(arm(f"ReSU, alpha 0.99: {it}") - before, equal, 2.0) for it in kept},
        tuned: Found(arm(tuned) - arm("CNN: before"), equal, 2.0),
        "Breakout: CNN > ReSU": Found(arm("CNN on Breakout, from scratch") - other),
    }


def last_scores(steps: int) -> Callable[[Any], float]:
    """Mean score after so many steps of learning."""
    return lambda result: float(np.mean(result["scores"][str(steps)]))


def dqn(c: Cells) -> dict[str, Found]:
    steps = c["steps"]

    def learned(view: str, in_all: int) -> Found:
        return Found(c.each("dqn_pong", last_scores(steps), view=view, steps=in_all), below, -15.0)

    million = f"{steps / 1e6:g} M < -15"
    return {
        f"features, {million}": learned("features", c["more_steps"]),  # the same run goes on
        f"frames, {million}": learned("frames", steps),
    }


def begun_as_a_clone(c: Cells) -> dict[str, Found]:
    def worst_tenth(result: Mapping[str, Any]) -> float:
        tenths = np.array_split(np.array(result["curve"], float), 10)
        return min(np.nanmean(part) for part in tenths if np.isfinite(part).any())

    def worst(arm: str, watch: int) -> np.ndarray:
        return c.each("dqn_pong_warmstart", worst_tenth, arm=arm, watch=watch, calibration=0, leash=0.0)

    further = worst("naive", min(1_000, c["watch"])) - worst("frozen", 2 * c["steps"])  # from the same clone's score
    return {"naive against frozen": Found(further, below, -3.0)}


def depth(c: Cells) -> dict[str, Found]:
    targets = ("ship x", "formation y", "alive", "alive pixels", "bullet pixels")
    codes = ("L1", "L2", "L3", "L1+L2", "L1+L2+L3")
    probed = {"shelf": "depth_ablation_si", "group": "resu"}
    r2 = {code: c.each(number=lambda r: r["r2"][code], **probed) for code in codes}  # noqa: B023
    found = {
        f"{target}: {code} > {other}": Found(r2[code][:, q] - r2[other][:, q], above_or_equal, 0.005)
        for q, target in enumerate(targets)
        for code, other in (("L1+L2+L3", "L1+L2"), ("L2", "L1"), ("L3", "L1"))
    }
    found["bullet pixels: L1 > original"] = Found(r2["L1"][:, 4] - 1.0)
    eighth = c.each(number=lambda r: r["spectra"][1][7], **probed)
    return {**found, "L2: smallest correlation > original": Found(eighth, above, 0.9958)}


def stress(c: Cells) -> dict[str, Found]:
    games = ("pong", "breakout", "space_invaders", "asteroids", "enduro")
    shelf, flat = "asteroids_enduro_stress", {"part": "stream", "target": "asteroids", "alpha": 0.9}
    banks = c.each(shelf, lambda r: [r["uncentred"][game]["filters"] for game in games], part="filters")
    units = banks / np.linalg.norm(banks, axis=-1, keepdims=True)  # (seeds, games, 4, 8)
    alike = sum(np.abs((units[:, a] * units[:, b]).sum(axis=-1)) for a, b in combinations(range(5), 2)) / 10

    def once(taps: np.ndarray) -> bool:
        large = taps[np.abs(taps) >= 0.05 * np.abs(taps).max()]
        return (large[1:] * large[:-1] < 0).sum() == 1

    auc = {"part": "reward", "game": "asteroids"}
    return {
        "uncentred: filter 2 has one sign change": Found(
            np.array([np.mean([once(its[1]) for its in bank]) for bank in banks]), above, 0.9
        ),
        "uncentred: filter 2 more alike than filter 1": Found(alike[:, 1] - alike[:, 0]),
        "forgetting stream to Asteroids: filter 1 native": Found(
            c.each(shelf, lambda r: r[-1]["cosine"][0], **flat), above, 0.95
        ),
        "asteroids: native = Pong": Found(
            c.each(shelf, lambda r: r["auc"]["native"] - r["auc"]["Pong"], **auc), equal, 0.01
        ),
    }


def ppo(c: Cells, targets: Sequence[float]) -> dict[str, Found]:
    def learned(view: str, steps: int, segment: int) -> np.ndarray:
        asked = {"view": view, "steps": steps, "segment": segment, "start": "nothing", "critic_first": 0}
        return c.each("ppo", last_scores(steps), **asked)

    features = learned("features", c["steps"], c["segment"])
    found = {f"features > {target:g}": Found(features, above, target) for target in targets}
    if "frames" in c["views"]:
        frames = learned("frames", c["frames_steps"], c["frames_segment"])
        found["minutes: features > frames"] = Found(features - frames)
    return found


def ppo_from_a_clone(c: Cells) -> dict[str, Found]:
    asked = {"start": "pong_winning", "grid": [28, 12]}  # the clone's cells
    final = c.each("ppo", last_scores(c["steps"]), **asked)
    return {"learned > clone": Found(final - c.each("ppo", lambda r: np.mean(r["clone"]), **asked))}


def speed(c: Cells) -> dict[str, Found]:
    places = [(game, 84) for game in c["games"]] + [(game, 0) for game in (c["games"][0], c["games"][-1])]
    rivals = [
        c.one("bench_core", game=game, size=size, n_frames=c["some_frames"], repeats=c["torch_repeats"])
        for game, size in places
    ]

    def least(what: str, those: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Our rate over the fastest peer's, where that is least; peers that encode are convolutions."""
        encode = what == "encode"
        return np.array([
            min(s / rival["ours"][what] for rival in those for name, s in rival["peers"].items()
                if ("conv2d" in name) == encode)
        ])  # fmt: skip

    still = [rival for rival in rivals if rival["changed"] < 0.02]
    return {
        "peer / moments": Found(least("moments", rivals), at_least, 4.0),
        "peer / encode": Found(least("encode", still), at_least, 15.0),
    }


def play(c: Cells) -> dict[str, Found]:
    def ratio(clone: str) -> np.ndarray:
        bare, played = np.transpose(c.one("bench_play", clone=clone)["rates"])
        return np.array([np.median(played / bare)])

    return {clone: Found(ratio(clone), at_least, 0.9) for clone in c["clones"]}


TABLE: Mapping[str, Callable[[Cells], dict[str, Found]]] = {
    "probe_deadleaves": dead_leaves,
    "probe_pong": pong_probes,
    "probe_pong_action": action_probes,
    "bc_pong": pong_clones,
    "bc_pong_winning": lambda c: clone_of_the_best(c, "pong", "winning", 8.0),
    "bc_games_breakout_dagger": lambda c: clone_of_the_best(c, "breakout", BEST["breakout"], 40.0),
    "bc_games_space_invaders_dagger": lambda c: clone_of_the_best(c, "space_invaders", BEST["space_invaders"], 450.0),
    "bc_games_enduro": enduro_clones,
    "bc_breakout": pong_to_breakout,
    "bc_pong_cnn": pong_network,
    "transfer_matrix": matrix,
    "transfer_forgetting": forgetting,
    "dqn_pong": dqn,
    "dqn_pong_warmstart": begun_as_a_clone,
    "depth_ablation_si": depth,
    "asteroids_enduro_stress": stress,
    "ppo_pong": lambda c: ppo(c, (0.0, 17.0)),
    "ppo_pong_breakout": lambda c: ppo(c, (12.3,)),
    "ppo_pong_space_invaders": lambda c: ppo(c, (466.0,)),
    "ppo_pong_clone": ppo_from_a_clone,
    "bench_core": speed,
    "bench_play": play,
}
