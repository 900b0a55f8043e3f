"""The lists and the claim walk an index: they neither sort nor scan a table, however long it grows."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from registry import artifacts, jobs, leases
from registry.artifacts import Sort
from registry.models import EventKind, Job, State
from registry.paging import Position, encode
from registry.session import Database

CURSOR = encode(Position(sort="-created", value=None, row_id="art_" + "0" * 32))


@pytest.mark.parametrize(
    "ask",
    [
        jobs.find,
        lambda session: jobs.find(session, cursor=CURSOR),
        lambda session: jobs.find(session, state=State.QUEUED, cursor=CURSOR),
        lambda session: jobs.find(session, dataset="digits", cursor=CURSOR),
        lambda session: jobs.find(session, method="dm", cursor=CURSOR),
        lambda session: jobs.events(session, "job_x", after=5),
        lambda session: jobs.events(session, "job_x", after=5, kinds=[EventKind.METRICS]),
        lambda session: jobs.stage(session, Job(id="job_x", state=State.RUNNING)),
        lambda session: leases.run_out(session, Job),
        lambda session: artifacts.find(session, cursor=CURSOR),
        lambda session: artifacts.find(session, dataset="digits", cursor=CURSOR),
        artifacts.facets,
        lambda session: artifacts.facets(session, dataset="digits", ipc=1),
        lambda session: artifacts.find(session, sort=Sort.BYTES),
        lambda session: artifacts.find(session, sort=Sort.ACCURACY_FALLING),
    ],
)
def test_no_list_scans_or_sorts_a_table(database: Database, ask: Callable[[Session], object]) -> None:
    asked: list[tuple[str, Any]] = []

    def note(connection: object, cursor: object, statement: str, parameters: Any, *rest: object) -> None:
        asked.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        with database.write() as session:  # what looks for leases that have run out mends a clock first
            ask(session)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    statement, parameters = next((said, given) for said, given in asked if said.startswith("SELECT"))
    with database.read() as session:
        rows = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    plan = " / ".join(str(row[-1]) for row in rows)
    assert "TEMP B-TREE" not in plan
    assert "USING INDEX" in plan or "USING COVERING INDEX" in plan or "PRIMARY KEY" in plan
