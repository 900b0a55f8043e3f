"""/: what there is. People look before they read, so each artifact shows its images, and its worth beside baselines.

The whole state is the query: a plain form and plain links, which work without JavaScript.
"""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BeforeValidator, Field

from app.artifacts.choosing import FacetsRead, checked_words
from app.deps import Reading
from app.gallery.cards import cards
from app.gallery.frame import PageRoute, page
from app.keys.scopes import READ
from app.paging import Cursor
from registry import artifacts
from registry.artifacts import Filters, Sort

router = APIRouter(include_in_schema=False, dependencies=[READ], route_class=PageRoute)

#: Cards on a page, and values of a facet.
SHOWN, MOST_VALUES = 48, 12
SORTS = {
    Sort.CREATED_FALLING: "newest first",
    Sort.CREATED: "oldest first",
    Sort.ACCURACY_FALLING: "most accurate first",
    Sort.BYTES: "smallest first",
    Sort.BYTES_FALLING: "largest first",
    Sort.ACCURACY: "least accurate first",
}
FACETS = {"dataset": "Data set", "method": "Method", "kind": "Kind", "ipc": "Images per class"}

#: A form sends a field that was left empty, too. What bounds a value stands within: None has none.
_or_none = BeforeValidator(lambda value: value or None)
Words = Annotated[Annotated[str, Field(max_length=200)] | None, _or_none, Query()]
Word = Annotated[Annotated[str, Field(max_length=96)] | None, _or_none, Query()]
Number = Annotated[Annotated[int, Field(ge=1, le=2**31 - 1)] | None, _or_none, Query()]


@router.get("/")
def index(
    request: Request,
    session: Reading,
    q: Words = None,
    dataset: Word = None,
    method: Word = None,
    kind: Word = None,
    ipc: Number = None,
    sort: Annotated[Sort, Query()] = Sort.CREATED_FALLING,
    cursor: Cursor = None,
) -> Response:
    """The artifacts that pass every filter, a page of them as cards."""
    filters = Filters(words=checked_words(q), dataset=dataset, method=method, kind=kind, ipc=ipc)
    found = artifacts.find(session, **filters, sort=sort, limit=SHOWN, cursor=cursor)
    state = {"q": q, "dataset": dataset, "method": method, "kind": kind, "ipc": ipc}
    chosen = {name: value for name, value in state.items() if value is not None}
    ordered = {} if sort is Sort.CREATED_FALLING else {"sort": sort.value}

    def address(**changed: Any) -> str:
        """This page with other filters, from its beginning. None takes one away."""
        query = urlencode({name: value for name, value in (chosen | ordered | changed).items() if value is not None})
        return f"/?{query}" if query else "/"

    return page(
        request,
        "gallery.html",
        cards=cards(session, found.items),
        facets=FacetsRead.of(artifacts.facets(session, **filters), most=MOST_VALUES),
        chosen=chosen,
        sort=sort,
        sorts=SORTS,
        names=FACETS,
        address=address,
        cursor=cursor,
        next_cursor=found.next_cursor,
    )
