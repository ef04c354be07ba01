"""Stage 17 in small: what a staircase shows of a filter, what PCA and SFA are beside ReSU, and how claims are judged.

Independent references: an ideal step by hand, windows one by one; negative controls: white rows, filters that keep all
or nothing, a filter read backwards.
"""

import dataclasses

import numpy as np
import pytest
from scipy import linalg

import lamina_cells
import natural_scenes
import probe_lamina
from dead_leaves import add_noise
from filter_shapes import cosine
from lamina_cells import INPUTS, MAIN, NATURAL, NOISY, PHASES, PROCESSES, SHUFFLED, WHITE, Setting
from resu_core import canonical_directions

MEMORY = 50
NOISE = (0.005, 0.05, 0.5)
SETS = 6


def rng(seed: int = 17) -> np.random.Generator:
    return np.random.default_rng(seed)


# The staircase


def ideal_index(taps: np.ndarray) -> float:
    """Of a step at once, by hand: its answer runs through the sums of the first taps and ends at that of all."""
    course = [sum(taps[: k + 1]) for k in range(len(taps))]
    return abs(course[-1]) / max(abs(value) for value in course)


def sustained(taps: np.ndarray, **options) -> float:
    return lamina_cells.answers_to(taps, lamina_cells.staircase(len(taps), **options))["sustained"]


@pytest.mark.parametrize("memory", [2, 7, MEMORY])
@pytest.mark.parametrize("seed", range(4))
def test_an_ideal_step_gives_the_exact_index(memory, seed):
    taps = rng(seed).standard_normal(memory).cumsum() - 0.3
    assert sustained(taps, width=0.0) == pytest.approx(ideal_index(taps), abs=1e-9)
    answers = lamina_cells.answers_to(taps, lamina_cells.staircase(memory, rng(), width=5.0))
    assert answers["ideal"] == pytest.approx(ideal_index(taps), abs=1e-12)


def test_an_impulse_keeps_every_level_and_a_difference_keeps_none():
    impulse, difference = np.zeros(MEMORY), np.zeros(MEMORY)
    impulse[0], difference[:2] = 1.0, (1.0, -1.0)
    for options, exact in (({"width": 0.0}, 1e-9), ({}, 1e-3)):
        assert sustained(impulse, **options) == pytest.approx(1, abs=exact)
        assert sustained(difference, **options) == pytest.approx(0, abs=exact)
    assert sustained(np.ones(MEMORY)) == pytest.approx(1, abs=1e-4)


def test_the_plateau_has_a_side():
    taps = np.zeros(MEMORY)
    taps[:2] = (1.0, -1.2)
    answers = lamina_cells.answers_to(taps, lamina_cells.staircase(MEMORY, width=0.0))
    assert answers["signed"] == pytest.approx(-0.2) and answers["sustained"] == pytest.approx(0.2)
    assert (np.sign(answers["transients"]) == [1, 1, 1, 1, -1, -1, -1, -1]).all()
    steps = np.diff(np.log(np.subtract(lamina_cells.LUMINANCE, 1)))
    np.testing.assert_allclose(answers["plateaus"], -0.2 * steps, rtol=0, atol=1e-12)


def test_the_staircase_has_the_levels_and_no_window_is_filled_up():
    light = lamina_cells.staircase(MEMORY, width=0.0)
    taps = rng().standard_normal(MEMORY)
    found = lamina_cells.responses(taps, light)
    slow = [sum(taps[k] * light[t - k] for k in range(MEMORY)) for t in range(MEMORY - 1, len(light))]
    np.testing.assert_allclose(found, slow, rtol=0, atol=1e-9)
    assert len(found) == 1250
    now = light[MEMORY - 1 :]
    for level, edge in zip(lamina_cells.LUMINANCE[1:], lamina_cells.edges(), strict=True):
        assert now[edge] == pytest.approx(np.log(level - 1)) != pytest.approx(now[edge - 1])
    assert now[0] == pytest.approx(np.log(0.5)) and light[0] == now[0]


def test_filters_are_not_read_backwards():
    """A filter on the oldest tap answers as late as it looks back."""
    oldest = np.zeros(MEMORY)
    oldest[-1] = 1.0
    found, edge = lamina_cells.responses(oldest, lamina_cells.staircase(MEMORY, width=0.0)), lamina_cells.edges()[0]
    assert np.flatnonzero(np.abs(found - found[0]) > 0.1)[0] == edge + MEMORY - 1


def test_noise_of_the_staircase_comes_from_the_generator():
    a, b, c = (lamina_cells.staircase(5, rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    deviation = np.exp(a) - np.exp(lamina_cells.staircase(5))
    assert deviation.std() == pytest.approx(0.01, rel=0.1) and not np.array_equal(a, c)


# PCA and SFA


def test_pca_and_sfa_are_those_of_explicit_windows():
    memory, horizon = 6, 4
    series = rng().standard_normal((400, 3)).cumsum(axis=0) * 0.2 + rng(1).standard_normal((400, 3))
    moments = lamina_cells.moments_of(series, memory, horizon)
    starts = range(len(series) - memory - horizon + 1)
    past = np.array([series[t : t + memory, p][::-1] for t in starts for p in range(3)])
    later = np.array([series[t + 1 : t + 1 + memory, p][::-1] for t in starts for p in range(3)])
    vectors = linalg.svd(past, full_matrices=False)[2]
    for found, other in zip(lamina_cells.principal_directions(moments, 2), vectors, strict=False):
        assert cosine(found, other) == pytest.approx(1, abs=1e-9)
    # SFA in two steps: whiten the past, then the direction that changes least.
    whiten = linalg.sqrtm(np.linalg.inv(past.T @ past / len(past))).real
    turned = linalg.svd((later - past) @ whiten, full_matrices=False)[2][::-1]
    for found, other in zip(lamina_cells.slow_directions(moments, 2), turned, strict=False):
        assert cosine(found, whiten @ other) == pytest.approx(1, abs=1e-7)


def test_correlations_of_responses_are_those_of_explicit_responses():
    series = rng().standard_normal((300, 1)).cumsum(axis=0)
    moments = lamina_cells.moments_of(series, 5, 3)
    a, b = lamina_cells.principal_directions(moments, 1)[0], canonical_directions(moments, 1, ridge=0.0).filters[0]
    past = np.array([series[t : t + 5, 0][::-1] for t in range(300 - 8 + 1)])
    x, y = past @ a, past @ b
    assert cosine(a, b, moments.C_pp) == pytest.approx(abs(x @ y) / np.sqrt((x @ x) * (y @ y)), abs=1e-9)


# Inputs


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    scenes = lamina_cells.scenes_at(probe_lamina.Config().scenes)
    return scenes.of(scenes.deal(10, 0)[0])


def first_correlation(series: np.ndarray, noise: float = MAIN) -> float:
    moments = lamina_cells.moments_of(add_noise(series, noise, rng()), MEMORY, MEMORY)
    return float(canonical_directions(moments, 1, ridge=0.0).correlations[0])


def test_white_rows_and_shuffled_ones_predict_nothing(rows):
    """Negative controls; natural rows do."""
    assert first_correlation(rng().standard_normal((927, 80))) < 0.1
    assert first_correlation(lamina_cells.series_of(rows, SHUFFLED, 0)) < 0.1
    assert first_correlation(lamina_cells.series_of(rows, NATURAL, 0)) > 0.99


def test_inputs_are_what_they_are_called(rows):
    natural = lamina_cells.series_of(rows, NATURAL, 0)
    np.testing.assert_allclose(natural, rows.T, rtol=0, atol=1e-12)
    shuffled, phases = (lamina_cells.series_of(rows, name, 0) for name in (SHUFFLED, PHASES))
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), np.sort(natural, axis=0))
    assert len({tuple(np.argsort(column, kind="stable")) for column in shuffled.T}) == rows.shape[0]
    power = [np.abs(np.fft.rfft(series, axis=0)) for series in (natural, phases)]
    np.testing.assert_allclose(*power, rtol=0, atol=1e-8)
    assert np.abs(phases - natural).max() > 0.5
    half, double = (lamina_cells.series_of(rows, name, 0) for name in ("half speed", "double speed"))
    assert len(half) == 1854 and len(double) == 463
    assert min(np.corrcoef(half[::2, p], natural[:, p])[0, 1] for p in range(len(rows))) > 1 - 1e-9
    for name in INPUTS:
        series = lamina_cells.series_of(rows, name, 0)
        np.testing.assert_allclose(series.std(axis=0), 1, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(series, lamina_cells.series_of(rows, name, 0))
    assert not np.array_equal(phases, lamina_cells.series_of(rows, PHASES, 1))


def setting(**options) -> Setting:
    c = probe_lamina.Config()
    return Setting(**({"input": NATURAL, "part": 0, "noise": MAIN, "memory": 50, "horizon": 50, "sets": 10,
                       "deal_seed": 0, "scenes": c.scenes, "digest": ""} | options))  # fmt: skip


def test_a_pool_gives_what_its_prototype_gave():
    cell = lamina_cells.measure(None, setting(pool="Blender's 8", part=1000, sets=1))
    assert cell["panoramas"] == 8
    for unit, known in enumerate(probe_lamina.PROTOTYPES["Blender's 8", MAIN]):
        shape = cell["lobes"][unit]
        assert cell["correlations"][unit] == pytest.approx(known[0], abs=2e-3)
        assert (shape["count"], shape["minimum_lag"]) == (known[1], known[3])
        assert shape["first_zero"] == pytest.approx(known[2], abs=0.05)
        assert shape["depth"] == pytest.approx(known[4], abs=5e-3)
    np.testing.assert_allclose(np.diag(cell["pca"]), (0.73, 0.11), rtol=0, atol=0.006)
    np.testing.assert_allclose(np.diag(cell["sfa"]), (0.75, 0.01), rtol=0, atol=0.006)


def test_a_pool_that_the_file_lacks_is_no_cell(tmp_path):
    scenes = lamina_cells.scenes_at(probe_lamina.Config().scenes)
    one = scenes.image == 0
    natural_scenes.save(
        tmp_path / "one.npz",
        natural_scenes.Scenes(scenes.rows[one], scenes.image[one], scenes.elevation[one], ("city",), ("my own",)),
    )
    path = str(tmp_path / "one.npz")
    assert lamina_cells.measure(None, setting(scenes=path, pool="npm's 17", part=1001, sets=1)) is None
    assert lamina_cells.measure(None, setting(scenes=path, sets=1))["panoramas"] == 1


# Claims, on planted cells

SHAPES = {  # noise: of filters 1 and 2 correlation, lobes, zero, minimum, depth, sustained, signed
    0.005: ((1.0, 4, 3.5, 6, -0.2, 0.9, 0.9), (0.99, 6, 1.4, 4, -0.5, 0.01, 0.01)),
    0.05: ((0.999, 3, 4.6, 8, -0.185, 0.95, 0.95), (0.87, 4, 1.95, 5, -0.45, 0.02, 0.02)),
    0.5: ((0.93, 2, 9.0, 13, -0.1, 0.98, 0.98), (0.26, 3, 3.6, 8, -0.36, 0.2, 0.2)),
}
NAMES = ("count", "first_zero", "minimum_lag", "depth")
PLANTED = {WHITE: {0.005: (0.998, 1.06), 0.05: (0.936, 1.5), 0.5: (0.415, 2.4)}}


def cell(input: str, noise: float, seed: int, change: dict) -> dict:
    """One planted cell; `change` replaces numbers of natural ones by (noise, filter, name)."""
    random, lobes, stairs, correlations = rng((seed, int(1000 * noise))), [], [], []
    for unit, (correlation, *shape, kept, signed) in enumerate(SHAPES[noise]):
        numbers = dict(
            zip(("correlation", *NAMES, "sustained", "signed"), (correlation, *shape, kept, signed), strict=True)
        )
        if input == WHITE and unit == 1:
            numbers["correlation"], numbers["first_zero"] = PLANTED[WHITE][noise]
        if input == SHUFFLED:
            numbers["correlation"] = 0.05
        if input == NATURAL:
            numbers |= {name: value for (n, u, name), value in change.items() if (n, u) == (noise, unit)}
        numbers = {name: value * (1 + 0.003 * random.standard_normal()) for name, value in numbers.items()}
        correlations.append(numbers["correlation"])
        lobes.append({name: numbers[name] for name in NAMES} | {"gain_at_zero": 0.1})
        stairs.append({name: numbers[name] for name in ("sustained", "signed")} | {"ideal": 0.5})
    filters = np.cos(np.arange(MEMORY) / [[9], [4]]) * np.exp(-np.arange(MEMORY) / 9)
    others = {name: [[change.get(name, 0.7), 0.1], [0.1, 0.1]] for name in ("pca", "sfa")}
    return {"correlations": correlations, "filters": filters.tolist(), "lobes": lobes, "staircase": stairs, **others}


def planted(change: dict | None = None, noises=NOISE, ou: float = 0.0) -> dict:
    inputs = {name: {n: [cell(name, n, seed, change or {}) for seed in range(SETS)] for n in noises} for name in INPUTS}
    shapes = [
        {"count": 3, "first_zero": 4.0 + k, "minimum_lag": 9.0 + k, "depth": -0.4, "gain_at_zero": 0.0}
        for k in range(3)
    ]
    processes = {
        name: [{"correlations": [0.99, ou if name == "ou" else 0.5], "lobes": [shape, shape]} for shape in shapes]
        for name in PROCESSES
    }
    return {"inputs": inputs, "pools": {"Blender's 8": dict.fromkeys(noises)}, "processes": processes}


def words(change: dict | None = None, noises=NOISE, **options) -> dict[str, str]:
    found = planted(change, noises, **options)
    return {v.id: v.verdict for v in lamina_cells.judge(found["inputs"], noises, found["processes"])}


def test_the_papers_cells_are_supported():
    found = words()
    assert set(found.values()) <= {"supported", "equivalent"} and len(found) == 31


@pytest.mark.parametrize(
    ("change", "refuted"),
    [
        ({(MAIN, 0, "sustained"): 0.2}, "L3: keeps a level"),
        ({(MAIN, 1, "sustained"): 0.3}, "L2: transient"),
        ({(NOISY, 1, "sustained"): 0.01}, "L1: between"),
        ({(NOISY, 1, "signed"): -0.2}, "L1: plateau's side"),
        ({(NOISY, 0, "count"): 5}, "filter 1: fewer lobes"),
        ({(MAIN, 1, "first_zero"): 1.0}, "filter 2: later first zero"),
        ({(MAIN, 1, "correlation"): 0.8}, "as released: filter 2, correlation"),
        ({(MAIN, 0, "first_zero"): 6.0}, "as released: filter 1, first zero"),
        ({(MAIN, 1, "depth"): -0.55}, "blurred white noise: depth"),
        ({(MAIN, 1, "depth"): -0.55}, "phase-randomised: depth"),
        ({(NOISY, 1, "first_zero"): 2.0}, "blurred white noise: later first zero"),
        ({(NOISY, 1, "correlation"): 0.6}, "blurred white noise: lower correlation"),
        ({"pca": 0.95}, "not PCA"),
        ({"sfa": 0.95}, "not SFA"),
    ],
)
def test_every_claim_can_fall(change, refuted):
    assert words(change)[refuted] == "refuted"


def test_an_ou_process_with_a_second_filter_refutes():
    assert words(ou=0.01)["ou: one filter"] == "refuted"


def test_levels_that_were_not_asked_are_missing():
    found = words(noises=(0.005, 0.5))
    assert {id for id, word in found.items() if word == "missing"} >= {"L3: keeps a level", "L1: between", "not PCA"}
    assert found["filter 1: fewer lobes"] == "supported"


def test_a_filter_without_a_zero_is_undecided():
    assert words({(NOISY, 0, "first_zero"): np.nan})["filter 1: later first zero"] == "undecided"


def test_the_report_shows_every_input_and_leaves_out_what_is_not_there():
    report = probe_lamina.report(probe_lamina.Config(sets=SETS), planted())
    assert len(report.rows) == (len(INPUTS) + len(PROCESSES)) * 2 * 3  # no pool
    assert len({tuple(row) for row in report.rows}) == 1
    natural = next(
        row for row in report.rows if row["input"] == NATURAL and (row["filter"], row["noise"]) == (2, "0.05")
    )
    assert natural["released"] == "0.879; 4 lobes, zero 2, minimum 5, depth -0.453"
    shuffled = [row for row in report.rows if row["input"] == SHUFFLED]
    assert all(row["depth"] == "" and row["correlation"].mean < 0.1 for row in shuffled)
    assert report.arrays["filters"].shape == (3, SETS, 2, MEMORY) and len(report.figures[""]().axes) >= 8
    said = [note for note in report.notes if note.startswith("the paper: ")]
    assert len(said) == len(lamina_cells.PAPER) and said[1].endswith("answers steps alone: supported")
    assert [note.split(":")[0] for note in report.notes[len(said) :][:3]] == ["L3", "L2", "L1"]


# Bad input


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"sets": 1}, "--sets must be at least 2, not 1"),
        ({"sets": 26}, "25 panoramas cannot be dealt into 26 sets"),
        ({"memory": 51}, "--memory must be at most 50, not 51"),
        ({"horizon": 1}, "a memory and a horizon of at least 2 steps"),
        ({"horizon": 414}, r"a window of 50 \+ 414 steps does not fit into the 463 steps of a row"),
        ({"noise": (0.5, 0.05)}, "--noise must be at least two levels above 0 in rising order"),
        ({"noise": (0.0, 0.05)}, "--noise must be at least two levels above 0 in rising order"),
    ],
)
def test_options_without_sense_are_refused(options, problem):
    probe_lamina.check(probe_lamina.Config())
    with pytest.raises(ValueError, match=problem):
        probe_lamina.check(dataclasses.replace(probe_lamina.Config(), **options))


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match=r"none\.npz not found: run python src/collect_natural_scenes\.py"):
        probe_lamina.check(probe_lamina.Config(scenes="none.npz"))


def test_rows_too_short_for_a_window_are_named():
    with pytest.raises(ValueError, match=r"a window of 50 \+ 50 steps does not fit into rows of 99 steps"):
        lamina_cells.moments_of(np.ones((99, 3)), 50, 50)


def test_an_unknown_input_is_named(rows):
    with pytest.raises(ValueError, match="no input 'noise': it is one of natural, phase-randomised"):
        lamina_cells.series_of(rows, "noise", 0)
