"""Sending a dataset: a small one in one request, a large one in pieces that a broken line does not lose (tus 1.0.0)."""

import base64
from pathlib import Path
from typing import IO, Any

from distilled.client.content import Progress
from distilled.client.values import Json
from distilled.client.wire import Wire
from distilled.errors import Conflict, Unavailable

#: Files from this size on are sent in pieces of so many bytes.
RESUMABLE_BYTES = 16 * 1024**2
PIECE_BYTES = 8 * 1024**2
# The service checks arrays whole before it answers.
_ANSWER_SECONDS = 600.0
_TUS = {"Tus-Resumable": "1.0.0"}


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


def send(wire: Wire, path: Path, *, name: str, progress: Progress | None, licence: str | None = None) -> Json:
    """Register the file under a name. Raises Invalid naming what is wrong with it, Conflict where the name is taken."""
    fields = {"name": name} | ({"licence": licence} if licence else {})
    size = path.stat().st_size
    if size >= RESUMABLE_BYTES:
        upload = _send_in_pieces(wire, path, size=size, progress=progress)
        return wire.json("POST", "/v1/datasets", body={**fields, "upload": upload}, timeout=_ANSWER_SECONDS)
    with path.open("rb") as file:
        counted = _Counted(file, size=size, progress=progress)
        files = {"file": (path.name, counted, "application/octet-stream")}
        return wire.json("POST", "/v1/datasets", data=fields, files=files, timeout=_ANSWER_SECONDS)


def _send_in_pieces(wire: Wire, path: Path, *, size: int, progress: Progress | None) -> str:
    """Send the file, going on where it stands after each break. Returns the upload's id."""
    told = f"filename {base64.b64encode(path.name.encode()).decode()}"
    headers = {**_TUS, "Upload-Length": str(size), "Upload-Metadata": told}
    made = wire.request("POST", "/v1/uploads", headers=headers)
    upload = made.headers["Location"].rpartition("/")[2]
    where, offset, attempt = f"/v1/uploads/{upload}", 0, 0
    with path.open("rb") as file:
        while offset < size:
            file.seek(offset)
            try:
                sent = _send_piece(wire, where, file.read(PIECE_BYTES), offset=offset)
            except (Unavailable, Conflict) as broken:
                # The line broke, or an earlier try had arrived after all. It stands where the service says.
                wire.pause(attempt, otherwise=broken)
                stands = _offset(wire.request("HEAD", where, headers=_TUS))
                attempt = 0 if stands > offset else attempt + 1
                offset = stands
            else:
                offset, attempt = sent, 0
            if progress:
                progress(offset, size)
    return upload


def _send_piece(wire: Wire, where: str, piece: bytes, *, offset: int) -> int:
    headers = {**_TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    return _offset(wire.request("PATCH", where, headers=headers, content=piece))


def _offset(response: Any) -> int:
    return int(response.headers["Upload-Offset"])
