"""Artifacts that were fetched before: copies in a folder, each under its sha256, the longest unused going first.

Nothing is only here. What a user asked for lies where the user said; a copy that is gone or broken is fetched again. So
anyone may delete the folder at any time, and processes share it without locks: a file appears whole by a rename, and
its bytes are checked against its name whenever it is read.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

DEFAULT_BYTES = 1024**3
#: What a process that was killed left half-way is swept after a day, in seconds.
_LEFTOVER_SECONDS = 86_400.0
_INCOMING = "incoming-"


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

    def read(self, digest: str) -> bytes | None:
        """The bytes that this digest names, or None. A copy that is not what its name says is thrown away."""
        path = self.folder / digest
        if not self.max_bytes:
            return None
        try:
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == digest:
                os.utime(path)  # the last use, by which the longest unused are found
                return content
            path.unlink(missing_ok=True)
        except OSError:
            return None
        return None

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
        """Bring the folder below its limit. Another process may be doing the same: what is gone is gone."""
        held: list[tuple[float, int, Path]] = []
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):
                about = path.stat()
                if not path.name.startswith(_INCOMING):
                    held.append((about.st_mtime, about.st_size, path))
                elif time.time() - about.st_mtime > _LEFTOVER_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)
        over = sum(size for _, size, _ in held) - self.max_bytes
        for _, size, path in sorted(held):
            if over <= 0:
                return
            path.unlink(missing_ok=True)
            over -= size
