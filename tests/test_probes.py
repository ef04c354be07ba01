"""Probes against explicit algebra, and against leakage: what only frame-level shuffling can find is not found."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

import probes
from heads import Scaling
from screens import screens

EPISODES = [slice(i * 100, (i + 1) * 100) for i in range(20)]
ALL = np.ones(2000, bool)


def split_by_frame(n: int, seed: int) -> probes.Split:
    """What must not be done: neighbouring frames end up on both sides."""
    order = np.random.default_rng(seed).permutation(n)
    return probes.Split(*np.split(order, [int(0.7 * n), int(0.8 * n)]))


def drift(rng: np.random.Generator, n_columns: int) -> np.ndarray:
    """Slow random walks, begun anew in every episode: neighbours are nearly equal, episodes have nothing in common."""
    return np.concatenate([rng.standard_normal((100, n_columns)).cumsum(axis=0) for _ in EPISODES])


def test_a_label_that_only_frame_level_shuffling_predicts_is_not_found():
    """Features and label drift independently: they can be matched up within an episode, not between episodes."""
    rng = np.random.default_rng(0)
    features = drift(rng, 300).astype(np.float32)
    label = drift(rng, 2)
    leaky = probes.probe(features, label, split_by_frame(2000, 0)).score
    honest = probes.probe(features, label, probes.split_by_episode(EPISODES, 0, ALL)).score
    assert leaky.min() > 0.8  # the trap works
    assert honest.max() < 0.1  # and we do not step into it


def test_the_same_trap_with_raw_frames():
    rng = np.random.default_rng(1)
    frames = np.clip(128 + 8 * drift(rng, 144), 0, 255).astype(np.uint8).reshape(2000, 12, 12)
    label = drift(rng, 1)
    begins = np.repeat([e.start for e in EPISODES], 100)
    leaky = probes.probe_lagged_frames(frames, label, split_by_frame(2000, 0), (1,), begins)[0][0].score
    split = probes.split_by_episode(EPISODES, 0, ALL)
    honest = probes.probe_lagged_frames(frames, label, split, (1,), begins)[0][0].score
    assert leaky[0] > 0.5 and honest[0] < 0.1


def test_a_label_that_is_there_is_found_by_both():
    rng = np.random.default_rng(2)
    features = drift(rng, 30).astype(np.float32)
    label = features @ rng.standard_normal((30, 2)) + 0.1 * rng.standard_normal((2000, 2))
    for split in (split_by_frame(2000, 0), probes.split_by_episode(EPISODES, 0, ALL)):
        assert probes.probe(features, label, split).score.min() > 0.99


def test_no_episode_is_on_two_sides():
    usable = np.random.default_rng(0).random(2000) < 0.6
    for seed in range(20):
        split = probes.split_by_episode(EPISODES, seed, usable, stride=3)
        sides = [set(index // 100) for index in (split.train, split.validation, split.test)]
        assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
        assert [len(side) for side in sides] == [14, 2, 4]
        every = np.concatenate([split.train, split.validation, split.test])
        assert len(set(every)) == len(every) and usable[every].all() and (every % 100 % 3 == 0).all()
    again = probes.split_by_episode(EPISODES, 3, usable)
    assert np.array_equal(again.train, probes.split_by_episode(EPISODES, 3, usable).train)
    assert not np.array_equal(again.test, probes.split_by_episode(EPISODES, 4, usable).test)


def test_probe_is_ridge_on_standardised_features():
    rng = np.random.default_rng(3)
    features = (rng.standard_normal((2000, 12)) * np.arange(1, 13) + 5).astype(np.float32)
    label = np.stack([features[:, 0] + rng.standard_normal(2000), rng.standard_normal(2000)], axis=1)
    split = probes.split_by_episode(EPISODES, 0, ALL)
    found = probes.probe(features, label, split)
    scaling = Scaling.fit(features, split.train)
    x = (features - scaling.mean) * scaling.factor
    mean_eigenvalue = np.square(x[split.train]).sum() / 12
    for q in range(2):
        validated, tested = [], []
        for strength in probes.STRENGTHS:
            model = Ridge(alpha=strength * mean_eigenvalue).fit(x[split.train], label[split.train, q])
            validated.append(model.score(x[split.validation], label[split.validation, q]))
            tested.append(model.score(x[split.test], label[split.test, q]))
        best = int(np.argmax(validated))
        assert found.strength[q] == probes.STRENGTHS[best]
        assert found.score[q] == pytest.approx(tested[best], abs=1e-4)


def test_the_kernel_of_lagged_frames_is_that_of_the_frames_side_by_side():
    rng = np.random.default_rng(4)
    frames = np.concatenate([screens(rng, 100, (6, 5), 0.3) for _ in EPISODES])
    begins = np.repeat([e.start for e in EPISODES], 100)
    index = np.arange(2000)
    label = frames[np.maximum(index - 2, begins), 2, 3, None] / 50 + 0.5 * rng.standard_normal((2000, 1))
    extra = rng.standard_normal((2000, 3)).astype(np.float32)
    split = probes.split_by_episode(EPISODES, 0, ALL, stride=2)
    found = probes.probe_lagged_frames(frames, label, split, (1, 3), begins, (None, extra))
    flat = frames.reshape(2000, -1)
    scaling = Scaling.fit(flat, split.train)
    x = np.concatenate(
        [(flat[np.maximum(index - j, begins)] - scaling.mean) * scaling.factor for j in range(3)], axis=1
    )
    for wide, probed in ((x, found[1][0]), (np.concatenate([x, extra], axis=1), found[1][1])):
        kernel = wide @ wide.T
        inner, middle = kernel[np.ix_(split.train, split.train)], label[split.train].mean()
        strength = probed.strength[0] * np.trace(inner) / wide.shape[1]
        weights = np.linalg.solve(inner + strength * np.eye(len(inner)), label[split.train] - middle)
        expected = probes.r2(label[split.test], kernel[np.ix_(split.test, split.train)] @ weights + middle)
        assert probed.score == pytest.approx(expected, abs=1e-4)
    assert found[0][0].score[0] < found[1][0].score[0] - 0.05  # the label lies two frames back


def test_auc_of_a_known_ranking_and_its_choice_of_ridge():
    truth = np.array([[0.0], [0], [1], [1]])
    assert probes.auc(truth, np.array([[0.1], [0.4], [0.35], [0.8]]))[0] == 0.75
    rng = np.random.default_rng(5)
    features = rng.standard_normal((2000, 10)).astype(np.float32)
    label = (features[:, :1] + rng.standard_normal((2000, 1)) > 1).astype(float)
    split = probes.split_by_episode(EPISODES, 0, ALL)
    assert probes.probe(features, label, split, metric=probes.auc).score[0] > 0.75
    shuffled = label[rng.permutation(2000)]
    assert abs(probes.probe(features, shuffled, split, metric=probes.auc).score[0] - 0.5) < 0.12


def test_features_that_never_vary_predict_the_mean():
    label = np.random.default_rng(6).standard_normal((2000, 2))
    found = probes.probe(np.full((2000, 3), 7.0, np.float32), label, probes.split_by_episode(EPISODES, 0, ALL))
    assert np.abs(found.score).max() < 0.02


def test_bad_input_is_refused():
    split = probes.split_by_episode(EPISODES, 0, ALL)
    with pytest.raises(ValueError, match="2 episodes cannot be split"):
        probes.split_by_episode(EPISODES[:2], 0, ALL)
    with pytest.raises(ValueError, match="no usable sample is left for"):
        probes.split_by_episode(EPISODES, 0, np.zeros(2000, bool))
    features = np.zeros((2000, 3), np.float32)
    with pytest.raises(ValueError, match=r"targets \(2000, Q\)"):
        probes.probe(features, np.zeros(2000), split)
    with pytest.raises(ValueError, match="not finite"):
        probes.probe(features, np.full((2000, 1), np.nan), split)
    with pytest.raises(ValueError, match="one class"):
        probes.auc(np.zeros((4, 1)), np.zeros((4, 1)))
