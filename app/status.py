"""How the service is, in one answer: what waits and how long, what is stored, what failed, and what to do about it."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.deps import Reading, Service
from app.health import Part, PartState, parts
from app.keys.scopes import READ
from app.problems import responses
from app.services import Services
from distilled import __version__
from distilled.cache import Cache
from registry import errors, failing, workers
from registry.clock import database_now
from registry.gauges import Gauges
from registry.models import Worker
from registry.totals import Counted

router = APIRouter(prefix="/v1/status", tags=["operations"])

#: A worker beats far more often than this; one that is later than that is stuck, overloaded or gone.
LATE_SECONDS = 30.0
#: What waits for longer with every worker at work asks for more of them.
LONG_SECONDS = 600.0


class QueueRead(BaseModel):
    """What waits in a queue."""

    queue: str = Field(description="`cpu` and `gpu` are jobs; `evaluate`, `validate`, `portions`")
    waiting: int
    oldest_seconds: float = Field(description="how long the one that waits longest has waited")
    workers: int = Field(description="live ones that take from it")


class StoreRead(BaseModel):
    """What takes up room."""

    blobs: int
    bytes: int = Field(description="of all blobs on record")
    export_cache_bytes: int = Field(description="finished sets and pictures that this front end keeps")
    data_cache_bytes: int = Field(description="data sets that this front end keeps to show images")
    worker_cache_bytes: int = Field(description="copies of the store that live workers keep")


class CauseRead(BaseModel):
    """What failed for one cause."""

    model_config = ConfigDict(from_attributes=True)

    of: str = Field(description="jobs, evaluations or validations")
    code: str
    title: str
    detail: str = Field(description="of the last one: what happened, and what mends it")
    last_day: int
    last_week: int
    last_id: str
    last_at: datetime


class StatusRead(BaseModel):
    """How the service is. Numbers are at most a few seconds old."""

    ready: bool
    version: str = Field(description="of this front end's code")
    checks: dict[str, Part]
    advice: list[str] = Field(description="what is wrong, each with what to do about it; empty: nothing")
    queues: list[QueueRead]
    rows: dict[str, dict[str, int]] = Field(description="jobs, evaluations, validations, portions: how many by state")
    lease_expiries: dict[str, int] = Field(description="holders that fell silent, by the same, since the beginning")
    store: StoreRead
    failures: list[CauseRead] = Field(description="of the last week by cause, the most frequent first")


@router.get("", dependencies=[READ], responses=responses(503))
def status(session: Reading, service: Service) -> StatusRead:
    """Parts, queues, room and failures, with advice: the numbers of /metrics, in words."""
    return look(session, service)


def look(session: Session, services: Services) -> StatusRead:
    """What `status` answers. Raises RegistryUnavailable."""
    found, _ = services.measured.current()
    if found is None:
        raise errors.RegistryUnavailable
    checks = parts(services)
    live = workers.list_workers(session)
    queues = _queues(found, live)
    rows: dict[str, dict[str, int]] = {}
    for (table, state), count in found.rows.items():
        rows.setdefault(table, {})[state] = count
    return StatusRead(
        ready=all(part.state is PartState.OK for part in checks.values()),
        version=__version__,
        checks=checks,
        advice=_advice(checks, queues, live, now=session.scalar(select(database_now())) or 0.0),
        queues=queues,
        rows=rows,
        lease_expiries={table: int(count) for (table,), count in found.sums[Counted.LEASE_EXPIRIES].items()},
        store=_store(services, found),
        failures=[CauseRead.model_validate(cause) for cause in failing.causes(session)],
    )


def _queues(found: Gauges, live: Sequence[Worker]) -> list[QueueRead]:
    return [
        QueueRead(
            queue=queue,
            waiting=waiting,
            oldest_seconds=found.oldest_seconds[queue,],
            # Portions come with the wake-ups of evaluations.
            workers=sum((queue if queue != "portions" else "evaluate") in worker.queues for worker in live),
        )
        for (queue,), waiting in found.waiting.items()
    ]


def _advice(
    checks: Mapping[str, Part], queues: Sequence[QueueRead], live: Sequence[Worker], *, now: float
) -> list[str]:
    said = [f"{name}: {part.detail}" for name, part in checks.items() if part.detail]
    for queue in queues:
        if queue.workers and queue.waiting and queue.oldest_seconds > LONG_SECONDS:
            minutes = round(queue.oldest_seconds / 60)
            said.append(f"{queue.queue}: work has waited for {minutes} min; start another worker that takes it")
    for worker in live:
        if now - worker.heartbeat > LATE_SECONDS:
            silent = round(now - worker.heartbeat)
            mend = "look at its log, or run `distilled doctor` on its machine; what it holds is queued again in time"
            said.append(f"{worker.id}: silent for {silent} s; {mend}")
    others = sorted({worker.version for worker in live if worker.version not in ("", __version__)})
    if others:
        said.append(f"versions: workers run {', '.join(others)}, this front end {__version__}; update the older ones")
    return said


def _store(services: Services, found: Gauges) -> StoreRead:
    home = services.settings.home.expanduser().absolute()
    return StoreRead(
        blobs=found.blobs,
        bytes=found.store_bytes,
        export_cache_bytes=services.exports.num_bytes(),
        data_cache_bytes=Cache(folder=home / "cache" / "data").num_bytes(),
        worker_cache_bytes=found.worker_cache_bytes,
    )
