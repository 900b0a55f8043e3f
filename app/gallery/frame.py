"""What every page has in common: its templates, what it may load, and how it tells a failure.

Pages are made here and not in the browser; scripts only add what moves. No page loads anything from elsewhere, and
none has a script or a style of its own between its lines, so that the policy can forbid them all.
"""

import json
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.errors import answer
from app.gallery.assets import address
from app.keys.caller import NOBODY
from app.middleware.guard import is_page
from app.middleware.headers import page_policy
from app.packing import pack
from distilled import __version__
from registry.scopes import Scope

#: `blob:` is for pictures that a script has drawn itself.
POLICY = page_policy(script="'self'", style="'self'", connect="'self'", form="'self'", image="'self' data: blob:")
TEMPLATES = Path(__file__).with_name("templates")


def page(request: Request, template: str, /, *, status: int = 200, **told: Any) -> HTMLResponse:
    """A whole page. told: what the template names; an unknown name in a template is an error, not a gap.

    Every template also knows `can` (may the caller "submit" or "admin"), `who`, `csrf`, `path` and `static`.
    """
    caller = getattr(request.state, "caller", NOBODY)
    content = (
        _environment()
        .get_template(template)
        .render(
            can={scope.value: scope in caller.scopes for scope in Scope},
            who=caller.name,
            csrf=getattr(request.state, "csrf", ""),
            path=request.url.path,
            query=request.url.query,
            version=__version__,
            static=address,
            **told,
        )
    )
    # What a page says changes with what there is, and with who asks.
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache, private", "Vary": "Cookie, Authorization"}
    answer = HTMLResponse(content, status_code=status, headers=headers)
    # With the token of who is logged in it stays as it is (`app.packing`).
    return answer if getattr(request.state, "csrf", "") else pack(request, answer)


class PageRoute(APIRoute):
    """A route whose refusals are pages, too: with the words, the status and the headers of the API's problems.

    A program, which asks for no HTML, is told the problem itself.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_or_tell(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as error:
                told = answer(error)
                return failure(request, told) if "text/html" in request.headers.get("accept", "") else told

        return handle_or_tell


def failure(request: Request, answered: Response) -> Response:
    """A problem of the API as a page."""
    problem: Mapping[str, Any] = json.loads(bytes(answered.body))
    told = page(request, "problem.html", status=answered.status_code, problem=problem)
    kept = {name: value for name, value in answered.headers.items() if name not in ("content-type", "content-length")}
    told.headers.update(kept)
    return told


def shown(request: Request, answered: Response) -> Response:
    """A problem of a path that nothing has: as a page where a person looks for one, as it is where a program asks."""
    return failure(request, answered) if is_page(request.scope) else answered


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {"size": size, "percent": percent, "when": when}
    return made


def size(num_bytes: float) -> str:
    """Bytes for people, by powers of 1000: 8032 is `8.0 kB`."""
    value, units = float(num_bytes), ("B", "kB", "MB", "GB", "TB")
    for unit in units:
        if value < 999.95 or unit == units[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def percent(fraction: float | None, digits: int = 1) -> str:
    """A fraction in 0..1 as per cent, without the sign; an en dash for None."""
    return "–" if fraction is None else f"{100 * fraction:.{digits}f}"


def when(moment: datetime) -> str:
    """UTC, as `<time datetime>` wants it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
