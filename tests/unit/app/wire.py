"""A client of the application without a network: it decides itself when it reads on, and when it leaves."""

import math
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from fastapi import FastAPI


class SlowReader:
    """Takes so many parts of a body and then no more until it is told to."""

    def __init__(self, *, reads: float = math.inf, keep: bool = True) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.parts: list[bytes] = []
        self.taken = 0
        self.complete = False
        self.ended = anyio.Event()
        self._keep = keep
        self._reads = reads
        self._more = anyio.Event()
        self._gone = anyio.Event()
        self._asked = False

    def leave(self) -> None:
        """Close the connection."""
        self._gone.set()

    def read_on(self, reads: float = math.inf) -> None:
        """Take so many more."""
        self._reads += reads
        self._more.set()
        self._more = anyio.Event()

    async def receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        while self.taken >= self._reads:
            await self._more.wait()
        self.taken += 1
        if self._keep:
            self.parts.append(message.get("body", b""))
        self.complete = not message.get("more_body", False)


@asynccontextmanager
async def asking(app: FastAPI, url: str, *readers: SlowReader) -> Any:
    """Each reader asks for this address, for as long as the block lasts."""
    path, _, query = url.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }

    async def ask(reader: SlowReader) -> None:
        try:
            await app(dict(scope), reader.receive, reader.send)
        finally:
            reader.ended.set()

    async with anyio.create_task_group() as group:
        for reader in readers:
            group.start_soon(ask, reader)
        yield
        for reader in readers:
            reader.leave()


async def eventually(holds: Callable[[], bool], *, seconds: float) -> None:
    """Wait until it holds; fails when it has not after so long."""
    with anyio.fail_after(seconds):
        while not holds():
            await anyio.sleep(0.01)
