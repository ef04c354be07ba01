"""What decides every number on RESULTS.md, computed from results/cells/ by other code than the stages'.

`TABLE` says for every result how its verdicts follow from cells: by id, one number per seed (n,), the rule that judges
them and the rule's bound. A result under the original's recipe follows as its twin does. Nothing of src/ is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from measured_cells import Cells
from verdict_rules import Found, above, above_or_equal, at_least, below, equal

BEST = {"breakout": "predictive", "space_invaders": "dodging", "asteroids": "aiming", "enduro": "planning"}  # experts
MARGINS = {"pong": 2.0, "breakout": 5.0, "space_invaders": 50.0, "asteroids": 150.0, "enduro": 20.0}  # points
TARGETS = {"winning": 8.0, "predictive": 40.0, "dodging": 450.0}  # points that clones of these experts should exceed


def dead_leaves(c: Cells) -> dict[str, Found]:
    def by_noise(unit: int, name: str) -> dict[float, np.ndarray]:
        return {
            noise: c.each(c.name, lambda r: r["lobes"][unit][name], condition="dead leaves", noise=noise)
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
    groups = {"raw(t,t-1)": "raw", "raw, 8 frames": "raw", "L1, third": "L1", "L1": "L1", "L1 random filters": "L1",
              "temporal PCA": "L1", "L2": "L2"}  # fmt: skip
    pairs = (("L1, third", "raw(t,t-1)"), ("L2", "L1"), ("L1", "L1 random filters"), ("L1", "temporal PCA"),
             ("L1, third", "raw, 8 frames"))  # fmt: skip
    of = {group: c.of(recipe="ours") if group == "raw" else c for group in groups.values()}  # pixels have no recipe
    r2 = {
        code: of[group].each("pong_probes", lambda r: r["r2"][code], group=group)  # noqa: B023
        for code, group in groups.items()
    }
    return {
        f"{target}: {code} > {other}": Found((r2[code] - r2[other])[:, start:stop].mean(axis=1))
        for target, (start, stop) in targets.items()
        for code, other in pairs
    }


def action_probes(c: Cells) -> dict[str, Found]:
    def ahead(code: str, group: str) -> np.ndarray:
        """R2 of the paddle four steps on."""
        return c.each(c.name, lambda r: r["r2"][code][1], group=group)

    beside = ahead("raw(t,t-1) + actions", "raw") - ahead("raw(t,t-1)", "raw")
    inside = ahead("L1 on actions", "inside") - ahead("L1", "beside")
    return {"raw(t,t-1) + actions > raw(t,t-1)": Found(beside), "L1 on actions = L1": Found(inside, equal, 0.02)}


def clones(c: Cells) -> dict[str, Found]:
    """Clones of one expert; with aggregation on ReSU alone, and on random filters where these differ from it."""
    game = c.config.get("game", "pong")
    its = c.of(game=game, expert=c["expert"] or BEST[game])
    resu, expert = its.scores("clones", row="resu mlp"), its.scores("players")
    others = set(c["rows"]) - {"random", "expert", "resu mlp"}
    if c["dagger_rounds"]:
        others &= {"filters mlp"} if c["memory"] > 4 else set()
    by_row = {row: its.scores("clones", row=row) for row in others}
    by_row["random"] = its.scores("players", expert="random")
    found = {f"resu mlp > {row}": Found(resu - values) for row, values in by_row.items()}
    found["clone = expert"] = Found(resu - expert, equal, MARGINS[game])
    if {"raw linear", "resu linear"} <= others:
        found["resu linear > raw linear"] = Found(by_row["resu linear"] - by_row["raw linear"])
    if its["expert"] in TARGETS:
        found["clone > target"] = Found(resu, above, TARGETS[its["expert"]])
    return found


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
    network, resu = ({"shelf": c.name, "label": name} for name in ("DQN CNN, end to end", "ReSU + MLP 256x2"))
    seconds = [c.each(number=lambda r: r["seconds"], **its) for its in (network, resu)]
    return {
        "CNN = ReSU": Found(c.scores(**network) - c.scores(**resu), equal, 2.0),
        "seconds: CNN > ReSU": Found(np.log10(seconds[0]) - np.log10(seconds[1])),
    }


def matrix(c: Cells) -> dict[str, Found]:
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
            found[f"{source} > {target}: frozen = native"] = Found(lost, equal, MARGINS[target])
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


def gauge(c: Cells) -> dict[str, Found]:
    """What is given back to a kept head, less nine tenths of what it lost."""
    backs = ("means", "gains", "means, gains", "span", "span, means", "random span, means", "head refitted")
    found = {}
    for pair in c["pairs"]:
        home, other = pair.split(" > ")
        after = {back: c.scores("transfer_gauge", home=home, other=other, back=back) for back in ("nothing", *backs)}
        most = 0.9 * (c.scores(**adapted(c, home, home, "native"), sticky=0.25) - after["nothing"])
        found |= {f"{pair}: {back}": Found(after[back] - after["nothing"] - most) for back in backs}
        found[f"{pair}: span > random"] = Found(after["span, means"] - after["random span, means"])
    return found


def last_scores(steps: int) -> Callable[[Any], float]:
    """Mean score after so many steps of learning."""
    return lambda result: float(np.mean(result["scores"][str(steps)]))


def dqn(c: Cells) -> dict[str, Found]:
    """Arms after as many steps as the original's."""
    steps = c["steps"]
    runs = {
        "features": {"view": "features", "steps": c["more_steps"]},  # the same run goes on
        "frames": {"view": "frames", "steps": steps},
        "slow": {"view": "features", "steps": steps, "explore": c["slow_explore"], "recipe's epsilon": 0.01},
        "original": {"view": "features", "steps": steps, "explore": steps, "recipe's epsilon": 0.1},
    }
    learned = {arm: c.each("dqn_pong", last_scores(steps), **runs[arm]) for arm in c["arms"]}
    found = {f"{arm}, {steps / 1e6:g} M < -15": Found(values, below, -15.0) for arm, values in learned.items()}
    if {"features", "frames"} <= learned.keys():
        found["features > frames"] = Found(learned["features"] - learned["frames"])
    return found


def begun_as_a_clone(c: Cells) -> dict[str, Found]:
    def worst_tenth(result: Mapping[str, Any]) -> float:
        tenths = np.array_split(np.array(result["curve"], float), 10)
        return min(np.nanmean(part) for part in tenths if np.isfinite(part).any())

    def worst(arm: str, watch: int) -> np.ndarray:
        return c.each(c.name, worst_tenth, arm=arm, watch=watch, calibration=0, leash=0.0)

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


def sign_changes(taps: np.ndarray) -> int:
    """Among taps of a twentieth of the largest one or more."""
    large = taps[np.abs(taps) >= 0.05 * np.abs(taps).max()]
    return int((large[1:] * large[:-1] < 0).sum())


def shapes(c: Cells) -> dict[str, Found]:
    """Filters of five games under three recipes, all in one cell per seed; two in a result from before the third."""
    games, found = ("pong", "breakout", "space_invaders", "asteroids", "enduro"), {}
    version = 2 if "recipe" in c.config else 1
    for recipe in ("centred", "uncentred", "original")[: version + 1]:
        banks = c.of(recipe="ours").each(
            "asteroids_enduro_stress",
            lambda r: [r[recipe][game]["filters"] for game in games],  # noqa: B023
            part="filters",
            version=version,
        )  # (seeds, games, 4, 8)
        units = banks / np.linalg.norm(banks, axis=-1, keepdims=True)
        pairs = np.stack([np.abs((units[:, a] * units[:, b]).sum(axis=-1)) for a, b in combinations(range(5), 2)])
        once = np.array([np.mean([sign_changes(its[1]) == 1 for its in bank]) for bank in banks])
        alike = pairs.mean(axis=0)
        found |= {
            f"{recipe}: filter 1 alike": Found(pairs[:, :, 0].min(axis=0), above, 0.9),
            f"{recipe}: filter 2 alike": Found(pairs[:, :, 1].min(axis=0), above, 0.9),
            f"{recipe}: filter 2 has one sign change": Found(once, above, 0.9),
            f"{recipe}: filter 2 more alike than filter 1": Found(alike[:, 1] - alike[:, 0]),
        }
    return found


def stress(c: Cells) -> dict[str, Found]:
    native = ("native", "Pong", "random filters", "temporal PCA", "raw(t,t-1)")
    alpha = 0.99 if c.config.get("recipe", "ours") == "original" else 0.9
    flat = {"part": "stream", "target": "asteroids", "alpha": alpha}
    kept = c.each("asteroids_enduro_stress", lambda r: r[-1]["cosine"][0], **flat)
    found = {"forgetting stream to Asteroids: filter 1 native": Found(kept, above, 0.95)}
    for game in ("asteroids", "enduro"):
        auc = c.each("asteroids_enduro_stress", lambda r: [r["auc"][code] for code in native], part="reward", game=game)
        gains = {code: auc[:, 0] - auc[:, i] for i, code in enumerate(native) if i}
        found |= {f"{game}: native > {code}": Found(gain) for code, gain in gains.items()}
        found[f"{game}: native = Pong"] = Found(gains["Pong"], equal, 0.01)
    return found | shapes(c)


def ppo(c: Cells, targets: Sequence[float]) -> dict[str, Found]:
    def learned(view: str, steps: int, segment: int) -> np.ndarray:
        asked = {"view": view, "steps": steps, "segment": segment, "start": "nothing", "critic_first": 0}
        return c.each("ppo", last_scores(steps), **asked)

    features = learned("features", c["steps"], c["segment"])
    found = {f"features > {target:g}": Found(features, above, target) for target in targets}
    if "frames" in c["views"]:
        frames = learned("frames", c["frames_steps"], c["frames_segment"])
        found["minutes: features > frames"] = Found(features - frames)
        found["steps: features > frames"] = Found(ppo_on_the_way(c))
    return found


def ppo_on_the_way(c: Cells) -> np.ndarray:
    """Returns of training games in the last fifth of the shorter run, features less frames."""
    stop, means = min(c["steps"], c["frames_steps"]), []
    for view, steps in (("features", c["steps"]), ("frames", c["frames_steps"])):
        asked = {"view": view, "steps": steps, "start": "nothing", "critic_first": 0}
        asked["segment"] = c["segment" if view == "features" else "frames_segment"]
        curves = c.each("ppo", lambda r: r["curve"], **asked)
        at = (np.arange(curves.shape[1]) + 0.5) * steps / curves.shape[1]
        means.append(np.nanmean(curves[:, (at > 0.8 * stop) & (at < stop)], axis=1))
    return means[0] - means[1]


def ppo_from_a_clone(c: Cells) -> dict[str, Found]:
    asked = {"start": "pong_winning", "grid": [28, 12]}  # the clone's cells
    final = c.each("ppo", last_scores(c["steps"]), **asked)
    return {"learned > clone": Found(final - c.each("ppo", lambda r: np.mean(r["clone"]), **asked))}


def rivals(c: Cells) -> dict[tuple[str, int], Any]:
    """The newest timings against the fastest peers: by game, and by width of frames or 0 for the whole screen."""
    first, last = c["games"][0], c["games"][-1]
    places = [(game, size) for game in c["games"] for size in ((84, 0) if game in (first, last) else (84,))]
    return {
        (game, size): c.one(c.name, game=game, size=size, n_frames=c["some_frames"], repeats=c["torch_repeats"])
        for game, size in places
    }


def faster(rival: Mapping[str, Any], what: str) -> float:
    """How many times the fastest peer's rate ours is; peers that encode are convolutions."""
    peers = [s for name, s in rival["peers"].items() if ("conv2d" in name) == (what == "encode")]
    return min(peers) / rival["ours"][what]


def speed(c: Cells) -> dict[str, Found]:
    found = rivals(c).values()
    moments = min(faster(rival, "moments") for rival in found)
    encode = min(faster(rival, "encode") for rival in found if rival["changed"] < 0.02)
    return {
        "peer / moments": Found(np.array([moments]), at_least, 4.0),
        "peer / encode": Found(np.array([encode]), at_least, 15.0),
    }


def play(c: Cells) -> dict[str, Found]:
    def ratio(clone: str, refits: int = 0) -> np.ndarray:
        bare, played = np.transpose(c.one(c.name, clone=clone, refits=refits)["rates"])
        return np.array([np.median(played / bare)])

    first = c["clones"][0]
    return {
        **{clone: Found(ratio(clone), at_least, 0.9) for clone in c["clones"]},
        **{
            f"{first}, fitted anew every {n} steps": Found(ratio(first, n), at_least, 0.9) for n in c["refits"] if n > 1
        },
    }


RULES: Mapping[str, Callable[[Cells], dict[str, Found]]] = {
    "probe_deadleaves": dead_leaves,
    "probe_pong": pong_probes,
    "probe_pong_long": pong_probes,
    "probe_pong_action": action_probes,
    "bc_pong": clones,
    "bc_pong_winning": clones,
    "bc_pong_balanced": clones,
    **{f"bc_games_{game}": clones for game in BEST},
    **{f"bc_games_{game}_dagger": clones for game in ("breakout", "space_invaders")},
    "bc_games_breakout_dagger_selecting": clones,
    "bc_breakout": pong_to_breakout,
    "bc_pong_cnn": pong_network,
    "transfer_matrix": matrix,
    "transfer_forgetting": forgetting,
    "dqn_pong": dqn,
    "dqn_pong_warmstart": begun_as_a_clone,
    "transfer_gauge": gauge,
    "depth_ablation_si": depth,
    "asteroids_enduro_stress": stress,
    "ppo_pong": lambda c: ppo(c, (0.0, 17.0)),
    "ppo_pong_breakout": lambda c: ppo(c, (12.3,)),
    "ppo_pong_space_invaders": lambda c: ppo(c, (466.0,)),
    "ppo_pong_clone": ppo_from_a_clone,
    "bench_core": speed,
    "bench_play": play,
}
TWINS = ("probe_pong", "probe_pong_long", "bc_breakout", "transfer_matrix", "transfer_forgetting", "transfer_gauge",
         "depth_ablation_si",
         "asteroids_enduro_stress")  # fmt: skip
TABLE = RULES | {f"{name}_original": RULES[name] for name in (*TWINS, "dqn_pong")}
