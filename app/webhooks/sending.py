"""One message, signed as Standard Webhooks asks and sent once: https://www.standardwebhooks.com."""

import hmac
import json
import ssl
import time
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import httpcore2

from app.webhooks.connecting import Guarded, Refused, Resolve, resolve
from distilled import __version__
from registry.models import Json
from registry.webhooks import Delivery

PREFIX = "whsec_"
MIN_KEY, MAX_KEY = 24, 64  # bytes, as the specification has them


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one attempt. error: why it did not arrive; None: it did. final: it need not be tried again."""

    status: int | None = None
    error: str | None = None
    final: bool = False


def keys(secret: str) -> list[bytes]:
    """The keys of a setting: one secret, or several with spaces between while one replaces another.

    Raises ValueError, which does not quote it.
    """
    found: list[bytes] = []
    for word in secret.split():
        try:
            key = b64decode(word.removeprefix(PREFIX), validate=True) if word.startswith(PREFIX) else b""
        except ValueError:
            key = b""
        if not MIN_KEY <= len(key) <= MAX_KEY:
            raise ValueError(f"must be {PREFIX} and then {MIN_KEY} to {MAX_KEY} random bytes in base64")
        found.append(key)
    if not found:
        raise ValueError("names no secret; leave it out where there is none")
    return found


def signature(keys: Sequence[bytes], *, message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` header: a `v1,` HMAC-SHA256 over `id.timestamp.body` for each key."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{b64encode(hmac.digest(key, signed, sha256)).decode()}" for key in keys)


def as_bytes(body: Json) -> bytes:
    """The body as it is sent, the same at every attempt."""
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def send(
    delivery: Delivery,
    *,
    keys: Sequence[bytes],
    private: bool,
    seconds: float,
    resolve: Resolve = resolve,
    ssl_context: ssl.SSLContext | None = None,
) -> Outcome:
    """Post a message to its address. It follows no redirect, and reads nothing of the answer but its status.

    private: whether it may go into private networks. seconds: all the time there is, from the name's look-up on.
    """
    body, timestamp = as_bytes(delivery.body), int(time.time())
    headers: dict[str | bytes, str | bytes] = {
        "Content-Type": "application/json",
        "User-Agent": f"distilled/{__version__}",
        "webhook-id": delivery.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(keys, message_id=delivery.id, timestamp=timestamp, body=body),
    }
    backend = Guarded(private=private, seconds=seconds, resolve=resolve)
    try:
        # Not httpx2: what the environment says of proxies would send it past the guard.
        with (
            httpcore2.ConnectionPool(ssl_context=ssl_context, network_backend=backend) as pool,
            pool.stream("POST", delivery.url, headers=headers, content=body) as response,
        ):
            return _outcome(response.status)
    except Refused as error:
        return Outcome(error=str(error))
    except (httpcore2.TimeoutException, TimeoutError):
        return Outcome(error=f"no answer within {seconds:g} seconds")
    except (httpcore2.NetworkError, OSError) as error:
        return Outcome(error=_unreached(error))
    except (httpcore2.ProtocolError, httpcore2.UnsupportedProtocol, ValueError):
        return Outcome(error="what answers there does not speak HTTP")


def _outcome(status: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome(status=status)
    if status == 410:
        return Outcome(status=status, error="answered 410: the receiver wants no more of it", final=True)
    if 300 <= status < 400:
        return Outcome(status=status, error=f"answered {status}; redirects are not followed, name where it leads")
    return Outcome(status=status, error=f"answered {status}; 2xx is needed")


def _unreached(error: Exception) -> str:
    causes = [error, error.__cause__, error.__context__]
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "its TLS certificate is not valid, or it does not speak TLS"
    return "it cannot be reached: the name has no address, or nothing answers there"
