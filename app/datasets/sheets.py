"""The contact sheet of real images: what there is to distil, as it looks."""
# Shapes: N images of a class, H height, W width, C channels.

import hashlib
import json
from collections.abc import Sequence
from math import prod
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray

from app.artifacts.content import respond
from app.datasets import places, real
from app.deps import DatasetName, Service
from app.errors import InvalidRequest
from app.keys.scopes import READ
from app.problems import below, responses
from app.samples.choosing import class_indices
from app.samples.preview import PICTURE, PREVIEW_WIDTH
from app.samples.schemas import MAX_SEED, PARTIAL, Classes
from distilled.formats.sheet import MAX_PIXELS, SheetTooLarge, contact_sheet

router = APIRouter(prefix="/v1/datasets/{name}", tags=["datasets"], dependencies=[READ])

Split = Literal["train", "val", "test"]
Columns = Annotated[int, Query(ge=1, le=100, description="images in a row, at most")]
Seed = Annotated[
    int | None, Query(ge=0, le=MAX_SEED, description="other images, the same for the same seed; without it the first")
]
ANSWERS = PICTURE | PARTIAL | responses(404, 409, 416, 422)


@router.head("/samples.png", response_class=Response, responses=ANSWERS)
@router.get("/samples.png", response_class=Response, responses=ANSWERS)
def samples(
    name: DatasetName,
    request: Request,
    service: Service,
    classes: Classes = None,
    split: Annotated[Split, Query(description="`train` is what is learnt from")] = "train",
    columns: Columns = 10,
    start: Annotated[int, Query(ge=0, le=10_000_000, description="the first one, counted from 0 in each class")] = 0,
    seed: Seed = None,
    scale: Annotated[int | None, Query(ge=1, le=64, description="pixels of the sheet for a pixel of an image")] = None,
) -> Response:
    """Real images, a class a row, each enlarged without smoothing. Always `columns` wide; what a class lacks is white.

    409 where the front end cannot read the data: they may be with the workers alone.
    """
    if seed is not None and start:
        raise InvalidRequest.at("/query/start", "does not go with `seed`, which draws from the whole class; give one")
    place = places.find(service, name)
    chosen = class_indices(classes, names=place.classes)
    times = scale or default_scale(place.shape[2])
    if len(chosen) * columns * prod(place.shape[1:]) > MAX_PIXELS:
        raise InvalidRequest.at("/query/classes", "come to more pixels than a sheet may have; ask for fewer of them")

    def make() -> bytes:
        rows = real.samples(place, classes=chosen, columns=columns, split=split, start=start, seed=seed)
        return contact_sheet(_padded(rows, columns), columns=columns, scale=times)

    asked = json.dumps(["samples 1", place.key, chosen, split, columns, start, seed, times])
    key = hashlib.sha256(asked.encode()).hexdigest()
    try:
        sheet = service.exports.content(key, make, media_type="image/png", filename=f"{name}.png")
    except SheetTooLarge as error:
        raise InvalidRequest(below("/query", error.problems)) from error
    # Another data set may get this name one day.
    return respond(request, sheet, disposition="inline", cache="no-cache")


def default_scale(width: int) -> int:
    """How many times images of this width are enlarged, where nobody says."""
    return max(1, PREVIEW_WIDTH // width)


def _padded(rows: Sequence[NDArray[np.uint8]], columns: int) -> list[NDArray[np.uint8]]:
    """The same with white images at the end of the first row, so that a page knows the sheet's size beforehand."""
    lacking = np.full((columns - len(rows[0]), *rows[0].shape[1:]), 255, dtype=np.uint8)
    return [np.concatenate([rows[0], lacking]), *rows[1:]]
