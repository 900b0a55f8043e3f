"""What the tus protocol asks of every answer, errors too, and of clients that know GET and POST only."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

INSTEAD = frozenset({"PATCH", "DELETE", "HEAD"})


class Tus:
    """Under `prefix`: answers carry Tus-Resumable, and a POST may say X-HTTP-Method-Override (tus 1.0.0, "Headers")."""

    def __init__(self, app: ASGIApp, *, prefix: str, version: str) -> None:
        self.app = app
        self.prefix = prefix
        self.version = version

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(self.prefix):
            await self.app(scope, receive, send)
            return
        meant = Headers(scope=scope).get("x-http-method-override", "").upper()
        if scope["method"] == "POST" and meant in INSTEAD:
            scope = {**scope, "method": meant}

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Tus-Resumable"] = self.version
            await send(message)

        await self.app(scope, receive, send_marked)
