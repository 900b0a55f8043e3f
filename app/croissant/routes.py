"""Croissant: the description of an artifact that catalogues and loaders of machine-learning data read."""

import hashlib
import json
from typing import Any

from fastapi import APIRouter, Request, Response

from app.artifacts.content import Content, respond
from app.croissant.describe import Json, croissant
from app.deps import ArtifactName, Reading, Service
from app.keys.scopes import READ
from app.problems import responses
from app.samples.choosing import MAX_IMAGES
from app.samples.drawing import held
from app.samples.exports import export
from app.services import Services
from distilled.formats.sets import PICTURE_CHANNELS
from registry import artifacts
from registry.models import Artifact

MEDIA_TYPE = "application/ld+json"
DOCUMENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "the description", "content": {MEDIA_TYPE: {"schema": {"type": "object"}}}},
    304: {"description": "the caller has it already"},
    **responses(404, 416, 422),
}

router = APIRouter(prefix="/v1/artifacts/{artifact}", tags=["artifacts"], dependencies=[READ])


@router.head("/croissant", response_class=Response, responses=DOCUMENT)
@router.get("/croissant", response_class=Response, responses=DOCUMENT)
def get_croissant(artifact: ArtifactName, request: Request, session: Reading, service: Service) -> Response:
    """Croissant 1.1 metadata (JSON-LD): licence, citation, files with their sha256, and records to load."""
    found = artifacts.get(session, artifact)
    document = described(service, found, base=str(request.base_url).rstrip("/"))
    text = json.dumps(document, ensure_ascii=False, indent=1).encode()
    content = Content.of(
        text, digest=hashlib.sha256(text).hexdigest(), media_type=MEDIA_TYPE, filename=f"{found.id}-croissant.json"
    )
    # The bytes follow from the artifact, but an alias may move: asked for again, it is answered with 304.
    return respond(request, content, disposition="inline", cache="no-cache")


def described(services: Services, artifact: Artifact, *, base: str) -> Json:
    """The description of an artifact by a service at this address; makes its Parquet, whose sha256 it tells."""
    ipc = held(services, artifact) or min(artifact.ipc or 1, MAX_IMAGES // artifact.num_classes)
    # A set of other channels has no Parquet, and is described without records.
    pictures = artifact.header["space"]["shape"][0] in PICTURE_CHANNELS
    preset = services.catalog["presets"].get(artifact.method, {})
    datasets = services.catalog["datasets"]
    return croissant(
        artifact,
        base=base,
        images=export(services, artifact, format="parquet", ipc=ipc) if pictures else None,
        images_url=f"/v1/artifacts/{artifact.id}/download?format=parquet&ipc={ipc}",
        paper=preset.get("paper"),
        homepages={name: known["homepage"] for name, known in datasets.items() if known.get("homepage")},
    )
