"""Options declared once: a dataclass field with its sentence, unit and bounds.

From the same declaration come the check before a run, the JSON Schema of the API, its 422s, the form on the page and
`--help`. Everything is standard library, because the laboratory and the readers both use it.
"""

import math
import operator
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar, get_type_hints

from distilled.errors import Problem, RecipeError

T = TypeVar("T")
_JSON_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean"}
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


@dataclass(frozen=True, kw_only=True)
class _Knob:
    sentence: str
    unit: str | None
    bounds: Mapping[str, float]
    choices: tuple[str, ...]


def knob(
    default: Any,
    sentence: str,
    *,
    unit: str | None = None,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """Declare an option of a config dataclass: its default, what it does, its unit and its bounds."""
    bounds = {name: value for name, value in (("ge", ge), ("gt", gt), ("le", le), ("lt", lt)) if value is not None}
    return field(
        default=default, metadata={"knob": _Knob(sentence=sentence, unit=unit, bounds=bounds, choices=choices)}
    )


def schema(config: type) -> dict[str, Any]:
    """The JSON Schema of a config dataclass: an object with no further properties allowed."""
    hints = get_type_hints(config)
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {item.name: _property(item, hints[item.name]) for item in fields(config)},
    }


def _property(item: "Field[Any]", kind: type) -> dict[str, Any]:
    declared: _Knob = item.metadata["knob"]
    out: dict[str, Any] = {"type": _JSON_TYPES[kind], "description": declared.sentence}
    if item.default is not MISSING:
        out["default"] = item.default
    if declared.unit:
        out["unit"] = declared.unit
    if declared.choices:
        out["enum"] = list(declared.choices)
    out.update({_BOUNDS[name]: value for name, value in declared.bounds.items()})
    return out


def build(config: type[T], values: Mapping[str, Any], *, pointer: str = "") -> T:
    """Make a config of checked values; what is absent takes its default.

    Raises RecipeError with every problem found, each pointing below `pointer`.
    """
    complete, problems = fill(values, schema(config), pointer=pointer)
    if problems:
        raise RecipeError(problems)
    return config(**complete)


def fill(
    values: Mapping[str, Any], object_schema: Mapping[str, Any], *, pointer: str
) -> tuple[dict[str, Any], list[Problem]]:
    """Values completed with the schema's defaults, and the problems found. The schema is one that `schema` made."""
    properties: Mapping[str, Any] = object_schema["properties"]
    problems = [
        Problem(pointer=f"{pointer}/{name}", detail=f"unknown option; known are: {', '.join(sorted(properties))}")
        for name in values
        if name not in properties
    ]
    complete: dict[str, Any] = {}
    for name, declared in properties.items():
        if name not in values:
            if "default" in declared:
                complete[name] = declared["default"]
            continue
        value, detail = check(values[name], declared)
        complete[name] = value
        if detail:
            problems.append(Problem(pointer=f"{pointer}/{name}", detail=detail))
    return complete, problems


def check(value: Any, declared: Mapping[str, Any]) -> tuple[Any, str | None]:
    """The value in its declared type, and what is wrong with it (None if nothing is)."""
    kind = declared["type"]
    if kind == "number" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)
    wanted = {"integer": int, "number": float, "string": str, "boolean": bool}[kind]
    if not isinstance(value, wanted) or (kind == "integer" and isinstance(value, bool)):
        return value, f"must be {_article(kind)}, not {_shown(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        return value, "must be a finite number"
    if "enum" in declared and value not in declared["enum"]:
        return value, f"must be one of {', '.join(declared['enum'])}, not {_shown(value)}"
    return value, _out_of_bounds(value, declared)


def _out_of_bounds(value: Any, declared: Mapping[str, Any]) -> str | None:
    unit = f" {declared['unit']}" if declared.get("unit") else ""
    rules = (
        ("minimum", "at least", operator.ge),
        ("exclusiveMinimum", "above", operator.gt),
        ("maximum", "at most", operator.le),
        ("exclusiveMaximum", "below", operator.lt),
    )
    for key, words, holds in rules:
        if key in declared and not holds(value, declared[key]):
            return f"must be {words} {declared[key]}{unit}, not {_shown(value)}"
    return None


def _article(kind: str) -> str:
    return {"integer": "a whole number", "number": "a number", "string": "a text", "boolean": "true or false"}[kind]


def _shown(value: Any) -> str:
    """The value as JSON would show it, short enough for a message."""
    text = {True: "true", False: "false", None: "null"}.get(value) if isinstance(value, bool | None) else None
    text = text if text is not None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
