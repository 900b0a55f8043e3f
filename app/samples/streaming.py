"""Batches of an artifact without end."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.deps import ArtifactName, Reading, Service
from app.keys.scopes import READ
from app.problems import responses
from app.samples.choosing import MAX_IMAGES, class_indices
from app.samples.drawing import draw, seed_or_drawn
from app.samples.schemas import MAX_INDEX, Classes, Seed, StreamFormat, files
from app.samples.streams import BatchStream
from distilled.dealing import Deal
from distilled.formats.sets import MEDIA_TYPES, SUFFIXES, SyntheticSet
from distilled.formats.streaming import STREAMS, stream_format
from registry import artifacts

router = APIRouter(prefix="/v1/artifacts/{artifact}", tags=["samples"], dependencies=[READ])


@router.get(
    "/stream",
    response_class=Response,
    responses=files(*(MEDIA_TYPES[name] for name in STREAMS)) | responses(404, 422, 429),
)
def stream(
    artifact: ArtifactName,
    session: Reading,
    service: Service,
    batch_size: Annotated[int, Query(ge=1, le=MAX_IMAGES, description="images of a batch, dealt to the classes")] = 256,
    batches: Annotated[int | None, Query(ge=1, le=MAX_INDEX, description="how many; without end without it")] = None,
    classes: Classes = None,
    seed: Seed = None,
    format: Annotated[StreamFormat, Query(description="of the stream")] = StreamFormat.WEBDATASET,
    start: Annotated[int, Query(ge=0, le=MAX_INDEX, description="number of the first batch: picks up a stream")] = 0,
) -> Response:
    """Batches, made as they are sent: no faster than the client reads. The same seed gives the same batches.

    A generator makes new images for each batch; of a fixed set all images are dealt, in an order of chance, before any
    comes again. Batch i has the images of `samples?count=<batch_size>&seed=<seed>&index=<i>`.
    """
    found = artifacts.get(session, artifact)
    chosen = class_indices(classes, names=found.header["classes"])
    used = seed_or_drawn(seed)

    def draw_batch(index: int) -> SyntheticSet:
        deal = Deal(images=batch_size, classes=len(chosen), index=index)
        return draw(service, found, classes=chosen, deal=deal, seed=used)

    return BatchStream(
        service.streams,
        draw_batch,
        format=stream_format(format),
        batch_size=batch_size,
        start=start,
        batches=batches,
        media_type=MEDIA_TYPES[format],
        headers={
            "X-Seed": str(used),
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{found.id}-seed{used}{SUFFIXES[format]}"',
            "X-Accel-Buffering": "no",  # a proxy that reads ahead would hide the client's pace
        },
    )
