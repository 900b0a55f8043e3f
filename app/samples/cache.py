"""Files that can be made again, kept on disk under a key; when there are too many, the least recently used go.

Each file begins with the sha256 of the rest. It is checked when this process sees a file for the first time, and again
when the file has changed, so what a crash cut short or a hand altered is made anew. A cache that cannot be written, or
that lacks the room, costs time and nothing else.
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

import structlog

from app.artifacts.content import Content

log = structlog.get_logger(__name__)

CHUNK = 1024 * 1024
_PREFIX = hashlib.sha256().digest_size
#: Makers wait for one another by key; two keys that share a lock wait in vain, which is seldom.
_LOCKS = 256
#: The inode, the size and the time of the last change: another file, or another content, has others.
Seen = tuple[int, int, int]


class FileCache:
    """Files in one folder, which several processes may share.

    max_bytes: of all files together; 0 keeps none.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._turns = tuple(threading.Lock() for _ in range(_LOCKS))
        self._sound: dict[Path, tuple[Seen, str]] = {}

    def content(self, key: str, make: Callable[[], bytes], *, media_type: str, filename: str) -> Content:
        """What `make` makes, made once however many ask for it at once. key: hex, at least two digits.

        Raises what `make` raises, and then keeps nothing.
        """
        path = self._folder / key[:2] / key
        with self._turns[int(key[:2], 16) % _LOCKS]:
            kept = self._check(path)
            if kept is None:
                made = make()
                kept = hashlib.sha256(made).hexdigest(), len(made)
                if not self._keep(path, made, kept[0]):
                    return Content.of(made, digest=kept[0], media_type=media_type, filename=filename)
        return Content(
            digest=kept[0],
            size=kept[1],
            media_type=media_type,
            filename=filename,
            read=lambda start, end: _read(path, make, start, end),
        )

    def num_bytes(self) -> int:
        """How much is kept, by whichever process."""
        total = 0
        for path in self._folder.glob("*/*"):
            with suppress(FileNotFoundError):  # another process makes room
                total += path.stat().st_size
        return total

    def _check(self, path: Path) -> tuple[str, int] | None:
        """The digest and the size of what is kept there, if it is sound; it counts as used now."""
        try:
            found = path.stat()
            seen, digest = self._sound.get(path, (None, None))
            if digest is None or seen != _seen(found):
                digest = _digest(path)
                if digest is None:
                    log.warning("cached_file_damaged", key=path.name)
                    return None
                self._sound[path] = (_seen(found), digest)
            os.utime(path, ns=(time.time_ns(), found.st_mtime_ns))
        except OSError:
            self._sound.pop(path, None)
            return None
        return digest, found.st_size - _PREFIX

    def _keep(self, path: Path, content: bytes, digest: str) -> bool:
        """Whether the content lies under the path now: whole, or as another process wrote it, which is the same."""
        if len(content) + _PREFIX > self._max_bytes:
            return False
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=path.parent, delete=False) as file:
                try:
                    file.write(bytes.fromhex(digest))
                    file.write(content)
                    file.flush()
                    now = time.time_ns()  # the time that a new file has by itself is too coarse to tell the older
                    os.utime(file.name, ns=(now, now))
                    os.replace(file.name, path)
                except OSError:
                    Path(file.name).unlink(missing_ok=True)
                    raise
            self._sound[path] = (_seen(path.stat()), digest)
            self._make_room(path)
        except OSError as error:
            log.warning("cache_not_written", reason=error.strerror)
            return False
        return True

    def _make_room(self, newest: Path) -> None:
        """Remove what was not used for longest until all is within the limit; what killed processes left goes so, too.

        The folder is read each time: other processes write to it, and reading it is nothing beside making a file.
        """
        found = [(path, path.stat()) for path in self._folder.glob("*/*") if path != newest]
        total = newest.stat().st_size + sum(entry.st_size for _, entry in found)
        for path, entry in sorted(found, key=lambda pair: pair[1].st_atime_ns):
            if total <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            self._sound.pop(path, None)
            total -= entry.st_size


def _seen(found: os.stat_result) -> Seen:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _digest(path: Path) -> str | None:
    """The digest that a file begins with, where the rest has it."""
    with path.open("rb") as file:
        told = file.read(_PREFIX)
        found = hashlib.file_digest(file, "sha256").digest()
    return found.hex() if found == told else None


def _read(path: Path, make: Callable[[], bytes], start: int, end: int) -> Iterator[bytes]:
    """The bytes [start, end). A file that is gone by now, because it had to make room, is made once more."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield make()[start:end]
        return
    with file:
        file.seek(_PREFIX + start)
        left = end - start
        while left > 0 and (chunk := file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
