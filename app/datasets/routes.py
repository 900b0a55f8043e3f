"""Data sets: what there is to distil, and how to bring one's own."""

import re
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.datasets import listing
from app.datasets.known import built_in, resembles_built_in
from app.datasets.schemas import DatasetRead
from app.datasets.uploads import ReceivedUpload
from app.deps import DatasetName, Reading, Service
from app.errors import InvalidRequest
from app.paging import Cursor, Limit, PageRead, link_next
from app.problems import below, responses
from distilled import npz
from distilled.errors import UploadError
from registry import datasets, errors

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.IGNORECASE)
UPLOAD_SCHEMA = {
    "type": "object",
    "required": ["name", "file"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"},
        "file": {
            "type": "string",
            "format": "binary",
            "description": "an .npz with MedMNIST's keys: train_images, train_labels, test_images, test_labels, "
            "and perhaps val_images, val_labels, classes",
        },
    },
}
BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": UPLOAD_SCHEMA}}}}


@router.get("", responses=responses(422))
def list_datasets(
    request: Request, response: Response, session: Reading, service: Service, limit: Limit = 50, cursor: Cursor = None
) -> PageRead[DatasetRead]:
    """The built-in data sets and the uploaded ones, by name."""
    items, following = listing.page(service, session, limit=limit, cursor=cursor)
    link_next(request, response, following)
    return PageRead(items=items, next_cursor=following)


@router.get("/{name}", responses=responses(404, 422))
def get_dataset(name: DatasetName, session: Reading, service: Service) -> DatasetRead:
    """One data set, by its name in any case."""
    return listing.one(service, session, name)


@router.post("", status_code=201, responses=responses(409, 413, 422, 503, 507), openapi_extra=BODY)
def upload_dataset(upload: ReceivedUpload, response: Response, service: Service) -> DatasetRead:
    """Register a data set from a file. It is checked whole, in little memory, before anything is kept."""
    if not NAME.fullmatch(upload.name):
        detail = "must be 1 to 64 of the characters a-z 0-9 . _ - and begin with a letter or a digit; choose another"
        raise InvalidRequest.at("/form/name", detail)
    if resembles_built_in(service.catalog, upload.name):
        raise errors.NameTaken(f"{upload.name!r} is the name of a built-in data set; choose another name")
    with service.database.read() as session:
        # Looked up before the work, and again by the constraint when it is recorded.
        if any(found.key == upload.name.lower() for found in datasets.find(session)):
            raise errors.NameTaken(f"a data set named {upload.name!r} is registered already; choose another name")
    try:
        facts = npz.inspect(upload.path)
    except UploadError as error:
        raise UploadError(below("/form/file", error.problems)) from error
    num_bytes = upload.path.stat().st_size
    blob = service.store.put_file(upload.path)
    with service.writing() as session:
        found = datasets.register(
            session,
            name=upload.name,
            digest=facts.digest,
            blob_digest=blob,
            num_bytes=num_bytes,
            facts={**facts.to_json(), "licence": None},
        )
    response.headers["Location"] = f"/v1/datasets/{found.name}"
    return listing.show_registered(service, found)


@router.delete("/{name}", status_code=204, responses=responses(404, 409, 422, 503))
def delete_dataset(
    name: DatasetName,
    service: Service,
    force: Annotated[bool, Query(description="even while jobs or artifacts name it")] = False,
) -> None:
    """Forget an uploaded data set. Refused while a living job or an artifact names it, unless forced."""
    if built_in(service.catalog, name) is not None:
        raise errors.InUse(f"{name!r} is built in and cannot be deleted")
    with service.writing() as session:
        datasets.delete(session, name, force=force)
