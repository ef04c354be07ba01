"""How encoders are fitted and streamed: our way, and the original investigation's, as near as it can be inferred.

Its text gives neither centring nor the unit of its ridge. Uncentred second moments with a ridge of 1.5e-3 on
pixels / 255 give its top correlations in four of five games; eight correlations near 1 in layer 2 need layers that
predict whole patches; its streams average normalised moments, and the first chunk takes the place of what was there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from resu_conv import ReSUEncoder

RecipeName = Literal["ours", "original"]


@dataclass(frozen=True)
class Recipe:
    """Options that differ from the defaults: of `ReSUEncoder`, and of `StreamingReSU`."""

    encoder: Mapping[str, Any]
    stream: Mapping[str, Any]


RECIPES: dict[RecipeName, Recipe] = {
    "ours": Recipe({}, {}),
    "original": Recipe(
        {"center": False, "ridge": 0.0, "absolute_ridge": 1.5e-3, "future2": "patch"},
        {"clock": "average", "start": "replace"},
    ),
}


def encoder(recipe: RecipeName, **options: Any) -> ReSUEncoder:
    """A new encoder of a recipe, with these options besides."""
    return ReSUEncoder(**RECIPES[recipe].encoder, **options)


def adds(recipe: RecipeName) -> bool:
    """Whether its streams may add without forgetting (alpha = 1)."""
    return RECIPES[recipe].stream.get("clock", "sums") == "sums"


def label(recipe: RecipeName) -> str:
    """What titles of figures add to say so."""
    return "" if recipe == "ours" else ", the original's recipe"


def suffix(recipe: RecipeName) -> str:
    """What sets the files of a recipe's results apart from those of ours."""
    return "" if recipe == "ours" else f"_{recipe}"
