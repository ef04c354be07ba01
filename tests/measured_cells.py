"""The cells of results/cells/, and how one result's are chosen by the options that name them. Nothing of src/.

A cell is one measurement: {"options": what names it, "result": what was measured}.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

# Options that neither a cell nor a result's config names while they are as always.
DEFAULTS = {"max_steps": 27_000, "max_over": 2, "source": "ram", "experts": "original", "chunk": 1_000,
            "clone_epochs": 6, "evaluate_at": [500_000], "recipe": "ours", "version": 1, "refits": 0}  # fmt: skip


@functools.cache
def shelf_of(folder: Path) -> list[tuple[dict[str, Any], Any]]:
    """(options, result) of every cell in a folder.

    Those of an algorithm's recipe count as the cell's own; where both have one of a name, as "recipe's <name>", too.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_text())
        options = document["options"]
        if isinstance(recipe := options.get("recipe"), dict):
            own = {name: value for name, value in options.items() if name != "recipe"}
            options = recipe | {f"recipe's {name}": recipe[name] for name in recipe.keys() & own.keys()} | own
        found.append((DEFAULTS | options, document["result"]))
    return found


@dataclass(frozen=True)
class Cells:
    """The cells of one result: folder/<shelf>/*.json, chosen by the options in the result's own config.

    name   of the result, and of the shelf with those cells that it shares with no other
    """

    folder: Path
    config: Mapping[str, Any]
    name: str

    def __getitem__(self, name: str) -> Any:
        return self.config[name]

    def one(self, shelf: str, **asked: Any) -> Any:
        """Result of the one cell that has all asked options, and of the config's those that it has at all.

        Raises   LookupError if there is none, or more than one.
        """
        wanted = DEFAULTS | self.config | asked
        fitting = [
            (options, result)
            for options, result in shelf_of(self.folder / shelf)
            if asked.keys() <= options.keys() and all(wanted[name] == options[name] for name in wanted.keys() & options)
        ]
        if len(fitting) != 1:
            raise LookupError(f"{len(fitting)} cells of {shelf} fit {asked}: {[options for options, _ in fitting]}")
        return fitting[0][1]

    def each(self, shelf: str, number: Callable[[Any], Any], **asked: Any) -> np.ndarray:
        """number(result) for each seed of the config."""
        first = self.config.get("first_seed", 0)
        seeds = range(first, first + self["seeds"])
        return np.array([number(self.one(shelf, seed=seed, **asked)) for seed in seeds], float)

    def of(self, **other: Any) -> Cells:
        """The same with other options in place of the config's."""
        return replace(self, config={**self.config, **other})

    def scores(self, shelf: str, **asked: Any) -> np.ndarray:
        """(n seeds,) means over the games of each seed."""
        return self.each(shelf, lambda result: np.mean(result["scores"]), **asked)
