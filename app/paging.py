"""Lists are pages: `{"items": […], "next_cursor": …}` and a `Link` to the next one."""

from typing import Annotated, Generic, TypeVar

from fastapi import Query, Request, Response
from pydantic import BaseModel, Field

T = TypeVar("T")

MAX_LIMIT = 200
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="how many items a page has at most")]
Cursor = Annotated[
    str | None, Query(max_length=512, description="where the page starts: the `next_cursor` of the page before")
]


class PageRead(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    next_cursor: str | None = Field(description="the `cursor` of the next page; null on the last one")


def link_next(request: Request, response: Response, next_cursor: str | None) -> None:
    """Name the next page in a `Link` header (RFC 8288), with the same filters as this one."""
    if next_cursor is not None:
        following = request.url.include_query_params(cursor=next_cursor)
        response.headers["Link"] = f'<{following}>; rel="next"'
