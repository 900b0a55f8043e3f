"""Pages for people."""

from base64 import b64encode
from hashlib import sha256

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse

from app.deps import Reading
from app.errors import BROKEN_DETAIL, KINDS
from app.gallery.pages import STYLE, front_page, problem_page
from app.keys.scopes import READ
from app.middleware.headers import page_policy
from registry import artifacts, errors

router = APIRouter(include_in_schema=False, dependencies=[READ])

SHOWN = 50
#: Nothing but our own pictures and the one style of the pages: no script can run here, whatever a class is called.
POLICY = page_policy(style=f"'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'")


@router.get("/", response_class=HTMLResponse)
def index(session: Reading) -> HTMLResponse:
    """What there is, on one page."""
    page = artifacts.find(session, limit=SHOWN)
    content = front_page(page.items, more=page.next_cursor is not None)
    return HTMLResponse(content, headers={"Content-Security-Policy": POLICY})


@router.get("/openapi.json", response_class=JSONResponse)
def describe(request: Request) -> JSONResponse:
    """The API, for programs."""
    return JSONResponse(request.app.openapi())


@router.get("/problems/{slug}", response_class=HTMLResponse)
def explain_problem(slug: str) -> HTMLResponse:
    """What a kind of problem means: where the `type` of a problem+json leads."""
    causes = [error for error, kind in KINDS.items() if kind.slug == slug]
    if not causes:
        raise errors.NotFound
    said = [BROKEN_DETAIL if error is Exception else " ".join((error.__doc__ or "").split()) for error in causes]
    content = problem_page(KINDS[causes[0]], said)
    return HTMLResponse(content, headers={"Content-Security-Policy": POLICY})
