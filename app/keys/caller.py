"""Who speaks to the service in this request."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.errors import ScopeMissing
from registry.audit import Who
from registry.scopes import ALL, Scope


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks. scopes: all that the key opens, so `submit` never stands without `read`.

    key_id is None for the root key (`DISTILLED_API_KEY`) and for those whom no key names.
    """

    key_id: str | None
    name: str
    scopes: frozenset[Scope]

    def check(self, scope: Scope) -> None:
        """Raises ScopeMissing where this key does not open it."""
        if scope not in self.scopes:
            raise ScopeMissing(needed=scope, held=self.scopes)


#: Holds the key of `DISTILLED_API_KEY`.
ROOT = Caller(key_id=None, name="root", scopes=ALL)
#: Asks on this machine a service that has no key.
LOCAL = Caller(key_id=None, name="local", scopes=ALL)
#: Shows no key where none is needed.
NOBODY = Caller(key_id=None, name="nobody", scopes=frozenset())


def caller(request: Request) -> Caller:
    """Whom the guard has let in."""
    return request.state.caller


def who(request: Request) -> Who:
    """The caller, and what is asked for, for the record. Routes that change something have named it before."""
    asking, action = caller(request), getattr(request.state, "action", "")
    return Who(key_id=asking.key_id, name=asking.name, action=action, request_id=request.state.request_id)


Asking = Annotated[Caller, Depends(caller)]
Record = Annotated[Who, Depends(who)]
