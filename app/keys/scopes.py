"""What a key must open for each route: declared where the route is, checked there, and told in the OpenAPI document.

A route says `dependencies=[READ]`, or for one that changes something `[submits("job.cancel")]`, which says what the
audit log calls it; a router that only reads says it once. Without such a word the application does not start.
"""

from collections.abc import Iterator, Sequence

import structlog
from fastapi import APIRouter, Depends, Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.params import Depends as Declaration
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from app.errors import kind_of
from app.keys.caller import caller, who
from registry import audit
from registry.errors import RegistryError
from registry.models import Outcome
from registry.scopes import Scope

log = structlog.get_logger(__name__)

SCHEME = "key"
#: Statuses of refusals that are worth a line. Those of requests that nobody could have granted are not.
NOTED = frozenset({403, 409, 412, 429})


class _Looking(SecurityBase):
    """Checks that the caller's key has the scopes of the route. Raises ScopeMissing."""

    scheme_name = SCHEME
    model = HTTPBearer(description="a key, also taken as the password of Basic; the scopes say what it must open")

    async def __call__(self, request: Request, needed: SecurityScopes) -> None:
        for scope in needed.scopes:
            caller(request).check(Scope(scope))


class _Doing(SecurityBase):
    """The same for a route that changes something: what is refused there stands in the audit log too."""

    scheme_name = SCHEME
    model = _Looking.model

    def __init__(self, action: str) -> None:
        self.action = action

    def __call__(self, request: Request, needed: SecurityScopes) -> Iterator[None]:
        request.state.action = self.action
        try:
            for scope in needed.scopes:
                caller(request).check(Scope(scope))
            yield
        except Exception as error:
            kind = kind_of(error)
            if kind.status in NOTED:
                _note_refusal(request, kind.slug)
            raise


async def _anyone() -> None:
    """Nothing is asked."""


READ = Security(_Looking(), scopes=[Scope.READ.value])
ADMIN = Security(_Looking(), scopes=[Scope.ADMIN.value])
#: For probes; `app.middleware.guard.OPEN` lets them in without a key.
NO_KEY = Depends(_anyone)


def submits(action: str) -> Declaration:
    """The route changes what the service holds; `action` is what the audit log calls it."""
    return Security(_Doing(action), scopes=[Scope.SUBMIT.value])


def administers(action: str) -> Declaration:
    """The route changes how the service is run."""
    return Security(_Doing(action), scopes=[Scope.ADMIN.value])


def declared(dependencies: Sequence[Declaration]) -> Declaration | None:
    """What a route has declared, of its dependencies; the nearest to the route counts. None: nothing."""
    words = [one for one in dependencies if isinstance(one.dependency, _Looking | _Doing) or one is NO_KEY]
    return words[-1] if words else None


def check_declared(router: APIRouter) -> None:
    """Raises TypeError for a route that does not say who may use it."""
    for route in router.routes:
        if not isinstance(route, APIRoute) or declared(route.dependencies) is None:
            path = getattr(route, "path", route)
            raise TypeError(f"{path} must say which scope it needs: dependencies=[READ], or as app.keys.scopes says")


def _note_refusal(request: Request, reason: str) -> None:
    target = next(iter(request.path_params.values()), "")
    try:
        with request.app.state.services.writing() as session:
            audit.note(session, who(request), str(target), outcome=Outcome.REFUSED, reason=reason)
    except RegistryError as error:
        # The refusal is answered all the same: nothing was changed.
        log.warning("refusal_not_noted", reason=str(error))
