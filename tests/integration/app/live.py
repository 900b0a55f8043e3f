"""The front end on a socket of this process, for clients that take a URL; it remembers what it was asked."""

import asyncio
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

START_SECONDS = 20


@dataclass
class Live:
    """A running front end. asked: `METHOD /path` of every request, with its Range where it has one."""

    app: ASGIApp
    port: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            part = Headers(scope=scope).get("range")
            self.asked.append(f"{scope['method']} {scope['raw_path'].decode()}{f' {part}' if part else ''}")
        await self.app(scope, receive, send)


@contextmanager
def running(app: ASGIApp, *, protocol: type[asyncio.Protocol] | None = None) -> Generator[Live]:
    """The application, served until the block ends. Its lifespan is not run: its parts are the test's own."""
    live = Live(app)
    config = uvicorn.Config(
        live, host="127.0.0.1", port=0, lifespan="off", log_level="warning", ws="none", http=protocol or "h11"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started
    live.port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield live
    finally:
        server.should_exit = True
        thread.join(10)
