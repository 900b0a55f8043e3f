"""The audit log: who changed what, and who was refused."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.bodies import Moment
from app.deps import Reading
from app.keys.schemas import AuditRead
from app.keys.scopes import ADMIN
from app.paging import Cursor, Limit, PageRead, link_next
from app.problems import responses
from registry import audit
from registry.models import Outcome

router = APIRouter(prefix="/v1/admin/audit", tags=["operations"])


@router.get("", dependencies=[ADMIN], responses=responses(403, 422))
def list_audit_events(
    request: Request,
    response: Response,
    session: Reading,
    key_id: Annotated[str | None, Query(max_length=40, description="only what this key did")] = None,
    action: Annotated[str | None, Query(max_length=64, description="such as `job.submit`")] = None,
    target: Annotated[str | None, Query(max_length=255, description="only what was done to this id or name")] = None,
    outcome: Annotated[Outcome | None, Query(description="only what was done, or only what was refused")] = None,
    since: Annotated[Moment | None, Query(description="only from this time on")] = None,
    until: Annotated[Moment | None, Query(description="only before this time")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageRead[AuditRead]:
    """Lines of the audit log, the newest first."""
    page = audit.find(
        session,
        key_id=key_id,
        action=action,
        target=target,
        outcome=outcome,
        since=since,
        until=until,
        limit=limit,
        cursor=cursor,
    )
    link_next(request, response, page.next_cursor)
    return PageRead(items=[AuditRead.model_validate(line) for line in page.items], next_cursor=page.next_cursor)
