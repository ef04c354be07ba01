"""The verdicts of stages 17 and 18 follow from their cells: computed anew, by code that imports nothing of theirs."""

import json
from pathlib import Path

import numpy as np
import pytest

from measured_cells import shelf_of
from verdict_rules import interval

RESULTS = Path(__file__).resolve().parent.parent / "results"


def result(name):
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"{name} has not been computed yet")
    document = json.loads(path.read_text())
    return document["config"], {verdict["id"]: verdict for verdict in document["verdicts"]}


def agrees(verdict, values, word):
    found = verdict["estimate"]
    low, high = interval(values)
    assert np.allclose([found["mean"], found["low"], found["high"]], [np.mean(values), low, high], atol=1e-12)
    assert (found["n"], verdict["verdict"]) == (len(values), word(low, high))


def positive(low, high):
    return "supported" if low > 0 else "refuted" if high < 0 else "undecided"


def test_motion():
    config, verdicts = result("probe_motion")
    cells = {}
    for options, found in shelf_of(RESULTS / "cells" / "motion"):
        if (options["scenes"], options["n_random"], options["n_steps"]) == (
            config["scenes"],
            config["n_random"],
            config["n_steps"],
        ):
            cells.setdefault(options["arm"], {})[tuple(options["train"])] = found
    sets = list(cells["as released"])
    assert len(sets) == config["sets"] and len({i for its in sets for i in its}) == sum(map(len, sets)) == 25

    def each(arm, number):
        return np.array([number(cells[arm][its]) for its in sets])

    def on_edges(unit):
        return lambda cell: (cell[unit]["edges"][0][0] - cell[unit]["edges"][0][1]) / sum(cell[unit]["edges"][0])

    released = each("as released", on_edges("unit_2"))
    agrees(verdicts["ON edges"], released, positive)
    agrees(verdicts["ON edges, untrained"], released - each("as released", on_edges("untrained")), positive)
    for arm in ("unrelated rows", "phase-randomised", "blurred white", "permuted layer 1", "both directions"):
        agrees(verdicts[f"released - {arm}"], released - each(arm, on_edges("unit_2")), positive)
    share = each("as released", lambda c: max(c["unit_2"]["edges"][1]) / c["unit_2"]["edges"][0][0])
    agrees(verdicts["one edge alone"], share, lambda low, high: positive(0.25 - high, 0.25 - low))
    single = each("as released", lambda c: c["unit_2"]["gratings"] - np.median(c["random_single"]))
    agrees(verdicts["gratings, random"], single, positive)
    weights = np.array([0.66, 0.11, 0.42, -0.19, -1.06, -0.03])
    cosines = each("as released", lambda c: _cosine(np.array(c["weights"]), weights))
    agrees(verdicts["weights"], cosines, lambda low, high: positive(low - 0.95, high - 0.95))
    for arm in ("as released", "fair, one direction", "fair, 3 x 3 patches, one direction"):
        for where in ("gratings", "rows"):
            gain = each(arm, lambda c: c["learned"][where] - np.median(c["random"][where]))  # noqa: B023
            agrees(verdicts[f"{arm}: {where}"], gain, positive)
    for arm in ("both directions", "fair", "fair, ON and OFF", "fair, 3 x 3 patches"):
        pairs = each(arm, lambda c: (c["paired"] or {"gratings": 0})["gratings"] - np.median(c["random"]["gratings"]))
        agrees(verdicts[f"{arm}: pairs"], pairs, positive)
        found = verdicts[f"{arm}: none"]["estimate"]
        assert found["mean"] == pytest.approx(each(arm, lambda c: c["learned"]["gratings"]).mean(), abs=1e-12)


def _cosine(a, b):
    return abs(a @ b) / np.sqrt((a @ a) * (b @ b))


def test_lamina():
    config, verdicts = result("probe_lamina")
    cells = {}
    for options, found in shelf_of(RESULTS / "cells" / "lamina"):
        if not options["pool"] and options["scenes"] == config["scenes"]:
            cells.setdefault((options["input"], options["noise"]), {})[options["part"]] = found

    def each(number, noise=0.05, name="natural"):
        its = cells[name, noise]
        assert sorted(its) == list(range(config["sets"]))
        return np.array([number(its[part]) for part in sorted(its)])

    def kept(unit):
        return lambda cell: cell["staircase"][unit]["sustained"]

    def part(id, label):
        return {"estimate": verdicts[id]["estimate"][label], "verdict": verdicts[id]["verdict"]}

    l3, l2, l1 = each(kept(0)), each(kept(1)), each(kept(1), 0.5)
    agrees(part("L3: keeps a level", "L3"), l3, lambda low, high: positive(low - 0.25, high - 0.25))
    agrees(part("L2: transient", "L2"), l2, lambda low, high: positive(0.1 - high, 0.1 - low))
    agrees(part("L1: between", "L1 - L2"), l1 - l2, positive)
    agrees(part("L1: between", "L3 - L1"), l3 - l1, positive)
    agrees(part("L1: plateau's side", "L1"), each(lambda cell: cell["staircase"][1]["signed"], 0.5), positive)
    zero = {noise: each(lambda cell: cell["lobes"][1]["first_zero"], noise) for noise in (0.005, 0.05, 0.5)}
    for a, b in ((0.005, 0.05), (0.05, 0.5)):
        agrees(part("filter 2: later first zero", f"{a:g} to {b:g}"), zero[b] - zero[a], positive)
