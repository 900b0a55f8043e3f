"""Immutable bytes over HTTP: conditional requests and ranges (RFC 9110), for what its sha256 names."""

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse

from app.errors import RangeNotSatisfiable
from registry.store import Store

#: A year: what is named by its digest never changes.
IMMUTABLE = "public, max-age=31536000, immutable"
#: One range, and never more: several are an old way to keep a server busy.
_RANGE = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.IGNORECASE | re.ASCII)
#: No range of ours is written longer; matching one of 16 KB of blanks takes seconds.
_LONGEST = 256
_MAX_DIGITS = 18


@dataclass(frozen=True, kw_only=True)
class Content:
    """Bytes to be served.

    digest: sha256 hex of all of them. read(start, end): chunks of the bytes [start, end). filename: under which a
    browser saves them. tag: the ETag, where clients know the bytes by another name than their digest.
    """

    digest: str
    size: int
    media_type: str
    filename: str
    read: Callable[[int, int], Iterable[bytes]]
    tag: str | None = None

    @classmethod
    def of(cls, content: bytes, *, digest: str, media_type: str, filename: str) -> "Content":
        """Content that is in memory already."""
        view = memoryview(content)
        return cls(
            digest=digest,
            size=len(content),
            media_type=media_type,
            filename=filename,
            read=lambda start, end: iter((bytes(view[start:end]),)),
        )

    @classmethod
    def stored(cls, store: Store, digest: str, *, size: int, filename: str) -> "Content":
        """A blob of the store."""
        return cls(
            digest=digest,
            size=size,
            media_type="application/octet-stream",
            filename=filename,
            read=lambda start, end: store.stream(digest, start, end),
        )


def respond(request: Request, content: Content, *, disposition: str = "attachment", cache: str = IMMUTABLE) -> Response:
    """The answer to GET or HEAD: 200, 206, 304; raises RangeNotSatisfiable for the 416.

    One range is served; of a request for several the whole content is sent, as RFC 9110 allows.
    """
    etag = f'"{content.tag or content.digest}"'
    headers = {
        "ETag": etag,
        "Cache-Control": cache,
        "Accept-Ranges": "bytes",
        "Repr-Digest": f"sha-256=:{b64encode(bytes.fromhex(content.digest)).decode()}:",
        "Content-Disposition": f'{disposition}; filename="{content.filename}"',
    }
    if _matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers={name: headers[name] for name in ("ETag", "Cache-Control")})
    part = _range(request.headers, etag=etag, size=content.size)
    start, end = part or (0, content.size)
    headers["Content-Length"] = str(end - start)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{content.size}"
    status = 200 if part is None else 206
    if request.method == "HEAD" or start == end:
        return Response(status_code=status, headers=headers, media_type=content.media_type)
    chunks: Iterator[bytes] = iter(content.read(start, end))
    return StreamingResponse(chunks, status_code=status, headers=headers, media_type=content.media_type)


def _matches(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match names this tag. The comparison is the weak one: `W/` makes no difference."""
    if header is None:
        return False
    if header.strip() == "*":
        return True
    return any(tag.strip().removeprefix("W/") == etag for tag in header.split(","))


def _range(headers: Headers, *, etag: str, size: int) -> tuple[int, int] | None:
    """The bytes [start, end) that are asked for, or None for all of them.

    A header that is malformed, names several ranges or comes with an If-Range of another version is ignored, as RFC
    9110 asks. Raises RangeNotSatisfiable.
    """
    written = headers.get("range", "")
    asked = _RANGE.fullmatch(written) if len(written) <= _LONGEST else None
    if asked is None or headers.get("if-range", etag).strip() != etag:
        return None
    # Zeros in front say nothing, and so many digits lie outside of everything.
    first, last = (text and (text.lstrip("0")[:_MAX_DIGITS] or "0") for text in asked.groups())
    if not first and not last:
        return None
    if not first:
        suffix = int(last)
        if suffix == 0 or size == 0:
            raise RangeNotSatisfiable(size=size)
        return max(0, size - suffix), size
    start, end = int(first), min(int(last) + 1 if last else size, size)
    if last and int(last) < start:
        return None
    if start >= size:
        raise RangeNotSatisfiable(size=size)
    return start, end
