"""The examples in the docstrings of the library run and print what they say."""

import doctest
import importlib

import pytest

from stage_io import ROOT

LIBRARY = sorted(path.stem for path in (ROOT / "src").glob("resu_*.py"))
EXEMPLARY = {  # what must have examples
    "resu_conv.ReSUEncoder",
    "resu_core.ReSU",
    "resu_core.canonical_directions",
    "resu_moments.LagMoments",
    "resu_online.OnlineEncoder",
    "resu_streaming.StreamingReSU",
    "resu_vector.VectorReSU",
    "resu_vector_moments.VectorMoments",
}


@pytest.mark.parametrize("name", LIBRARY)
def test_examples_run(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0


def test_examples_are_found():
    """Negative control: an example that is not seen cannot fail, and one that prints something else does."""
    found = set()
    for name in LIBRARY:
        for test in doctest.DocTestFinder().find(importlib.import_module(name)):
            found |= {test.name} if test.examples else set()
    assert found >= EXEMPLARY
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=lambda text: None).failed == 1
