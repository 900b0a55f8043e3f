"""/login: a key, typed once, that the browser keeps and no script can read.

The cookie holds the key itself: there is nothing to keep on our side, and a key that is revoked or runs out closes
the pages at once, too. Changing anything with it takes the token that only our own pages know (`app.keys.cookie`).
"""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from app.deps import Service
from app.gallery.frame import PageRoute, page
from app.keys import cookie
from app.keys.caller import NOBODY, caller
from app.keys.scopes import NO_KEY
from app.middleware.guard import LOGIN, LOGOUT, known_by

router = APIRouter(include_in_schema=False, dependencies=[NO_KEY], route_class=PageRoute)

#: A browser keeps it for thirty days; the key itself may end before.
SECONDS = 30 * 24 * 3600
Next = Annotated[str, Query(max_length=2000)]


@router.get(LOGIN)
def ask(request: Request, next: Next = "/") -> Response:
    """The form, for those who are not in yet."""
    if caller(request) is not NOBODY:
        return RedirectResponse(own_path(next), status_code=303)
    return page(request, "login.html", next=own_path(next), refused=False)


@router.post(LOGIN)
async def enter(
    request: Request,
    service: Service,
    key: Annotated[str, Form(min_length=1, max_length=cookie.LONGEST)],
    next: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """Keep the key, and go on to where one was going. A wrong one: 401, and the form again."""
    caller = await known_by(key.strip().encode(), api_key=service.settings.key, ring=service.ring)
    if caller is None:
        refused = page(request, "login.html", status=401, next=own_path(next), refused=True)
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused
    answer = RedirectResponse(own_path(next), status_code=303)
    answer.set_cookie(
        cookie.NAME,
        cookie.written(key.strip()),
        max_age=SECONDS,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


@router.post(LOGOUT)
def leave() -> Response:
    """Forget the key in this browser."""
    answer = RedirectResponse(LOGIN, status_code=303)
    answer.delete_cookie(cookie.NAME, path="/", httponly=True, samesite="strict")
    return answer


def own_path(path: str) -> str:
    """The path if it leads to a page of this service, and the front page if not."""
    local = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if local else "/"
