"""What an operator does by hand: free room in the store."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.admin.schemas import SweepRead
from app.deps import Service
from app.freeing import free
from app.keys.caller import Record
from app.keys.scopes import administers
from app.problems import responses
from registry import audit

router = APIRouter(prefix="/v1/admin", tags=["operations"])


@router.post("/sweep", dependencies=[administers("store.sweep")], responses=responses(422, 503))
def sweep(
    service: Service,
    who: Record,
    dry_run: Annotated[bool, Query(description="only tell what would be freed; change nothing")] = True,
    grace_seconds: Annotated[
        float | None,
        Query(
            ge=0,
            le=10 * 366 * 24 * 3600,
            allow_inf_nan=False,
            description="how long what was deleted, and what nothing names, is left alone; by default as the service "
            "is set",
        ),
    ] = None,
    resources: Annotated[
        bool, Query(description="also experts, teachers and warm-ups of that age, which later jobs must make again")
    ] = False,
) -> SweepRead:
    """Free the room of what was deleted long enough ago and of what nothing names any more.

    The service does the same by itself, but for `resources`. What is freed is gone for good, so `dry_run` is the
    default.
    """
    grace = service.settings.grace_hours * 3600 if grace_seconds is None else grace_seconds
    if not dry_run:
        # Before it: a sweep is many transactions, and what is gone must have a line even if it dies halfway.
        with service.writing() as session:
            audit.note(session, who, "resources" if resources else "")
    found = free(service, grace_seconds=grace, dry_run=dry_run, resources=resources)
    return SweepRead.of(found, dry_run=dry_run, grace_seconds=grace)
