"""The real images that lie nearest to an artifact's own: how much of them it holds is to be seen, and not believed.

The real images are those that the front end has (`app.datasets.real`); where it has not, the answer says why.
"""
# Shapes: M images of a class, H height, W width, C channels, D values of an image.

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated

import numpy as np
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Query
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.datasets.known import built_in
from app.datasets.places import Place, find
from app.datasets.real import real_images
from app.deps import ArtifactName, Reading, Service
from app.errors import DataNotHere, InvalidRequest
from app.keys.scopes import READ
from app.problems import responses
from app.samples.choosing import Amount, class_indices, per_class
from app.samples.drawing import draw, held
from app.samples.nearest import nearest
from app.samples.schemas import Classes, Seed
from app.services import Services
from distilled import __version__, continuing
from distilled.formats.pictures import png
from distilled.formats.sets import PICTURE_CHANNELS
from registry import artifacts, datasets, errors
from registry.models import Artifact

router = APIRouter(prefix="/v1/artifacts/{artifact}", tags=["samples"], dependencies=[READ])

#: Of one answer. A class has at most `app.datasets.real.CLASS_BYTES`, so one answer takes seconds, not minutes.
MAX_CLASSES, MAX_NEIGHBOURS = 10, 100
#: Real images that are compared at a time, which bounds memory.
PIECE_BYTES = 4 * 1024**2


class NeighbourRead(BaseModel):
    """An image of the artifact, and the real training image of its class that lies nearest."""

    class_: str = Field(serialization_alias="class")
    class_index: int = Field(description="of the artifact's classes")
    place: int = Field(description="which of the asked images of its class it is, from 0")
    dataset: str
    index: int = Field(description="of the real image among the training images of its class, from 0")
    distance: int = Field(description="squared Euclidean distance over bytes, 0..255 each")
    rms: float = Field(description="root of its mean over values, in grey levels: 0 for the same image")
    png: str = Field(description="the real image in its own size: PNG, base64")


class NeighboursRead(BaseModel):
    """The nearest real images, class after class, as far as real images are here."""

    available: bool = Field(description="whether there is one for each image that was asked for")
    reason: str | None = Field(description="why not, where not")
    items: list[NeighbourRead]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Classes of the artifact that came from one data set. missing: why it cannot be looked at; None: it can."""

    name: str
    classes: Sequence[int]
    missing: str | None


@dataclass(frozen=True, kw_only=True)
class Question:
    """Images of an artifact, `ipc` of each class; seed None: in stored order."""

    artifact: Artifact
    ipc: int
    seed: int | None
    parts: Sequence[Part]


def question(
    artifact: ArtifactName,
    session: Reading,
    service: Service,
    classes: Classes = None,
    ipc: Annotated[int, Query(ge=1, le=MAX_NEIGHBOURS, description="images of each class, the first ones")] = 1,
    seed: Seed = None,
) -> Question:
    """What is asked for, with the data sets that it leads to. Raises NotFound, InvalidRequest."""
    found = artifacts.get(session, artifact)
    chosen = class_indices(classes, names=found.header["classes"])
    if len(chosen) > MAX_CLASSES:
        detail = f"names {len(chosen)} classes; one answer has at most {MAX_CLASSES}: ask for some at a time"
        raise InvalidRequest.at("/query/classes", detail)
    if len(chosen) * ipc > MAX_NEIGHBOURS:
        detail = f"comes to {len(chosen) * ipc} images; one answer has at most {MAX_NEIGHBOURS}"
        raise InvalidRequest.at("/query/ipc", detail)
    first, parts = 0, list[Part]()
    for part in continuing.parts(found.header):
        own = [k for k in chosen if first <= k < first + part["classes"]]
        first += part["classes"]
        if own:
            missing = _changed(session, service, name=part["name"], digest=part["digest"])
            parts.append(Part(name=part["name"], classes=own, missing=missing))
    return Question(artifact=found, ipc=ipc, seed=seed, parts=parts)


@router.get("/neighbours", responses=responses(404, 422))
async def get_neighbours(asked: Annotated[Question, Depends(question)], service: Service) -> NeighboursRead:
    """The real training image that lies nearest to each of an artifact's, of the same class.

    The artifact's images are those of `download` with these `ipc` and `classes`, or with a `seed` those of `samples`.
    Distances are squared Euclidean over bytes. Where the front end has not the real images, `reason` says why.
    """
    # One at a time, and those that wait hold no thread.
    return await run_sync(_answer, service, asked, limiter=service.comparing)


def _answer(service: Services, asked: Question) -> NeighboursRead:
    artifact, reasons = asked.artifact, list[str]()
    items: list[NeighbourRead] = []
    if artifact.header["space"]["shape"][0] not in PICTURE_CHANNELS:
        return NeighboursRead(available=False, reason="its images are no pictures of 1 or 3 channels", items=[])
    images = _images(service, asked)
    for part in asked.parts:
        try:
            if part.missing is not None:
                raise DataNotHere(part.missing)
            place = find(service, part.name)
            for k in part.classes:
                items += _of_class(service, asked, place, part.name, k, images[k])
        except (DataNotHere, errors.NotFound) as error:
            reasons.append(f"{part.name}: {error}")
    return NeighboursRead(available=not reasons, reason="; ".join(reasons) or None, items=items)


def _images(service: Services, asked: Question) -> dict[int, NDArray[np.uint8]]:
    """bytes_MHWC of each class as the artifact gives them."""
    chosen = [k for part in asked.parts for k in part.classes]
    number = held(service, asked.artifact)
    deal = per_class(Amount(ipc=asked.ipc), asked.artifact, classes=len(chosen), held=number)
    drawn = draw(service, asked.artifact, classes=chosen, deal=deal, seed=asked.seed).images.astype(np.uint8)
    return dict(zip(chosen, np.split(drawn, len(chosen)), strict=True))


def _of_class(
    service: Services, asked: Question, place: Place, name: str, k: int, bytes_MHWC: NDArray[np.uint8]
) -> list[NeighbourRead]:
    """The neighbours of a class's images, looked for once and kept. Raises DataNotHere, NotFound."""
    called = asked.artifact.header["classes"][k]
    if place.shape != bytes_MHWC.shape[3:] + bytes_MHWC.shape[1:3] or called not in place.classes:
        raise DataNotHere(f"the data set holds images of another size by now, or none of class {called!r}")

    def look() -> bytes:
        found = nearest(bytes_MHWC, _pieces(service, name, list(place.classes).index(called), place.shape))
        items = [
            NeighbourRead(
                class_=called,
                class_index=k,
                place=i,
                dataset=name,
                index=int(found.index_M[i]),
                distance=int(found.distance_M[i]),
                rms=float(np.sqrt(found.distance_M[i] / prod(place.shape))),
                png=b64encode(png(found.bytes_MHWC[i])).decode(),
            )
            for i in np.flatnonzero(found.index_M >= 0).tolist()
        ]
        return json.dumps([item.model_dump() for item in items]).encode()

    images = hashlib.sha256(bytes_MHWC.tobytes()).hexdigest()
    key = json.dumps(["neighbours", __version__, asked.artifact.digest, images, place.key, name, k])
    kept = service.exports.content(
        hashlib.sha256(key.encode()).hexdigest(), look, media_type="application/json", filename=""
    )
    return [NeighbourRead.model_validate(item) for item in json.loads(b"".join(kept.read(0, kept.size)))]


def _pieces(service: Services, name: str, k: int, shape: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    """bytes_NHWC of a class's training images, some at a time."""
    at_once, start = max(1, PIECE_BYTES // prod(shape)), 0
    while True:
        piece = real_images(service, name, class_index=k, start=start, limit=at_once)
        yield piece
        if len(piece) < at_once:
            return
        start += at_once


def _changed(session: Session, service: Services, *, name: str, digest: str) -> str | None:
    """Why the data set of this name is not the one that the artifact was made from; None: it is."""
    if built_in(service.catalog, name) is not None:
        return None
    try:
        found = datasets.get(session, name)
    except errors.NotFound:
        return "the data set was deleted"
    return None if found.digest == digest else "another data set has its name by now"
