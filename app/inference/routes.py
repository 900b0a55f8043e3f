"""The Open Inference Protocol v2 (KServe, Triton): any of its clients draws images, an artifact being a model.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol, with the binary tensor data
extension. A model's version is the digest of its artifact. `POST /v2/repository/index` is Triton's.
"""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Path, Request, Response
from sqlalchemy.orm import Session

from app.deps import ArtifactName, Reading, Service
from app.inference.models import infer, metadata
from app.inference.schemas import (
    INFER_SCHEMA,
    ErrorRead,
    IndexItem,
    IndexRequest,
    Live,
    ModelMetadata,
    ModelReady,
    Ready,
    ServerMetadata,
)
from app.inference.wire import HEADER_LENGTH, inflated, read_request
from app.keys.scopes import NO_KEY, READ
from app.paging import MAX_LIMIT
from distilled import __version__
from registry import artifacts, errors
from registry.models import Artifact

EXTENSIONS = ["binary_tensor_data", "parameters"]
FAULTS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorRead, "description": "what is wrong, and what to do about it"}
}
ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the images, their labels, and soft labels where there are any",
        "content": {"application/json": {"schema": {"type": "object"}}, "application/octet-stream": {"schema": {}}},
    }
}
REQUEST = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": INFER_SCHEMA,
                "example": {"inputs": [{"name": "labels", "shape": [2], "datatype": "INT64", "data": [0, 1]}]},
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}

router = APIRouter(prefix="/v2", tags=["open inference"], responses=FAULTS)


async def whole_body(request: Request) -> bytes:
    """The body as it came; `app.middleware.limits` bounds it."""
    return await request.body()


RawBody = Annotated[bytes, Depends(whole_body)]
Version = Annotated[str, Path(max_length=64, description="the digest of the artifact")]
HeaderLength = Annotated[str | None, Header(alias=HEADER_LENGTH, description="bytes of JSON before those of tensors")]
Encoding = Annotated[str, Header(alias="Content-Encoding", description="gzip or deflate, where the body is")]


@router.get("", dependencies=[READ])
def server_metadata() -> ServerMetadata:
    """Name, version and extensions of the server."""
    return ServerMetadata(name="distilled", version=__version__, extensions=EXTENSIONS)


@router.get("/health/live", dependencies=[NO_KEY])
def server_live() -> Live:
    """The process answers."""
    return Live()


@router.get("/health/ready", dependencies=[NO_KEY])
def server_ready(service: Service) -> Ready:
    """Images can be drawn: the registry and the store work. Workers are not asked, since drawing needs none."""
    if not service.database.is_at_head():
        raise errors.RegistryOutdated
    service.store.check()
    return Ready()


@router.post("/repository/index", dependencies=[READ])
def repository_index(session: Reading, body: Annotated[IndexRequest | None, Body()] = None) -> list[IndexItem]:
    """Every artifact as a model, the newest first. An alias is a name for one of them, and not listed."""
    return [IndexItem(name=found.id, version=found.digest) for found in _all(session)]


@router.get("/models/{artifact}", dependencies=[READ])
@router.get("/models/{artifact}/versions/{version}", dependencies=[READ])
def model_metadata(
    artifact: ArtifactName, session: Reading, service: Service, version: Version | None = None
) -> ModelMetadata:
    """What goes into a model, and what comes out."""
    return metadata(service, _model(session, artifact, version), name=artifact)


@router.get("/models/{artifact}/ready", dependencies=[READ])
@router.get("/models/{artifact}/versions/{version}/ready", dependencies=[READ])
def model_ready(
    artifact: ArtifactName, session: Reading, service: Service, version: Version | None = None
) -> ModelReady:
    """The artifact is there, and its file too."""
    found = _model(session, artifact, version)
    if not service.store.exists(found.digest):
        raise errors.BlobMissing
    return ModelReady(name=artifact)


@router.post(
    "/models/{artifact}/infer", dependencies=[READ], response_class=Response, responses=ANSWER, openapi_extra=REQUEST
)
@router.post(
    "/models/{artifact}/versions/{version}/infer",
    dependencies=[READ],
    response_class=Response,
    responses=ANSWER,
    openapi_extra=REQUEST,
)
def model_infer(
    artifact: ArtifactName,
    session: Reading,
    service: Service,
    body: RawBody,
    header_length: HeaderLength = None,
    encoding: Encoding = "",
    version: Version | None = None,
) -> Response:
    """An image for each of `labels`, or for each row of `mix`. The same `seed` gives the same images as `…/samples`."""
    found = _model(session, artifact, version)
    asked = read_request(inflated(body, encoding=encoding.strip().lower()), header_length=header_length)
    content, headers = infer(service, found, asked, name=artifact)
    return Response(content, headers={**headers, "Cache-Control": "no-store"})


def _model(session: Session, name: str, version: str | None) -> Artifact:
    """The artifact under a name, being of this version. Raises NotFound."""
    found = artifacts.get(session, name)
    if version is not None and version != found.digest:
        raise errors.NotFound(f"Model {name!r} has no version {version!r}; it has {found.digest}.")
    return found


def _all(session: Session) -> Iterator[Artifact]:
    cursor = None
    while True:
        page = artifacts.find(session, limit=MAX_LIMIT, cursor=cursor)
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return
