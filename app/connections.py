"""Connections that wait for what does not come: they are ended, so that nobody fills the server with them.

Uvicorn has a time-out for a connection that has been answered and is silent. It has none for one that never asks, that
drips a request's head, or that goes on dripping a body which was answered long ago; nor has it a limit on how many
there are at once (`limit_concurrency` answers 503 and keeps the connection). This adds both to its protocol. How long a
body may take is the matter of `app.middleware.limits`, which knows what kind of body it is.
"""

import asyncio
from typing import Any, ClassVar

import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

log = structlog.get_logger(__name__)


class Watched(H11Protocol):
    """A connection that is ended when no whole request head has come for so long, while none is being answered."""

    head_seconds: ClassVar[float]
    most: ClassVar[int]
    #: Those without a request, the one that has waited longest first.
    waiting: ClassVar[dict["Watched", asyncio.TimerHandle]]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A new one; where there are too many, the one that has waited longest makes room, or else it goes itself."""
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > self.most:
            oldest = next(iter(self.waiting))  # at the latest this one itself
            log.warning("too_many_connections", most=self.most)
            oldest.give_up()

    def data_received(self, data: bytes) -> None:
        """What has come may be the rest of a head."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._unwatch()
        super().connection_lost(exc)

    def give_up(self) -> None:
        """End it at once: what is still to be sent would not be read."""
        self._unwatch()
        self.transport.abort()

    def _watch(self) -> None:
        in_hand: Any = self.cycle  # None before the first request, whatever uvicorn declares
        if in_hand is not None and not in_hand.response_complete:
            self._unwatch()
        elif self not in self.waiting and not self.transport.is_closing():
            self.waiting[self] = self.loop.call_later(self.head_seconds, self.give_up)

    def _unwatch(self) -> None:
        timer = self.waiting.pop(self, None)
        if timer is not None:
            timer.cancel()


def watched(*, head_seconds: float, most: int) -> type[Watched]:
    """The protocol for a server of its own: a request's head has `head_seconds`, and `most` connections may be open."""

    class Ours(Watched):
        pass

    Ours.head_seconds, Ours.most, Ours.waiting = head_seconds, most, {}
    return Ours
