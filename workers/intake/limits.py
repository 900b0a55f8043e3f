"""What an upload may take of a worker: of its disk, its memory and its time."""

import time
from dataclasses import dataclass

from distilled.errors import Problem, UploadError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """unpacked_bytes, ratio: of the whole file, by what really comes out of it and not by what it declares. `ratio` is
    looked at above `ratio_from_bytes` only, because small drawings pack well without malice. file_bytes: of one image
    as it was sent. depth: folders in one another. seconds: of all the work. memory_bytes: of the process that opens it.
    """

    files: int = 1_000_000
    unpacked_bytes: int = 8 * 1024**3
    ratio: float = 200.0
    ratio_from_bytes: int = 64 * 1024**2
    file_bytes: int = 64 * 1024**2
    pixels: int = 64 * 1024**2
    depth: int = 16
    seconds: float = 3600.0
    memory_bytes: int = 2 * 1024**3


def refused(pointer: str, detail: str) -> UploadError:
    """An UploadError about one part of the file ("" for all of it)."""
    return UploadError([Problem(pointer=pointer, detail=detail)])


class Budget:
    """Counts what one reading of a file of `packed_bytes` takes. Raises UploadError where that is too much."""

    def __init__(self, limits: Limits, *, packed_bytes: int, deadline: float) -> None:
        self.limits = limits
        self._packed_bytes = packed_bytes
        self._deadline = deadline
        self._unpacked = 0
        self._files = 0

    def file(self) -> None:
        """One more file."""
        self._files += 1
        if self._files > self.limits.files:
            raise refused("", f"holds more than {self.limits.files} files; send fewer")
        if time.monotonic() > self._deadline:
            raise refused("", f"takes longer than {self.limits.seconds:.0f} s to look at; send fewer or smaller images")

    def unpacked(self, size: int) -> None:
        """So many bytes more have come out."""
        self.reached(self._unpacked + size)

    def reached(self, unpacked: int) -> None:
        """So many bytes have come out by now, or are about to."""
        self._unpacked = unpacked
        if unpacked > self.limits.unpacked_bytes:
            raise refused("", f"unpacks to more than {self.limits.unpacked_bytes} bytes; send fewer images")
        if unpacked > self.limits.ratio_from_bytes and unpacked > self.limits.ratio * self._packed_bytes:
            most = f"{self.limits.ratio:.0f} times its size"
            raise refused("", f"unpacks to more than {most}, which no set of images does")
