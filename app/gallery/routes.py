"""What belongs to no other page: the document of the API, and what a problem means."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from app.errors import BROKEN_DETAIL, KINDS
from app.gallery.frame import PageRoute, page
from app.keys.scopes import READ
from registry import errors

router = APIRouter(include_in_schema=False, dependencies=[READ], route_class=PageRoute)


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
