"""Python values as the parts of a URL."""

from collections.abc import Iterable, Mapping
from typing import Any, cast
from urllib.parse import quote

Query = Mapping[str, str | int | float | list[str]]


def segment(name: str) -> str:
    """A name as one segment of a path: a slash or `..` in it cannot lead anywhere else."""
    return quote(name, safe="") if name.strip(".") else name.replace(".", "%2E")


def query_of(**values: Any) -> Query:
    """Query parameters without those that are None. A list is a parameter for each item; `class_` means `class`."""
    return {name.rstrip("_"): _text(value) for name, value in values.items() if value is not None}


def _text(value: Any) -> str | int | float | list[str]:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return value
    return [str(item) for item in cast("Iterable[object]", value)]
