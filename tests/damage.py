"""Saved files that are damaged in one way, for tests of what reads them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

import resu_files

WAYS = ("truncated", "missing", "lacks")


def damage(path: Path, way: str, others: Mapping[str, np.ndarray], lacking: str) -> None:
    """Spoil an .npz file: one of WAYS ("lacks" takes `lacking` out), or one of `others` in place of what it held."""
    if way == "missing":
        path.unlink()
    elif way == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    else:
        data = resu_files.read_npz(path)
        if way == "lacks":
            del data[lacking]
        resu_files.write_npz(path, **(data | ({way: others[way]} if way in others else {})))
