"""ReSU among scikit-learn's estimators: its own checks, a pipeline, names of the columns."""

import numpy as np
import pytest
from scipy.signal import lfilter
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._set_output import ADAPTERS_MANAGER
from sklearn.utils.estimator_checks import check_estimator

from resu_core import ReSU

ORDER = "rows are steps in time: the response to a step depends on those before it"


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks(flat):
    """Windows of 3 steps, since the checks fit on as few as 5 rows. Two checks are meant to fail, and do."""
    expected = {"check_methods_sample_order_invariance": ORDER, "check_methods_subset_invariance": ORDER}
    estimator = ReSU(memory=2, horizon=1, n_units=1, flat=flat)
    found = check_estimator(estimator, expected_failed_checks=expected, on_skip=None, on_fail=None)
    status = {check["check_name"]: check["status"] for check in found}
    assert {name for name, value in status.items() if value == "failed"} == set()
    assert {name for name, value in status.items() if value == "xfail"} == set(expected)
    assert sum(value == "passed" for value in status.values()) > 40


def test_in_a_pipeline_and_under_a_search():
    rng = np.random.default_rng(0)
    speed = lfilter([1], [1, -0.9], rng.standard_normal((800, 2)), axis=0)
    x = lfilter([1], [1, -0.99], speed, axis=0)
    pipeline = make_pipeline(ReSU(flat=True), Ridge(1e-6)).fit(x[:600], speed[:600])
    assert pipeline.score(x[600:], speed[600:]) > 0.95
    assert make_pipeline(Ridge(1e-6)).fit(x[:600], speed[:600]).score(x[600:], speed[600:]) < 0.2
    search = GridSearchCV(pipeline, {"resu__n_units": [1, 4]}, cv=TimeSeriesSplit(3)).fit(x, speed)
    assert search.best_params_ == {"resu__n_units": 4}
    again = clone(pipeline).fit(x[:600], speed[:600])
    assert np.array_equal(again.predict(x), pipeline.predict(x))


def test_flat_columns_are_the_responses_in_the_order_of_their_names():
    x = np.random.default_rng(0).standard_normal((300, 2)).cumsum(axis=0)
    deep, flat = ReSU(n_units=2).fit(x), ReSU(n_units=2, flat=True).fit(x)
    names = flat.get_feature_names_out(["left", "right"]).tolist()
    assert names == [f"{side}_{half}" for side in ("left", "right") for half in ("on0", "on1", "off0", "off1")]
    assert np.array_equal(flat.transform(x)[:, names.index("right_off1")], deep.transform(x)[:, 1, 3])


CHANGED = {
    "memory": 3, "horizon": 2, "n_units": 1, "center": False, "ridge": 0.5, "flat": True, "absolute_ridge": 0.25,
}  # fmt: skip


def test_parameters_set_after_a_fit_count_from_the_next_fit_on():
    x = np.random.default_rng(0).standard_normal((300, 2)).cumsum(axis=0)
    for flat in (False, True):
        resu = ReSU(memory=5, horizon=4, n_units=3, flat=flat).fit(x)
        responses, names = resu.transform(x), resu.get_feature_names_out().tolist()
        resu.set_params(**CHANGED | {"flat": not flat})
        assert np.array_equal(resu.transform(x), responses) and resu.get_feature_names_out().tolist() == names
        assert clone(resu).get_params() == CHANGED | {"flat": not flat}
        wanted = ReSU(**CHANGED | {"flat": not flat}).fit(x)
        assert np.array_equal(resu.fit(x).transform(x), wanted.transform(x)) and resu.mean_.tolist() == [0, 0]


def test_another_memory_begins_anew_chunk_by_chunk():
    x = np.random.default_rng(0).standard_normal((300, 2)).cumsum(axis=0)
    resu = ReSU(memory=5, horizon=4, n_units=2).fit(x).set_params(memory=6)
    resu.partial_fit(x[:8])
    with pytest.raises(ValueError, match="not fitted"):
        resu.transform(x)
    wanted = ReSU(memory=6, horizon=4, n_units=2).fit(x)
    assert np.allclose(resu.partial_fit(x[8:]).filters_, wanted.filters_, rtol=1e-9)


class Table:
    """Stands for pandas, which need not be there: keeps what scikit-learn would make a table of."""

    container_lib = "pandas"

    def create_container(self, X_output, X_original, columns, inplace=True):  # noqa: N803
        return X_output, list(columns())

    def is_supported_container(self, X):  # noqa: N803
        return isinstance(X, tuple)


def test_tables_have_the_names_of_the_columns_and_three_axes_are_no_table(monkeypatch):
    monkeypatch.setitem(ADAPTERS_MANAGER.adapters, "pandas", Table())
    x = np.random.default_rng(0).standard_normal((300, 2)).cumsum(axis=0)
    resu, deep = ReSU(n_units=2, flat=True).fit(x), ReSU(n_units=2).fit(x)
    plain = resu.transform(x)
    resu.set_params(n_units=3, flat=False)
    with config_context(transform_output="pandas"):
        values, names = resu.transform(x)
        assert np.array_equal(values, plain) and names == resu.get_feature_names_out().tolist() and len(names) == 8
        with pytest.raises(ValueError, match="no table: fit with flat=True"):
            deep.transform(x)
        assert deep.set_output(transform="default").transform(x).shape == (300, 2, 4)
    scaled = make_pipeline(StandardScaler(), ReSU(flat=True)).fit(x)
    assert scaled.get_feature_names_out().tolist()[:2] == ["x0_on0", "x0_on1"]
