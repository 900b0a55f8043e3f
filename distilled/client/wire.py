"""One conversation with a service: requests go out, errors come back as exceptions, passing failures are retried.

A request is sent again only where that is safe: it is idempotent, or it carries an Idempotency-Key, or the connection
was never made.
"""

import os
import random
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import httpx2

from distilled.client.problems import error_of, unreachable
from distilled.client.queries import Query
from distilled.client.retry import PASSING, Backoff, retry_after_seconds
from distilled.client.values import Json
from distilled.errors import ServiceError

_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class Wire:
    """The HTTP half of `Client`. `rng` draws the jitter of the back-off; `sleep` is replaced in tests."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None,
        timeout_seconds: float,
        backoff: Backoff,
        rng: random.Random,
        sleep: Callable[[float], None],
        transport: httpx2.BaseTransport | None,
    ) -> None:
        self.url = url.rstrip("/")
        self.backoff = backoff
        self.rng = rng
        self.sleep = sleep
        self.transport = transport
        self._options: dict[str, Any] = {
            "base_url": self.url,
            "headers": {"Authorization": f"Bearer {key}"} if key else {},
            "timeout": timeout_seconds,
            "transport": transport,
            "follow_redirects": True,
        }
        self._http = httpx2.Client(**self._options)
        self._process = os.getpid()

    @property
    def http(self) -> httpx2.Client:
        """Connections of this process: one that was forked off has none of its parent's, or both would read answers."""
        if self._process != os.getpid():
            self._http = httpx2.Client(**self._options)
            self._process = os.getpid()
        return self._http

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
        **multipart: Any,
    ) -> httpx2.Response:
        """Send, and retry what passes. Raises ServiceError for every answer of 400 and more.

        repeatable: whether it may be sent twice; by default that of its method, or the presence of an Idempotency-Key.
        """
        sent = dict(headers or {})
        again = repeatable if repeatable is not None else method in _IDEMPOTENT or "Idempotency-Key" in sent
        options: dict[str, Any] = {"params": query, "headers": sent, **multipart}
        if body is not None:
            options["json"] = body
        attempt = 0
        while True:
            try:
                response = self.http.request(method, path, **options)
            except httpx2.TransportError as broken:
                safe = again or isinstance(broken, _NEVER_SENT)
                self.pause(attempt if safe else self.backoff.retries, otherwise=unreachable(self.url, broken))
            else:
                if response.status_code < 400:
                    return response
                self.pause(
                    attempt if again and self.passing(response) else self.backoff.retries,
                    otherwise=error_of(response),
                    retry_after=response.headers.get("Retry-After"),
                )
            attempt += 1

    def json(self, method: str, path: str, **options: Any) -> Json:
        """As `request`; the answer is a JSON object."""
        return self.request(method, path, **options).json()

    @contextmanager
    def stream(self, path: str, *, query: Query | None, headers: Mapping[str, str]) -> Generator[httpx2.Response]:
        """One GET whose body is read as it comes, not retried: its reader knows where to go on."""
        with self.http.stream("GET", path, params=query, headers=dict(headers)) as response:
            yield response

    def passing(self, response: httpx2.Response) -> bool:
        """Whether a refusal may be gone when asked again: overload, restart, or a twin of this request in flight."""
        in_flight = response.status_code == 409 and "Retry-After" in response.headers
        return response.status_code in PASSING or in_flight

    def pause(self, attempt: int, *, otherwise: ServiceError, retry_after: str | None = None) -> None:
        """Wait before the next attempt, or raise `otherwise` where the attempts are used up."""
        asked = retry_after_seconds(retry_after, now=time.time())
        delay = self.backoff.delay(attempt, rng=self.rng, retry_after=asked)
        if delay is None:
            raise otherwise
        self.sleep(delay)

    def close(self) -> None:
        self.http.close()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
