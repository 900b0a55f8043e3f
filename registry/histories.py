"""What is kept of a job's making: its events and its pictures. `registry.models` names these tables with the others."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from registry.clock import utc_now
from registry.rows import Base, Json
from registry.states import EventKind


class JobEvent(Base):
    """One line in a job's story. Numbers run 1, 2, 3 … within a job and have no gaps."""

    __tablename__ = "job_events"
    __table_args__ = (Index(None, "job_id", "kind", "number"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[EventKind]
    data: Mapped[Json]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class JobPicture(Base):
    """What a job's images looked like after a step: a contact sheet in the store. A few of each job are kept."""

    __tablename__ = "job_pictures"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # of the event that tells of it
    attempt: Mapped[int]
    step: Mapped[int]
    key: Mapped[str] = mapped_column(String(128))  # of the PNG in the store
    num_bytes: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
