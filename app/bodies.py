"""JSON bodies that every part behind can keep: databases, digests and log lines.

JSON as Python reads it lets through what no database stores (NUL, lone surrogates), what no JSON writer may write
again (NaN), and numbers and nestings of any size. They are refused here, each by its pointer.
"""

import math
import re
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Body, Depends
from pydantic import AwareDatetime, BeforeValidator

from app.errors import InvalidRequest
from app.problems import pointer
from distilled.errors import Problem

MAX_DEPTH = 16
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]")
MAX_INTEGER = 2**63 - 1


def faults(value: object, path: tuple[object, ...] = ()) -> Iterator[Problem]:
    """What is wrong with a JSON value, whatever it means."""
    here = pointer(path)
    if len(path) > MAX_DEPTH:
        yield Problem(pointer=here, detail=f"is nested deeper than {MAX_DEPTH} levels; nothing here needs that")
    elif isinstance(value, str):
        if not is_text(value):
            yield Problem(pointer=here, detail="holds a NUL or half of a surrogate pair; send text without them")
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield Problem(pointer=here, detail="must be a finite number")
    elif isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            yield Problem(pointer=here, detail="must fit into 64 bits")
    elif isinstance(value, dict):
        for name, item in value.items():
            if is_text(name):
                yield from faults(item, (*path, name))
            else:
                yield Problem(pointer=here, detail="has a field whose name holds a NUL or half of a surrogate pair")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from faults(item, (*path, i))


def is_text(text: str) -> bool:
    """Whether a text can be stored: no NUL (PostgreSQL refuses it), no lone surrogate (not UTF-8)."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _object(body: Annotated[Any, Body()]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise InvalidRequest.at("", 'must be a JSON object such as {"dataset": "digits"}, sent as application/json')
    found = list(faults(body))
    if found:
        raise InvalidRequest(found)
    return body


def _is_written_out(value: object) -> object:
    if isinstance(value, str) and _DATE.match(value):
        return value
    raise ValueError("must be a time of RFC 3339, such as 2030-01-31T12:00:00Z")


#: A time as RFC 3339 writes it: pydantic alone would also take seconds since 1970, which no schema here declares.
Moment = Annotated[AwareDatetime, BeforeValidator(_is_written_out)]
#: A JSON object as it was sent, to be checked by what it means elsewhere.
JsonObject = Annotated[dict[str, Any], Depends(_object)]
