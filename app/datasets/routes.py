"""Data sets: what there is to distil, and how to bring one's own."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Query, Request, Response

from app.datasets import listing, registering
from app.datasets.known import built_in
from app.datasets.receiving import LONGEST_LICENCE, Received, SentFile, SentName
from app.datasets.schemas import DatasetRead
from app.deps import DatasetName, Reading, Service
from app.keys.caller import Asking, Record
from app.keys.scopes import READ, submits
from app.paging import Cursor, Limit, PageRead, link_next
from app.problems import responses
from app.wake import wake_validation
from registry import audit, datasets, errors
from registry.scopes import Scope

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

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
            "and perhaps val_images, val_labels, classes; a .zip, .tar or .tar.gz in ImageFolder layout: "
            "train/<class>/*, test/<class>/* and perhaps val/<class>/*; or a .parquet with the columns image and label",
        },
        "licence": {"type": "string", "maxLength": LONGEST_LICENCE},
    },
}
CONTENT = {
    "multipart/form-data": {"schema": UPLOAD_SCHEMA},
    "application/json": {"schema": SentName.model_json_schema()},
}
BODY = {"requestBody": {"required": True, "content": CONTENT}}


@router.get("", dependencies=[READ], responses=responses(422))
def list_datasets(
    request: Request, response: Response, session: Reading, service: Service, limit: Limit = 50, cursor: Cursor = None
) -> PageRead[DatasetRead]:
    """The built-in data sets and the uploaded ones, by name."""
    items, following = listing.page(service, session, limit=limit, cursor=cursor)
    link_next(request, response, following)
    return PageRead(items=items, next_cursor=following)


@router.get("/{name}", dependencies=[READ], responses=responses(404, 422))
def get_dataset(name: DatasetName, session: Reading, service: Service) -> DatasetRead:
    """One data set, by its name in any case."""
    return listing.one(service, session, name)


@router.post(
    "",
    status_code=201,
    dependencies=[submits("dataset.register")],
    responses=responses(404, 409, 413, 422, 503, 507),
    openapi_extra=BODY,
)
def upload_dataset(
    sent: Received, response: Response, service: Service, who: Record, background: BackgroundTasks
) -> DatasetRead:
    """Register a data set from a file, or from an upload that was sent to /v1/uploads before.

    An .npz in a form is checked whole, in little memory, and is `ready`. All others are `validating` until a worker has
    looked at them; their `report` tells what it found.
    """
    if isinstance(sent, SentFile):
        made = registering.from_file(service, sent, who=who)
    else:
        made = registering.from_upload(service, sent, who=who)
    if made.validation_id is not None:
        background.add_task(wake_validation, service, made.validation_id)
    response.headers["Location"] = f"/v1/datasets/{made.dataset.name}"
    return listing.show_registered(service, made.dataset, progress=0.0)


@router.delete(
    "/{name}", status_code=204, dependencies=[submits("dataset.delete")], responses=responses(404, 409, 422, 503)
)
def delete_dataset(
    name: DatasetName,
    service: Service,
    asking: Asking,
    who: Record,
    force: Annotated[bool, Query(description="even while jobs or artifacts name it; needs the scope `admin`")] = False,
) -> None:
    """Forget an uploaded data set. Refused while a living job or an artifact names it, unless forced."""
    if force:
        asking.check(Scope.ADMIN)
    if built_in(service.catalog, name) is not None:
        raise errors.InUse(f"{name!r} is built in and cannot be deleted")
    with service.writing() as session:
        datasets.delete(session, name, force=force)
        audit.note(session, who, name)
