"""Connections to addresses that were looked at: the one that was checked is the one that is connected to.

A name is resolved once. If anything it resolves to is refused, nothing is sent; else one of those very addresses is
connected to, so a name that resolves otherwise a moment later (DNS rebinding) changes nothing. Host header and TLS
still carry the name.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpcore2

from app.webhooks.addresses import refusal

Resolve = Callable[[str, int], list[str]]


class Refused(Exception):
    """The name points to where no webhook goes."""


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host by the system's resolver. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Guarded(httpcore2.NetworkBackend):
    """Opens connections to allowed addresses only, all of which end `seconds` after this was made.

    private: whether networks of one's own are allowed.
    """

    def __init__(self, *, private: bool, seconds: float, resolve: Resolve = resolve) -> None:
        self._private, self._resolve = private, resolve
        self._until = time.monotonic() + seconds
        self._backend = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Raises Refused, OSError, httpcore2.ConnectError."""
        addresses = self._resolve(host.strip("[]"), port)
        for address in addresses:
            reason = refusal(ipaddress.ip_address(address.partition("%")[0]), private=self._private)
            if reason is not None:
                raise Refused(f"{host} points to {reason}, where this service sends nothing")
        failure: Exception = httpcore2.ConnectError("the name has no address")
        for address in addresses:
            try:
                stream = self._backend.connect_tcp(
                    address, port, left(self._until), local_address, socket_options=socket_options
                )
                return Timed(stream, until=self._until)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Never: a webhook goes over a network."""
        raise Refused("a webhook goes to no socket of this machine")


class Timed(httpcore2.NetworkStream):
    """A stream that ends at a time, however slowly its other end drips."""

    def __init__(self, stream: httpcore2.NetworkStream, *, until: float) -> None:
        self._stream, self._until = stream, until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, left(self._until))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, left(self._until))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return Timed(self._stream.start_tls(ssl_context, server_hostname, left(self._until)), until=self._until)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def left(until: float) -> float:
    """Seconds until a monotonic time. Raises httpcore2.ReadTimeout when it is over."""
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise httpcore2.ReadTimeout("the time is over")
    return seconds
