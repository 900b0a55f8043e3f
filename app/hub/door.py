"""Refusals at the Hub's door, said so that its clients understand them, whichever part of the service refuses.

They read `X-Error-Code` and `X-Error-Message`, and some the `error` of a JSON body. Around the whole application, since
who has no key is refused before any route is asked.
"""

import json
import re
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problems import MEDIA_TYPE

PREFIX = "/hf"
#: Paths below which a repository is asked for; one that a caller may not see is one that is not there.
REPOSITORY = re.compile(rf"{PREFIX}/(?:api/datasets|datasets)/[^/]+/[^/]+(?:/.*)?", re.DOTALL)
#: The sentence by which clients tell a wrong token from a private repository.
WRONG_TOKEN = "Invalid credentials in Authorization header"  # noqa: S105 -- a sentence
MAX_HEADER = 500


class HubDoor:
    """Gives every problem under `/hf` the headers and the field that clients of the Hub look for."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(f"{PREFIX}/"):
            await self.app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def send_translated(message: Message) -> None:
            nonlocal start, body
            if _is_problem(message):
                start = message  # kept until the body tells what is wrong
            elif start is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body"):
                    content = _translated(scope, start, body)
                    await send(start)
                    await send({"type": "http.response.body", "body": content})

        await self.app(scope, receive, send_translated)


def _is_problem(message: Message) -> bool:
    begins = message["type"] == "http.response.start"
    return begins and Headers(raw=message["headers"]).get("content-type") == MEDIA_TYPE


def _translated(scope: Scope, start: Message, body: bytes) -> bytes:
    """The body with what the Hub's clients read, and its headers told in `start`."""
    said: dict[str, Any] = json.loads(body)
    headers = MutableHeaders(scope=start)
    message = said["detail"]
    if start["status"] == 401:
        if "authorization" in Headers(scope=scope):
            message = WRONG_TOKEN
        elif REPOSITORY.fullmatch(scope["path"]):
            headers["X-Error-Code"] = "RepoNotFound"
    elif start["status"] == 403 and REPOSITORY.fullmatch(scope["path"]):
        headers["X-Error-Code"] = "GatedRepo"  # it is there, and this key does not open it
    content = json.dumps({**said, "error": message}).encode()
    headers["Content-Length"] = str(len(content))
    # What was asked for is quoted in it: one line of letters, whatever that was, or no server would send it.
    line = "".join(letter if letter.isprintable() else " " for letter in message)
    headers["X-Error-Message"] = " ".join(line.split()).encode("ascii", "replace").decode()[:MAX_HEADER]
    return content
