"""Images of an artifact: a batch, a finished set, a contact sheet."""

import hashlib
import secrets
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Body, Query, Request, Response

from app.artifacts.content import IMMUTABLE, Content, respond
from app.deps import ArtifactName, Reading, Service
from app.errors import InvalidRequest
from app.problems import below, pointer, responses
from app.samples.choosing import Amount, class_indices, mixtures, per_class
from app.samples.drawing import as_content, draw, held, mix, mixes
from app.samples.exports import export
from app.samples.schemas import Classes, Count, DownloadFormat, Dtype, Format, Ipc, MixRow, Ratio, Seed
from app.samples.strip import strip
from distilled.errors import Problem
from distilled.formats.sets import MEDIA_TYPES
from distilled.formats.sheet import SheetTooLarge, contact_sheet
from registry import artifacts

router = APIRouter(prefix="/v1/artifacts/{artifact}", tags=["samples"])

#: A seed that is drawn stays exact in every client, JavaScript's included.
DRAWN_SEEDS = 2**53
#: Width that an image of a contact sheet is enlarged to where no scale is given, in pixels.
PREVIEW_WIDTH = 64

BINARY = {"type": "string", "format": "binary"}
FILES = {200: {"description": "the file", "content": {kind: {"schema": BINARY} for kind in set(MEDIA_TYPES.values())}}}
PARTIAL = {
    206: {"description": "the part that Range asked for"},
    304: {"description": "the caller has it already"},
    **responses(404, 416, 422),
}
PICTURE = {200: {"description": "the contact sheet", "content": {"image/png": {"schema": BINARY}}}}


@router.head("/samples", response_class=Response, responses=FILES | PARTIAL)
@router.get("/samples", response_class=Response, responses=FILES | PARTIAL)
def get_samples(
    artifact: ArtifactName,
    request: Request,
    session: Reading,
    service: Service,
    ipc: Ipc = None,
    ratio: Ratio = None,
    count: Count = None,
    classes: Classes = None,
    seed: Seed = None,
    format: Annotated[Format, Query(description="of the answer")] = Format.SAFETENSORS,
    dtype: Annotated[Dtype, Query(description="bytes, or floats as networks want them")] = Dtype.UINT8,
) -> Response:
    """A batch: `ipc`, `ratio` or `count` images, the whole set without any. The same seed gives the same bytes."""
    found = artifacts.get(session, artifact)
    chosen = class_indices(classes, names=found.header["classes"])
    amount = Amount(ipc=ipc, ratio=ratio, count=count)
    numbers = per_class(amount, found, classes=len(chosen), held=held(service, found))
    used = secrets.randbelow(DRAWN_SEEDS) if seed is None else seed
    drawn = draw(service, found, classes=chosen, numbers=numbers, seed=used, dtype=dtype)
    content = as_content(drawn, format=format, stem=f"{found.id}-seed{used}")
    response = respond(request, content, cache="no-store" if seed is None else IMMUTABLE)
    response.headers["X-Seed"] = str(used)
    response.headers["X-Images-Per-Class"] = str(max(numbers))
    return response


@router.post("/samples", response_class=Response, responses=FILES | responses(404, 413, 422))
def mix_samples(
    artifact: ArtifactName,
    session: Reading,
    service: Service,
    rows: Annotated[list[MixRow], Body(min_length=1, max_length=10_000)],
    seed: Seed = None,
    format: Annotated[Format, Query(description="of the answer")] = Format.SAFETENSORS,
    dtype: Annotated[Dtype, Query(description="bytes, or floats as networks want them")] = Dtype.UINT8,
) -> Response:
    """A batch of mixtures of classes, of an artifact that can recall them; finished images cannot be mixed."""
    found = artifacts.get(session, artifact)
    if not mixes(service, found):
        why = "holds finished images and cannot mix classes; ask GET …/samples for whole classes"
        detail = f"an artifact of kind `{found.kind}` {why}"
        raise InvalidRequest([Problem(pointer=pointer([i, "mix"]), detail=detail) for i in range(len(rows))])
    asked = [(row.mix, row.count) for row in rows]
    weights = mixtures(asked, names=found.header["classes"], held=held(service, found))
    used = secrets.randbelow(DRAWN_SEEDS) if seed is None else seed
    drawn = mix(service, found, weights=weights, counts=[count for _, count in asked], seed=used, dtype=dtype)
    content = as_content(drawn, format=format, stem=f"{found.id}-mix-seed{used}")
    # An answer to POST is neither conditional nor served in parts.
    headers = {"Content-Disposition": f'attachment; filename="{content.filename}"', "X-Seed": str(used)}
    body = b"".join(content.read(0, content.size))
    return Response(body, media_type=content.media_type, headers={**headers, "Cache-Control": "no-store"})


@router.head("/download", response_class=Response, responses=FILES | PARTIAL)
@router.get("/download", response_class=Response, responses=FILES | PARTIAL)
def download(
    artifact: ArtifactName,
    request: Request,
    session: Reading,
    service: Service,
    format: Annotated[DownloadFormat, Query(description="of the file")] = DownloadFormat.SAFETENSORS,
    ipc: Ipc = None,
    classes: Classes = None,
) -> Response:
    """A finished synthetic set: `ipc` images of each class, by default all that are held, or a generator's budget.

    The same query gives the same bytes, to be resumed and cached. A larger `ipc` has the images of a smaller one.
    """
    found = artifacts.get(session, artifact)
    chosen = class_indices(classes, names=found.header["classes"])
    return respond(request, export(service, found, format=format, ipc=ipc, classes=chosen))


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
) -> Response:
    """A contact sheet, a class a row, each image enlarged without smoothing.

    With `mix` a strip, of an artifact that can recall mixtures: each row is one image on its way from a class to
    another, in `columns` even steps.
    """
    if between is None:
        if rows is not None:
            raise InvalidRequest.at("/query/rows", "goes with `mix`; without it a row is a class: choose by `classes`")
        found = artifacts.get(session, artifact)
        chosen = class_indices(classes, names=found.header["classes"])
        shown = [min(held(service, found) or columns, columns)] * len(chosen)
        drawn = draw(service, found, classes=chosen, numbers=shown)
        pictures = np.split(drawn.images.astype(np.uint8), np.cumsum(shown)[:-1])
    else:
        if classes is not None:
            raise InvalidRequest.at("/query/classes", "does not go with `mix`, which names the classes of a strip")
        found = artifacts.get(session, artifact)
        pictures = strip(service, found, between=between, columns=columns, rows=rows)
    width = found.header["space"]["shape"][2]
    try:
        sheet = contact_sheet(pictures, columns=columns, scale=scale or max(1, PREVIEW_WIDTH // width))
    except SheetTooLarge as error:
        raise InvalidRequest(below("/query", error.problems)) from error
    digest = hashlib.sha256(sheet).hexdigest()
    content = Content.of(sheet, digest=digest, media_type="image/png", filename=f"{found.id}.png")
    return respond(request, content, disposition="inline")
