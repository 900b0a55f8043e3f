"""Pages by key, not by offset: a cursor names the last row given out, so that rows added meanwhile shift nothing."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from registry import errors
from registry.ids import ID_PATTERN

Item = TypeVar("Item")
MAX_LIMIT = 1000
Value = float | int | None


@dataclass(frozen=True, kw_only=True)
class Page(Generic[Item]):
    """Some rows, and the cursor that asks for the ones after them; None when these are the last."""

    items: list[Item]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True)
class Position:
    """The last row given out: the sort it was given under, the value it was sorted by, and its id."""

    sort: str
    value: Value
    row_id: str


def encode(position: Position) -> str:
    """The position as an opaque word that is safe in a URL."""
    text = json.dumps([position.sort, position.value, position.row_id], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, *, sort: str) -> Position:
    """The position that a cursor names. Raises InvalidCursor for anything that `encode` did not make for this sort."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        parts: Any = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        made_for, value, row_id = parts
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise errors.InvalidCursor from error
    number = value is None or (isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63)
    if made_for != sort or not number or not isinstance(row_id, str) or not ID_PATTERN.fullmatch(row_id):
        raise errors.InvalidCursor
    return Position(sort=sort, value=value, row_id=row_id)


def checked_limit(limit: int) -> int:
    """The limit itself; raises InvalidQuery outside 1..MAX_LIMIT."""
    if not 1 <= limit <= MAX_LIMIT:
        raise errors.InvalidQuery(f"limit must lie in 1..{MAX_LIMIT}, not {limit}; page through the rest by cursor.")
    return limit


def newest_first(
    session: Session,
    query: Select[Item],
    key: InstrumentedAttribute[str],
    *,
    limit: int,
    cursor: str | None,
) -> Page[Item]:
    """A page of the query's rows by falling id, which is falling age. Raises InvalidCursor, InvalidQuery."""
    checked_limit(limit)
    if cursor is not None:
        query = query.where(key < decode(cursor, sort="-created").row_id)
    rows = list(session.scalars(query.order_by(key.desc()).limit(limit + 1)))
    if len(rows) <= limit:
        return Page(items=rows, next_cursor=None)
    last: str = getattr(rows[limit - 1], key.key)
    return Page(items=rows[:limit], next_cursor=encode(Position(sort="-created", value=None, row_id=last)))
