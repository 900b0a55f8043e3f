"""Resumable uploads: the tus protocol 1.0.0 (tus.io) with its extensions creation, termination and expiration."""

import base64
import binascii
from email.utils import formatdate
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, Path, Request, Response
from starlette.requests import ClientDisconnect

from app.bodies import is_text
from app.datasets.uploads import Writer, drop
from app.deps import Reading, Service
from app.errors import BodyTooLarge, InvalidRequest, UnsupportedMediaType, UnsupportedTusVersion
from app.keys.caller import Record
from app.keys.scopes import READ, submits
from app.problems import responses
from registry import audit, quotas, uploads
from registry.models import Upload

VERSION = "1.0.0"
PIECE = "application/offset+octet-stream"
MAX_TOLD = 4096
BYTES = {"type": "string", "format": "binary"}


def speaks_tus(tus_resumable: Annotated[str, Header(description=VERSION)] = "") -> None:
    """Raises UnsupportedTusVersion."""
    if tus_resumable != VERSION:
        raise UnsupportedTusVersion


router = APIRouter(prefix="/v1/uploads", tags=["datasets"])
TUS = [Depends(speaks_tus)]
UploadId = Annotated[str, Path(pattern=r"^up_[0-9a-f]{32}$", description="the upload's id")]
Bytes = Annotated[int, Header(ge=0, le=2**63 - 1)]


@router.options("", status_code=204, dependencies=[READ])
@router.options("/{upload_id}", status_code=204, dependencies=[READ], include_in_schema=False)
def tell_what_is_spoken(response: Response, service: Service) -> None:
    """Which version and extensions of tus are spoken here, and how large an upload may be."""
    response.headers["Tus-Version"] = VERSION
    response.headers["Tus-Extension"] = "creation,termination,expiration"
    response.headers["Tus-Max-Size"] = str(service.settings.max_upload_bytes)


@router.post(
    "", status_code=201, dependencies=[submits("upload.begin"), *TUS], responses=responses(412, 413, 422, 429, 503)
)
def begin_upload(
    response: Response,
    service: Service,
    who: Record,
    upload_length: Bytes,
    upload_metadata: Annotated[str, Header(description="`filename` and a space and the name in base64")] = "",
) -> None:
    """Begin an upload; `Location` is where its bytes go. Once they are there, POST /v1/datasets registers it."""
    settings = service.settings
    if upload_length > settings.max_upload_bytes:
        raise BodyTooLarge(f"an upload may have at most {settings.max_upload_bytes} bytes here; send less")
    filename_of(upload_metadata)
    with service.writing() as session:
        quotas.check(session, who.key_id, settings.quotas, num_bytes=upload_length)
        upload = uploads.create(
            session,
            length=upload_length,
            told=upload_metadata,
            hours=settings.upload_hours,
            most=settings.max_open_uploads,
            key_id=who.key_id,
        )
        audit.note(session, who, upload.id)
    response.headers["Location"] = f"/v1/uploads/{upload.id}"
    _tell(response, upload)


@router.head("/{upload_id}", dependencies=[READ, *TUS], responses=responses(404, 412, 422))
def upload_offset(upload_id: UploadId, response: Response, session: Reading) -> None:
    """How much of an upload has arrived."""
    upload = uploads.get(session, upload_id)
    response.headers["Upload-Length"] = str(upload.length)
    response.headers["Cache-Control"] = "no-store"
    if upload.told:
        response.headers["Upload-Metadata"] = upload.told
    _tell(response, upload)


@router.patch(
    "/{upload_id}",
    status_code=204,
    dependencies=[submits("upload.complete"), *TUS],
    responses=responses(404, 409, 412, 413, 415, 422, 503, 507),
    openapi_extra={
        "requestBody": {"required": True, "content": {PIECE: {"schema": {"type": "string", "format": "binary"}}}}
    },
)
async def continue_upload(
    upload_id: UploadId, request: Request, response: Response, service: Service, who: Record, upload_offset: Bytes
) -> None:
    """Send bytes from where the upload stands. What arrived before a connection broke is kept."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != PIECE:
        raise UnsupportedMediaType
    writer = await run_sync(lambda: Writer(service, upload_id, offset=upload_offset, who=who))
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > writer.room:
        raise BodyTooLarge(f"the upload lacks {writer.room} bytes, and more were sent; send those")
    try:
        async for chunk in request.stream():
            if len(chunk) > writer.room:
                raise BodyTooLarge(f"the upload lacks {writer.room} bytes, and more were sent; send those")
            writer.take(chunk)
            if writer.is_due:
                await run_sync(writer.write)
    except ClientDisconnect:
        await run_sync(lambda: writer.write(all_of_it=True))
        raise
    await run_sync(lambda: writer.write(all_of_it=True))
    _tell(response, writer.upload)


@router.delete(
    "/{upload_id}",
    status_code=204,
    dependencies=[submits("upload.delete"), *TUS],
    responses=responses(404, 409, 412, 422, 503),
)
def end_upload(upload_id: UploadId, service: Service, who: Record) -> None:
    """Throw an upload away. Refused while a worker is to look at it."""
    with service.database.read() as session:
        uploads.get(session, upload_id)
        uploads.check_free(session, upload_id)
    drop(service, upload_id, who=who)


def filename_of(told: str) -> str:
    """The file's name out of `Upload-Metadata`; empty where none is told. Raises InvalidRequest."""
    where = "/header/upload-metadata"
    if len(told) > MAX_TOLD:
        raise InvalidRequest.at(where, f"has more than {MAX_TOLD} characters; tell the filename only")
    for pair in told.split(",") if told else ():
        key, _, value = pair.strip().partition(" ")
        try:
            text = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise InvalidRequest.at(where, f"gives {key[:40]!r} a value that is not base64 of UTF-8 text") from error
        if key == "filename" and is_text(text):
            return text
    return ""


def _tell(response: Response, upload: Upload) -> None:
    response.headers["Upload-Offset"] = str(upload.offset)
    response.headers["Upload-Expires"] = formatdate(upload.expires, usegmt=True)
