"""Holding a row for a while: the part of their lives that jobs, evaluations and validations share.

A claim is one conditional UPDATE; it returns `attempt`, the fencing token, and every later write of the holder says
`WHERE attempt = mine`. Who was silent for longer than the lease writes nothing any more, however late it wakes up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, and_, null, or_, select, update
from sqlalchemy.orm import Session

from registry import quotas, totals, workers
from registry.clock import database_now, utc_now
from registry.models import Evaluation, Job, Need, Portion, State, Validation
from registry.totals import Counted

Held = TypeVar("Held", Job, Evaluation, Validation, Portion)
#: What is begun anew when it was lost, and tells no story of its own as a job does.
Brief = TypeVar("Brief", Evaluation, Validation, Portion)


class Beat(Enum):
    """What a sign of life is answered with."""

    CONTINUE = "continue"  #: carry on
    CANCEL = "cancel"  #: stop soon and report `cancelled`
    LOST = "lost"  #: it is no longer yours: stop at once and write nothing


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What a sweep found, as ids. `wake` names those to send a wake-up for, after the transaction has committed.

    `needs` says of the jobs in `wake` which queue it goes to.
    """

    requeued: list[str]
    failed: list[str]
    cancelled: list[str]
    wake: list[str]
    needs: Mapping[str, Need] = field(default_factory=dict[str, Need])


#: A clock that goes back by less is only being set right, and costs nobody more than that.
STEP_SECONDS = 1.0
WORKER_LOST = {
    "code": "worker_lost",
    "title": "The worker was lost",
    "detail": "Every worker that took this stopped giving signs of life: killed, out of memory, or cut off from the "
    "database. Look at the workers' logs, then retry; it resumes from the last snapshot.",
}


def place(*, priority: int, level_seconds: float) -> ColumnElement[float]:
    """What is queued now gets this for `due`: a level of priority is worth `level_seconds` of waiting."""
    return database_now() - priority * level_seconds


def mine(model: type[Held], *, attempt: int) -> ColumnElement[bool]:
    """The fence: the row is running, and under this very claim."""
    return and_(model.state == State.RUNNING, model.attempt == attempt)


def taking(
    model: type[Held], *, worker: str, worker_pid: int | None, device: str, lease_seconds: float
) -> dict[str, object]:
    """The values that a claim sets."""
    now = database_now()
    return {
        "state": State.RUNNING,
        "attempt": model.attempt + 1,
        "worker": worker,
        "worker_pid": worker_pid,
        "device": device,
        "heartbeat": now,
        "held_since": now,
        "lease_until": now + lease_seconds,
        "error": None,
    }


def letting_go() -> dict[str, object]:
    """The values that end a hold, however it ended."""
    return {"lease_until": None, "heartbeat": None, "worker_pid": None, "queued_at": database_now()}


def take(session: Session, model: type[Held], row_id: str, **holder: Any) -> bool:
    """Begin to hold this row if it is queued. holder: as of `taking`. False: someone else has it, or it has ended."""
    values = {**taking(model, **holder), "started_at": utc_now()}
    if not write(session, model, row_id, where=model.state == State.QUEUED, values=values):
        return False
    count_claim(session, model)
    return True


def let_go(session: Session, model: type[Brief], row_id: str, *, attempt: int, values: Mapping[str, object]) -> bool:
    """End the hold on this row, with these values. False: no longer yours."""
    if not write(session, model, row_id, where=mine(model, attempt=attempt), values={**values, **letting_go()}):
        return False
    count_hold(session, model, row_id)
    return True


def count_claim(session: Session, model: type[Held]) -> None:
    """Count an attempt that has just begun."""
    totals.add(session, Counted.ATTEMPTS, of=model.__tablename__)


def count_hold(session: Session, model: type[Held], row_id: str) -> None:
    """Count how long the hold was that has just ended."""
    # Nobody is charged for a look at what they sent, nor for a portion, which several may share: these have no key.
    key = getattr(model, "key_id", null())
    held = select(model.device, database_now() - model.held_since, key).where(model.id == row_id)
    device, seconds, key_id = session.execute(held).one()
    _count_seconds(session, model, device=device, seconds=seconds, key_id=key_id)


def count_loss(session: Session, row: Held) -> None:
    """Count a holder that fell silent, before the row forgets when that was."""
    totals.add(session, Counted.LEASE_EXPIRIES, of=row.__tablename__)
    if row.heartbeat is not None and row.held_since is not None:
        key_id = getattr(row, "key_id", None)
        seconds = row.heartbeat - row.held_since
        _count_seconds(session, type(row), device=row.device, seconds=seconds, key_id=key_id)


def _count_seconds(
    session: Session, model: type[Held], *, device: str | None, seconds: float | None, key_id: str | None
) -> None:
    kind = totals.device_kind(device)
    # None: claimed under a version that did not note when. A clock that was set back takes nothing away.
    counted = max(0.0, seconds or 0.0)
    totals.add(session, Counted.DEVICE_SECONDS, counted, device=kind, of=model.__tablename__)
    if key_id is not None and counted:
        quotas.count_seconds(session, key_id, counted)


def write(
    session: Session, model: type[Held], row_id: str, *, where: ColumnElement[bool], values: Mapping[str, object]
) -> bool:
    """Change this row where the condition holds, in one statement. False: it does not hold."""
    changed = update(model).where(model.id == row_id, where).values(**values).returning(model.id)
    return session.scalar(changed, execution_options={"synchronize_session": False}) is not None


def beat(
    session: Session,
    model: type[Brief],
    row_id: str,
    *,
    attempt: int,
    lease_seconds: float,
    progress: float | None,
) -> Beat:
    """Renew the lease and report progress 0..1. The answer is CONTINUE or LOST."""
    now = database_now()
    values: dict[str, object] = {"heartbeat": now, "lease_until": now + lease_seconds}
    if progress is not None:
        values["progress"] = progress
    held = write(session, model, row_id, where=mine(model, attempt=attempt), values=values)
    return Beat.CONTINUE if held else Beat.LOST


def release(session: Session, model: type[Brief], row_id: str, *, attempt: int) -> bool:
    """Give the row back unfinished, without counting a loss. False: no longer yours."""
    values = {"state": State.QUEUED, "woken_at": None, "progress": 0.0}
    return let_go(session, model, row_id, attempt=attempt, values=values)


def lose(session: Session, model: type[Held], row_id: str, *, attempt: int, error: Mapping[str, object]) -> bool:
    """End the hold for a fault that is not the row's own, such as a store that is away. False: no longer yours.

    The next sweep counts a loss and queues it again; at the last loss that it may have, it fails with this error.
    """
    values = {"lease_until": 0.0, "error": dict(error)}
    return write(session, model, row_id, where=mine(model, attempt=attempt), values=values)


def sweep(
    session: Session,
    model: type[Brief],
    *,
    max_attempts: int,
    rewake_seconds: float,
    error: dict[str, Any],
    on_failed: Callable[[str], None] = lambda _: None,
) -> Swept:
    """Queue again what a silent worker held, or fail it with `error` at the `max_attempts`-th loss; name what to wake.

    One that a worker has let go of by `lose` fails with the error that it gave.
    on_failed: told the id of each that has failed.
    """
    requeued: list[str] = []
    failed: list[str] = []
    for row in run_out(session, model):
        count_loss(session, row)
        row.lost += 1
        row.lease_until = row.heartbeat = row.worker_pid = None
        if row.lost >= max_attempts:
            row.state, row.error, row.ended_at = State.FAILED, row.error or error, utc_now()
            on_failed(row.id)
            failed.append(row.id)
        else:
            row.state, row.error, row.woken_at, row.progress = State.QUEUED, None, None, 0.0
            row.queued_at = database_now()
            requeued.append(row.id)
    session.flush()
    wake = to_wake(session, model, queue=model.queue, rewake_seconds=rewake_seconds)
    return Swept(requeued=requeued, failed=failed, cancelled=[], wake=wake)


def next_queued(session: Session, model: type[Held], *conditions: ColumnElement[bool]) -> str | None:
    """The id that is to be taken next among the queued rows for which the conditions hold.

    Rows that another claimant is just taking are passed over, so that nobody waits for a row they will not get.
    """
    queued = select(model.id).where(model.state == State.QUEUED, *conditions).order_by(model.due, model.id)
    return session.scalar(queued.limit(1).with_for_update(skip_locked=True))


def run_out(session: Session, model: type[Held]) -> Sequence[Held]:
    """The running rows whose lease is over by the database's clock, locked against other sweepers."""
    follow_back(session, model)
    over = or_(model.lease_until.is_(None), model.lease_until < database_now())
    query = select(model).where(model.state == State.RUNNING, over).order_by(model.id).limit(1000)
    return session.scalars(query.with_for_update(skip_locked=True).execution_options(populate_existing=True)).all()


def follow_back(session: Session, model: type[Held]) -> None:
    """If the clock was set back, let what was noted before begin now: else a lease that began in what is the future
    would outlive a dead holder by as much as the clock went back, and a lost wake-up would be sent again as late.
    """
    now = database_now()
    ahead = update(model).where(model.state == State.RUNNING, model.heartbeat > now + STEP_SECONDS)
    lasts = model.lease_until - model.heartbeat
    quietly = {"synchronize_session": False}
    session.execute(ahead.values(heartbeat=now, lease_until=now + lasts), execution_options=quietly)
    unheard = update(model).where(model.state == State.QUEUED, model.woken_at > now + STEP_SECONDS)
    session.execute(unheard.values(woken_at=None), execution_options=quietly)


def to_wake(
    session: Session, model: type[Held], *conditions: ColumnElement[bool], queue: str, rewake_seconds: float
) -> list[str]:
    """The queued ids that need a wake-up on this queue, marked as woken now.

    Those never woken, always. Those woken longer than `rewake_seconds` ago, only as many as there are idle workers that
    take from the queue: while all are busy a second message for each waiting row would only pile up in the broker.
    """
    queued = select(model.id).where(model.state == State.QUEUED, *conditions).with_for_update(skip_locked=True)
    queued = queued.order_by(model.due, model.id)
    never = session.scalars(queued.where(model.woken_at.is_(None))).all()
    idle = workers.count_idle(session, queue=queue)
    stale = model.woken_at < database_now() - rewake_seconds
    again = session.scalars(queued.where(stale).limit(idle)).all() if idle else []
    ids = [*never, *again]
    if ids:
        woken(session, model, ids)
    return ids


def woken(session: Session, model: type[Held], ids: Sequence[str]) -> None:
    """Note that wake-ups for these were sent now."""
    changed = update(model).where(model.id.in_(ids), model.state == State.QUEUED).values(woken_at=database_now())
    session.execute(changed, execution_options={"synchronize_session": False})
