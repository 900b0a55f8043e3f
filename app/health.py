"""Whether the service works, part by part, and who works for it."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum

import structlog
from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from app.deps import Reading, Service
from app.keys.scopes import NO_KEY, READ
from app.paging import PageRead
from app.problems import responses
from app.services import Services
from registry import errors, gauges, portions, workers

log = structlog.get_logger(__name__)

router = APIRouter(tags=["operations"])


class Alive(BaseModel):
    """The process answers."""

    status: str = "ok"


class PartState(StrEnum):
    """How a part of the service is."""

    OK = "ok"  #: it works
    FAILED = "failed"  #: it does not, or not yet


class Part(BaseModel):
    """A part of the service and how it is."""

    state: PartState
    detail: str | None = Field(default=None, description="what is wrong, and what to do about it")


class Readiness(BaseModel):
    """Whether jobs that are submitted now will be worked on."""

    ready: bool
    checks: dict[str, Part] = Field(description="database, broker, store and workers, each with its state")


class WorkerRead(BaseModel):
    """A live worker."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    device: str
    hostname: str
    pid: int
    version: str = Field(description="of the code it runs")
    started_at: datetime
    last_heartbeat: datetime
    queues: list[str] = Field(description="what it takes: jobs for a cpu or a gpu, evaluate, validate")
    memory_bytes: int | None = Field(description="that a job may take of its device")
    in_hand: list[str] = Field(description="the jobs, evaluations, validations and portions it is working on")
    helps: list[str] = Field(description="jobs and evaluations of other workers that it is doing a portion of")


@router.get("/healthz", dependencies=[NO_KEY])
def healthz() -> Alive:
    """The process answers. Says nothing about the parts it depends on."""
    return Alive()


@router.get(
    "/readyz",
    dependencies=[NO_KEY],
    responses={503: {"model": Readiness, "description": "a part is not ready; it is named"}},
)
def readyz(service: Service, response: Response) -> Readiness:
    """Database, broker, store and workers, each named with its state."""
    checks = parts(service)
    ready = all(part.state is PartState.OK for part in checks.values())
    response.status_code = 200 if ready else 503
    response.headers["Cache-Control"] = "no-store"
    return Readiness(ready=ready, checks=checks)


def parts(service: Services) -> dict[str, Part]:
    """Each part of the service, looked at now."""
    return {
        "database": _part(lambda: _check_database(service)),
        "broker": _part(service.queue.ping),
        "store": _part(service.store.check),
        "workers": _part(lambda: _check_workers(service)),
    }


@router.get("/v1/workers", dependencies=[READ], responses=responses(503))
def list_workers(session: Reading) -> PageRead[WorkerRead]:
    """The live workers: device, last sign of life, and what each has in hand."""
    return PageRead(items=live_workers(session), next_cursor=None)


def live_workers(session: Session) -> list[WorkerRead]:
    """The live workers as they are shown."""
    return [
        WorkerRead(
            id=worker.id,
            device=worker.device,
            hostname=worker.hostname,
            pid=worker.pid,
            version=worker.version,
            started_at=worker.started_at,
            queues=worker.queues,
            memory_bytes=worker.memory_bytes,
            last_heartbeat=datetime.fromtimestamp(worker.heartbeat, tz=UTC),
            in_hand=workers.in_hand(session, worker=worker.id),
            helps=portions.helps(session, worker=worker.id),
        )
        for worker in workers.list_workers(session)
    ]


def _part(check: Callable[[], object]) -> Part:
    """Runs a check. Its words go out only where they are ours: a driver's may show addresses and paths."""
    try:
        remark = check()
    except errors.RegistryError as error:
        return Part(state=PartState.FAILED, detail=str(error))
    except Exception:
        log.exception("readiness_check_failed")
        return Part(state=PartState.FAILED, detail="the check itself failed; the service's log tells why")
    return Part(state=PartState.OK, detail=remark if isinstance(remark, str) else None)


def _check_database(service: Services) -> None:
    if not service.database.is_at_head():
        raise errors.RegistryOutdated


def _check_workers(service: Services) -> str | None:
    with service.database.read() as session:
        live = workers.list_workers(session)
        if not live:
            raise errors.RegistryError("no live worker; start one with `distilled worker`, or look at its log")
        taken = {queue for worker in live for queue in worker.queues}
        found = gauges.waiting(session)
        # Portions are told apart and come with the evaluations; each has an owner who does it in time.
        waiting = [queue for queue in workers.EVERY_QUEUE if found[queue,] and queue not in taken]
    if not waiting:
        return None
    # The API is ready all the same: whoever scales workers by what waits has to be let in to see it.
    return f"work waits in {' and '.join(sorted(waiting))}, and no live worker takes that; start one for it"
