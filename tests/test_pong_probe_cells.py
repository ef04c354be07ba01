"""The Pong probes on planted cells: each code is read from its own group and columns, and judged by them."""

import numpy as np

import pong_probe_cells
import probe_pong
import probe_pong_action
import probe_pong_velocity
from pong_probe_cells import CODES


def planted(gain, seeds=5):
    """R2 of .5 for all codes and columns, more by `gain`: {(code, column): more}; a little noise by seed."""
    rng = np.random.default_rng(0)
    found = {}
    for code in CODES.values():
        for seed, cell in enumerate(found.setdefault(code.group, [{"r2": {}} for _ in range(seeds)])):
            r2 = 0.5 + rng.normal(0, 0.01, 8)
            for (label, column), more in gain.items():
                r2[column] += more * (label == code.label) * (1 + 0.01 * seed)
            cell["r2"][code.label] = r2.tolist()
    return found


def words(report):
    return {verdict.id: verdict.verdict for verdict in report.verdicts}


def test_a_planted_gain_is_found_in_its_target_alone():
    report = probe_pong.report(probe_pong.Config(), planted({("L1, third", 4): 0.3, ("L1, third", 5): 0.3}))
    found = words(report)
    assert found["ball velocity: L1, third > raw(t,t-1)"] == "supported"
    assert found["paddle y[t]: L1, third > raw(t,t-1)"] != "supported"
    row = next(row for row in report.rows if row["code"] == "L1, third")
    assert row["ball velocity"].mean > 0.75 and abs(row["paddle y[t]"].mean - 0.5) < 0.05
    assert [row["code"] for row in report.rows[-4:]] == [f"original: {code}" for code in pong_probe_cells.ORIGINAL]
    assert len({verdict.id for verdict in report.verdicts}) == len(report.verdicts)


def test_velocity_has_a_row_per_code_and_both_coordinates():
    report = probe_pong_velocity.report(probe_pong_velocity.Config(), planted({("L2", 4): 0.46, ("L2", 5): 0.48}))
    row = next(row for row in report.rows if row["code"] == "L2")
    assert abs(row["R2, both"].mean - 0.98) < 0.02
    assert row["R2, horizontal"].mean < row["R2, both"].mean < row["R2, vertical"].mean
    assert words(report)["L2 > L1"] == "supported"


def test_actions_that_change_nothing_are_equivalent():
    rng, found = np.random.default_rng(1), {}
    for code in probe_pong_action.CODES.values():
        for cell in found.setdefault(code.group, [{"r2": {}, "n_quiet": 9} for _ in range(5)]):
            gain = 0.2 if code.beside is not None and not code.beside.drawn else 0.0
            cell["r2"][code.label] = (np.array([0.9, 0.6 + gain]) + rng.normal(0, 0.002, 2)).tolist()
    report = probe_pong_action.report(probe_pong_action.Config(), found)
    assert words(report)["L1 on actions = L1"] == "equivalent"
    assert words(report)["L1 + actions > L1"] == "supported"
    assert words(report)["L1 + other actions > L1"] != "supported"


def test_raw_pixels_are_probed_on_about_as_many_frames_however_many_there_are():
    assert [pong_probe_cells.stride_of(n) for n in (3_500, 60_000, 119_999, 200_000)] == [3, 3, 5, 10]
    assert "on every third frame" in pong_probe_cells.note_on_strides(60_000)
    assert "on every 10th frame" in pong_probe_cells.note_on_strides(200_000)
    assert all(code.third for code in CODES.values() if code.group == "raw" or code.label.endswith(", third"))
