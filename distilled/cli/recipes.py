"""A recipe from a file and from flags; flags win."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from distilled.errors import Problem, RecipeError

_BUDGETS = ("ipc", "ratio", "bytes")


def read_recipe(source: str) -> dict[str, Any]:
    """The JSON object in a file, or on stdin for `-`. Raises RecipeError where it is none."""
    content = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    try:
        recipe: object = json.loads(content)
    except ValueError as error:
        raise RecipeError([Problem(pointer="", detail=f"{source} is not JSON: {error}")]) from None
    if not isinstance(recipe, dict):
        raise RecipeError([Problem(pointer="", detail=f"{source} must hold one JSON object, a recipe")])
    return cast("dict[str, Any]", recipe)


def combine(recipe: Mapping[str, Any], *, flags: Mapping[str, Any], sets: Sequence[str]) -> dict[str, Any]:
    """The recipe with flags that are not None, then `path.to.option=value` settings, laid over it."""
    combined = dict(recipe)
    given = {name: value for name, value in flags.items() if value is not None}
    if any(budget in given for budget in _BUDGETS):
        # One budget at a time: that of the flag replaces that of the file.
        combined = {name: value for name, value in combined.items() if name not in _BUDGETS}
    combined |= given
    for setting in sets:
        _set(combined, setting)
    return combined


def _set(recipe: dict[str, Any], setting: str) -> None:
    path, equals, text = setting.partition("=")
    *parents, name = path.split(".")
    if not equals or not all((*parents, name)):
        detail = f"--set {setting!r} is not path=value; write for example --set objective.width=64"
        raise RecipeError([Problem(pointer="", detail=detail)])
    place = recipe
    for depth, parent in enumerate(parents, start=1):
        inner = place.setdefault(parent, {})
        if not isinstance(inner, dict):
            pointer = "/" + "/".join(parents[:depth])
            raise RecipeError([Problem(pointer=pointer, detail=f"--set {setting!r}: {parent} holds no options")])
        place[parent] = place = dict(cast("dict[str, Any]", inner))  # a copy: the recipe that came in stays as it was
    place[name] = _value(text)


def _value(text: str) -> Any:
    """JSON where it is JSON, else the words themselves: `labels=soft` needs no quotes."""
    try:
        return json.loads(text)
    except ValueError:
        return text
