"""The key of a browser, in its cookie, and the token that shows that one of our own pages asks with it.

The browser sends the cookie by itself, so the cookie alone proves nothing of who wrote the request. What changes
something also needs the token in a header: it follows from the key, stands in our pages, and no other page can read it.
`SameSite=Strict` and the check of Origin stand before it.
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

from starlette.requests import cookie_parser

NAME = "distilled_key"
HEADER = "x-csrf-token"
#: A key is not longer, in characters.
LONGEST = 1000


def written(secret: str) -> str:
    """A key as the cookie holds it: any text is one, but not any text can stand in a cookie."""
    return urlsafe_b64encode(secret.encode()).decode().rstrip("=")


def read(header: str) -> bytes | None:
    """The key in a Cookie header, or None where there is none that can be read."""
    held = cookie_parser(header).get(NAME, "")
    try:
        return urlsafe_b64decode(held.encode("ascii") + b"=" * (-len(held) % 4)) or None
    except ValueError:
        return None


def token(secret: bytes) -> str:
    """What our pages send with a request that changes something."""
    return hmac.digest(secret, b"distilled csrf", hashlib.sha256).hex()


def is_token(given: str, secret: bytes) -> bool:
    """Whether a request shows it."""
    return hmac.compare_digest(given.encode(), token(secret).encode())
