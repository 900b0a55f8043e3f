"""Sums that only ever grow: what is counted survives restarts, retries and deleted rows, whoever counted it.

What a transaction adds is kept until just before its commit and written then, in one order. These few rows are every
worker's, so their locks are the last that anyone takes, and nobody who holds one waits for another row.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from registry.models import Total

PENDING = "totals"


class Counted(StrEnum):
    """What there are sums of."""

    ATTEMPTS = "attempts"  #: claims, by table
    LEASE_EXPIRIES = "lease_expiries"  #: holders that fell silent, by table
    DEVICE_SECONDS = "device_seconds"  #: how long devices were held, by kind of device and table; holds that ended
    STEPS = "steps"  #: optimisation steps, by kind of device and objective
    STEP_SECONDS = "step_seconds"  #: the time they took, by the same


@dataclass(frozen=True, kw_only=True)
class Sum:
    """One sum."""

    name: str
    labels: dict[str, str]
    value: float


def add(session: Session, name: Counted, amount: float = 1.0, **labels: str) -> None:
    """Count in this transaction, which `Database.write` began. It counts if the transaction commits."""
    pending: dict[tuple[str, str], float] = session.info.setdefault(PENDING, {})
    key = (name.value, json.dumps(labels, sort_keys=True))
    pending[key] = pending.get(key, 0.0) + amount


def settle(session: Session) -> None:
    """Write what was added; `Database.write` calls it as the last thing of a transaction."""
    pending: dict[tuple[str, str], float] = session.info.pop(PENDING, {})
    if not pending:
        return
    session.flush()
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    for (name, labels), amount in sorted(pending.items()):
        new = insert(Total).values(name=name, labels=labels, value=amount)
        more = new.on_conflict_do_update(
            index_elements=[Total.name, Total.labels], set_={"value": Total.value + new.excluded.value}
        )
        session.execute(more)


def read(session: Session) -> Sequence[Sum]:
    """All sums, by name and labels."""
    rows = session.scalars(select(Total).order_by(Total.name, Total.labels))
    return [Sum(name=row.name, labels=json.loads(row.labels), value=row.value) for row in rows]


def device_kind(device: str | None) -> str:
    """`cuda` of `cuda:1 (NVIDIA H200)`."""
    return (device or "").partition(" ")[0].partition(":")[0] or "unknown"
