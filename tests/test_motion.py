"""Units that tell directions apart: stimuli and channels against slow references, symmetry, controls that must hold."""

import numpy as np
import pytest

import motion_cells
import motion_claims
import motion_eyes
import motion_units
import natural_scenes
from motion_eyes import ARMS, FAIR, RELEASED, Arm
from motion_units import DEGREE, N_NEIGHBOURS, SPACING, Lamina, Move
from resu_core import canonical_directions
from resu_vector import VectorReSU
from stage_io import ROOT


@pytest.fixture(scope="module")
def scenes():
    return natural_scenes.load(ROOT / "data" / "natural_scenes.npz")


def lamina(channels=((0, 0), (1, 1)), seed=0):
    taps = np.random.default_rng(seed).standard_normal((2, 7))
    return Lamina(taps, channels, np.full(len(channels), 2.0))


def test_channels_equal_the_sum_over_taps():
    eye = lamina(((0, 0), (1, 1), (1, -1)))
    rows = np.random.default_rng(1).standard_normal((3, natural_scenes.N_COLUMNS))
    found = eye(motion_units.rows_pattern(rows), Move(2.0, 20, start=5.0))
    assert found.shape == (20, 3, N_NEIGHBOURS, 3)
    for t, p, i in ((0, 0, 0), (7, 2, 1), (19, 1, 2)):
        seen = [rows[p, (5 + 2 * (t - a) + i * SPACING) % natural_scenes.N_COLUMNS] for a in range(7)]  # whole columns
        z = eye.filters @ seen / 2.0
        assert np.allclose(found[t, p, i], [z[0], max(z[1], 0), max(-z[1], 0)], atol=1e-9)


def test_answers_are_linear_in_the_contrast_so_that_selectivity_does_not_depend_on_it():
    eye = lamina()
    faint, strong = (eye(motion_units.grating(30, c), Move(1.0, 100)) for c in (0.05, 0.5))
    assert np.allclose(strong, 10 * faint)


def test_the_mirror_image_is_the_mirrored_pattern_moving_the_other_way():
    eye, rng = lamina(), np.random.default_rng(0)
    rows = rng.standard_normal((2, natural_scenes.N_COLUMNS))
    move = Move(1.5, 60, start=11.0)
    ahead = eye(motion_units.rows_pattern(rows), move)
    # position p of the mirrored rows shows what was at 2 SPACING - p: left and right neighbours change places
    mirrored = np.roll(rows[:, ::-1], 2 * SPACING + 1, axis=1)
    back = eye(motion_units.rows_pattern(mirrored), Move(-1.5, 60, start=-11.0))
    assert np.allclose(motion_units.mirrored(ahead), back, atol=1e-8)


def test_edges_come_and_go():
    at = motion_units.edges(width=2.0)
    x = np.arange(2 * motion_units.EDGE_STEPS, dtype=float)
    y = at(x)[:, 0]
    assert y[0] == pytest.approx(-1) and y[399] == pytest.approx(1) and y[401] == pytest.approx(1) and y[-1] == -1
    assert (np.diff(y[:400]) >= 0).all() and (np.diff(y[400:]) <= 0).all() and np.allclose(at(x + 800), at(x))


def test_lags_stand_newest_first():
    channels = np.arange(5 * 2 * 3 * 2, dtype=float).reshape(5, 2, 3, 2)
    found = motion_units.lagged(channels, 3)
    assert found.shape == (3, 2, 18)
    assert np.array_equal(found[1, 1], np.concatenate([channels[3, 1], channels[2, 1], channels[1, 1]]).ravel())
    assert np.array_equal(motion_units.lagged(channels, 1)[4, 0], channels[4, 0].ravel())


def test_a_fair_eyes_moments_are_those_of_vector_resu(scenes):
    arm = Arm("", speeds="drawn", both=True, lags=4)
    rng = np.random.default_rng(0)
    images = [rows[:5] for rows in motion_eyes.images_of(scenes, (0, 9), "natural", rng)]
    eye = motion_eyes.fit_rows(arm, images, 6, 150, np.random.default_rng(5))
    again = np.random.default_rng(5)  # the same noise, in the same order
    seen = motion_eyes.seen_by(arm, images, motion_eyes.moves_of(arm, 6, 150, again), again)
    episodes = []
    for part in seen:
        channels = eye.lamina.channels_of(part, motion_eyes.CHANNEL_NOISE, again)
        for its in (channels, channels[:, :, ::-1]):
            episodes += list(its.reshape(len(its), its.shape[1], -1).transpose(1, 0, 2))
    resu = VectorReSU(memory=4, horizon=4, n_units=12, center=False, ridge=0.0).fit_episodes(episodes)
    assert np.allclose(resu.correlations_, eye.correlations, atol=1e-9)
    cosines = np.sum(resu.filters_.reshape(12, -1) * eye.weights, axis=1)
    cosines /= np.linalg.norm(resu.filters_.reshape(12, -1), axis=1) * np.linalg.norm(eye.weights, axis=1)
    assert np.allclose(np.abs(cosines), 1, atol=1e-6)


def test_no_pair_of_inputs_crosses_a_seam(scenes):
    rng = np.random.default_rng(0)
    moves = motion_eyes.moves_of(RELEASED, 0, 0, rng)
    path = moves[0].path(motion_eyes.MEMORY)
    assert path[0] == 0 and path[-1] == natural_scenes.N_COLUMNS - 1


def test_the_released_weights_come_out(scenes):
    """Their picture shows .997 .981 .895 .831 .583 .400, with windows across seams; without, a prototype had these."""
    images = motion_eyes.images_of(scenes, range(8), "natural", np.random.default_rng(0))
    eye = motion_eyes.fit_rows(RELEASED, images, 0, 0, np.random.default_rng(0))
    assert motion_claims.cosines([{"weights": eye.weights[1]}])[0] > 0.99
    assert np.allclose(eye.correlations, [0.999, 0.989, 0.926, 0.815, 0.612, 0.419], atol=0.02)


@pytest.mark.parametrize("label", ["both directions", "fair", "fair, ON and OFF", "fair, 3 x 3 patches"])
def test_where_both_directions_are_alike_units_are_kept_or_turned_over_by_the_mirror(scenes, label):
    arm = next(arm for arm in ARMS if arm.label == label)
    images = motion_eyes.images_of(scenes, (0, 9), "natural", np.random.default_rng(0))
    fit = motion_eyes.fit_patches if arm.patches else motion_eyes.fit_rows
    eye = fit(arm, images, 4, 150, np.random.default_rng(1))
    rows = motion_eyes.rows_of_frame(images[0]) if arm.patches else images[0]
    inputs = eye.inputs(motion_units.rows_pattern(rows), Move(2.0, 150))
    ahead, back = (its @ eye.weights.T for its in inputs)
    for z, mirrored in zip(ahead.T[:6], back.T[:6], strict=True):
        assert abs(np.corrcoef(z, mirrored)[0, 1]) > 0.98
    grating = eye.inputs(motion_units.grating(30, 1.0), Move(1.0, round(300 * DEGREE)))
    rates = [motion_units.mean_rates(its, eye.weights) for its in grating]
    kept = motion_units.selectivity(*rates)[np.mean(rates, axis=0) > 0.05]
    assert np.abs(kept).max() < 0.03
    random = motion_units.random_units(eye.c_pp, 12, np.random.default_rng(2))[: len(eye.weights)]
    found = motion_units.selectivity(*(motion_units.mean_rates(its, random) for its in grating))
    assert np.abs(found).max() > 0.05  # which others are


def test_random_units_are_orthogonal_in_the_whitened_space():
    a = np.random.default_rng(0).standard_normal((8, 8))
    c_pp = a @ a.T
    units = motion_units.random_units(c_pp, 5, np.random.default_rng(1))
    assert np.allclose(units @ c_pp @ units.T, np.eye(5), atol=1e-9)
    assert not np.allclose(units, motion_units.random_units(c_pp, 5, np.random.default_rng(2)))


def test_a_correlator_tells_directions_apart_and_a_difference_does_not(scenes):
    images = motion_eyes.images_of(scenes, (0, 9), "natural", np.random.default_rng(0))
    eye = motion_eyes.fit_rows(RELEASED, images, 0, 0, np.random.default_rng(0))
    channels = eye.lamina(motion_units.grating(30, 1.0), Move(1.0, round(300 * DEGREE)))
    rates = [np.maximum(motion_units.correlator(its, 5), 0).mean() for its in (channels, channels[:, :, ::-1])]
    assert motion_units.selectivity(*rates) > 0.99
    difference = np.array([motion_cells.UNTRAINED])
    rates = [motion_units.mean_rates(its.reshape(len(its), -1), difference) for its in (channels, channels[:, :, ::-1])]
    assert np.abs(motion_units.selectivity(*rates)).max() < 0.02


def test_rates_are_those_of_both_halves():
    inputs, weights = np.array([[[1.0, 0.0]], [[-3.0, 1.0]]]), np.array([[2.0, 0.0], [0.0, -1.0]])  # z: 2, -6; 0, -1
    assert np.array_equal(motion_units.mean_rates(inputs, weights), [[1.0, 0.0], [3.0, 0.5]])
    assert np.array_equal(motion_units.peak_rates(inputs, weights), [[2.0, 0.0], [6.0, 1.0]])


def test_the_best_unit_is_chosen_among_those_that_fire():
    fit = np.full((1, 2, 2, 3), 0.5)
    fit[0, :, 0, 0] = [0.02, 0.0]  # selective, but silent
    fit[0, :, 1, 2] = [0.3, 0.6]
    assert motion_cells.chosen(fit) == (1, 2, 1)
    rates = {"fit": fit, "rows": fit[:, ::-1], "gratings": fit, "edges": fit[:1].repeat(2, axis=0)}
    found = motion_cells.best_of(rates)
    assert (found["unit"], found["sign"]) == (3, "OFF")
    assert found["fit"] == pytest.approx(1 / 3) and found["rows"] == pytest.approx(-1 / 3)
    assert motion_units.selectivity(np.zeros(2), np.zeros(2)).tolist() == [0, 0]


def test_the_connectome_s_own_weights_are_like_it():
    l1, l3 = motion_cells.CONNECTOME
    weights = np.stack([l3[::-1], l1[::-1]], axis=1).reshape(1, 6)  # L3, L1 of left, centre, right
    assert motion_cells.connectome_cosine(weights)[0] == pytest.approx(1)
    assert motion_cells.connectome_cosine(-3 * weights)[0] == pytest.approx(1)  # sign and scale are free
    assert motion_cells.connectome_cosine(weights[:, ::-1])[0] < 0.9
    released = motion_cells.connectome_cosine(motion_claims.RELEASED_WEIGHTS[None])[0]
    assert released == pytest.approx(0.73, abs=0.02)


def test_a_panorama_of_too_few_rows_makes_no_frame():
    with pytest.raises(ValueError, match="a frame takes 10 rows of a panorama, every 2nd of them: it has 18"):
        motion_eyes.rows_of_frame(np.zeros((18, natural_scenes.N_COLUMNS)))
    assert motion_eyes.rows_of_frame(np.arange(35)[:, None])[:, 0].tolist() == list(range(8, 28, 2))


def test_fair_eyes_see_both_directions_as_often(scenes):
    """Moments of a fair eye do not change under the mirror; of one that saw one direction they do."""
    images = motion_eyes.images_of(scenes, (0,), "natural", np.random.default_rng(0))
    swap = np.arange(60).reshape(10, 3, 2)[:, ::-1].ravel()
    for arm, alike in ((FAIR, True), (next(a for a in ARMS if a.label == "fair, one direction"), False)):
        c_pp = motion_eyes.fit_rows(arm, images, 4, 100, np.random.default_rng(0)).c_pp
        assert np.allclose(c_pp, c_pp[np.ix_(swap, swap)], atol=1e-9) is alike


def test_pair_moments_are_what_canonical_directions_take():
    rng = np.random.default_rng(0)
    past = rng.standard_normal((4000, 3))
    future = past @ rng.standard_normal((3, 3)) + 0.01 * rng.standard_normal((4000, 3))
    found = canonical_directions(motion_units.pair_moments([(past[:100], future[:100]), (past[100:], future[100:])]), 3)
    assert found.correlations.min() > 0.99
