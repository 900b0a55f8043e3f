"""Who may speak to the service.

Without a key it listens on loopback only, and then any page in the user's browser could still reach it, under a name
that was made to resolve to 127.0.0.1, or with a form that needs no permission. So it answers to loopback's own names
alone, and takes nothing that changes state from a page of another origin.
"""

import hmac
from base64 import b64decode
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import AppError, ForeignOrigin, Misdirected, TokenMissing, Unauthorised, answer
from app.keys import cookie
from app.keys.caller import LOCAL, NOBODY, ROOT, Caller
from app.keys.ring import Ring
from registry.errors import RegistryError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
#: Probes carry no key, and tell nothing but whether the service works.
OPEN = frozenset({"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: Where a browser brings a key, and forgets it again. Whoever has none yet sees the pages' styles, too.
LOGIN, LOGOUT, STATIC = "/login", "/logout", "/static/"
#: For programs, which are told what is wrong rather than sent elsewhere.
PROGRAMS = ("/v1/", "/v2/", "/hf/", "/metrics", "/openapi.json", "/problems/")


def is_loopback(host: str) -> bool:
    """Whether a host to listen on is this machine only."""
    return host.lower() in LOOPBACK or host == "::1" or host.startswith("127.")


def host_name(host_header: str) -> str:
    """The name of a Host header, without its port, in lower case."""
    name, separator, port = host_header.rpartition(":")
    return (name if separator and port.isdecimal() else host_header).lower()


class Guard:
    """Checks the name the service was called by, where the caller's page came from, and the key.

    Who the caller is stands in `scope["state"]["caller"]` from here on. api_key: of `DISTILLED_API_KEY`; it opens
    everything. Without one, and without any key in the registry, whoever is on this machine may do everything.
    """

    def __init__(self, app: ASGIApp, *, api_key: str | None) -> None:
        self.app = app
        self.api_key = api_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            scope.setdefault("state", {})["caller"] = await self._let_in(scope)
        except (AppError, RegistryError) as refused:
            ask = isinstance(refused, Unauthorised) and is_page(scope)
            await (_to_login(scope) if ask else answer(refused))(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _let_in(self, scope: Scope) -> Caller:
        """The caller. Raises Misdirected, ForeignOrigin, TokenMissing, Unauthorised, RegistryUnavailable."""
        headers = Headers(scope=scope)
        ring: Ring = scope["app"].state.services.ring
        is_open = scope["path"] in OPEN
        # With the root key nobody comes in without one, so what is in the registry makes no difference.
        keyless = self.api_key is None and (is_open or not await ring.are_there_keys())
        host = headers.get("host", "")
        if keyless and host_name(host) not in LOOPBACK:
            raise Misdirected
        if scope["method"] not in SAFE and is_foreign(headers, host):
            raise ForeignOrigin
        if is_open or scope["path"].startswith(STATIC):  # whoever shows a key there learns nothing of it
            return NOBODY
        if keyless:
            return LOCAL
        shown = secret_of(headers)
        kept = None if shown is not None else cookie.read(headers.get("cookie", ""))
        holder = await known_by(shown or kept, api_key=self.api_key, ring=ring)
        if holder is None and (shown or kept):
            scope["state"]["wrong_key"] = True
        if scope["path"] in (LOGIN, LOGOUT):
            return holder or NOBODY
        if holder is None:
            raise Unauthorised
        if kept is not None:
            if scope["method"] not in SAFE and not cookie.is_token(headers.get(cookie.HEADER, ""), kept):
                raise TokenMissing
            scope["state"]["csrf"] = cookie.token(kept)
        return holder


async def known_by(secret: bytes | None, *, api_key: str | None, ring: Ring) -> Caller | None:
    """Whom a secret names; None: nobody. Raises RegistryUnavailable."""
    if secret is None:
        return None
    if api_key is not None and hmac.compare_digest(secret, api_key.encode()):
        return ROOT
    return await ring.holder(secret.decode()) if secret.isascii() else None


def is_page(scope: Scope) -> bool:
    """Whether a person looks for a page, rather than a program for an answer."""
    wants = "text/html" in Headers(scope=scope).get("accept", "")
    return wants and scope["method"] in ("GET", "HEAD") and not scope["path"].startswith(PROGRAMS)


def _to_login(scope: Scope) -> RedirectResponse:
    query = scope.get("query_string", b"").decode("latin-1")
    wanted = scope["path"] + (f"?{query}" if query else "")
    return RedirectResponse(f"{LOGIN}?next={quote(wanted, safe='')}", status_code=303)


def is_foreign(headers: Headers, host: str) -> bool:
    """Whether a page of another origin asks: by Origin, or by Sec-Fetch-Site where a browser sends no Origin."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none").lower() not in ("none", "same-origin")
    try:
        asking = urlsplit(origin).netloc.lower()
    except ValueError:  # no browser sends what is no URL
        return True
    return not asking or asking != host.lower()


def secret_of(headers: Headers) -> bytes | None:
    """The key that a request shows, as a Bearer token or as the password of Basic, whose user may be any.

    Some clients know no other way than Basic.
    """
    scheme, _, given = headers.get("authorization", "").partition(" ")
    sent = given.strip().encode("latin-1")  # which is how they were read
    if scheme.lower() == "basic":
        try:
            return b64decode(sent, validate=True).partition(b":")[2]
        except ValueError:
            return None
    return sent if scheme.lower() == "bearer" else None
