"""Jobs: ask for a distilled dataset, watch it being made, call it off."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.responses import JSONResponse

from app.bodies import JsonObject
from app.deps import DatasetQuery, JobId, MethodQuery, Reading, Service
from app.jobs import events, webhooks
from app.jobs.planning import estimate, foresee, plan
from app.jobs.schemas import DryRun, JobRead, MetricRead
from app.jobs.submitting import Ask, IdempotencyKey, shown, submit
from app.keys.caller import Record
from app.keys.scopes import READ, submits
from app.paging import Cursor, Limit, PageRead, link_next
from app.problems import responses
from app.wake import wake_job
from registry import audit, jobs, quotas
from registry.models import EventKind, State

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

SERIES = (EventKind.PROGRESS, EventKind.METRICS)


@router.post(
    "",
    status_code=202,
    dependencies=[submits("job.submit")],
    response_model=JobRead | DryRun,
    responses={
        202: {"model": JobRead, "description": "queued; Location names the job"},
        200: {"model": JobRead | DryRun, "description": "the job that ?reuse found, or what ?dry_run found out"},
        **responses(409, 413, 422, 503, 507),
    },
)
def submit_job(
    body: JsonObject,
    response: Response,
    service: Service,
    who: Record,
    background: BackgroundTasks,
    reuse: Annotated[bool, Query(description="take the living or finished job of an identical recipe")] = False,
    dry_run: Annotated[bool, Query(description="check, expand and estimate only; queue nothing")] = False,
    idempotency_key: IdempotencyKey = None,
) -> JobRead | DryRun | Response:
    """Ask for a distilled data set. The recipe is checked whole before anything is queued."""
    with service.writing() as session:
        planned = plan(session, service.catalog, body, webhook_fault=partial(webhooks.fault, service.settings))
        if dry_run:
            response.status_code = 200
            return foresee(session, service.catalog, planned, key_id=who.key_id, settings=service.settings)
        ask = Ask(
            plan=planned,
            estimate=lambda: estimate(session, service.catalog, planned, settings=service.settings),
            body=body,
            reuse=reuse,
            who=who,
            key=idempotency_key,
        )
        answer = submit(session, ask, settings=service.settings)
    if answer.queued is not None:
        # After the commit, so that no worker is woken for a row that is not there; and after the response, so that a
        # broker that is slow to fail does not keep the caller.
        background.add_task(wake_job, service, answer.queued.id, answer.queued.need)
    return JSONResponse(answer.body, status_code=answer.status, headers=answer.headers, background=background)


@router.get("", dependencies=[READ], responses=responses(422))
def list_jobs(
    request: Request,
    response: Response,
    session: Reading,
    state: Annotated[State | None, Query(description="only jobs in this state")] = None,
    dataset: DatasetQuery = None,
    method: MethodQuery = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageRead[JobRead]:
    """Jobs, newest first."""
    page = jobs.find(session, state=state, dataset=dataset, method=method, limit=limit, cursor=cursor)
    link_next(request, response, page.next_cursor)
    return PageRead(items=[shown(session, job) for job in page.items], next_cursor=page.next_cursor)


@router.get("/{job_id}", dependencies=[READ], responses=responses(404, 422))
def get_job(job_id: JobId, service: Service) -> JobRead:
    """One job."""
    # Asked most of all: its session is opened here, which is two ways to a thread and back fewer than `Reading` takes.
    with service.database.read() as session:
        return shown(session, jobs.get(session, job_id))


@router.get("/{job_id}/events", dependencies=[READ], response_class=EventSourceResponse, responses=responses(404, 422))
async def stream_events(
    job_id: events.ExistingJob,
    service: Service,
    last_event_id: events.LastEventId = 0,
    after: events.After = 0,
) -> AsyncIterator[ServerSentEvent]:
    """The job's story as Server-Sent Events, until it ends: `state`, `preparing`, `progress`, `metrics`, `log`.

    Events are numbered and kept. After a cut, ask again with `Last-Event-ID` and none is missed.
    """
    async for event in events.follow(service, job_id, after=max(after, last_event_id)):
        yield event


@router.get("/{job_id}/metrics", dependencies=[READ], responses=responses(404, 422))
def get_metrics(
    request: Request,
    response: Response,
    job_id: JobId,
    session: Reading,
    cursor: Annotated[int, Query(ge=0, le=2**31 - 1, description="the page starts after this event")] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000, description="how many entries at most")] = 1000,
) -> PageRead[MetricRead]:
    """The recorded series: step, loss terms, accuracy, images per second, memory."""
    jobs.get(session, job_id)
    found = jobs.events(session, job_id, after=cursor, kinds=SERIES, limit=limit)
    following = str(found[-1].number) if len(found) == limit else None
    link_next(request, response, following)
    return PageRead(items=[MetricRead.model_validate(event) for event in found], next_cursor=following)


@router.post("/{job_id}/cancel", dependencies=[submits("job.cancel")], responses=responses(404, 409, 422))
def cancel_job(job_id: JobId, service: Service, who: Record) -> JobRead:
    """Call a job off. A queued one ends at once, a running one within seconds. Twice is the same as once."""
    with service.writing() as session:
        job = jobs.cancel(session, job_id)
        audit.note(session, who, job_id)
        return shown(session, job)


@router.post(
    "/{job_id}/retry", status_code=202, dependencies=[submits("job.retry")], responses=responses(404, 409, 422)
)
def retry_job(
    job_id: JobId,
    service: Service,
    who: Record,
    background: BackgroundTasks,
    fresh: Annotated[bool, Query(description="start anew rather than from the last snapshot")] = False,
) -> JobRead:
    """Queue a failed or cancelled job again; it goes on from its last snapshot unless `fresh`."""
    with service.writing() as session:
        # Whose job it was pays for it again, whoever asks; and takes room once more.
        owner = jobs.get(session, job_id).key_id
        quotas.check(session, owner, service.settings.quotas, jobs=1, on_device=True)
        job = shown(session, jobs.retry(session, job_id, fresh=fresh, level_seconds=service.settings.priority_seconds))
        audit.note(session, who, job_id)
    background.add_task(wake_job, service, job.id, job.need)
    return job
