"""What routes ask for: the service's parts, a session to read with, and names that are well-formed.

Routes that write open `service.writing()` themselves: it has committed, or failed, before there is anything to answer,
and the one write lock of SQLite is not held while the framework hops between threads.
"""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from fastapi.dependencies.models import Dependant
from sqlalchemy.orm import Session

from app.bodies import is_text
from app.errors import InvalidRequest
from app.services import Services
from distilled.errors import Problem

MAX_QUERY_TEXT = 2000


async def service(request: Request) -> Services:
    """The parts of the running service.

    Neither this nor `known_query` waits for anything: they are coroutines so as not to be sent to a thread and back,
    which takes longer than they do, and longest when every thread is busy.
    """
    return request.app.state.services


Service = Annotated[Services, Depends(service)]


def reading(service: Service) -> Iterator[Session]:
    """A session that changes nothing. Its scope ends it before the response, not after a download of hours."""
    with service.database.read() as session:
        yield session


Reading = Annotated[Session, Depends(reading, scope="function")]

JobId = Annotated[str, Path(pattern=r"^job_[0-9a-f]{32}$", description="the job's id")]
#: An alias may stand wherever an artifact's id may.
ArtifactName = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$", description="the artifact's id, or an alias")
]
AliasName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$", description="the alias")]
DatasetName = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="the data set's name, in any case")
]

DatasetQuery = Annotated[str | None, Query(max_length=96, description="only those of this data set")]
MethodQuery = Annotated[str | None, Query(max_length=64, description="only those made by this preset")]


async def known_query(request: Request) -> None:
    """Refuse query parameters that the route does not declare, and text that no database stores.

    A parameter that is ignored is a filter the caller believes in. Raises InvalidRequest.
    """
    declared = _declared(request.scope["route"].dependant)
    found = [
        Problem(pointer=f"/query/{name}", detail=_unknown(declared))
        for name in request.query_params
        if name not in declared
    ]
    found += [
        Problem(pointer=f"/query/{name}", detail=f"must be text of at most {MAX_QUERY_TEXT} characters without NUL")
        for name, value in request.query_params.multi_items()
        if name in declared and (len(value) > MAX_QUERY_TEXT or not is_text(value))
    ]
    if found:
        raise InvalidRequest(found)


def _declared(dependant: Dependant) -> set[str]:
    """Names of all query parameters of a route and of what it depends on."""
    own = {field.alias for field in dependant.query_params}
    return own.union(*(_declared(below) for below in dependant.dependencies))


def _unknown(declared: set[str]) -> str:
    known = ", ".join(sorted(declared))
    return f"is no parameter of this route; known are: {known}" if known else "this route takes no query parameters"
