"""Aliases: movable names, to be used wherever an artifact's id may stand."""

from fastapi import APIRouter, Response

from app.aliases.schemas import AliasPut, AliasRead
from app.deps import AliasName, Reading, Service
from app.errors import InvalidRequest
from app.problems import responses
from registry import aliases, errors
from registry.ids import ID_PATTERN
from registry.models import Alias

router = APIRouter(prefix="/v1/aliases/{name}", tags=["aliases"])


@router.put(
    "",
    response_model=AliasRead,
    responses={201: {"model": AliasRead, "description": "the name is new"}, **responses(404, 413, 422, 503)},
)
def put_alias(name: AliasName, body: AliasPut, response: Response, service: Service) -> Alias:
    """Point a name at an artifact, wherever it pointed before."""
    if ID_PATTERN.fullmatch(name):
        raise InvalidRequest.at("/path/name", "looks like an id and would hide it; choose another name")
    with service.writing() as session:
        try:
            aliases.get(session, name)
        except errors.NotFound:
            response.status_code = 201
            response.headers["Location"] = f"/v1/aliases/{name}"
        return aliases.put(session, name, artifact=body.artifact_id)


@router.get("", response_model=AliasRead, responses=responses(404, 422))
def get_alias(name: AliasName, session: Reading) -> Alias:
    """Where a name points."""
    return aliases.get(session, name)


@router.delete("", status_code=204, responses=responses(404, 422, 503))
def delete_alias(name: AliasName, service: Service) -> None:
    """Take a name away; its artifact stays."""
    with service.writing() as session:
        aliases.delete(session, name)
