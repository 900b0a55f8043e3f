"""Arrays inside an untrusted `.npz`: every member is checked before a byte of its data is read.

An `.npz` is a zip of `.npy` members, and both can lie. The zip is opened here rather than by `numpy.load`, because
numpy trusts declared sizes, would unpickle object arrays if it were let, and reads whole members into memory.
"""

import ast
import re
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from distilled.errors import Problem, UploadError

#: Data are handed on in pieces of at most this many bytes.
CHUNK_BYTES = 1 << 20
_MAX_HEADER_BYTES = 10_000
_MAX_READ_BYTES = 2 * CHUNK_BYTES
#: What zipfile, zlib and our own unpacking raise on a file that is cut off or damaged.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, OSError, NotImplementedError, RuntimeError)
_SEND_WHOLE = "the file is cut off or damaged; save it again with numpy.savez_compressed and send it whole"


@dataclass(frozen=True, kw_only=True)
class NpzLimits:
    """What an upload may take before it is refused unread."""

    unpacked_bytes: int = 8 * 1024**3
    #: Unpacked over packed size of the whole file; looked at above `ratio_from_bytes` only, because small sets of flat
    #: drawings pack well without malice.
    ratio: float = 200.0
    ratio_from_bytes: int = 64 * 1024**2
    members: int = 64
    images: int = 5_000_000  # of one split
    classes: int = 10_000
    min_side: int = 4
    max_side: int = 256


@dataclass(frozen=True, kw_only=True)
class Member:
    """One array as its header declares it; its data have not been read."""

    key: str
    descr: str  # numpy's code of the element type, such as "|u1"
    shape: tuple[int, ...]
    data_bytes: int


class NpzFile:
    """The arrays of an `.npz`, checked on opening. Use as a context manager.

    Raises UploadError naming each member that cannot be taken. Members outside `known` are bounded, not read.
    """

    def __init__(self, path: Path, *, known: Mapping[str, str], limits: NpzLimits) -> None:
        """`known` maps each key that is read to a pattern its numpy type code must match."""
        self._file = path.open("rb")
        try:
            with damage_named(""):
                self._zip = zipfile.ZipFile(SmallReads(self._file))
            _check_zip(self._zip, packed_bytes=path.stat().st_size, limits=limits)
            self.members: dict[str, Member] = {}
            problems: list[Problem] = []
            for info in self._zip.infolist():
                key = info.filename.removesuffix(".npy")
                if key in known and info.filename.endswith(".npy"):
                    try:
                        self.members[key] = self._declared(info, key, known[key])
                    except UploadError as error:
                        problems += error.problems
            if problems:
                raise UploadError(problems)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "NpzFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._zip.close()
        self._file.close()

    def _declared(self, info: zipfile.ZipInfo, key: str, pattern: str) -> Member:
        with damage_named(key), self._zip.open(info) as stream:
            header_bytes, header = _npy_header(stream, key)
        descr, shape = header["descr"], header["shape"]
        if isinstance(descr, str) and descr.lstrip("<>|=").startswith("O"):
            raise refused(key, "holds Python objects, which are never unpickled; save it as an array of numbers")
        if not isinstance(descr, str) or not re.fullmatch(pattern, descr):
            raise refused(key, f"has elements of type {str(descr)[:40]!r}; {_WANTED[key.rsplit('_', 1)[-1]]}")
        if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
            raise refused(key, "declares no shape; save it again with numpy.savez_compressed")
        if header["fortran_order"] is not False and len(shape) > 1:
            raise refused(key, "is in Fortran order; save numpy.ascontiguousarray(array)")
        size = prod(shape) * np.dtype(descr).itemsize
        if size + header_bytes != info.file_size:
            detail = f"declares {size} bytes of data, but holds {info.file_size - header_bytes}; save it again"
            raise refused(key, detail)
        return Member(key=key, descr=descr, shape=shape, data_bytes=size)

    def chunks(self, key: str, *, multiple_of: int = 1) -> Iterator[bytes]:
        """The array's data in order, in pieces of a whole number of `multiple_of` bytes, at most CHUNK_BYTES or one."""
        member = self.members[key]
        want = max(1, CHUNK_BYTES // multiple_of) * multiple_of
        left = member.data_bytes
        with damage_named(key), self._zip.open(f"{key}.npy") as stream:
            _npy_header(stream, key)
            while left:
                # What arrives is counted, not what was declared.
                piece = _exactly(stream, min(want, left))
                left -= len(piece)
                yield piece
            # Reading on past the last byte is what makes zipfile compare the checksum.
            if stream.read(1):
                raise refused(key, "goes on past its declared end; save it again")

    def array(self, key: str) -> "np.ndarray[Any, Any]":
        """The whole array, in this machine's byte order."""
        member = self.members[key]
        data = bytearray()
        for piece in self.chunks(key):
            data += piece
        dtype = np.dtype(member.descr)
        return np.frombuffer(data, dtype=dtype).reshape(member.shape).astype(dtype.newbyteorder("="), copy=False)


_WANTED = {
    "images": "images are uint8",
    "labels": "labels are whole numbers, one an image",
    "classes": "class names are text",
}


def refused(key: str, detail: str) -> UploadError:
    """An UploadError about one key of the file ("" for the file as a whole)."""
    return UploadError([Problem(pointer=f"/{key}" if key else "", detail=detail)])


@contextmanager
def damage_named(key: str) -> Generator[None]:
    """Turn what zip and zlib raise on damage into an UploadError that names the key."""
    try:
        yield
    except _DAMAGE as error:
        raise refused(key, _SEND_WHOLE) from error


class SmallReads:
    """A file that refuses to be read in huge pieces: zipfile reads a zip's whole directory at once, of any size."""

    def __init__(self, file: IO[bytes], *, largest: int = _MAX_READ_BYTES) -> None:
        self._file = file
        self._largest = largest
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, self._largest + 1) if size >= 0 else self._largest + 1)
        if len(data) > self._largest:
            raise zipfile.BadZipFile("directory too large")
        return data


def _check_zip(archive: zipfile.ZipFile, *, packed_bytes: int, limits: NpzLimits) -> None:
    infos = archive.infolist()
    if len(infos) > limits.members:
        raise refused("", f"holds {len(infos)} arrays, more than {limits.members}; keep MedMNIST's keys only")
    names = [info.filename for info in infos]
    for info in infos:
        key = info.filename.removesuffix(".npy")[:80]
        if names.count(info.filename) > 1:
            raise refused(key, "is in the file more than once; save it again with numpy.savez_compressed")
        if info.flag_bits & 0x1:
            raise refused(key, "is encrypted; save it without a password")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise refused(key, "is packed in a way numpy does not use; save it with numpy.savez_compressed")
    unpacked = sum(info.file_size for info in infos)
    if unpacked > limits.unpacked_bytes:
        raise refused("", f"unpacks to {unpacked} bytes, more than {limits.unpacked_bytes}; send fewer images")
    if unpacked > limits.ratio_from_bytes and unpacked > limits.ratio * packed_bytes:
        raise refused("", f"unpacks to {unpacked // packed_bytes} times its size, which no set of images does")


def _npy_header(stream: IO[bytes], key: str) -> tuple[int, dict[str, Any]]:
    """The header's length in bytes, magic included, and its fields. Nothing in it is run."""
    magic = _exactly(stream, 8)
    if magic[:6] != b"\x93NUMPY" or magic[6] not in (1, 2, 3):
        raise refused(key, "is no .npy array; save it with numpy.savez_compressed")
    counter = "<H" if magic[6] == 1 else "<I"
    (length,) = struct.unpack(counter, _exactly(stream, struct.calcsize(counter)))
    if length > _MAX_HEADER_BYTES:
        raise refused(key, "declares structured elements; save it as a plain array")
    text = _exactly(stream, length).decode("utf-8" if magic[6] == 3 else "latin-1", errors="replace")
    try:
        header = ast.literal_eval(text.strip())
    except (SyntaxError, ValueError, MemoryError, RecursionError, TypeError) as error:
        raise refused(key, _SEND_WHOLE) from error
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise refused(key, _SEND_WHOLE)
    return 8 + struct.calcsize(counter) + length, header


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = stream.read(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)
