"""What a key may be used for. Each scope contains those before it."""

from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    """What a key opens."""

    READ = "read"  #: look at everything, download, draw
    SUBMIT = "submit"  #: bring data sets, ask for jobs and evaluations, name and hide artifacts
    ADMIN = "admin"  #: keys, the audit log, freeing room, and what is forced


ALL = frozenset(Scope)


def implied(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """These scopes with those that they contain; none of none."""
    order = list(Scope)
    highest = max((order.index(scope) for scope in scopes), default=-1)
    return frozenset(order[: highest + 1])
