"""Command lines of stages, one after another in one warm process: as typed, but the libraries are imported once.

python tests/run_many.py HOUSE   reads lines of JSON ["stage", "--option", ...]; answers each by a line of JSON
                                 [exit status, what went to stdout, what went to stderr]
"""

import contextlib
import io
import json
import os
import runpy
import sys
import traceback
from pathlib import Path


def run(house: Path, stage: str, *options: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `python src/<stage>.py <options>`."""
    sys.argv = [str(house / "src" / f"{stage}.py"), *options]
    shown, heard, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(heard):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:  # as the interpreter takes it
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
        except Exception:
            status = 1
            traceback.print_exc()
    return status, shown.getvalue(), heard.getvalue()


def forget(house: Path) -> None:
    """Empty the caches of the house's modules: what comes next finds nothing in memory."""
    for known in [*sys.modules.values()]:
        if str(getattr(known, "__file__", None)).startswith(str(house)):
            for value in [*vars(known).values()]:
                getattr(value, "cache_clear", bool)()


def main(house: Path) -> None:
    """Serve until stdin ends; stdout carries the answers alone."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path.insert(0, str(house / "src"))
    for line in sys.stdin:
        stage, *options = json.loads(line)
        if stage == "forget":
            forget(house)
            found = (0, "", "")
        else:
            found = run(house, stage, *options)
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
