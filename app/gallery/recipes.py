"""A recipe in few words: what it says beyond its preset and the defaults, as the form's address and the CLI have it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from app.services import Catalog
from distilled.errors import RecipeError
from distilled.recipe import BUDGETS, SLOTS, expand

#: Fields that stand in the form's address by their own name.
PLAIN = ("method", "dataset", *BUDGETS)
#: Nobody means the webhook of the job that is cloned: its receiver knows nothing of the new one.
NOT_CLONED = frozenset({"webhook"})


def settings(recipe: Mapping[str, Any], catalog: Catalog) -> list[tuple[str, Any]]:
    """(path, value) of each option of an expanded recipe that its preset and the defaults would not give.

    A path is as of the CLI's `--set`: `objective.learning_rate`. Lists are one value.
    """
    short = {name: recipe[name] for name in PLAIN if recipe.get(name) is not None}
    chosen: list[tuple[str, Any]] = []
    given: dict[str, Any] = dict(short)
    preset = catalog["presets"].get(recipe.get("method") or "", {"fills": {}})["fills"]
    for slot in SLOTS:
        kind = (recipe.get(slot) or {}).get("kind")
        if kind is not None and kind != preset.get(slot, {}).get("kind"):
            given[slot] = {"kind": kind}
            chosen.append((f"{slot}.kind", kind))
    if "steps" not in preset and recipe.get("steps") is not None:
        given["steps"] = recipe["steps"]
        chosen.append(("steps", recipe["steps"]))
    try:
        usual = expand(given, catalog)
    except RecipeError:  # of an older version, which had other options: all of it is said
        usual = given
    rest = {name: value for name, value in recipe.items() if name not in PLAIN and name not in NOT_CLONED}
    return [*chosen, *(found for found in _differences(rest, usual) if found not in chosen)]


def form_address(recipe: Mapping[str, Any], catalog: Catalog) -> str:
    """The form, filled in as this expanded recipe."""
    pairs = [(name, str(recipe[name])) for name in PLAIN if recipe.get(name) is not None]
    pairs += [("set", f"{path}={_written(value)}") for path, value in settings(recipe, catalog)]
    return f"/jobs/new?{urlencode(pairs)}"


def _differences(told: Mapping[str, Any], usual: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in told.items():
        path, before = f"{at}{name}", usual.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            yield from _differences(value, before, f"{path}.")  # pyright: ignore[reportUnknownArgumentType]
        elif value != before:
            yield path, value


def _written(value: Any) -> str:
    """As `--set` reads it: words stand for themselves where nothing else can be meant."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value, separators=(",", ":"))
