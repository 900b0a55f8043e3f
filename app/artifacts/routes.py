"""Artifacts: find them, read what they are, fetch their bytes, hide them."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.artifacts.choosing import Chosen
from app.artifacts.content import Content, respond
from app.artifacts.manifest import manifest
from app.artifacts.schemas import ArtifactRead, Manifest
from app.deps import ArtifactName, Reading, Service
from app.keys.caller import Record
from app.keys.scopes import READ, submits
from app.paging import Cursor, Limit, PageRead, link_next
from app.problems import responses
from registry import aliases, artifacts, audit, evaluations
from registry.artifacts import Sort
from registry.ids import is_id

router = APIRouter(prefix="/v1/artifacts", tags=["artifacts"])

BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
CONTENT = {
    200: {"description": "the file, byte for byte", "content": BINARY},
    206: {"description": "the part that Range asked for", "content": BINARY},
    304: {"description": "the caller has it already"},
    **responses(404, 416, 422, 503),
}


@router.get("", dependencies=[READ], responses=responses(422))
def list_artifacts(
    request: Request,
    response: Response,
    session: Reading,
    filters: Chosen,
    sort: Annotated[
        Sort, Query(description="`-` is falling; what was never evaluated comes last")
    ] = Sort.CREATED_FALLING,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageRead[ArtifactRead]:
    """The artifacts that pass every filter."""
    page = artifacts.find(session, **filters, sort=sort, limit=limit, cursor=cursor)
    link_next(request, response, page.next_cursor)
    return PageRead(items=[ArtifactRead.model_validate(item) for item in page.items], next_cursor=page.next_cursor)


@router.get("/{artifact}", dependencies=[READ], responses=responses(404, 422))
def get_artifact(artifact: ArtifactName, session: Reading) -> Manifest:
    """The manifest: what it is, how it was made, and how well it does."""
    found = artifacts.get(session, artifact)
    names = aliases.of_artifacts(session, [found.id]).get(found.id, [])
    return manifest(found, evaluations=evaluations.of_artifact(session, found.id), aliases=names)


@router.head("/{artifact}/content", dependencies=[READ], response_class=Response, responses=CONTENT)
@router.get("/{artifact}/content", dependencies=[READ], response_class=Response, responses=CONTENT)
def get_content(artifact: ArtifactName, request: Request, session: Reading, service: Service) -> Response:
    """The stored safetensors file, byte for byte. Its sha256 is its ETag, so a broken download can be continued."""
    found = artifacts.get(session, artifact)
    filename = f"{found.id}.safetensors"
    content = Content.stored(service.store, found.digest, size=found.content_bytes, filename=filename)
    return respond(request, content)


@router.delete(
    "/{artifact}",
    status_code=204,
    dependencies=[submits("artifact.delete")],
    responses=responses(404, 409, 422, 503),
)
def delete_artifact(artifact: ArtifactName, service: Service, who: Record) -> None:
    """Hide an artifact. It can be restored until the sweep. Refused while an alias names it."""
    with service.writing() as session:
        deleted = artifacts.delete(session, artifacts.get(session, artifact).id)
        audit.note(session, who, deleted.id)


@router.post("/{artifact}/restore", dependencies=[submits("artifact.restore")], responses=responses(404, 422, 503))
def restore_artifact(artifact: ArtifactName, service: Service, who: Record) -> ArtifactRead:
    """Take back a deletion. One that was never deleted stays as it is; after the sweep there is nothing left: 404."""
    with service.writing() as session:
        if not is_id(artifact, kind="artifact"):  # only a living one has an alias
            artifact = artifacts.get(session, artifact).id
        restored = artifacts.restore(session, artifact)
        audit.note(session, who, restored.id)
        return ArtifactRead.model_validate(restored)
