"""What tables have in common: how constraints and columns are named and kept, and what a row that can be held has."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from registry.clock import database_now, utc_now
from registry.columns import UtcDateTime, words
from registry.states import DatasetState, EventKind, MessageState, Need, Outcome, State
from registry.tracing import traceparent

Json = dict[str, Any]


class Base(DeclarativeBase):
    """Constraints have predictable names, so that a migration can alter them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads this very name off the class
        datetime: UtcDateTime(),
        Json: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
        State: words(State),
        Need: words(Need),
        DatasetState: words(DatasetState),
        EventKind: words(EventKind),
        MessageState: words(MessageState),
        Outcome: words(Outcome),
    }


class Leased:
    """What jobs, evaluations and validations share: someone holds it for a while, and loses it when silent too long."""

    state: Mapped[State] = mapped_column(default=State.QUEUED)
    priority: Mapped[int] = mapped_column(default=0)  # as it was asked for; `due` is what decides
    # Who is next: the smallest. When it was queued by the database's clock, less what its priority is worth in seconds:
    # all grow old at one rate, so an order that counts age and priority never changes while things wait.
    due: Mapped[float] = mapped_column(default=database_now())
    attempt: Mapped[int] = mapped_column(default=0)  # fencing token: grows by one with every claim, never falls
    lost: Mapped[int] = mapped_column(default=0)  # workers lost on it since a person last queued it
    lease_until: Mapped[float | None]
    heartbeat: Mapped[float | None]
    queued_at: Mapped[float | None] = mapped_column(default=database_now())  # when it last began to wait
    held_since: Mapped[float | None]  # when it was last claimed; it stays when the hold has ended
    woken_at: Mapped[float | None]  # when the last wake-up was sent; None: none yet
    worker: Mapped[str | None] = mapped_column(String(255))
    worker_pid: Mapped[int | None]
    device: Mapped[str | None] = mapped_column(String(255))
    progress: Mapped[float] = mapped_column(default=0.0)  # 0..1
    error: Mapped[Json | None]  # {"code", "title", "detail"}
    request_id: Mapped[str] = mapped_column(String(128), default="")
    traceparent: Mapped[str | None] = mapped_column(String(55), default=traceparent)  # the span that asked for it
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)
