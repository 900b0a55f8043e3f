"""The contact sheet of an artifact, and the strip from one class to another."""

import hashlib
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from app.artifacts.content import Content, respond
from app.deps import ArtifactName, Reading, Service
from app.errors import InvalidRequest
from app.keys.scopes import READ
from app.problems import below
from app.samples.choosing import Amount, class_indices, per_class
from app.samples.drawing import draw, held
from app.samples.schemas import PARTIAL, Classes, files
from app.samples.strip import strip
from distilled.formats.sheet import SheetTooLarge, contact_sheet
from registry import artifacts

router = APIRouter(prefix="/v1/artifacts/{artifact}", tags=["samples"], dependencies=[READ])

#: Width that an image of a contact sheet is enlarged to where no scale is given, in pixels.
PREVIEW_WIDTH = 64
PICTURE = files("image/png")


@router.head("/preview.png", response_class=Response, responses=PICTURE | PARTIAL)
@router.get("/preview.png", response_class=Response, responses=PICTURE | PARTIAL)
def preview(
    artifact: ArtifactName,
    request: Request,
    session: Reading,
    service: Service,
    classes: Classes = None,
    columns: Annotated[int, Query(ge=1, le=100, description="images in a row, at most; steps of a strip")] = 10,
    scale: Annotated[int | None, Query(ge=1, le=64, description="pixels of the sheet for a pixel of an image")] = None,
    between: Annotated[
        list[str] | None,
        Query(alias="mix", description="two classes, by name or index: a strip from the first to the second"),
    ] = None,
    rows: Annotated[int | None, Query(ge=1, le=20, description="rows of a strip, an image each; 3 without it")] = None,
    wrap: Annotated[
        int | None, Query(ge=1, le=100, description="images in a row: classes go on side by side, not a row each")
    ] = None,
) -> Response:
    """A contact sheet, a class a row, each image enlarged without smoothing.

    With `wrap` its rows are full: what a small picture of the whole needs, whatever it holds of each class.

    With `mix` a strip, of an artifact that can recall mixtures: each row is one image on its way from a class to
    another, in `columns` even steps.
    """
    if between is None:
        if rows is not None:
            raise InvalidRequest.at("/query/rows", "goes with `mix`; without it a row is a class: choose by `classes`")
        found = artifacts.get(session, artifact)
        chosen = class_indices(classes, names=found.header["classes"])
        number = held(service, found)
        shown = min(number or columns, columns)
        deal = per_class(Amount(ipc=shown), found, classes=len(chosen), held=number)
        drawn = draw(service, found, classes=chosen, deal=deal)
        images = drawn.images.astype(np.uint8)
        pictures = np.split(images, len(chosen) if wrap is None else range(wrap, len(images), wrap))
    else:
        for name, given in (("classes", classes), ("wrap", wrap)):
            if given is not None:
                raise InvalidRequest.at(f"/query/{name}", "does not go with `mix`, which makes a strip of two classes")
        found = artifacts.get(session, artifact)
        pictures = strip(service, found, between=between, columns=columns, rows=rows)
    width = found.header["space"]["shape"][2]
    try:
        sheet = contact_sheet(pictures, columns=wrap or columns, scale=scale or max(1, PREVIEW_WIDTH // width))
    except SheetTooLarge as error:
        raise InvalidRequest(below("/query", error.problems)) from error
    digest = hashlib.sha256(sheet).hexdigest()
    content = Content.of(sheet, digest=digest, media_type="image/png", filename=f"{found.id}.png")
    return respond(request, content, disposition="inline")
