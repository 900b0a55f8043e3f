"""/datasets: what there is to distil, how it looks, and how to bring one's own."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BeforeValidator

from app.datasets import listing, places
from app.datasets.known import Availability, Source
from app.datasets.schemas import DatasetRead
from app.datasets.sheets import Columns, Seed, Split, default_scale
from app.deps import DatasetName, Reading, Service
from app.errors import DataNotHere
from app.gallery.frame import PageRoute, page
from app.keys.scopes import READ
from app.paging import Cursor
from distilled.formats.sheet import GAP
from distilled.kinds import Kind
from registry import workers
from registry.models import DatasetState, Validation

router = APIRouter(prefix="/datasets", include_in_schema=False, dependencies=[READ], route_class=PageRoute)

#: Data sets on a page of the list.
SHOWN = 50
#: Classes on a page of samples.
CLASSES_SHOWN = 20
#: What a file of each kind may end with, for the file picker.
ENDINGS = {Kind.NPZ: ".npz", Kind.ZIP: ".zip", Kind.TAR: ".tar,.tar.gz,.tgz", Kind.PARQUET: ".parquet"}


#: A form that has no seed sends an empty one.
EmptySeed = Annotated[Seed, BeforeValidator(lambda value: value or None)]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Where the picture of the samples is, and where in it each class has its row. Sizes in pixels of the sheet."""

    address: str
    width: int
    height: int
    row_height: int
    first: int
    rows: list[tuple[str, int | None, int]]  # class, its images to learn from, top of its row
    columns: int


@router.get("")
def index(request: Request, session: Reading, service: Service, cursor: Cursor = None) -> Response:
    """All data sets, and the form that brings another."""
    found, following = listing.page(service, session, limit=SHOWN, cursor=cursor)
    return page(
        request,
        "datasets.html",
        datasets=found,
        following=following,
        usable=usable,
        endings=",".join(ENDINGS.values()),
        most_bytes=service.settings.max_upload_bytes,
        looked_at=validates(session),
    )


@router.get("/{name}")
def show(
    request: Request,
    name: DatasetName,
    session: Reading,
    service: Service,
    split: Split = "train",
    columns: Columns = 10,
    seed: EmptySeed = None,
    first: Annotated[int, Query(ge=0, le=100_000, description="the first class that is shown")] = 0,
) -> Response:
    """One data set: facts, what was found in it, and how it looks."""
    found = listing.one(service, session, name)
    sheet, why_not = None, None
    if found.state is DatasetState.READY:
        try:
            place = places.find(service, name)
            sheet = _sheet(place, found, split=split, columns=columns, seed=seed, first=first)
        except DataNotHere as error:
            why_not = str(error)
    return page(
        request,
        "dataset.html",
        dataset=found,
        own=found.source is Source.REGISTERED,
        sheet=sheet,
        why_not=why_not,
        split=split,
        seed=seed,
        classes_shown=CLASSES_SHOWN,
        usable=usable(found),
        looked_at=validates(session),
    )


def usable(found: DatasetRead) -> bool:
    """Whether a job can be submitted on it."""
    return found.state is DatasetState.READY and found.available is not Availability.MISSING


def validates(session: Reading) -> bool:
    """Whether there is a worker that looks at uploads."""
    return any(Validation.queue in worker.queues for worker in workers.list_workers(session))


def _sheet(place: places.Place, found: DatasetRead, *, split: str, columns: int, seed: int | None, first: int) -> Sheet:
    _, height, width = place.shape
    scale = default_scale(width)
    step_y, step_x = height * scale + GAP, width * scale + GAP
    first = min(first, len(place.classes) - 1)
    shown = place.classes[first : first + CLASSES_SHOWN]
    asked: list[tuple[str, str | int]] = [("split", split), ("columns", columns)]
    # By name: it is taken for one even where another class has it as its number.
    asked += [("classes", name) for name in shown] if len(shown) < len(place.classes) else []
    asked += [] if seed is None else [("seed", seed)]
    counts = found.train_counts or [None] * len(place.classes)
    return Sheet(
        address=f"/v1/datasets/{found.name}/samples.png?{urlencode(asked)}",
        width=columns * step_x + GAP,
        height=len(shown) * step_y + GAP,
        row_height=height * scale,
        first=first,
        rows=[(name, counts[first + k], GAP + k * step_y) for k, name in enumerate(shown)],
        columns=columns,
    )
