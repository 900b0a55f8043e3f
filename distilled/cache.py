"""What was fetched before: copies in a folder, each under its sha256, the longest unused going first.

Nothing is only here. What a user asked for lies where the user said; a copy that is gone or broken is fetched again. So
anyone may delete the folder at any time, and processes share it without locks: a file appears whole by a rename, and
its bytes are checked against its name whenever it is read. Who needs a file for longer holds a second link to it.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from distilled.errors import DigestMismatch

DEFAULT_BYTES = 1024**3
#: What a process that was killed left half-way is swept after a day, in seconds.
_LEFTOVER_SECONDS = 86_400.0
_INCOMING = "incoming-"

T = TypeVar("T")


def default_folder(environment: Mapping[str, str]) -> Path:
    """DISTILLED_CACHE, or `distilled` where the user's caches are."""
    named = environment.get("DISTILLED_CACHE")
    base = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(named).expanduser() if named else Path(base).expanduser() / "distilled"


@dataclass(frozen=True, kw_only=True)
class Cache:
    """At most `max_bytes` of artifact files in `folder`; none with 0."""

    folder: Path
    max_bytes: int = DEFAULT_BYTES

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Cache":
        """As DISTILLED_CACHE and DISTILLED_CACHE_BYTES say."""
        limit = environment.get("DISTILLED_CACHE_BYTES") or str(DEFAULT_BYTES)
        if not (limit.isascii() and limit.isdecimal()):
            raise ValueError(f"DISTILLED_CACHE_BYTES is {limit!r}; give a number of bytes, 0 for no cache")
        return cls(folder=default_folder(environment), max_bytes=int(limit))

    def num_bytes(self) -> int:
        """How much is kept now."""
        total = 0
        for path in self.folder.glob("*"):
            with suppress(OSError):  # another process makes room
                total += path.stat().st_size if path.is_file() else 0
        return total

    def read(self, digest: str) -> bytes | None:
        """The bytes that this digest names, or None. A copy that is not what its name says is thrown away."""
        return self.find(digest, lambda content: content if hashlib.sha256(content).hexdigest() == digest else None)

    def find(self, name: str, understand: Callable[[bytes], T | None]) -> T | None:
        """What `understand` makes of the file of this name; None where there is none.

        One that it answers with None is damaged and thrown away.
        """
        path = self.folder / name
        if not self.max_bytes:
            return None
        try:
            understood = understand(path.read_bytes())
            if understood is not None:
                os.utime(path)  # the last use, by which the longest unused are found
                return understood
            path.unlink(missing_ok=True)
        except OSError:
            return None
        return None

    def put(self, name: str, content: bytes) -> None:
        """Keep what `find` will be asked for. Where that fails there is none: it is a cache."""
        with suppress(OSError), self._incoming() as folder:
            path = Path(folder) / name
            path.write_bytes(content)
            self._admit(path, name)

    def read_or(self, digest: str, fetch: Callable[[Path], Path]) -> bytes:
        """The bytes that this digest names; where they are not here, those of the file that `fetch` writes.

        `fetch` is given a path in a folder of its own, writes there what the digest names, and answers with the path.
        """
        found = self.read(digest)
        if found is not None:
            return found
        with self._incoming() as folder:
            content = fetch(Path(folder) / digest).read_bytes()
            self._admit(Path(folder) / digest, digest)
        return content

    @contextmanager
    def held(self, digest: str, fetch: Callable[[Path], object]) -> Generator[Path]:
        """A file of the bytes that this digest names, which is there until the block ends, whoever makes room.

        `fetch` is given the path to write to where they are not here. Raises DigestMismatch where it wrote others.
        """
        with self._incoming() as folder:
            own = Path(folder) / digest
            if not self._taken(own, digest):
                fetch(own)
                if _digest(own) != digest:
                    raise DigestMismatch
                with suppress(OSError):  # there already, by another process, or no place for links
                    if own.stat().st_size <= self.max_bytes:
                        os.link(own, self.folder / digest)
                        self._shrink()
            yield own

    def _taken(self, own: Path, digest: str) -> bool:
        """Whether `own` is now a link to a sound copy; one that is not sound is thrown away."""
        if not self.max_bytes:
            return False
        try:
            os.link(self.folder / digest, own)
            if _digest(own) == digest:
                os.utime(own)
                return True
            (self.folder / digest).unlink(missing_ok=True)
            own.unlink()
        except OSError:
            own.unlink(missing_ok=True)
        return False

    def copy_to(self, target: Path, digest: str) -> bool:
        """Write a copy of what the digest names to `target`, by a rename. False where it is not here."""
        found = self.read(digest)
        if found is None:
            return False
        part = target.with_name(f"{target.name}.part")
        part.write_bytes(found)
        part.replace(target)
        return True

    def keep(self, path: Path, digest: str) -> None:
        """Take a copy of a file that holds what the digest names. Where that fails there is none: it is a cache."""
        with suppress(OSError):
            if path.stat().st_size <= self.max_bytes:
                with self._incoming() as folder:
                    self._admit(Path(shutil.copyfile(path, Path(folder) / digest)), digest)

    def _incoming(self) -> tempfile.TemporaryDirectory[str]:
        """A folder of one process, beside the finished files, so that a rename is enough to admit what is in it."""
        if self.max_bytes:
            with suppress(OSError):  # who cannot write there does without a cache
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                return tempfile.TemporaryDirectory(prefix=_INCOMING, dir=self.folder)
        return tempfile.TemporaryDirectory(prefix=_INCOMING)

    def _admit(self, path: Path, digest: str) -> None:
        with suppress(OSError):
            if path.stat().st_size <= self.max_bytes:
                path.replace(self.folder / digest)
                self._shrink()

    def _shrink(self) -> None:
        """Bring the folder below its limit. Another process may be doing the same: what is gone is gone.

        What has a second link is being read, and stays: to take its name away would give no room.
        """
        held: list[tuple[float, int, Path]] = []
        total = 0
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):
                about = path.stat()
                if not path.name.startswith(_INCOMING):
                    total += about.st_size
                    if about.st_nlink == 1:
                        held.append((about.st_mtime, about.st_size, path))
                elif time.time() - about.st_mtime > _LEFTOVER_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)
        over = total - self.max_bytes
        for _, size, path in sorted(held):
            if over <= 0:
                return
            path.unlink(missing_ok=True)
            over -= size


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
