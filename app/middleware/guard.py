"""Who may speak to the service.

Without a key it listens on loopback only, and then any page in the user's browser could still reach it, under a name
that was made to resolve to 127.0.0.1, or with a form that needs no permission. So it answers to loopback's own names
alone, and takes nothing that changes state from a page of another origin.
"""

import hmac
from base64 import b64decode
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import AppError, ForeignOrigin, Misdirected, Unauthorised, answer

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
#: Probes carry no key, and tell nothing but whether the service works.
OPEN = frozenset({"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def is_loopback(host: str) -> bool:
    """Whether a host to listen on is this machine only."""
    return host.lower() in LOOPBACK or host == "::1" or host.startswith("127.")


def host_name(host_header: str) -> str:
    """The name of a Host header, without its port, in lower case."""
    name, separator, port = host_header.rpartition(":")
    return (name if separator and port.isdecimal() else host_header).lower()


class Guard:
    """Checks the name the service was called by, where the caller's page came from, and the key."""

    def __init__(self, app: ASGIApp, *, loopback_only: bool, api_key: str | None) -> None:
        self.app = app
        self.loopback_only = loopback_only
        self.api_key = api_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = self._refused(scope) if scope["type"] == "http" else None
        if refused is None:
            await self.app(scope, receive, send)
        else:
            await answer(refused)(scope, receive, send)

    def _refused(self, scope: Scope) -> AppError | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.loopback_only and host_name(host) not in LOOPBACK:
            return Misdirected()
        origin = headers.get("origin")
        if origin is not None and scope["method"] not in SAFE and urlsplit(origin).netloc.lower() != host.lower():
            return ForeignOrigin()
        if self.api_key is not None and scope["path"] not in OPEN and not _holds(headers, self.api_key):
            return Unauthorised()
        return None


def _holds(headers: Headers, key: str) -> bool:
    """Whether a request carries the key, as a Bearer token or as the password of Basic, whose user may be any.

    Some clients know no other way than Basic. The comparison takes as long for any wrong key.
    """
    scheme, _, given = headers.get("authorization", "").partition(" ")
    token = given.strip().encode()
    if scheme.lower() == "basic":
        try:
            token = b64decode(token, validate=True).partition(b":")[2]
        except ValueError:
            return False
    return scheme.lower() in ("bearer", "basic") and hmac.compare_digest(token, key.encode())
