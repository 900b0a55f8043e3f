"""An upload on its way to the disk: the multipart body is parsed as it arrives and never lies whole in memory."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile, SpooledTemporaryFile
from typing import Annotated, BinaryIO, cast

from fastapi import Depends, Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from app.deps import Service
from app.errors import InvalidRequest
from distilled.errors import Problem

PREFIX = "upload-"
#: A file that is older belongs to a process that was killed, in seconds.
STALE_SECONDS = 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Upload:
    """What was sent: the name as it was written, and where the file lies until the request ends."""

    name: str
    path: Path


class _DiskParser(MultiPartParser):
    """Starlette's parser, with files in a folder of ours, under a path, rather than in memory and /tmp."""

    folder: Path

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        part = self._current_part
        if part.file is not None:
            part.file.file.close()
            file = NamedTemporaryFile(dir=self.folder, prefix=PREFIX)  # noqa: SIM115 -- closed with the form
            part.file.file = cast(BinaryIO, file)
            self._files_to_close_on_error.append(cast("SpooledTemporaryFile[bytes]", file))


async def receive_upload(request: Request, service: Service) -> AsyncIterator[Upload]:
    """The upload of this request. Its file is gone when the request ends.

    Raises InvalidRequest; OSError where the disk is full; the body limit's 413.
    """
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        raise InvalidRequest.at("/header/content-type", "must be multipart/form-data with the fields `name` and `file`")
    parser = _DiskParser(request.headers, request.stream(), max_files=2, max_fields=8)
    parser.folder = spool_folder(service.settings.home)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise InvalidRequest.at("", f"is no readable multipart body: {error.message}") from error
    try:
        yield _checked(form)
    finally:
        await form.close()


ReceivedUpload = Annotated[Upload, Depends(receive_upload, scope="request")]


def spool_folder(home: Path) -> Path:
    """Where uploads wait: on the disk of the home, where there is room for data, rather than in /tmp."""
    folder = home.expanduser().absolute() / "tmp"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def remove_stale(home: Path) -> None:
    """Remove what a process that was killed left in the spool folder."""
    for path in spool_folder(home).glob(f"{PREFIX}*"):
        if time.time() - path.stat().st_mtime > STALE_SECONDS:
            path.unlink(missing_ok=True)


def _checked(form: FormData) -> Upload:
    found = [
        Problem(pointer=f"/form/{field}", detail="is not known here; send `name` and `file`")
        for field in form
        if field not in ("name", "file")
    ]
    names = [value for value in form.getlist("name") if isinstance(value, str)]
    files = [value for value in form.getlist("file") if isinstance(value, UploadFile)]
    for field, values, wanted in (("name", names, "text"), ("file", files, "a file with a file name")):
        if len(values) != 1 or len(form.getlist(field)) != 1:
            found.append(Problem(pointer=f"/form/{field}", detail=f"is required once, as {wanted}"))
    if found:
        raise InvalidRequest(found)
    return Upload(name=names[0].strip(), path=Path(files[0].file.name))
