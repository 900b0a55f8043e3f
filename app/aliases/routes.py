"""Aliases: movable names, to be used wherever an artifact's id may stand."""

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from app.aliases.schemas import AliasPut, AliasRead, MoveRead
from app.deps import AliasName, Reading, Service
from app.errors import InvalidRequest, PreconditionFailed
from app.keys.caller import Record
from app.keys.scopes import READ, submits
from app.paging import Cursor, Limit, PageRead, link_next
from app.problems import responses
from registry import aliases, audit
from registry.ids import ID_PATTERN
from registry.models import Alias

router = APIRouter(prefix="/v1/aliases/{name}", tags=["aliases"])

IfMatch = Annotated[
    str | None, Header(max_length=2000, description="do it only if the name has one of these ETags; `*`: any")
]
IfNoneMatch = Annotated[
    str | None, Header(max_length=2000, description="do it only if the name has none of these ETags; `*`: is new")
]


@router.put(
    "",
    dependencies=[submits("alias.put")],
    response_model=AliasRead,
    responses={201: {"model": AliasRead, "description": "the name is new"}, **responses(404, 412, 413, 422, 503)},
)
def put_alias(
    name: AliasName,
    body: AliasPut,
    response: Response,
    service: Service,
    who: Record,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Alias:
    """Point a name at an artifact, wherever it pointed before.

    With `If-Match` (the ETag of a GET) it is moved only from where the caller has seen it.
    """
    if ID_PATTERN.fullmatch(name):
        raise InvalidRequest.at("/path/name", "looks like an id and would hide it; choose another name")

    def check(before: str | None) -> None:
        _check(name, before, if_match=if_match, if_none_match=if_none_match)
        if before is None:
            response.status_code = 201
            response.headers["Location"] = f"/v1/aliases/{name}"

    with service.writing() as session:
        alias = aliases.put(session, name, artifact=body.artifact_id, check=check, who=who)
        audit.note(session, who, name)
    response.headers["ETag"] = _etag(alias.artifact_id)
    return alias


@router.get("", dependencies=[READ], response_model=AliasRead, responses=responses(404, 422))
def get_alias(name: AliasName, session: Reading, response: Response) -> Alias:
    """Where a name points. Its ETag changes when it is moved."""
    alias = aliases.get(session, name)
    response.headers["ETag"] = _etag(alias.artifact_id)
    return alias


@router.get("/history", dependencies=[READ], responses=responses(404, 422))
def list_moves(
    name: AliasName,
    request: Request,
    response: Response,
    session: Reading,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageRead[MoveRead]:
    """Where a name has pointed, the newest move first; also of a name that was taken away."""
    page = aliases.history(session, name, limit=limit, cursor=cursor)
    link_next(request, response, page.next_cursor)
    return PageRead(items=[MoveRead.model_validate(move) for move in page.items], next_cursor=page.next_cursor)


@router.delete("", status_code=204, dependencies=[submits("alias.delete")], responses=responses(404, 412, 422, 503))
def delete_alias(
    name: AliasName,
    service: Service,
    who: Record,
    if_match: IfMatch = None,
) -> None:
    """Take a name away; its artifact stays, and so does the name's history."""
    with service.writing() as session:
        aliases.delete(
            session,
            name,
            check=lambda before: _check(name, before, if_match=if_match, if_none_match=None),
            who=who,
        )
        audit.note(session, who, name)


def _etag(artifact_id: str) -> str:
    return f'"{artifact_id}"'


def _check(name: str, before: str | None, *, if_match: str | None, if_none_match: str | None) -> None:
    """Raise PreconditionFailed where a name points elsewhere than the caller means (RFC 9110, section 13.1)."""
    where = "is not there" if before is None else f"points to {before}"
    if (if_match is not None and not _names(if_match, before)) or (
        if_none_match is not None and _names(if_none_match, before)
    ):
        raise PreconditionFailed(f"the alias {name!r} {where}; read it again, then decide")


def _names(header: str, before: str | None) -> bool:
    """Whether one of the ETags of a header is that of this artifact. Weak ones never are (RFC 9110, 8.8.3.2)."""
    if before is None:
        return False
    tags = [tag.strip() for tag in header.split(",")]
    return "*" in tags or _etag(before) in tags
