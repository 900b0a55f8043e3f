"""What a key may use: jobs at once, device seconds in a day, bytes. The root key and a service without keys use any.

What it uses is counted in the transaction that adds to it, under a lock of the key's own, so that of two requests at
once one sees the other. Device seconds are summed by day as holds end (`registry.leases`), and those of the holds that
go on are added; a day is one of UTC by the database's clock.
"""

import math
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from registry import errors
from registry.clock import database_now
from registry.models import LIVING, ApiKey, Artifact, Dataset, DatasetState, Evaluation, Job, KeyUsage, State, Upload
from registry.session import lock_word

DAY_SECONDS = 24 * 3600
#: When to ask again for what is given back by others' doing: a job that ends, something that is deleted.
RETRY_SECONDS = 60
#: Nothing frees bytes by itself but the sweep of abandoned uploads.
RETRY_BYTES_SECONDS = 3600


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that a key may use; 0: any amount."""

    jobs: int = 0  # queued and running at once
    device_seconds: float = 0.0  # in a day, of its jobs and evaluations
    bytes: int = 0  # of its uploads, data sets and artifacts


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a key uses now."""

    jobs: int
    device_seconds: float
    bytes: int


def limits(session: Session, key_id: str, default: Limits) -> Limits:
    """The limits of a key: its own where it has them, else the default."""
    key = session.get(ApiKey, key_id)
    own = {field.name: getattr(key, f"most_{field.name}", None) for field in fields(Limits)}
    return Limits(**{name: getattr(default, name) if value is None else value for name, value in own.items()})


def set_limits(session: Session, key_id: str, given: dict[str, Any]) -> None:
    """Give a key limits of its own, by their names; None: the default again. Raises NotFound."""
    key = session.get(ApiKey, key_id)
    if key is None:
        raise errors.NotFound(f"There is no key {key_id!r}; GET /v1/keys lists the keys there are.")
    for field in fields(Limits):
        if field.name in given:
            setattr(key, f"most_{field.name}", given[field.name])
    session.flush()


def inherit(session: Session, new: ApiKey, old: ApiKey) -> None:
    """A key that takes another's place has its limits, and has used what that one used today."""
    for field in fields(Limits):
        setattr(new, f"most_{field.name}", getattr(old, f"most_{field.name}"))
    used = session.get(KeyUsage, (old.id, today(session)))
    if used is not None:
        session.add(KeyUsage(key_id=new.id, day=used.day, device_seconds=used.device_seconds))
    session.flush()


def use(session: Session, key_id: str) -> Use:
    """What a key uses now."""
    jobs = select(func.count()).select_from(Job).where(Job.key_id == key_id, Job.state.in_(LIVING))
    sums = (
        select(func.sum(Upload.length)).where(Upload.key_id == key_id),
        select(func.sum(Dataset.num_bytes)).where(Dataset.key_id == key_id, Dataset.state == DatasetState.READY),
        select(func.sum(Artifact.content_bytes))
        .join(Job, Job.id == Artifact.job_id)
        .where(Job.key_id == key_id, Artifact.deleted_at.is_(None)),
    )
    return Use(
        jobs=session.scalar(jobs) or 0,
        device_seconds=_device_seconds(session, key_id),
        bytes=sum(int(session.scalar(each) or 0) for each in sums),
    )


def check(
    session: Session,
    key_id: str | None,
    default: Limits,
    *,
    jobs: int = 0,
    num_bytes: int = 0,
    on_device: bool = False,
) -> None:
    """Raises QuotaExceeded where this many jobs or bytes more are too many, or the day's device seconds are used up.

    Call it in the write transaction that adds them. key_id None: the root key, which has no limits. on_device: what is
    added will hold a device.
    """
    if key_id is None:
        return
    lock_word(session, f"quota {key_id}")
    most, used = limits(session, key_id, default), use(session, key_id)
    if jobs and most.jobs and used.jobs + jobs > most.jobs:
        raise errors.QuotaExceeded(quota="jobs", limit=most.jobs, used=used.jobs, seconds=RETRY_SECONDS)
    if on_device and most.device_seconds and used.device_seconds >= most.device_seconds:
        seconds = DAY_SECONDS - math.floor(_now(session)) % DAY_SECONDS
        raise errors.QuotaExceeded(
            quota="device_seconds", limit=most.device_seconds, used=round(used.device_seconds), seconds=seconds
        )
    if num_bytes and most.bytes and used.bytes + num_bytes > most.bytes:
        raise errors.QuotaExceeded(quota="bytes", limit=most.bytes, used=used.bytes, seconds=RETRY_BYTES_SECONDS)


def count_seconds(session: Session, key_id: str, seconds: float) -> None:
    """Add to what a key used today."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    new = insert(KeyUsage).values(key_id=key_id, day=today(session), device_seconds=seconds)
    more = {"device_seconds": KeyUsage.device_seconds + new.excluded.device_seconds}
    session.execute(new.on_conflict_do_update(index_elements=[KeyUsage.key_id, KeyUsage.day], set_=more))


def today(session: Session) -> int:
    """The day by the database's clock, counted from 1970."""
    return math.floor(_now(session) / DAY_SECONDS)


def _now(session: Session) -> float:
    return session.scalars(select(database_now())).one()


def _device_seconds(session: Session, key_id: str) -> float:
    ended = session.get(KeyUsage, (key_id, today(session)), populate_existing=True)
    going_on = 0.0
    for model in (Job, Evaluation):
        held = select(func.sum(database_now() - model.held_since))
        going_on += session.scalar(held.where(model.key_id == key_id, model.state == State.RUNNING)) or 0.0
    return max(0.0, going_on) + (ended.device_seconds if ended else 0.0)
