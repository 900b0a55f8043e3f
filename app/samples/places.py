"""How many streams are sent at a time."""

from collections.abc import Generator
from contextlib import contextmanager
from threading import Event

from anyio import CapacityLimiter

from app.errors import TooManyStreams

#: Threads that make batches: while one draws, which takes the sampler's lock, another encodes. All other threads of the
#: pool stay with the other routes, however many streams there are.
THREADS = 2


class Streams:
    """The streams that are being sent. It belongs to the event loop: one thread counts.

    most: how many there may be at a time. stopping: set when the process is asked to end.
    """

    def __init__(self, *, most: int, stopping: Event) -> None:
        self.stopping = stopping
        self.active = 0
        self.limiter = CapacityLimiter(THREADS)
        self._most = most

    @contextmanager
    def place(self) -> Generator[None]:
        """A place among them, for as long as the block lasts. Raises TooManyStreams."""
        if self.active >= self._most:
            raise TooManyStreams
        self.active += 1
        try:
            yield
        finally:
            self.active -= 1
