"""Bringing a file home: in one piece, or in as many as the line breaks into, and only if it is the file that was named.

What has arrived waits in `<name>.part`; it is asked for with `Range` and `If-Range`, so that a file which changed in
between comes whole again, and it takes its name by an atomic rename after its sha256 was checked.
"""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2

from distilled.client.problems import error_of, unreachable
from distilled.client.queries import Query
from distilled.client.wire import Wire
from distilled.errors import DigestMismatch, ServiceError

Progress = Callable[[int, int | None], None]  # (bytes that have arrived, bytes in all where known)

_SHA256_TAG = re.compile(r'"([0-9a-f]{64})"')
_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


@dataclass(kw_only=True)
class _Transfer:
    """A file on its way: `part` holds its first `kept` bytes, of the version that `validator` (a strong ETag) names."""

    part: Path
    digest: str | None  # sha256 in hex of what was asked for, where the caller knows it
    validator: str | None
    kept: int

    def forget(self) -> None:
        """Start over: what is there belongs to another version, or is broken."""
        self.part.unlink(missing_ok=True)
        self.kept = 0

    def headers(self) -> dict[str, str]:
        # gzip on the way would change what a byte range means.
        asked = {"Accept-Encoding": "identity"}
        if self.kept and self.validator:
            asked |= {"Range": f"bytes={self.kept}-", "If-Range": self.validator}
        return asked

    def intact(self) -> bool:
        expected = self.digest or self.announced
        if expected is None:
            return True
        with self.part.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == expected

    @property
    def announced(self) -> str | None:
        """The digest that the service gave with the content: by its contract, the tag of content is its sha256."""
        found = _SHA256_TAG.fullmatch(self.validator or "")
        return found[1] if found else None


def fetch(
    wire: Wire,
    path: str,
    target: Path,
    *,
    query: Query | None = None,
    digest: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Download to `target`. A `.part` of an earlier call is continued if it is of these bytes.

    digest: of the bytes, where the caller knows it; else what the service announces. Raises DigestMismatch, leaving
    no file, where the bytes are not those that were named; ServiceError otherwise.
    """
    part = target.with_name(f"{target.name}.part")
    if digest is None and part.exists():
        digest = _announced(wire, path, query=query)
    kept = part.stat().st_size if digest and part.exists() else 0
    transfer = _Transfer(part=part, digest=digest, validator=f'"{digest}"' if digest else None, kept=kept)
    if not kept:
        transfer.forget()
    inherited = kept > 0
    while True:
        _complete(wire, path, transfer, query=query, progress=progress)
        if transfer.intact():
            break
        transfer.forget()
        if not inherited:
            raise DigestMismatch
        inherited = False  # the fault may lie in what an earlier process left: once more, from the start
    part.replace(target)
    return target


def _announced(wire: Wire, path: str, *, query: Query | None) -> str | None:
    """The digest of what would come, or None where it is not told; what is wrong with the query, GET says in words."""
    try:
        tag = wire.request("HEAD", path, query=query).headers.get("ETag", "")
    except ServiceError:
        return None
    found = _SHA256_TAG.fullmatch(tag)
    return found[1] if found else None


def _complete(wire: Wire, path: str, transfer: _Transfer, *, query: Query | None, progress: Progress | None) -> None:
    """Ask for what is missing until nothing is."""
    attempt = 0
    while True:
        before, retry_after = transfer.kept, None
        cut: Exception = httpx2.RemoteProtocolError("the connection closed before the end of the file")
        try:
            with wire.stream(path, query=query, headers=transfer.headers()) as response:
                if response.status_code >= 400 and response.status_code != 416:
                    response.read()
                    if not wire.passing(response):
                        raise error_of(response)
                    cut, retry_after = error_of(response), response.headers.get("Retry-After")
                elif _take(response, transfer, progress=progress):
                    return
        except httpx2.TransportError as broken:
            cut = broken
        attempt = 0 if transfer.kept > before else attempt
        wire.pause(attempt, otherwise=unreachable(wire.url, cut), retry_after=retry_after)
        attempt += 1


def _take(response: httpx2.Response, transfer: _Transfer, *, progress: Progress | None) -> bool:
    """Write what this answer brings. True when the file is whole."""
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status_code == 416:
        if found and found[2] == str(transfer.kept):
            return True  # we had everything already
        transfer.forget()
        return False
    etag = response.headers.get("ETag")
    if response.status_code == 206:
        if not found or found[1] != str(transfer.kept) or (etag and etag != transfer.validator):
            transfer.forget()  # not the piece that we asked for
            return False
        total = None if found[2] == "*" else int(found[2])
    else:
        transfer.forget()
        # A weak ETag promises the same meaning, not the same bytes: no range may be built on it (RFC 9110, 13.1.5).
        transfer.validator = etag if etag and not etag.startswith("W/") else None
        length = response.headers.get("Content-Length")
        total = int(length) if length else None
    with transfer.part.open("ab") as file:
        for chunk in response.iter_raw():
            file.write(chunk)
            transfer.kept += len(chunk)
            if progress:
                progress(transfer.kept, total)
        file.flush()
        os.fsync(file.fileno())
    return total is None or transfer.kept >= total
