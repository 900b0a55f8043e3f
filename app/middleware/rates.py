"""How many requests a caller may send: so many in any minute, reads, writes and wrong keys each counted apart.

`limits` keeps the windows: in this process, or in Redis where that is the broker, so that all replicas count as one.
Where Redis is away nobody is refused: this keeps one caller from crowding out the others, and is no lock.
"""

import ipaddress
import math
import time
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from limits import RateLimitItem, RateLimitItemPerSecond, WindowStats
from limits.aio import storage as shared
from limits.aio import strategies as shared_strategies
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from redis.asyncio import ConnectionPool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import RateLimited, answer
from app.keys import cookie
from app.middleware.guard import LOGIN, OPEN, SAFE

log = structlog.get_logger(__name__)

WINDOW_SECONDS = 60
#: Probes and scrapes are never refused: who is crowded out must still be seen to be.
EXEMPT = OPEN | {"/metrics"}
#: A Redis that does not answer within this is left alone for AWAY_SECONDS, so that it slows nobody down.
PATIENCE_SECONDS, AWAY_SECONDS = 0.25, 5.0


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a caller stands in a window, after a request was counted if it could be. seconds: until there is more."""

    allowed: bool
    left: int
    seconds: int


class Windows(Protocol):
    """Counts requests. Raises whatever its storage raises."""

    async def hit(self, item: RateLimitItem, who: str) -> tuple[bool, WindowStats]:
        """Count one, if there is room for it."""
        ...

    async def look(self, item: RateLimitItem, who: str) -> WindowStats:
        """Count nothing."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class HereOnly:
    """Windows of this process."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def hit(self, item: RateLimitItem, who: str) -> tuple[bool, WindowStats]:
        return self._limiter.hit(item, who), self._limiter.get_window_stats(item, who)

    async def look(self, item: RateLimitItem, who: str) -> WindowStats:
        return self._limiter.get_window_stats(item, who)

    async def close(self) -> None:
        """There is nothing to close."""


class InRedis:
    """Windows that all replicas share."""

    def __init__(self, url: str) -> None:
        self._pool = ConnectionPool.from_url(
            url, socket_timeout=PATIENCE_SECONDS, socket_connect_timeout=PATIENCE_SECONDS
        )
        options: dict[str, Any] = {"connection_pool": self._pool, "key_prefix": "distilled:rates"}
        storage = shared.RedisStorage(f"async+{url}", implementation="redispy", **options)
        self._limiter = shared_strategies.MovingWindowRateLimiter(storage)

    async def hit(self, item: RateLimitItem, who: str) -> tuple[bool, WindowStats]:
        return await self._limiter.hit(item, who), await self._limiter.get_window_stats(item, who)

    async def look(self, item: RateLimitItem, who: str) -> WindowStats:
        return await self._limiter.get_window_stats(item, who)

    async def close(self) -> None:
        await self._pool.aclose()


class Budgets:
    """The budgets by their names, and where each caller stands. One that is 0 has no end."""

    def __init__(self, *, broker_url: str, window_seconds: int | None = None, **amounts: int) -> None:
        window = window_seconds or WINDOW_SECONDS
        self._broker_url = broker_url
        self._items = {
            name: RateLimitItemPerSecond(amount, window, namespace=name)
            for name, amount in amounts.items()
            if amount > 0
        }
        self._windows: Windows | None = None
        self._away_until = 0.0
        self._away = False

    async def spend(self, name: str, who: str) -> Standing | None:
        """Count a request against a budget. None: it has no end, or nobody can say where the caller stands."""
        return await self._ask(name, who, count=True)

    async def look(self, name: str, who: str) -> Standing | None:
        """Where a caller stands, without counting."""
        return await self._ask(name, who, count=False)

    async def close(self) -> None:
        """Close the connections."""
        if self._windows is not None:
            await self._windows.close()

    def refusal(self, name: str, standing: Standing) -> RateLimited:
        """What a caller is told who has used a budget up."""
        item = self._items[name]
        words = {"wrong_keys": "wrong keys from this address"}.get(name, f"{name} of this caller")
        return RateLimited(
            f"{item.amount} {words} are let through in {item.multiples} seconds, and there were as many; "
            f"go on after {standing.seconds} seconds",
            headers={"Retry-After": str(standing.seconds), **self.told(name, standing)},
        )

    def told(self, name: str, standing: Standing) -> dict[str, str]:
        """The headers of draft-ietf-httpapi-ratelimit-headers, as clients of the Hugging Face Hub read them."""
        item = self._items[name]
        return {
            "RateLimit": f'"{name}";r={standing.left};t={standing.seconds}',
            "RateLimit-Policy": f'"{name}";q={item.amount};w={item.multiples}',
        }

    async def _ask(self, name: str, who: str, *, count: bool) -> Standing | None:
        item = self._items.get(name)
        if item is None or time.monotonic() < self._away_until:
            return None
        try:
            windows = self._open()
            if count:
                allowed, stats = await windows.hit(item, who)
            else:
                stats = await windows.look(item, who)
                allowed = stats.remaining > 0
        except Exception as error:  # of a driver: whatever it is, a count that fails refuses nobody
            self._away_until = time.monotonic() + AWAY_SECONDS
            if not self._away:
                log.warning("rate_limits_suspended", error=type(error).__name__)
            self._away = True
            return None
        if self._away:
            log.info("rate_limits_resumed")
        self._away = False
        seconds = min(item.multiples, max(1, math.ceil(stats.reset_time - time.time())))
        return Standing(allowed=allowed, left=max(0, stats.remaining), seconds=seconds)

    def _open(self) -> Windows:
        """On first use, since the one in memory starts a thread."""
        if self._windows is None:
            is_redis = self._broker_url.startswith(("redis://", "rediss://"))
            self._windows = InRedis(self._broker_url) if is_redis else HereOnly()
        return self._windows


class RateLimit:
    """Behind the guard: counts what a caller reads and writes, and says in each answer how much is left."""

    def __init__(self, app: ASGIApp, *, budgets: Budgets) -> None:
        self.app, self.budgets = app, budgets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in EXEMPT:
            await self.app(scope, receive, send)
            return
        name = "reads" if scope["method"] in SAFE else "writes"
        standing = await self.budgets.spend(name, scope["state"]["caller"].key_id or address(scope))
        if standing is None:
            await self.app(scope, receive, send)
        elif not standing.allowed:
            await answer(self.budgets.refusal(name, standing))(scope, receive, send)
        else:
            told = self.budgets.told(name, standing)

            async def send_told(message: Message) -> None:
                if message["type"] == "http.response.start":
                    MutableHeaders(scope=message).update(told)
                await send(message)

            await self.app(scope, receive, send_told)


class WrongKeys:
    """Before the guard: an address that has shown too many wrong keys is asked to wait before it shows another."""

    def __init__(self, app: ASGIApp, *, budgets: Budgets) -> None:
        self.app, self.budgets = app, budgets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _shows_a_key(scope) or scope["path"] in EXEMPT:
            await self.app(scope, receive, send)
            return
        who = address(scope)
        standing = await self.budgets.look("wrong_keys", who)
        if standing is not None and not standing.allowed:
            await answer(self.budgets.refusal("wrong_keys", standing))(scope, receive, send)
            return
        wrong = False

        async def send_watched(message: Message) -> None:
            nonlocal wrong
            wrong = wrong or (message["type"] == "http.response.start" and message["status"] == 401)
            await send(message)

        await self.app(scope, receive, send_watched)
        # A browser is sent to the form rather than told 401.
        if wrong or scope.get("state", {}).get("wrong_key"):
            await self.budgets.spend("wrong_keys", who)


def _shows_a_key(scope: Scope) -> bool:
    if scope["type"] != "http":
        return False
    headers = Headers(scope=scope)
    typed = scope["path"] == LOGIN and scope["method"] not in SAFE
    return typed or "authorization" in headers or cookie.NAME in headers.get("cookie", "")


def address(scope: Scope) -> str:
    """Who asks where no key says it. Of IPv6 the network of 64 bits: so many addresses has each caller."""
    client = scope.get("client")
    host = client[0] if client else ""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))
