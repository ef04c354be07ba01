"""Every stage in order, each resuming where it was stopped; in between the time that is left, from what each took.

Finished cells (results/cells/) are read, not computed again. `--fresh` deletes them first, and the trained heads and
checkpoints under data/; git brings the committed cells back (`git checkout results/cells`).

Reads      results/          Writes  what the stages write; every page at the end
Run        make reproduce                       (everything; about a day on 2 CPU cores with --fresh)
           make reproduce STAGES="2 4a"         (or: python src/reproduce.py --stages 2 4a)
           make smoke                           (or: python src/reproduce.py --smoke: every stage in seconds)
"""

import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass

import report_steps
import resu_files
from report_step import Step
from stage_io import ROOT, duration, guard, parse_config

UNKNOWN = 15 * 60.0  # seconds that a step is taken to need if it never ran here
KEPT = ("cells",)  # folders of results/, and ...
TRAINED = ("heads", "learning")  # ... of data/, that make stages resume


@dataclass(frozen=True)
class Config:
    """Options."""

    stages: tuple[
        str, ...
    ] = ()  # which of the original investigation, e.g. 2 4a; also core, play, demo; all by default
    fresh: bool = False  # delete finished cells and trained heads first
    list: bool = False  # say what would be run, and run nothing
    smoke: bool = False  # every script once with --smoke


def chosen(stages: tuple[str, ...], smoke: bool) -> list[Step]:
    """The steps of some stages in running order; for a smoke run one per script.

    Raises   ValueError for a stage that does not exist.
    """
    known = sorted({stage for step in report_steps.STEPS for stage in step.stages.split()})
    strange = [stage for stage in stages if stage not in known]
    if strange:
        raise ValueError(f"there is no stage {strange[0]}: choose among {' '.join(known)}")
    steps = [step for step in report_steps.STEPS if not stages or set(stages) & set(step.stages.split())]
    return list({step.script: step for step in reversed(steps)}.values())[::-1] if smoke else steps


def seconds_of(step: Step, fresh: bool) -> float:
    """What a step took, from its result: with its cells, or what a run takes that finds them."""
    path = ROOT / "results" / f"{step.name}.json"
    if not path.is_file():
        return UNKNOWN
    document = resu_files.read_json(path)
    cost = document.get("cost")
    if not cost:
        return float(document["seconds"])
    return float(cost["seconds_beside"] + (cost["seconds_of_cells"] if fresh else 0))


def main(argv: list[str] | None = None) -> None:
    """Run the steps one after the other; stop at the first that fails."""
    config = parse_config(Config, argv)
    steps = chosen(config.stages, config.smoke)
    expected = [20.0 if config.smoke else seconds_of(step, config.fresh) for step in steps]
    if config.list:
        for step, seconds in zip(steps, expected, strict=True):
            print(f"{step.stages:6} {duration(seconds):>12}  {step.command}")
        print(f"about {duration(sum(expected))} in all")
        return
    if config.fresh:
        base = ("results/smoke", "data/smoke") if config.smoke else ("results", "data")
        for folder in [*(ROOT / base[0] / name for name in KEPT), *(ROOT / base[1] / name for name in TRAINED)]:
            shutil.rmtree(folder, ignore_errors=True)
    for i, step in enumerate(steps):
        words = ["--smoke"] if config.smoke else shlex.split(step.options)
        left = duration(sum(expected[i:]))
        print(f"\n=== {i + 1} of {len(steps)}: {step.script}.py {shlex.join(words)} (about {left} left)", flush=True)
        started = time.perf_counter()
        done = subprocess.run([sys.executable, str(ROOT / "src" / f"{step.script}.py"), *words], check=False)
        if done.returncode:
            raise ValueError(
                f"{step.script}.py ended with status {done.returncode}: mend that, then run the same again"
            )
        print(f"=== {step.script}.py took {duration(time.perf_counter() - started)}", flush=True)
    report = [sys.executable, str(ROOT / "src" / "report_results.py"), *(["--smoke"] if config.smoke else [])]
    subprocess.run(report, check=True)


if __name__ == "__main__":
    guard(main)
