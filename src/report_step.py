"""One result of the record: the command that makes it, and what it asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

ITS = "The same under the original's recipe of fitting and streaming, as near as it can be inferred."


@dataclass(frozen=True)
class Step:
    """One result.

    name      of its files under results/
    stages    of the original investigation that it belongs to, a space between them
    script    in src/, without .py          options   of the command line, as one would type them
    heading, question   of its section on its stage's page; without a heading it has none
    main       regular expression for the rows of its main table (12 at most) where it has more; all stand at the end
    judged     regular expression for the claims that stand beside it where there are many; all stand at the end
    twin       options besides of the same under the original's recipe; None where that is not measured
    """

    name: str
    stages: str
    script: str
    options: str = ""
    heading: str = ""
    question: str = ""
    main: str = ""
    judged: str = ""
    twin: str | None = None

    @property
    def command(self) -> str:
        """What to type."""
        return f"python src/{self.script}.py {self.options}".rstrip()


def with_twins(steps: Iterable[Step]) -> Iterator[Step]:
    """Every step, and after those that have one the same experiment under the original's recipe."""
    for step in steps:
        yield step
        if step.twin is not None:
            options = f"{step.options} --recipe original {step.twin}".strip()
            heading = f"{step.heading}, the original's recipe"
            yield replace(step, name=f"{step.name}_original", options=options, heading=heading, question=ITS, twin=None)
