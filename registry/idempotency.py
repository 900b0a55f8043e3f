"""Answering a repeated request as its first time, by the key its sender gave it.

Call `begin`, do the work and call `complete` in one transaction: whatever kills the process then leaves either the
whole request done or no trace of it. A key whose request has no answer after IN_FLIGHT_SECONDS was begun by a process
that died in between; it may be used again.
"""

from dataclasses import dataclass

from sqlalchemy import delete
from sqlalchemy.orm import Session

from registry import errors
from registry.clock import database_now
from registry.models import IdempotencyKey, Json
from registry.session import lock_word

IN_FLIGHT_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class StoredResponse:
    """What the first request was answered."""

    status: int
    headers: Json
    body: Json


def begin(
    session: Session, key: str, body_digest: str, *, scope: str = "", hours: float = 24.0
) -> StoredResponse | None:
    """The answer to give again, or None: the request is new and now in flight; answer it and call `complete`.

    `scope` keeps the keys of different callers and routes apart. Raises IdempotencyMismatch when the key came with
    another body, IdempotencyInFlight while the first request is unanswered.
    """
    lock_word(session, f"idempotency {scope} {key}")
    old = database_now() - hours * 3600
    died = database_now() - IN_FLIGHT_SECONDS
    unanswered = IdempotencyKey.status.is_(None)
    session.execute(
        delete(IdempotencyKey).where((IdempotencyKey.created < old) | (unanswered & (IdempotencyKey.created < died))),
        execution_options={"synchronize_session": False},
    )
    known = session.get(IdempotencyKey, (scope, key), populate_existing=True)
    if known is None:
        session.add(IdempotencyKey(scope=scope, key=key, body_digest=body_digest, created=database_now()))
        session.flush()
        return None
    if known.body_digest != body_digest:
        raise errors.IdempotencyMismatch
    if known.status is None:
        raise errors.IdempotencyInFlight
    return StoredResponse(status=known.status, headers=known.headers or {}, body=known.body or {})


def complete(session: Session, key: str, *, scope: str = "", status: int, headers: Json, body: Json) -> None:
    """Keep the answer to the request that `begin` let through."""
    known = session.get_one(IdempotencyKey, (scope, key))
    known.status, known.headers, known.body = status, headers, body
    session.flush()


def abandon(session: Session, key: str, *, scope: str = "") -> None:
    """Forget a request that was refused, so that a corrected one may use its key; an unknown key is no error."""
    unanswered = (IdempotencyKey.scope == scope) & (IdempotencyKey.key == key) & IdempotencyKey.status.is_(None)
    session.execute(delete(IdempotencyKey).where(unanswered))
