"""Streams of batches without end: a batch is made when the one before it has gone to the client.

So a slow client slows its own stream and nothing else: it holds no session, no thread and no lock while it is waited
for, and no more than one batch in memory.
"""

from collections.abc import Callable
from itertools import count

from anyio.to_thread import run_sync
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.samples.drawing import suited
from app.samples.places import Streams
from distilled.formats.sets import SyntheticSet
from distilled.formats.streaming import StreamFormat


class BatchStream(StreamingResponse):
    """The batches from `start` on, `batches` of them or without end.

    draw(i): the i-th batch, `batch_size` images. What is wrong with the first is answered as any other fault; later the
    connection is cut, so that nobody takes a part for the whole. It is cut too when the process ends.
    """

    def __init__(
        self,
        streams: Streams,
        draw: Callable[[int], SyntheticSet],
        *,
        format: StreamFormat,
        batch_size: int,
        start: int,
        batches: int | None,
        media_type: str,
        headers: dict[str, str],
    ) -> None:
        super().__init__((), media_type=media_type, headers=headers)
        self._streams = streams
        self._draw = draw
        self._format = format
        self._batch_size = batch_size
        self._start = start
        self._end = None if batches is None else start + batches
        self._first = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._streams.place():
            self._first = await run_sync(self._begun, limiter=self._streams.limiter)
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Called by the base class, which ends it when the client has gone."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self._first, "more_body": True})
        self._first = b""
        for index in count(self._start + 1):
            if index == self._end:
                await send({"type": "http.response.body", "body": self._format.tail(), "more_body": False})
                return
            if self._streams.stopping.is_set():
                return  # without an end: the server then closes the connection
            body = await run_sync(self._made, index, limiter=self._streams.limiter)
            await send({"type": "http.response.body", "body": body, "more_body": True})

    def _begun(self) -> bytes:
        first = self._draw(self._start)
        with suited():
            return self._format.head(first) + self._body(first, self._start)

    def _made(self, index: int) -> bytes:
        return self._body(self._draw(index), index)

    def _body(self, drawn: SyntheticSet, index: int) -> bytes:
        return self._format.body(drawn, first=index * self._batch_size)
