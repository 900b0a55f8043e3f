"""How large a request may be, and how long it may take: a JSON document little, an upload as much as settings say.

A head is counted once it is there: the parser holds up one that comes in pieces, and takes any that comes whole.
A body that announces its size is refused before a byte of it is read; one that does not is counted as it arrives. A
JSON document has so much time for all of it; an upload may take for ever, as long as it moves. What is sent back is
not timed at all: event streams and downloads go on.
"""

import math
from collections.abc import Sequence

import anyio
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BodyTooLarge, HeadTooLarge, answer

HEAD_BYTES = 32 * 1024
JSON_BYTES = 1024 * 1024
#: What multipart framing and the small fields may take beside the file.
FRAMING_BYTES = 64 * 1024


class HeadLimit:
    """Refuses requests whose address and headers are too long together, with a 431."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _head_bytes(scope) > HEAD_BYTES:
            await answer(HeadTooLarge())(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _head_bytes(scope: Scope) -> int:
    """As it was sent: name, value, and the four bytes between and after them."""
    lines = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    return len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) + lines


class BodyLimit:
    """Refuses bodies that are too large with a 413, and those that do not arrive with a 408.

    uploads: (method, beginning of the path) of requests with files. seconds: for the whole of any other body;
    idle_seconds: for the next bytes of an upload.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        uploads: Sequence[tuple[str, str]],
        max_upload_bytes: int,
        seconds: float,
        idle_seconds: float,
    ) -> None:
        self.app = app
        self.uploads = uploads
        self.max_upload_bytes = max_upload_bytes
        self.seconds, self.idle_seconds = seconds, idle_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        upload = any(scope["method"] == method and scope["path"].startswith(path) for method, path in self.uploads)
        limit = self.max_upload_bytes + FRAMING_BYTES if upload else JSON_BYTES
        said = f"the body may have at most {self.max_upload_bytes if upload else JSON_BYTES} bytes here; send less"
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > limit:
            await answer(BodyTooLarge(said))(scope, receive, send)
            return
        read, until, whole, answered = 0, math.inf, False, False

        async def send_watched(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        async def receive_counted() -> Message:
            nonlocal read, until, whole
            if whole:
                return await receive()  # which tells only that the caller has gone, whenever that may be
            if upload:
                until = anyio.current_time() + self.idle_seconds
            else:
                until = min(until, anyio.current_time() + self.seconds)
            try:
                with anyio.fail_after(until - anyio.current_time()):
                    message = await receive()
            except TimeoutError:
                return self._late(upload=upload, answered=answered)
            if message["type"] == "http.request":
                whole = not message.get("more_body", False)
                read += len(message.get("body", b""))
                if read > limit:
                    # FastAPI turns what fails while a body is read into a 400, except for its own kind of error.
                    raise HTTPException(413, detail=said)
            return message

        await self.app(scope, receive_counted, send_watched)

    def _late(self, *, upload: bool, answered: bool) -> Message:
        """What is told of a body that does not come. Of an upload, that its sender has gone: so its part is kept."""
        if upload or answered:
            return {"type": "http.disconnect"}
        detail = f"the body did not arrive within {self.seconds:g} seconds; send it again, or in pieces to /v1/uploads"
        raise HTTPException(408, detail=detail, headers={"Connection": "close"})
