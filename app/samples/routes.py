"""Images of an artifact: a batch, or a finished set."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Request, Response

from app.artifacts.content import IMMUTABLE, respond
from app.deps import ArtifactName, Reading, Service
from app.errors import InvalidRequest
from app.keys.scopes import READ
from app.problems import pointer, responses
from app.samples.choosing import Amount, class_indices, mixtures, per_class
from app.samples.drawing import as_content, draw, held, mix, mixes, seed_or_drawn
from app.samples.exports import export
from app.samples.schemas import (
    PARTIAL,
    Classes,
    Count,
    DownloadFormat,
    Dtype,
    Format,
    Index,
    Ipc,
    MixRow,
    Ratio,
    Seed,
    files,
)
from distilled.errors import Problem
from distilled.formats.sets import MEDIA_TYPES
from registry import artifacts

router = APIRouter(prefix="/v1/artifacts/{artifact}", tags=["samples"], dependencies=[READ])

FILES = files(*sorted(set(MEDIA_TYPES.values())))


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
    index: Index = 0,
    format: Annotated[Format, Query(description="of the answer")] = Format.SAFETENSORS,
    dtype: Annotated[Dtype, Query(description="bytes, or floats as networks want them")] = Dtype.UINT8,
) -> Response:
    """A batch: `ipc`, `ratio` or `count` images, the whole set without any. The same seed gives the same bytes.

    Each `index` is another batch of the seed. Of a fixed set they deal all images before any comes again.
    """
    found = artifacts.get(session, artifact)
    chosen = class_indices(classes, names=found.header["classes"])
    amount = Amount(ipc=ipc, ratio=ratio, count=count)
    deal = per_class(amount, found, classes=len(chosen), held=held(service, found), index=index)
    used = seed_or_drawn(seed)
    drawn = draw(service, found, classes=chosen, deal=deal, seed=used, dtype=dtype)
    content = as_content(drawn, format=format, stem=f"{found.id}-seed{used}")
    response = respond(request, content, cache="no-store" if seed is None else IMMUTABLE)
    response.headers["X-Seed"] = str(used)
    response.headers["X-Images-Per-Class"] = str(max(deal.numbers))
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
    used = seed_or_drawn(seed)
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
