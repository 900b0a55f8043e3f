"""Blobs: immutable bytes filed under their sha256, and a few named objects that change, such as snapshots.

No text of a user ever becomes part of a key: blobs are addressed by digest, named objects by ids that we made. Every
write is atomic: a reader finds the whole object or none.
"""

import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import obstore
from obstore import exceptions
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

from registry import errors

if TYPE_CHECKING:
    from obstore import GetResult  # exists for type checkers only

DIGEST_PATTERN = re.compile(r"[0-9a-f]{64}")
KEY_PATTERN = re.compile(r"[a-z0-9][a-z0-9_.-]{0,127}(?:/[a-z0-9][a-z0-9_.-]{0,127}){0,7}")
CHUNK_BYTES = 256 * 1024
# How the operating system says that there is no room: ENOSPC, EDQUOT (a quota), EFBIG (the largest file allowed).
FULL = ("(os error 28)", "(os error 122)", "(os error 27)", "No space left", "StorageFull", "QuotaExceeded")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An object in the store: its digest or key, its size in bytes, and when it was written, by the store's clock."""

    name: str
    num_bytes: int
    modified: datetime


class Store:
    """A folder, a bucket or a dictionary of bytes, behind one interface. Safe to share between threads."""

    def __init__(self, backend: ObjectStore) -> None:
        self._backend = backend

    @classmethod
    def open(cls, url: str) -> "Store":
        """The store at file:///FOLDER (made if missing), s3://, gs://, az:// or memory://. Raises StoreError.

        What a bucket needs beside its name stands in the query: s3://BUCKET/PREFIX?endpoint=URL&region=NAME;
        credentials come from the vendor's own variables, such as AWS_ACCESS_KEY_ID.
        """
        parts = urlsplit(url)
        try:
            if parts.scheme == "memory":
                return cls(MemoryStore())
            if parts.scheme == "file":
                return cls(LocalStore(unquote(parts.path), mkdir=True))
            if parts.scheme in ("s3", "gs", "az"):
                return cls(_bucket(url))
        except (exceptions.BaseError, OSError, ValueError) as error:
            raise errors.StoreError(f"The blob store cannot be opened: {_first_line(error)}") from error
        raise errors.StoreError(
            f"DISTILLED_STORE_URL begins with {parts.scheme!r}; use file://, s3://, gs:// or az://."
        )

    # -- blobs, by digest ------------------------------------------------------------------------------------------

    def put(self, content: bytes) -> str:
        """Keep the bytes and return their sha256 in hex; what is there is not written again. Raises StoreFull."""
        digest = sha256(content).hexdigest()
        key = _blob_key(digest)
        with _translated():
            try:
                obstore.put(self._backend, key, content, mode="create")
            except exceptions.AlreadyExistsError:
                # A machine that lost power may have left a file without its bytes; the right ones repair it.
                if obstore.head(self._backend, key)["size"] != len(content):
                    obstore.put(self._backend, key, content)
        return digest

    def put_file(self, path: Path) -> str:
        """Keep a file of any size, read in chunks, and return its sha256. It must not change meanwhile."""
        with path.open("rb") as file:
            digest = _sha256_of(file)
            if self.exists(digest) and self.size(digest) == path.stat().st_size:
                return digest
            file.seek(0)
            with _translated():
                obstore.put(self._backend, _blob_key(digest), file)
        return digest

    def get(self, digest: str) -> bytes:
        """The whole blob, checked against its digest. Raises BlobMissing, BlobCorrupt."""
        with _translated(digest):
            content = bytes(obstore.get(self._backend, _blob_key(digest)).bytes())
        if sha256(content).hexdigest() != digest:
            raise errors.BlobCorrupt(f"The blob {digest} no longer has its digest; restore it from a backup.")
        return content

    def size(self, digest: str) -> int:
        """The blob's size in bytes. Raises BlobMissing."""
        with _translated(digest):
            return obstore.head(self._backend, _blob_key(digest))["size"]

    def exists(self, digest: str) -> bool:
        """Whether the blob is there."""
        try:
            self.size(digest)
        except errors.BlobMissing:
            return False
        return True

    def stream(self, digest: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to but not including `end`, in chunks of about CHUNK_BYTES; unchecked.

        Raises BlobMissing and InvalidRange at the call, before the first chunk. `end` beyond the blob means its end.
        """
        size = self.size(digest)
        stop = size if end is None else min(end, size)
        if not 0 <= start <= stop:
            raise errors.InvalidRange(f"Bytes {start} to {end} were asked for; the blob has {size} bytes.")
        if start == stop:
            return iter(())
        with _translated(digest):
            opened = obstore.get(self._backend, _blob_key(digest), options={"range": (start, stop)})
        return _chunks(opened, digest)

    def delete(self, digest: str) -> None:
        """Remove a blob that nothing names any more; a missing one is no error."""
        self._delete(_blob_key(digest))

    # -- named objects: keys made of our ids only --------------------------------------------------------------------

    def put_named(self, key: str, content: bytes) -> None:
        """Keep the bytes under a key, in place of what was there. Raises InvalidKey, StoreFull."""
        with _translated():
            obstore.put(self._backend, _named_key(key), content)

    def get_named(self, key: str) -> bytes:
        """The bytes under a key. Raises InvalidKey, BlobMissing."""
        with _translated(key):
            return bytes(obstore.get(self._backend, _named_key(key)).bytes())

    def version_of_named(self, key: str) -> str:
        """A word that another writing under this key would have another of. Raises InvalidKey, BlobMissing."""
        with _translated(key):
            about = obstore.head(self._backend, _named_key(key))
        return about["e_tag"] or f"{about['size']} {about['last_modified'].isoformat()}"

    def delete_named(self, key: str) -> None:
        """Remove the bytes under a key; a missing one is no error. Raises InvalidKey."""
        self._delete(_named_key(key))

    def list_named(self, folder: str) -> list[str]:
        """All keys below a folder such as `snapshots/job_…`, in order. Raises InvalidKey."""
        return sorted(stored.name for stored in self.named(folder))

    # -- all that is there ----------------------------------------------------------------------------------------

    def blobs(self) -> Iterator["Stored"]:
        """Every blob there is, under its digest, in no order."""
        for stored in self._listed("sha256"):
            digest = stored.name.rpartition("/")[2]
            if DIGEST_PATTERN.fullmatch(digest) and stored.name == _blob_key(digest):
                yield replace(stored, name=digest)

    def named(self, folder: str) -> Iterator["Stored"]:
        """Every named object below a folder such as `snapshots`, under its key, in no order. Raises InvalidKey."""
        for stored in self._listed(_named_key(folder)):
            yield replace(stored, name=stored.name.removeprefix("named/"))

    def _listed(self, prefix: str) -> Iterator["Stored"]:
        with _translated():
            for batch in obstore.list(self._backend, prefix + "/"):
                for entry in batch:
                    yield Stored(name=entry["path"], num_bytes=entry["size"], modified=entry["last_modified"])

    def check(self) -> None:
        """Write and remove a small object, as the readiness probe does. Raises StoreError, StoreFull."""
        self.put_named("probe", b"distilled")
        self.delete_named("probe")

    def _delete(self, key: str) -> None:
        try:
            with _translated():
                obstore.delete(self._backend, key)
        except errors.BlobMissing:
            return


def _bucket(url: str) -> ObjectStore:
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    plain = options.get("endpoint", "").startswith("http://")
    address = urlunsplit(parts._replace(query=""))
    config: Any = options  # which keys there are depends on the vendor; obstore names a wrong one in its error
    return from_url(address, config=config, client_options={"allow_http": plain})


def _blob_key(digest: str) -> str:
    if not DIGEST_PATTERN.fullmatch(digest):
        raise errors.InvalidKey(f"{digest[:80]!r} is not a sha256 in lower-case hex.")
    return f"sha256/{digest[:2]}/{digest[2:4]}/{digest}"


def _named_key(key: str) -> str:
    if not KEY_PATTERN.fullmatch(key):
        raise errors.InvalidKey(f"{key[:80]!r} is not a key that the service makes.")
    return f"named/{key}"


def _sha256_of(file: Any) -> str:
    digest = sha256()
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(opened: "GetResult", digest: str) -> Generator[bytes]:
    with _translated(digest):
        for chunk in opened.stream(min_chunk_size=CHUNK_BYTES):
            yield bytes(chunk)


@contextmanager
def _translated(what: str = "") -> Generator[None]:
    """Turn the backend's failures into ours, without the paths of the host that theirs show."""
    try:
        yield
    except FileNotFoundError as error:
        raise errors.BlobMissing(
            f"The store holds nothing under {what}; it was never put there, or was swept."
        ) from error
    except (exceptions.BaseError, OSError) as error:
        if any(sign in str(error) for sign in FULL):
            raise errors.StoreFull from error
        raise errors.StoreError from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
