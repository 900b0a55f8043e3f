"""What has failed of late, by its cause, so that a person sees at once whether it is one fault or many."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from registry.clock import utc_now
from registry.models import Evaluation, Job, State, Validation

#: Of each table so many of the youngest failed rows are looked at: they lie together in an index.
LOOKED_AT = 1000
DAY, WEEK = timedelta(days=1), timedelta(days=7)


@dataclass(kw_only=True)
class Cause:
    """Rows of a table that ended with the same code. last_id, last_at, detail: of the one that failed last."""

    of: str
    code: str
    title: str
    detail: str
    last_day: int
    last_week: int
    last_id: str
    last_at: datetime


def causes(session: Session, *, now: datetime | None = None) -> Sequence[Cause]:
    """The causes of the last week, the most frequent ones first."""
    now = now or utc_now()
    found: dict[tuple[str, str], Cause] = {}
    for model in (Job, Evaluation, Validation):
        failed = select(model.id, model.error, model.ended_at).where(model.state == State.FAILED)
        for row_id, error, ended_at in session.execute(failed.order_by(model.id.desc()).limit(LOOKED_AT)):
            if error is None or ended_at is None or ended_at < now - WEEK:
                continue
            key = model.__tablename__, str(error.get("code", "unknown"))
            cause = found.get(key)
            if cause is None:
                cause = found[key] = Cause(
                    of=key[0], code=key[1], title="", detail="", last_day=0, last_week=0, last_id="", last_at=now - WEEK
                )
            cause.last_week += 1
            cause.last_day += ended_at >= now - DAY
            if ended_at >= cause.last_at:
                cause.last_id, cause.last_at = row_id, ended_at
                cause.title, cause.detail = str(error.get("title", "")), str(error.get("detail", ""))
    return sorted(found.values(), key=lambda cause: (-cause.last_day, -cause.last_week, cause.of, cause.code))
