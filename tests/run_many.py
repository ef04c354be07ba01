"""Command lines of stages, one after another in one process: as typed, but the libraries are imported once.

python tests/run_many.py HOUSE '[["stage", "--option", ...], ...]'   prints [[exit status, what went to stderr], ...]
"""

import contextlib
import io
import json
import runpy
import sys
from pathlib import Path


def run(house: Path, stage: str, *options: str) -> tuple[int, str]:
    """Exit status and stderr of `python src/<stage>.py <options>`."""
    sys.argv = [str(house / "src" / f"{stage}.py"), *options]
    heard, status = io.StringIO(), 0
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(heard):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:  # as the interpreter takes it
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
    return status, heard.getvalue()


if __name__ == "__main__":
    root = Path(sys.argv[1])
    sys.path.insert(0, str(root / "src"))
    print(json.dumps([run(root, *case) for case in json.loads(sys.argv[2])]))
