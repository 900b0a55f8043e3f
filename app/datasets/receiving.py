"""What a request to register a data set brings: a file, parsed to the disk as it arrives, or the name of an upload."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile, SpooledTemporaryFile
from typing import Annotated, Any, BinaryIO, cast

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from app.bodies import faults
from app.datasets.uploads import PREFIX, spool_folder
from app.deps import Service
from app.errors import InvalidRequest
from app.middleware.limits import JSON_BYTES
from app.problems import pointer
from distilled.errors import Problem

FIELDS = ("name", "file", "licence")
LONGEST_LICENCE = 200


@dataclass(frozen=True, kw_only=True)
class SentFile:
    """A form: what was written in its fields, and where the file lies until the request ends."""

    name: str
    licence: str | None
    filename: str
    path: Path


class SentName(BaseModel):
    """A JSON body: the data set is made from an upload that is whole."""

    model_config = ConfigDict(extra="forbid")

    name: str
    upload: str = Field(pattern=r"^up_[0-9a-f]{32}$", description="the last part of its Location")
    licence: str | None = Field(None, max_length=LONGEST_LICENCE)


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


async def receive(request: Request, service: Service) -> AsyncIterator[SentFile | SentName]:
    """What this request brings. A file is gone when the request ends.

    Raises InvalidRequest; OSError where the disk is full; the body limit's 413.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json":
        yield _named(await _short_body(request))
        return
    if content_type != "multipart/form-data":
        detail = "must be multipart/form-data with the fields `name` and `file`, or application/json with `upload`"
        raise InvalidRequest.at("/header/content-type", detail)
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


Received = Annotated[SentFile | SentName, Depends(receive, scope="request")]


async def _short_body(request: Request) -> bytes:
    """The body, where it is no longer than a JSON body may be: the limit of this path is that of files."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > JSON_BYTES:
            raise HTTPException(413, detail=f"the body may have at most {JSON_BYTES} bytes here; send less")
    return bytes(body)


def _named(body: bytes) -> SentName:
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest.at("", "is not JSON") from error
    found = list(faults(value))
    if found:
        raise InvalidRequest(found)
    try:
        return SentName.model_validate(value)
    except ValidationError as error:
        ours = {"missing": "is required", "extra_forbidden": "is not known here; remove it"}
        found = [
            Problem(pointer=pointer(item["loc"]), detail=ours.get(item["type"]) or item["msg"])
            for item in error.errors()
        ]
        raise InvalidRequest(found) from error


def _checked(form: FormData) -> SentFile:
    found = [
        Problem(pointer=f"/form/{field}", detail="is not known here; send `name`, `file` and perhaps `licence`")
        for field in form
        if field not in FIELDS
    ]
    names = [value for value in form.getlist("name") if isinstance(value, str)]
    files = [value for value in form.getlist("file") if isinstance(value, UploadFile)]
    for field, values, wanted in (("name", names, "text"), ("file", files, "a file with a file name")):
        if len(values) != 1 or len(form.getlist(field)) != 1:
            found.append(Problem(pointer=f"/form/{field}", detail=f"is required once, as {wanted}"))
    licences = form.getlist("licence")
    licence = next((value for value in licences if isinstance(value, str)), None)
    if licences and (len(licences) > 1 or licence is None or len(licence) > LONGEST_LICENCE or list(faults(licence))):
        detail = f"is given once, as text of at most {LONGEST_LICENCE} characters"
        found.append(Problem(pointer="/form/licence", detail=detail))
    if found:
        raise InvalidRequest(found)
    return SentFile(
        name=names[0].strip(), licence=licence or None, filename=files[0].filename or "", path=Path(files[0].file.name)
    )
