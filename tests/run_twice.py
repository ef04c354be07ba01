"""A stage's smoke run, and again after all that it wrote was deleted: the same arrays, or an error. Run in a house.

python tests/run_twice.py HOUSE STAGE
"""

import importlib
import sys
from pathlib import Path

import numpy as np

TIMINGS = ("seconds", "minutes", "rates", "times")  # how arrays of measured times are named
FOLDERS = ("results", "data", "media")


def files(house: Path) -> set[Path]:
    return {path for folder in FOLDERS for path in (house / folder).rglob("*") if path.is_file()}


def contents(paths: set[Path]) -> dict[tuple[Path, str], bytes]:
    """The bytes of every array and picture, measured times apart."""
    found = {}
    for path in paths:
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                for name in arrays.files:
                    if not name.startswith(TIMINGS):
                        found[path, name] = arrays[name].tobytes()
        elif path.suffix in (".npy", ".gif") and not path.stem.endswith("_record"):  # of a head: its seconds
            found[path, ""] = path.read_bytes()
    return found


def check(house: Path, stage: str) -> None:
    sys.path.insert(0, str(house / "src"))
    module = importlib.import_module(stage)
    main = module.STAGE.main if hasattr(module, "STAGE") else module.main
    before = files(house)
    main(["--smoke"])
    written = files(house) - before
    first = contents(written)
    assert any(path.name == f"{stage}.json" for path in written), written
    if stage.startswith("bench_"):
        return  # nothing but measured times
    for path in written:
        path.unlink()
    for known in [*sys.modules.values()]:  # nor does anything stay in memory
        if str(getattr(known, "__file__", None)).startswith(str(house)):
            for value in [*vars(known).values()]:
                getattr(value, "cache_clear", bool)()
    main(["--smoke"])
    second = contents(files(house) - before)
    assert first.keys() == second.keys(), first.keys() ^ second.keys()
    differ = [f"{path.name} {name}" for (path, name), value in first.items() if value != second[path, name]]
    assert not differ, f"not the same in two runs: {differ}"
    print(f"{len(first)} arrays the same in two runs")


if __name__ == "__main__":
    check(Path(sys.argv[1]), sys.argv[2])
