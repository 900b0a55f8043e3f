"""How the service is, in numbers that any process can read off the registry: what waits, runs, is stored, and how long.

All of it comes from a handful of statements, each of which walks an index or a small table.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.orm import Session

from registry import totals
from registry.clock import database_now
from registry.models import (
    Blob,
    Evaluation,
    Job,
    MessageState,
    Need,
    Portion,
    State,
    Validation,
    WebhookMessage,
    Worker,
)
from registry.totals import Counted
from registry.workers import HELD, LIVE_SECONDS

#: What waits for a worker in each queue.
WAITING: Mapping[str, tuple[type[Job] | type[Evaluation] | type[Validation] | type[Portion], ColumnElement[bool]]] = (
    {need.value: (Job, Job.need == need) for need in Need}
    | {model.queue: (model, true()) for model in (Evaluation, Validation)}
    # Apart: each has an owner who does it in time, so that they wait is no sign that workers are missing.
    | {"portions": (Portion, true())}
)
Labels = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Gauges:
    """What there is now. The labels of each are told beside it; durations are in seconds."""

    rows: Mapping[Labels, int]  # table, state
    waiting: Mapping[Labels, int]  # queue
    oldest_seconds: Mapping[Labels, float]  # queue: how long the one that waits longest has waited
    sums: Mapping[Counted, Mapping[Labels, float]]  # as of `Counted`, its labels in the order of their names
    blobs: int
    store_bytes: int
    messages: Mapping[Labels, int]  # state
    workers: Mapping[Labels, int]  # kind of device, version of the code
    worker_cache_bytes: int  # copies of the store, on all machines with live workers


def look(session: Session) -> Gauges:
    """Take all the numbers, in one state of the registry."""
    sums = _sums(session)
    rows: dict[Labels, int] = {}
    lengths: dict[Labels, int] = {}
    oldest_seconds: dict[Labels, float] = {}
    for model in HELD:
        table = model.__tablename__
        found = session.execute(select(model.state, func.count()).group_by(model.state)).all()
        rows |= {(table, str(state)): 0 for state in State} | {(table, str(state)): count for state, count in found}
        # Holds that have not ended count up to their last sign of life, so that their end takes nothing back.
        held = select(model.device, func.sum(model.heartbeat - model.held_since)).where(model.state == State.RUNNING)
        for device, seconds in session.execute(held.group_by(model.device)):
            labels = (totals.device_kind(device), table)
            of_devices = sums[Counted.DEVICE_SECONDS]
            of_devices[labels] = of_devices.get(labels, 0.0) + max(0.0, seconds or 0.0)
    for queue, (model, condition) in WAITING.items():
        queued = select(func.count(), database_now() - func.min(model.queued_at))
        count, age = session.execute(queued.where(model.state == State.QUEUED, condition)).one()
        lengths[queue,] = lengths.get((queue,), 0) + count
        oldest_seconds[queue,] = max(oldest_seconds.get((queue,), 0.0), age or 0.0)
    blobs, store_bytes = session.execute(select(func.count(), func.coalesce(func.sum(Blob.num_bytes), 0))).one()
    return Gauges(
        rows=rows,
        waiting=lengths,
        oldest_seconds=oldest_seconds,
        sums=sums,
        blobs=blobs,
        store_bytes=int(store_bytes),
        messages=_messages(session),
        workers=_workers(session),
        worker_cache_bytes=_worker_cache_bytes(session),
    )


def waiting(session: Session) -> dict[Labels, int]:
    """How much waits for a worker in each queue."""
    found: dict[Labels, int] = {}
    for queue, (model, condition) in WAITING.items():
        queued = select(func.count()).select_from(model).where(model.state == State.QUEUED, condition)
        found[queue,] = found.get((queue,), 0) + (session.scalar(queued) or 0)
    return found


def _sums(session: Session) -> dict[Counted, dict[Labels, float]]:
    found: dict[Counted, dict[Labels, float]] = {name: {} for name in Counted}
    for model in HELD:  # what has never happened is 0, or nobody could tell it from what is not counted
        found[Counted.ATTEMPTS][model.__tablename__,] = found[Counted.LEASE_EXPIRIES][model.__tablename__,] = 0.0
    for one in totals.read(session):
        if one.name in found:
            found[Counted(one.name)][tuple(one.labels[name] for name in sorted(one.labels))] = one.value
    return found


def _messages(session: Session) -> dict[Labels, int]:
    found = session.execute(select(WebhookMessage.state, func.count()).group_by(WebhookMessage.state))
    return {(str(state),): 0 for state in MessageState} | {(str(state),): count for state, count in found}


def _workers(session: Session) -> dict[Labels, int]:
    live = select(Worker.device, Worker.version).where(Worker.heartbeat >= database_now() - LIVE_SECONDS)
    found: dict[Labels, int] = {}
    for device, version in session.execute(live):
        labels = (totals.device_kind(device), version)
        found[labels] = found.get(labels, 0) + 1
    return found


def _worker_cache_bytes(session: Session) -> int:
    live = Worker.heartbeat >= database_now() - LIVE_SECONDS
    # Workers of one machine share a folder.
    of_machines = (
        select(func.max(Worker.cache_bytes).label("num_bytes")).where(live).group_by(Worker.hostname).subquery()
    )
    return int(session.scalar(select(func.coalesce(func.sum(of_machines.c.num_bytes), 0))) or 0)
