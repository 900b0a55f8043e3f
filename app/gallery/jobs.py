"""Pages about jobs: all of them, a new one, one and how it goes."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from app.artifacts.schemas import EvaluationRead
from app.datasets import listing
from app.deps import JobId, Reading, Service
from app.gallery.frame import PageRoute, page
from app.gallery.recipes import form_address
from app.gallery.timeline import moments
from app.jobs import methods
from app.jobs.pictures import PictureRead
from app.jobs.submitting import shown
from app.keys.scopes import READ
from app.paging import Cursor
from registry import artifacts, errors, evaluations, jobs
from registry.models import ENDED, EventKind, State

router = APIRouter(prefix="/jobs", include_in_schema=False, dependencies=[READ], route_class=PageRoute)

PER_PAGE = 25
#: Of a story's end: what a page shows of the log when it is opened.
LOG_EVENTS, LOG_LINES = 5000, 500
#: More data sets than anybody picks from a list.
MOST_DATASETS = 1000

Word = Annotated[str, Query(max_length=96)]
Number = Annotated[str, Query(max_length=32)]


@router.get("")
def index(
    request: Request,
    service: Service,
    session: Reading,
    state: Annotated[State | Literal[""], Query(description="only jobs in this state")] = "",
    dataset: Word = "",
    method: Word = "",
    cursor: Cursor = None,
) -> Response:
    """Jobs, newest first."""
    found = jobs.find(
        session, state=state or None, dataset=dataset or None, method=method or None, limit=PER_PAGE, cursor=cursor
    )
    return page(
        request,
        "jobs.html",
        jobs=[shown(session, job) for job in found.items],
        next=found.next_cursor,
        first=cursor is None,
        chosen={"state": state, "dataset": dataset, "method": method},
        states=list(State),
        methods=sorted(service.catalog["presets"]),
        datasets=sorted(service.catalog["datasets"]),
    )


@router.get("/new")
def new(
    request: Request,
    service: Service,
    session: Reading,
    method: Word = "",
    dataset: Word = "",
    ipc: Number = "",
    ratio: Number = "",
    bytes: Number = "",
    set: Annotated[list[str] | None, Query(max_length=200, description="any option, as of the CLI's --set")] = None,
) -> Response:
    """The form. What stands in the address is filled in; `set` is read by the page's script."""
    del set
    sets, _ = listing.page(service, session, limit=MOST_DATASETS, cursor=None)
    names = sorted(service.catalog["presets"])
    budgets = {"ipc": ipc, "ratio": ratio, "bytes": bytes}
    return page(
        request,
        "new-job.html",
        presets=[methods.method(service.catalog, name) for name in names],
        datasets=sets,
        chosen={"method": method or "dm", "dataset": dataset.lower(), "budgets": budgets},
        budget=next((name for name, value in budgets.items() if value), "ipc"),
    )


@router.get("/{job_id}")
def show(
    request: Request,
    service: Service,
    session: Reading,
    job_id: JobId,
    picture: Annotated[int, Query(ge=0, le=2**31 - 1, description="the picture that is looked at; 0: the newest")] = 0,
    log: Annotated[str, Query(max_length=200, description="only lines of the log with this in them")] = "",
) -> Response:
    """One job: how it stands when the page is loaded, from which its script goes on."""
    found = jobs.get(session, job_id)
    job = shown(session, found)
    told = jobs.events(session, job_id, kinds=[EventKind.STATE])
    lines = jobs.events(session, job_id, after=found.events - LOG_EVENTS, kinds=[EventKind.LOG], limit=LOG_LINES)
    kept = [PictureRead.of(one) for one in jobs.pictures(session, job_id)]
    at = next((i for i, one in enumerate(kept) if one.number == picture), len(kept) - 1)
    return page(
        request,
        "job.html",
        job=job,
        ended=job.state in ENDED,
        after=found.events,
        moments=moments(told),
        lines=lines,
        pictures=kept,
        picture=at,
        live=at == len(kept) - 1,
        log=log,
        result=_result(session, job.artifact_id),
        clone=form_address(job.recipe, service.catalog),
        recipe=json.dumps(job.recipe, indent=2),
    )


def _result(session: Session, artifact_id: str | None) -> dict[str, Any] | None:
    """The artifact and its evaluations; None where there is none, or none any more."""
    if artifact_id is None:
        return None
    try:
        artifact = artifacts.get(session, artifact_id)
    except errors.NotFound:
        return None
    rows = [EvaluationRead.model_validate(row) for row in evaluations.of_artifact(session, artifact_id)]
    return {"artifact": artifact, "evaluations": rows, "measuring": any(row.state not in ENDED for row in rows)}
