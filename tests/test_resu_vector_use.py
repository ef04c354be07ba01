"""VectorReSU in use: scikit-learn's checks, pipelines, what is refused and changes nothing, files."""

import numpy as np
import pytest
from scipy import linalg
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

import damage
import resu_vector
from resu_core import rectify
from resu_vector import VectorMoments, VectorReSU
from test_unchanged import state
from windows import vector_series

SMALL = {"memory": 3, "horizon": 2, "n_units": 4}
ORDER = "rows are steps in time: the response to a step depends on those before it"
STEPS = "it fits on 10 rows of 3 columns, and windows of 3 steps need 11"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"rectified": True}, {}),
        ({"n_components": 1}, {}),
        ({"memory": 2}, {
            "check_methods_sample_order_invariance": ORDER, "check_methods_subset_invariance": ORDER,
            "check_estimators_nan_inf": STEPS,
        }),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks(options, expected):
    """With one step of memory none fails; with more, two are meant to fail, and one has too few rows."""
    estimator = VectorReSU(**{"memory": 1, "horizon": 1, "n_units": 1} | options)
    found = check_estimator(estimator, expected_failed_checks=expected, on_skip=None, on_fail=None)
    status = {check["check_name"]: check["status"] for check in found}
    assert {name for name, value in status.items() if value == "failed"} == set()
    assert {name for name, value in status.items() if value == "xfail"} == set(expected)
    assert sum(value == "passed" for value in status.values()) > 40


def test_in_a_pipeline_with_names_and_after_other_parameters():
    x = vector_series(0, 900, 4)
    pipeline = make_pipeline(VectorReSU(memory=4, n_units=3, rectified=True), Ridge(1e-6)).fit(x[:-1], x[1:])
    assert pipeline.score(x[:-1], x[1:]) > 0.4 and clone(pipeline).get_params()["vectorresu__memory"] == 4
    resu = pipeline[0]
    assert resu.get_feature_names_out().tolist() == ["on0", "on1", "on2", "off0", "off1", "off2"]
    responses = resu.transform(x)
    resu.set_params(rectified=False, n_units=None, center=False)
    assert np.array_equal(resu.transform(x), responses) and responses.shape == (900, 6)
    z = resu.fit(x).transform(x)
    assert z.shape == (900, 4) and resu.get_feature_names_out().tolist()[3] == "unit3" and not resu.mean_.any()
    again = VectorReSU(memory=4, rectified=True, center=False).fit(x).transform(x)
    assert np.array_equal(again, rectify(z)) and (again >= 0).all()


def test_another_memory_or_projection_begins_anew():
    x = vector_series(0, 300, 4)
    for options in ({"memory": 4}, {"horizon": 1}, {"n_components": 3}):
        resu = VectorReSU(**SMALL).fit(x).set_params(**options).partial_fit(x)
        assert state(resu) == state(VectorReSU(**SMALL).set_params(**options).partial_fit(x))
    resu = VectorReSU(**SMALL, n_components=3).fit(x).set_params(center=False).partial_fit(x)
    assert state(resu) == state(VectorReSU(**SMALL, n_components=3, center=False).partial_fit(x))


# --- what is refused ---

X = vector_series(0, 80, 3)
STILL = np.c_[X, np.full(80, 0.1), X[:, 0] > 1e9]


def spoilt(value: float) -> np.ndarray:
    x = X.copy()
    x[7, 1] = value
    return x


WRONG = {
    "NaN": (spoilt(np.nan), "NaN or infinity, first at step 7"),
    "infinity": (spoilt(np.inf), "NaN or infinity, first at step 7"),
    "huge": (spoilt(1e150), "beyond 1e.140, such as 1e.150: rescale it"),
    "width": (X[:, :2], "X has 2 features, but VectorReSU is expecting 3 features as input"),
}
FITS = {
    "few": (
        X[:11],
        "11 steps hold 7 windows of memory . horizon = 5, too few for [23] co[a-z]+: at least 1[05] are needed",
    ),
    "constant": (STILL, "column 3 is constant .and 1 more.: leave it out, or set constant_columns='ignore'"),
    "still": (np.full((80, 3), 7), "column 0 is constant .and 2 more."),
    **{name: WRONG[name] for name in ("NaN", "infinity", "huge")},
}
CASES = [("fit", *case) for case in FITS.values()]
CASES += [(method, *case) for method in ("partial_fit", "transform") for case in WRONG.values()]
CASES += [("fit_episodes", [X, x], message) for x, message in WRONG.values()]


def one_sentence(error) -> bool:
    return "\n" not in str(error.value) and ". " not in str(error.value).rstrip(".")


@pytest.mark.parametrize("options", [{}, {"n_components": 2}])
@pytest.mark.parametrize("i", range(len(CASES)))
def test_bad_input_is_refused_in_one_sentence_and_changes_nothing(i, options):
    method, x, message = CASES[i]
    fitted, new = VectorReSU(**SMALL, **options).fit(X), VectorReSU(**SMALL, **options)
    needs_a_fit = method == "transform" or (method == "partial_fit" and x.shape != X.shape)
    for resu in [fitted] if needs_a_fit else [fitted, new]:
        before = state(resu)
        with pytest.raises(ValueError, match=message) as error:
            getattr(resu, method)(x)
        assert one_sentence(error) and state(resu) == before


PARAMETERS = [
    {"memory": 0}, {"memory": 2.0}, {"horizon": True}, {"n_units": 0}, {"n_units": 7}, {"n_units": 2.5}, {"ridge": -1},
    {"ridge": np.nan}, {"absolute_ridge": "1"}, {"center": 1}, {"rectified": None}, {"n_components": 4},
    {"n_components": 0}, {"n_components": 2, "n_units": 5}, {"constant_columns": "keep"},
    {"n_components": 2, "random_state": "x"}, {"past_only": 3}, {"past_only": -1}, {"past_only": True},
    {"past_only": 1, "n_units": 5}, {"past_only": 1, "n_components": 2},
]  # fmt: skip


@pytest.mark.parametrize("options", PARAMETERS, ids=str)
def test_parameters_out_of_range_are_refused_in_one_sentence_and_change_nothing(options):
    moments = VectorMoments(3, 2).update(X)
    for resu in (VectorReSU(**SMALL), VectorReSU(**SMALL).fit(X)):
        resu.set_params(**options)
        before, calls = state(resu), (resu.fit, resu.partial_fit, resu.fit_episodes, resu.fit_moments)
        for call, given in zip(calls, (X, X, [X], moments), strict=True):
            with pytest.raises(ValueError, match=r"must be|cannot be used|not those of|do not belong") as error:
                call(given)
            assert one_sentence(error) and state(resu) == before


def test_other_misuse_is_refused_in_one_sentence():
    resu = VectorReSU(**SMALL)
    for call, message in (
        (lambda: resu.transform(X), "not fitted: call fit"),
        (lambda: resu.save("x.npz"), "not fitted"),
        (lambda: resu.fit_episodes([]), "no episodes"),
        (lambda: resu.fit_episodes(X), "not one array: use fit"),
        (lambda: resu.fit_episodes([X, X[:, :2]]), "X has 2 features"),
        (lambda: resu.fit_moments(None), "expected VectorMoments, not NoneType"),
        (lambda: resu.fit_moments(VectorMoments(2, 2)), "of memory 2, horizon 2 are not those of memory 3"),
        (
            lambda: resu.fit_moments(VectorMoments(3, 2).update(X[:9])),
            "moments hold 5 windows .* too few for 3 columns",
        ),
        (lambda: resu.fit_moments(VectorMoments(3, 2).update(STILL)), "column 3 is constant"),
        (lambda: clone(resu).partial_fit(X[:9]).transform(X), "not fitted yet: there are 5 windows"),
        (lambda: clone(resu).partial_fit(STILL).transform(STILL), "not fitted yet: column 3 is constant"),
        (lambda: clone(resu).fit(X).get_feature_names_out(["a"]), "input_features"),
        (lambda: clone(resu).set_params(random_state=np.random.RandomState(0)).fit(X).save("x.npz"), "can be saved"),
        (lambda: VectorReSU(n_components=2, past_only=1).fit(X), "past_only cannot be used with n_components"),
        (lambda: VectorReSU(constant_columns="ignore", n_components=1).fit(np.ones((50, 2))), "no variance"),
    ):
        before = state(resu)
        with pytest.raises(ValueError, match=message) as error:
            call()
        assert state(resu) == before and "\n" not in str(error.value)


def test_constant_columns_can_be_ignored():
    options = SMALL | {"constant_columns": "ignore"}
    alone = VectorReSU(**SMALL).fit(X)
    resu = VectorReSU(**options).fit(STILL)
    assert np.abs(resu.correlations_ - alone.correlations_).max() < 1e-10 and not resu.filters_[..., 3:].any()
    assert np.abs(resu.transform(STILL) - alone.transform(X)).max() < 1e-10
    chunked = VectorReSU(**SMALL).partial_fit(STILL[:40]).partial_fit(np.c_[X[:40], X[40:, :2]])  # by then they move
    assert chunked.filters_.shape == (4, 3, 5)
    reduced = VectorReSU(**options, n_components=3).fit(STILL)
    assert np.abs(reduced.correlations_ - alone.correlations_).max() < 1e-9


@pytest.mark.parametrize("where", ["canonical_directions", "principal_directions"])
def test_a_decomposition_that_fails_changes_nothing(where, monkeypatch):
    def fails(*args, **options):
        raise linalg.LinAlgError("did not converge")

    for resu in (VectorReSU(**SMALL, n_components=2), VectorReSU(**SMALL, n_components=2).fit(X)):
        before = state(resu)
        monkeypatch.setattr(resu_vector, where, fails)
        for call in (resu.fit, resu.partial_fit):
            if where == "principal_directions" and call == resu.partial_fit and hasattr(resu, "moments_"):
                continue  # the projection is there
            with pytest.raises(linalg.LinAlgError):
                call(X)
            assert state(resu) == before
        monkeypatch.undo()


# --- files ---


@pytest.mark.parametrize(
    "options", [{}, {"n_components": 2, "rectified": True}, {"center": False, "ridge": 0.1}, {"past_only": 1}]
)
def test_files_keep_every_bit_and_go_on(options, tmp_path):
    path = tmp_path / "resu.npz"
    for resu in (VectorReSU(**SMALL, **options).fit(X[:50]), VectorReSU(**SMALL, **options).partial_fit(X[:9])):
        resu.save(path)
        again = VectorReSU.load(path)
        assert state(again) == state(resu)
        assert np.array_equal(again.partial_fit(X[50:]).transform(X), resu.partial_fit(X[50:]).transform(X))


DAMAGED = {
    "kind": np.array("other"), "parameters": np.array("{"), "filters_": np.zeros((4, 3, 2)), "mean_": np.zeros(2),
    "correlations_": np.full(4, np.nan), "n_features_in_": np.array(4), "of_moments_n": np.array(-1),
    "components_": np.zeros((3, 2)),
}  # fmt: skip


@pytest.mark.parametrize("way", [*DAMAGED, *damage.WAYS])
def test_files_that_do_not_fit_are_refused(way, tmp_path):
    path = tmp_path / "resu.npz"
    VectorReSU(**SMALL).fit(X).save(path)
    damage.damage(path, way, DAMAGED, "mean_")
    with pytest.raises((ValueError, FileNotFoundError), match=r"resu\.npz"):
        VectorReSU.load(path)
