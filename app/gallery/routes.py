"""Pages for people: what there is, and what a problem means."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from app.deps import Reading
from app.errors import BROKEN_DETAIL, KINDS
from app.gallery.frame import PageRoute, page
from app.keys.scopes import READ
from registry import artifacts, errors

router = APIRouter(include_in_schema=False, dependencies=[READ], route_class=PageRoute)

SHOWN = 50


@router.get("/")
def index(request: Request, session: Reading) -> Response:
    """What there is, on one page."""
    found = artifacts.find(session, limit=SHOWN)
    return page(request, "gallery.html", artifacts=found.items, more=found.next_cursor is not None)


@router.get("/openapi.json", response_class=JSONResponse)
def describe(request: Request) -> JSONResponse:
    """The API, for programs."""
    return JSONResponse(request.app.openapi())


@router.get("/problems/{slug}")
def explain_problem(request: Request, slug: str) -> Response:
    """What a kind of problem means: where the `type` of a problem+json leads."""
    causes = [error for error, kind in KINDS.items() if kind.slug == slug]
    if not causes:
        raise errors.NotFound
    said = [BROKEN_DETAIL if error is Exception else " ".join((error.__doc__ or "").split()) for error in causes]
    return page(request, "kind.html", kind=KINDS[causes[0]], causes=said)
