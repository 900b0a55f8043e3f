"""Sending a dataset: read from the disk as it goes over the line."""

from pathlib import Path
from typing import IO

from distilled.client.content import Progress
from distilled.client.values import Json
from distilled.client.wire import Wire

# The service checks the whole file before it answers.
_ANSWER_SECONDS = 600.0


class _Counted:
    """A file that tells how much of it was read."""

    def __init__(self, file: IO[bytes], *, size: int, progress: Progress | None) -> None:
        self._file = file
        self._size = size
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        if self._progress and chunk:
            self._progress(self._file.tell(), self._size)
        return chunk

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)  # seek, tell, fileno: what the encoder asks for to know the length


def send(wire: Wire, path: Path, *, name: str, progress: Progress | None) -> Json:
    """POST the file under a name. Raises Invalid naming what is wrong with it, Conflict where the name is taken."""
    with path.open("rb") as file:
        counted = _Counted(file, size=path.stat().st_size, progress=progress)
        files = {"file": (path.name, counted, "application/octet-stream")}
        return wire.json("POST", "/v1/datasets", data={"name": name}, files=files, timeout=_ANSWER_SECONDS)
