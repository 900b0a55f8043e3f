"""Images in a zip or a tar, one after the other, in memory: no member is ever written to disk under its own name."""

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from distilled.npy import CHUNK_BYTES, SmallReads
from workers.intake import layout
from workers.intake.entries import Arranged, Entry, is_hidden, is_image, parts_of
from workers.intake.limits import Budget, Limits, refused

#: What the readers raise on a file that is cut off, damaged, or made to break them.
_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, OSError, NotImplementedError),
    *(RuntimeError, ValueError, OverflowError, RecursionError),
)
_SEND_WHOLE = "the file is cut off or damaged; pack it again and send it whole"
_DIRECTORY_BYTES = 128 * 1024**2
_HEADER_BYTES = 2 * CHUNK_BYTES


class _Archive:
    """What zip and tar have in common: what is read of it, and the folders that were seen."""

    def __init__(self, path: Path, *, limits: Limits) -> None:
        self.path = path
        self.limits = limits
        self._folders: set[tuple[str, ...]] = set()

    def arrange(self, entries: Sequence[tuple[str, str | None, str | int | None]]) -> Arranged:
        """Splits and classes by the folders."""
        return layout.arrange([tuple(name.split("/")) for name, _, _ in entries], self._folders)

    def _entry(self, parts: tuple[str, ...], read: Callable[[], IO[bytes]], budget: Budget, *, at: float) -> Entry:
        """An entry with its bytes, or with the reason why there are none."""
        content, fault = bytearray(), ""
        try:
            with read() as file:
                while piece := file.read(CHUNK_BYTES):
                    budget.unpacked(len(piece))
                    content += piece
                    if len(content) > self.limits.file_bytes:
                        fault = f"is larger than {self.limits.file_bytes} bytes"
                        break
        except _DAMAGE:
            fault = "is damaged in the archive"
        return Entry(name="/".join(parts), content=None if fault else bytes(content), fault=fault, fraction=at)


class ZipSource(_Archive):
    """Images in a zip."""

    def entries(self, budget: Budget) -> Iterator[Entry]:
        """Every file but the hidden ones; those that are not called like an image are not read."""
        with self.path.open("rb") as file:
            try:
                archive = zipfile.ZipFile(SmallReads(file, largest=_DIRECTORY_BYTES))
            except _DAMAGE as error:
                raise refused("", _SEND_WHOLE) from error
            infos = archive.infolist()
            seen: set[tuple[str, ...]] = set()
            for i, info in enumerate(infos):
                budget.file()
                parts = parts_of(info.filename, depth=self.limits.depth)
                _check_zipped(info)
                if not parts or info.is_dir():  # zipfile asks for the last letter of a name that may be empty
                    self._folders.add(parts)
                elif not is_hidden(parts):
                    _check_new(parts, seen)
                    if is_image(parts):
                        yield self._entry(parts, lambda info=info: archive.open(info), budget, at=i / len(infos))
                    else:
                        yield Entry(name="/".join(parts), content=None, fraction=i / len(infos))


class TarSource(_Archive):
    """Images in a tar, packed by gzip or not."""

    def entries(self, budget: Budget) -> Iterator[Entry]:
        """Every file but the hidden ones; those that are not called like an image are not read."""
        size = self.path.stat().st_size
        with self.path.open("rb") as packed:
            magic = packed.read(2)
            packed.seek(0)
            file: Any = gzip.GzipFile(fileobj=packed) if magic == b"\x1f\x8b" else packed
            careful = _Careful(file, budget)
            seen: set[tuple[str, ...]] = set()
            for archive, member in _members(careful):
                budget.file()
                parts = parts_of(member.name, depth=self.limits.depth)
                if member.isdir() or not parts:
                    self._folders.add(parts)
                    continue
                _check_tarred(member)
                if is_hidden(parts):
                    continue
                _check_new(parts, seen)
                at = packed.tell() / size
                if not is_image(parts):
                    yield Entry(name="/".join(parts), content=None, fraction=at)
                    continue
                opened: Any = archive.extractfile(member)  # of a regular file: never None
                # What comes out is counted where it is decompressed, what is skipped included.
                yield self._entry(parts, lambda opened=opened: opened, _Uncounted(budget), at=at)


def _members(careful: Any) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    try:
        archive: Any = tarfile.TarFile(fileobj=careful, encoding="utf-8", errors="surrogateescape")
        while (member := archive.next()) is not None:
            archive.members.clear()  # or a million of them stay in memory
            yield archive, member
        # A header that is rubbish ends a tar as quietly as its end does.
        careful.seek(archive.offset)
        if careful.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError("rubbish in place of a header")
    except _DAMAGE as error:
        raise refused("", _SEND_WHOLE) from error


class _Careful:
    """A file that counts how far it was read, and refuses huge pieces: a header of a tar may declare any size."""

    def __init__(self, file: IO[bytes], budget: Budget) -> None:
        self._file = file
        self._budget = budget
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _HEADER_BYTES:
            raise tarfile.ReadError("a header of that size")
        data = self._file.read(size)
        self._budget.reached(self._file.tell())
        return data

    def seek(self, position: int, whence: int = 0) -> int:
        if whence == 0:
            self._budget.reached(position)  # before the bytes up to there are unpacked
        return self._file.seek(position, whence)


class _Uncounted(Budget):
    """Bytes that are counted elsewhere."""

    def __init__(self, budget: Budget) -> None:
        self.limits = budget.limits

    def unpacked(self, size: int) -> None:
        """Not again."""


def _check_new(parts: tuple[str, ...], seen: set[tuple[str, ...]]) -> None:
    if parts in seen:
        raise refused(f"/{'/'.join(parts)[:200]}", "is in the archive more than once; pack it again")
    seen.add(parts)


def _check_zipped(info: zipfile.ZipInfo) -> None:
    mode = info.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if info.flag_bits & 0x1:
        raise refused(f"/{info.filename[:200]}", "is encrypted; pack it without a password")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a symbolic link" if kind == stat.S_IFLNK else "a device or another special file"
        raise refused(f"/{info.filename[:200]}", f"is {what}; pack the images themselves")


def _check_tarred(member: tarfile.TarInfo) -> None:
    """The refusals of tarfile's own filter `data`, and sparse files, whose size says nothing of what is in them."""
    pointer = f"/{member.name[:200]}"
    if member.issym() or member.islnk():
        what = "a symbolic link" if member.issym() else "a hard link"
        raise refused(pointer, f"is {what}; pack the images themselves")
    if not member.isreg() or member.issparse():
        raise refused(pointer, "is a device or another special file; pack the images themselves")
