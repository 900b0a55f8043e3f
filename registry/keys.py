"""Keys that callers hold: made once, found by their hash, revoked or rotated, never read again.

A secret is 256 random bits, so one round of sha256 keeps it as well as any slow hash would: there is nothing to guess.
It is looked up by that digest, and how long a lookup takes tells nothing of any secret.
"""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from registry import errors, paging, quotas
from registry.clock import database_now, utc_now
from registry.ids import new_id
from registry.models import ApiKey
from registry.names import checked_name
from registry.paging import Page
from registry.scopes import Scope, implied
from registry.session import lock_word

#: Begins every secret, so that people and scanners of leaked secrets know one when they see it.
MARK = "dst_"
SECRET_BYTES = 32
#: How much of a secret is kept in the clear: 6 of its 43 characters, 36 of its 256 bits.
PREFIX_LENGTH = len(MARK) + 6
#: Whoever changes which keys there are takes turns, so that two cannot each take the last but one.
LOCK = "api keys"


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A key that was just made, and its secret, which nobody can be told again."""

    key: ApiKey
    secret: str


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Whose secret it is. scopes: with all that they contain. seconds: until it expires; None: it does not."""

    key_id: str
    name: str
    scopes: frozenset[Scope]
    seconds: float | None


def make(
    session: Session,
    *,
    name: str,
    scopes: Collection[Scope],
    seconds: float | None = None,
    rotated_from: str | None = None,
) -> Cut:
    """A new key, valid for `seconds`, or until it is revoked. Raises InvalidName."""
    secret = MARK + secrets.token_urlsafe(SECRET_BYTES)
    key = ApiKey(
        id=new_id("key"),
        name=checked_name(name),
        prefix=secret[:PREFIX_LENGTH],
        secret_digest=digest_of(secret),
        scopes=[scope.value for scope in Scope if scope in scopes],
        rotated_from=rotated_from,
        expires=None if seconds is None else database_now() + seconds,
    )
    session.add(key)
    session.flush()
    session.refresh(key)
    return Cut(key=key, secret=secret)


def find(session: Session, secret: str) -> Holder | None:
    """Who holds this secret; None for one that is unknown, revoked or expired."""
    left = (ApiKey.expires - database_now()).label("left")
    asked = select(ApiKey.id, ApiKey.name, ApiKey.scopes, left)
    row = session.execute(asked.where(ApiKey.secret_digest == digest_of(secret), _is_live())).one_or_none()
    if row is None:
        return None
    return Holder(key_id=row.id, name=row.name, scopes=implied(map(Scope, row.scopes)), seconds=row.left)


def are_there(session: Session) -> bool:
    """Whether there is any key that was not revoked. An expired one counts: time alone opens no door."""
    return session.scalar(select(ApiKey.id).where(ApiKey.revoked_at.is_(None)).limit(1)) is not None


def get(session: Session, key_id: str, *, hold: bool = False) -> ApiKey:
    """The key with this id, whatever became of it. Raises NotFound."""
    key = session.get(ApiKey, key_id, with_for_update=True if hold else None, populate_existing=hold)
    if key is None:
        raise errors.NotFound(f"There is no key {key_id!r}; GET /v1/keys lists the keys there are.")
    return key


def page(session: Session, *, limit: int = 50, cursor: str | None = None) -> Page[ApiKey]:
    """The keys, the newest first, those too that are over. Raises InvalidCursor."""
    return paging.newest_first(session, select(ApiKey), ApiKey.id, limit=limit, cursor=cursor)


def now(session: Session) -> float:
    """The time by which keys expire, in epoch seconds."""
    return session.scalars(select(database_now())).one()


def revoke(session: Session, key_id: str, *, keep_admin: bool = False) -> ApiKey:
    """End a key for good. Doing it twice is the same as once.

    keep_admin: raises InUse for the last key that could make another one. Raises NotFound.
    """
    lock_word(session, LOCK)
    key = get(session, key_id, hold=True)
    if key.revoked_at is None:
        key.revoked_at = utc_now()
        session.flush()
        if keep_admin:
            _check_admin(session)
    return key


def rotate(session: Session, key_id: str, *, grace_seconds: float, seconds: float | None = None) -> Cut:
    """A key with another secret and the same name and scopes; the old one stays valid for the grace, if not for less.

    seconds: how long the new one is valid; None: for as long as the old one was made for. Raises NotFound, or Conflict
    for one that is over or was rotated before.
    """
    lock_word(session, LOCK)
    get(session, key_id, hold=True)
    key = session.scalar(select(ApiKey).where(ApiKey.id == key_id, _is_live()))
    if key is None:
        raise errors.Conflict(f"Key {key_id} is revoked or expired and cannot be rotated; make a new one.")
    if session.scalar(select(ApiKey.id).where(ApiKey.rotated_from == key_id).limit(1)) is not None:
        raise errors.Conflict(
            f"Key {key_id} was rotated before; rotate the key that took its place, or make a new one."
        )
    if seconds is None and key.expires is not None:
        seconds = key.expires - key.created_at.timestamp()
    until = now(session) + grace_seconds
    key.expires = until if key.expires is None else min(key.expires, until)
    cut = make(
        session, name=key.name, scopes=[Scope(scope) for scope in key.scopes], seconds=seconds, rotated_from=key.id
    )
    quotas.inherit(session, cut.key, key)
    return cut


def is_there_admin(session: Session) -> bool:
    """Whether a key that is valid now could make another one."""
    return any(Scope.ADMIN in scopes for scopes in session.scalars(select(ApiKey.scopes).where(_is_live())))


def used(session: Session, when: Mapping[str, datetime]) -> None:
    """Note when keys, by their ids, were used last."""
    for key_id, moment in sorted(when.items()):
        newer = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < moment)
        session.execute(
            update(ApiKey).where(ApiKey.id == key_id, newer).values(last_used_at=moment),
            execution_options={"synchronize_session": False},
        )


def digest_of(secret: str) -> str:
    """What a secret is kept as: its sha256, in hex."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _check_admin(session: Session) -> None:
    if not is_there_admin(session):
        raise errors.InUse(
            "This is the last key with the scope `admin`, and without it nobody could make another one over HTTP. "
            "Make one first, set DISTILLED_API_KEY, or revoke it with `distilled keys revoke --here` on the server."
        )


def _is_live() -> ColumnElement[bool]:
    return ApiKey.revoked_at.is_(None) & or_(ApiKey.expires.is_(None), ApiKey.expires > database_now())
