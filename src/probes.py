"""Linear probes: how much of the truth can be read off a code by one matrix?

N samples, D features, Q targets. Samples are split by whole episode, never by frame: neighbouring frames are nearly
equal, and a probe that was fitted on one would recognise the other. The ridge strength is chosen on validation
episodes and the figure that counts comes from test episodes, which nothing has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.linalg import blas
from sklearn.metrics import r2_score, roc_auc_score

from heads import CHUNK, Scaling

Metric = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (truth (n, Q), prediction (n, Q)) -> (Q,), larger is better
SHARES = (0.7, 0.1, 0.2)  # of the episodes: to fit on, to choose the ridge on, to report
STRENGTHS = tuple(10.0 ** np.arange(-6, 2))  # ridge as a fraction of the mean eigenvalue of the features' covariance
RAW_STRENGTHS = (0.03, 0.3, 3.0, 30.0, 300.0)  # the same for raw pixels, which are many more than the samples


@dataclass(frozen=True)
class Split:
    """Indices of the samples to fit on, to validate on and to test on."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_by_episode(episodes: Sequence[slice], seed: int, usable: np.ndarray, stride: int = 1) -> Split:
    """Deal whole episodes out to training, validation and test.

    episodes  the range of each episode; usable (N,) bool: samples that may be used at all
    seed      of the order in which episodes are dealt
    stride    keep every stride-th step of an episode (neighbours are nearly equal)
    Raises    ValueError if there are fewer than three episodes, or a part is left without samples.
    """
    if len(episodes) < 3:
        raise ValueError(f"{len(episodes)} episodes cannot be split into training, validation and test: collect more")
    order = np.random.default_rng(seed).permutation(len(episodes))
    n_validation, n_test = (max(1, round(share * len(episodes))) for share in SHARES[1:])
    dealt = np.split(order, [len(order) - n_validation - n_test, len(order) - n_test])
    parts = []
    for name, members in zip(("training", "validation", "test"), dealt, strict=True):
        index = np.concatenate([np.arange(episodes[e].start, episodes[e].stop, stride) for e in np.sort(members)])
        parts.append(index[usable[index]])
        if not len(parts[-1]):
            raise ValueError(f"no usable sample is left for {name}: collect more episodes")
    return Split(*parts)


@dataclass(frozen=True)
class Probed:
    """What a probe found: score (Q,) on the test samples; strength (Q,): the ridge that was chosen for each target."""

    score: np.ndarray
    strength: np.ndarray


def r2(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Coefficient of determination of each column: (n, Q), (n, Q) -> (Q,)."""
    return np.atleast_1d(r2_score(truth, prediction, multioutput="raw_values"))


def auc(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Area under the receiver operating characteristic of each column; truth holds 0 and 1.

    Raises   ValueError if a column of the truth holds one class alone.
    """
    columns = range(truth.shape[1])
    if any(len(np.unique(truth[:, q])) < 2 for q in columns):
        raise ValueError("only one class is left in these episodes: collect more of them")
    return np.array([roc_auc_score(truth[:, q], prediction[:, q]) for q in columns])


def probe(features: np.ndarray, targets: np.ndarray, split: Split, scale: bool = True, metric: Metric = r2) -> Probed:
    """Ridge regression of the targets on the standardised features.

    features  (N, D) float32 or uint8      targets  (N, Q) float64, finite at the samples of the split
    scale     standardise the features on the training samples; without it they are only centred
    metric    what is reported, and what the ridge strength of each target is chosen by: `r2` or `auc`
    Raises    ValueError if features and targets differ in length or a needed target is not finite.
    """
    predictions = ridge(features, targets, split, STRENGTHS, scale)
    return _chosen(targets, split, predictions, STRENGTHS, metric)


def ridge(
    features: np.ndarray,
    targets: np.ndarray,
    split: Split,
    strengths: Sequence[float],
    scale: bool = True,
    precision: type = np.float64,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """What ridge regressions of the targets on the features predict.

    strengths   fractions of the mean eigenvalue of the features' covariance
    precision   of the products of features: float32 takes half as long
    Returns     for each strength: of the validation samples (., Q) and of the test samples (., Q)
    Raises      ValueError as `probe`.
    """
    _check(len(features), targets, split)
    scaling = Scaling.fit(features, split.train)
    if not scale:
        scaling = Scaling(scaling.mean, np.ones_like(scaling.factor))
    gram, cross = np.zeros((features.shape[1],) * 2), np.zeros((features.shape[1], targets.shape[1]))
    middle = targets[split.train].mean(axis=0)
    for i in range(0, len(split.train), CHUNK):
        chosen = split.train[i : i + CHUNK]
        part: np.ndarray = _standardised(features, chosen, scaling).astype(precision, copy=False)
        gram += part.T @ part
        cross += part.T @ (targets[chosen] - middle)

    def predict(weights: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        blocks = [chosen[i : i + CHUNK] for i in range(0, len(chosen), CHUNK)]
        return np.concatenate([_standardised(features, b, scaling) @ weights for b in blocks]) + middle

    mean_eigenvalue = np.trace(gram) / len(gram) or 1.0  # features that never vary predict the mean
    predictions = []
    for strength in strengths:
        loaded = gram + strength * mean_eigenvalue * np.eye(len(gram))
        weights = linalg.solve(loaded, cross, assume_a="pos", overwrite_a=True).astype(np.float32)
        predictions.append((predict(weights, split.validation), predict(weights, split.test)))
    return predictions


def probe_lagged_frames(
    frames: np.ndarray,
    targets: np.ndarray,
    split: Split,
    n_lags: Sequence[int],
    begins: np.ndarray,
    extras: Sequence[np.ndarray | None] = (None,),
    metric: Metric = r2,
) -> list[list[Probed]]:
    """`probe` on raw pixels of the newest n frames, for each n of `n_lags`, by the dual (kernel) form of ridge.

    frames    (N, H, W) uint8       begins  (N,) first index of each sample's episode: earlier frames repeat it
    extras    further features (N, E) beside the pixels, taken as they are, or None: each in turn
    Returns   [for each n: [for each of extras: Probed]]
    The kernel of n frames is the sum of those of each single lag, so that all n cost as much as the largest.
    """
    _check(len(frames), targets, split)
    flat = frames.reshape(len(frames), -1)
    scaling = Scaling.fit(flat, split.train)
    others = np.concatenate([split.validation, split.test])
    n, n_others, n_pixels = len(split.train), len(others), flat.shape[1]
    # BLAS adds to these in place, in its own (Fortran) order: fresh memory for every lag would cost as much again.
    kernel = np.zeros((n, n), np.float32, order="F")  # its lower half
    across = np.zeros((n, n_others), np.float32, order="F")
    train, rest = np.empty((n, n_pixels), np.float32), np.empty((n_others, n_pixels), np.float32)
    scratch = np.empty_like(kernel)
    found = []
    for lag in range(max(n_lags)):
        for out, index in ((train, split.train), (rest, others)):
            for i in range(0, len(index), CHUNK):
                part = index[i : i + CHUNK]
                out[i : i + CHUNK] = _standardised(flat, np.maximum(part - lag, begins[part]), scaling)
        _add_products(kernel, across, train, rest)
        if lag + 1 not in n_lags:
            continue
        results = []
        for extra in extras:
            if extra is None:
                results.append(_dual(kernel, across, scratch, targets, split, n_pixels * (lag + 1), metric))
                continue
            sums = kernel.copy(order="F"), across.copy(order="F")
            _add_products(*sums, np.ascontiguousarray(extra[split.train]), np.ascontiguousarray(extra[others]))
            width = n_pixels * (lag + 1) + extra.shape[1]
            results.append(_dual(*sums, scratch, targets, split, width, metric))
        found.append(results)
    return found


def _add_products(kernel: np.ndarray, across: np.ndarray, train: np.ndarray, rest: np.ndarray) -> None:
    """kernel += train train' (lower half), across += train rest', in place; float32, row-major features."""
    blas.ssyrk(1.0, train.T, beta=1.0, c=kernel, trans=1, lower=1, overwrite_c=1)
    blas.sgemm(1.0, train.T, rest.T, beta=1.0, c=across, trans_a=1, overwrite_c=1)


def _dual(
    kernel: np.ndarray,
    across: np.ndarray,
    scratch: np.ndarray,
    targets: np.ndarray,
    split: Split,
    n_features: int,
    metric: Metric,
) -> Probed:
    """Ridge from the kernel of the training samples (n, n), lower half, and of those with the others (n, .)."""
    n, n_validation = len(kernel), len(split.validation)
    mean_eigenvalue = np.trace(kernel) / n_features
    middle = targets[split.train].mean(axis=0)
    centred = (targets[split.train] - middle).astype(np.float32)
    predictions = []
    for strength in RAW_STRENGTHS:
        scratch[:] = kernel
        scratch[np.diag_indices(n)] += strength * mean_eigenvalue
        factor = linalg.cho_factor(scratch, lower=True, overwrite_a=True, check_finite=False)
        predictions.append(across.T @ linalg.cho_solve(factor, centred, check_finite=False) + middle)
    return _chosen(targets, split, [(p[:n_validation], p[n_validation:]) for p in predictions], RAW_STRENGTHS, metric)


def _chosen(
    targets: np.ndarray,
    split: Split,
    predictions: list[tuple[np.ndarray, np.ndarray]],
    strengths: Sequence[float],
    metric: Metric,
) -> Probed:
    """Each target's score on test samples at the strength that is best on validation samples.

    predictions   for each strength: of the validation samples (., Q) and of the test samples (., Q)
    """
    best = np.argmax([metric(targets[split.validation], p) for p, _ in predictions], axis=0)
    tested = np.stack([predictions[b][1][:, q] for q, b in enumerate(best)], axis=1)
    return Probed(metric(targets[split.test], tested), np.array(strengths)[best])


def _standardised(features: np.ndarray, chosen: np.ndarray, scaling: Scaling) -> np.ndarray:
    return (features[chosen] - scaling.mean) * scaling.factor


def _check(n: int, targets: np.ndarray, split: Split) -> None:
    if targets.ndim != 2 or len(targets) != n:
        raise ValueError(f"expected targets ({n}, Q), not {targets.shape}")
    for index in (split.train, split.validation, split.test):
        if not np.isfinite(targets[index]).all():
            raise ValueError("a target is not finite at a sample of the split: leave such samples out of `usable`")
