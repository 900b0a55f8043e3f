"""Queueing a job once: however often the request arrives, and whoever else asks for the same."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Header
from sqlalchemy.orm import Session

from app.jobs.planning import Plan
from app.jobs.schemas import Estimate, JobRead
from app.jobs.waiting import waiting_for
from app.settings import AppSettings
from distilled.manifest import digest_json
from registry import audit, idempotency, jobs, portions, quotas, webhooks
from registry.audit import Who
from registry.models import Job, State

SCOPE = "POST /v1/jobs"

IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="a word of the caller's own: sent again with the same body, the same answer comes again",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request for a job. `estimate` is asked once it is known that one is queued."""

    plan: Plan
    estimate: Callable[[], Estimate]
    body: Mapping[str, Any]
    reuse: bool
    who: Who
    key: str | None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is answered. queued: a job that now needs a wake-up."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]
    queued: Job | None = None


def submit(session: Session, ask: Ask, *, settings: AppSettings) -> Answer:
    """Queue a planned recipe, or answer with the job that is there already.

    Key, job and answer are written in one transaction, so a request that dies halfway has left nothing. Raises
    IdempotencyMismatch, IdempotencyInFlight.
    """
    if ask.key is None:
        return _submitted(session, ask, settings=settings)
    asked = digest_json({"body": ask.body, "reuse": ask.reuse})
    scope = SCOPE if ask.who.key_id is None else f"{SCOPE} {ask.who.key_id}"  # two callers may choose one word
    stored = idempotency.begin(session, ask.key, asked, scope=scope, hours=settings.idempotency_hours)
    if stored is not None:
        return Answer(status=stored.status, headers={**stored.headers, "Idempotent-Replayed": "true"}, body=stored.body)
    answer = _submitted(session, ask, settings=settings)
    idempotency.complete(
        session, ask.key, scope=scope, status=answer.status, headers=dict(answer.headers), body=answer.body
    )
    return answer


def shown(session: Session, job: Job) -> JobRead:
    """The job with its place in the queue, or what it does before its first step."""
    read = JobRead.model_validate(job)
    found = {
        "queue_position": jobs.queue_position(session, job),
        "stage": jobs.stage(session, job),
        "waiting_for": waiting_for(session, job),
        "helped_by": portions.helped_by(session, job.id, owner=job.worker) if job.state is State.RUNNING else [],
    }
    return read.model_copy(update=found)


def _submitted(session: Session, ask: Ask, *, settings: AppSettings) -> Answer:
    found = jobs.find_reusable(session, ask.plan.digest, need=ask.plan.asked) if ask.reuse else None
    job = found or _queued(session, ask, settings=settings)
    url = ask.plan.recipe["webhook"]
    if found is not None and url:
        webhooks.subscribe(session, found, url=url)  # whoever is given another's job is told of its end all the same
    if found is None or url:
        audit.note(session, ask.who, job.id)
    return Answer(
        status=202 if found is None else 200,
        headers={"Location": f"/v1/jobs/{job.id}"},
        body=shown(session, job).model_dump(mode="json"),
        queued=job if found is None else None,
    )


def _queued(session: Session, ask: Ask, *, settings: AppSettings) -> Job:
    estimate = ask.estimate()
    quotas.check(session, ask.who.key_id, settings.quotas, jobs=1, num_bytes=estimate.bytes, on_device=True)
    return jobs.submit(
        session,
        recipe=ask.plan.recipe,
        digest=ask.plan.digest,
        request_id=ask.who.request_id,
        key_id=ask.who.key_id,
        priority=ask.plan.recipe["priority"],
        ipc=ask.plan.ipc,
        need=estimate.need,
        memory_bytes=estimate.memory_bytes,
        level_seconds=settings.priority_seconds,
    )
