"""How large a body may be: a JSON document little, an upload as much as the settings say.

A body that announces its size is refused before a byte of it is read; one that does not is counted as it arrives.
"""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BodyTooLarge, answer

JSON_BYTES = 1024 * 1024
#: What multipart framing and the small fields may take beside the file.
FRAMING_BYTES = 64 * 1024


class BodyLimit:
    """Refuses bodies that are too large with a 413. uploads: (method, beginning of the path) of requests with files."""

    def __init__(self, app: ASGIApp, *, uploads: Sequence[tuple[str, str]], max_upload_bytes: int) -> None:
        self.app = app
        self.uploads = uploads
        self.max_upload_bytes = max_upload_bytes

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
        read = 0

        async def receive_counted() -> Message:
            nonlocal read
            message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > limit:
                    # FastAPI turns what fails while a body is read into a 400, except for its own kind of error.
                    raise HTTPException(413, detail=said)
            return message

        await self.app(scope, receive_counted, send)
