"""What the front end does again and again beside its requests, each in a thread of its own."""

import threading
from collections.abc import Callable

import structlog

from app.services import Services
from registry import errors

log = structlog.get_logger(__name__)

#: How long the service's end waits for a round in hand, in seconds.
JOIN_SECONDS = 10.0


class Rounds:
    """Calls `turn(services)`, the first time after `first_seconds`, then every `seconds`, until it is stopped."""

    def __init__(
        self,
        services: Services,
        turn: Callable[[Services], object],
        *,
        name: str,
        seconds: float,
        first_seconds: float = 0.0,
    ) -> None:
        self._services, self._turn, self._name = services, turn, name
        self._seconds, self._first_seconds = seconds, first_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the round in hand."""
        self._stop.set()
        self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        ended = self._stop.wait(self._first_seconds)
        while not ended:
            try:
                self._turn(self._services)
            except Exception as error:
                # Whatever it was, the next round may find it gone; a thread that has died helps nobody.
                known = isinstance(error, errors.RegistryError)
                log.warning(f"{self._name}_failed", reason=str(error) if known else repr(error), exc_info=not known)
            ended = self._stop.wait(self._seconds)
