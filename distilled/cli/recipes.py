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
        combined = _set(combined, setting)
    return combined


def _set(recipe: dict[str, Any], setting: str) -> dict[str, Any]:
    path, equals, text = setting.partition("=")
    steps = path.split(".")
    if not equals or not all(steps):
        detail = f"--set {setting!r} is not path=value; write for example --set objective.width=64"
        raise RecipeError([Problem(pointer="", detail=detail)])
    return _laid(recipe, steps, _value(text), walked=0, setting=setting)


def _laid(holder: Any, steps: Sequence[str], value: Any, *, walked: int, setting: str) -> Any:
    """A copy of `holder` with the value at the end of these steps: names of options, or places in a list from 0 on."""
    if walked == len(steps):
        return value
    step = steps[walked]
    # What is not there yet is made: a list where a place is asked for, such as penalties.0.kind.
    nothing: Any = [] if "".join(steps[walked + 1 : walked + 2]).isdecimal() else {}
    if isinstance(holder, dict):
        options = cast("dict[str, Any]", holder)
        inner = _laid(options.get(step, nothing), steps, value, walked=walked + 1, setting=setting)
        return {**options, step: inner}
    items = cast("list[Any]", holder) if isinstance(holder, list) else []
    if isinstance(holder, list) and step.isdecimal() and int(step) <= len(items):
        place = int(step)
        inner = _laid([*items, nothing][place], steps, value, walked=walked + 1, setting=setting)
        return [*items[:place], inner, *items[place + 1 :]]
    pointer, parent = "/" + "/".join(steps[:walked]), steps[walked - 1]
    told = f"{parent} has places 0 to {len(items)}" if isinstance(holder, list) else f"{parent} holds no options"
    raise RecipeError([Problem(pointer=pointer, detail=f"--set {setting!r}: {told}")])


def _value(text: str) -> Any:
    """JSON where it is JSON, else the words themselves: `labels=soft` needs no quotes."""
    try:
        return json.loads(text)
    except ValueError:
        return text
