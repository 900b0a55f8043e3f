"""Below /v2 every error is what clients of the Open Inference Protocol read: `{"error": "…"}`.

Failures come from anywhere: a route, the guard, the body limit, the framework. All of them answer with a problem
(`app.errors`), which is rewritten here on its way out; what is wrong with a request (422) is a 400 there.
"""

import json
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problems import MEDIA_TYPE

ROOT = "/v2"
#: Headers of the problem that are of its body, not of the answer.
OF_BODY = frozenset({b"content-type", b"content-length"})


class ProtocolErrors:
    """Rewrites problems below /v2; lets everything else through as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_ours(scope["path"]):
            await self.app(scope, receive, send)
            return
        started: Message | None = None  # the head of a problem, held back until its body is known
        body = b""

        async def send_rewritten(message: Message) -> None:
            nonlocal started, body
            if message["type"] == "http.response.start" and _is_problem(message):
                started = message
            elif started is not None and message["type"] == "http.response.body":
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    await _rewritten(started, json.loads(body))(scope, receive, send)
            else:
                await send(message)

        await self.app(scope, receive, send_rewritten)


def _is_ours(path: str) -> bool:
    return path == ROOT or path.startswith(ROOT + "/")


def _is_problem(start: Message) -> bool:
    return (b"content-type", MEDIA_TYPE.encode()) in [tuple(header) for header in start["headers"]]


def _rewritten(start: Message, problem: dict[str, Any]) -> JSONResponse:
    """The protocol's answer to a problem, with the problem's other headers."""
    status = 400 if problem["status"] == 422 else problem["status"]
    answer = JSONResponse({"error": problem["detail"]}, status_code=status)
    answer.raw_headers += [header for header in start["headers"] if header[0].lower() not in OF_BODY]
    return answer
