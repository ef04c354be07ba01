"""How the suite runs: each of pytest's workers keeps to one thread, and the longest files come first."""

import os
import sys

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is loaded: two workers with two threads each wait


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.name.startswith("test_stages_"))


def pytest_runtest_setup() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() > 1:
        torch.set_num_threads(1)
