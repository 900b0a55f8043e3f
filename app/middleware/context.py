"""Outermost: every request has an id, one line in the log, and an answer even where the code fails."""

import re
import time
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import answer
from registry import tracing

log = structlog.get_logger(__name__)

ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_id(headers: Headers) -> str:
    """The caller's X-Request-ID where it is safe to log, else a new one."""
    given = headers.get("x-request-id", "")
    return given if ACCEPTED.fullmatch(given) else uuid4().hex


class RequestContext:
    """Binds the request's id to the log and to the answer, and turns unhandled errors into a plain 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        known_as = request_id(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = known_as
        tracing.note(request_id=known_as)
        status = 0
        began = time.perf_counter()

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = known_as
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=known_as):
            try:
                await self.app(scope, receive, send_named)
            except Exception as error:
                # Once the status line is out there is nothing left to say but to cut the connection.
                if status:
                    log.exception("request_broken", path=scope["path"])
                    raise
                await answer(error)(scope, receive, send_named)
            finally:
                log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    seconds=round(time.perf_counter() - began, 4),
                )
