"""Keys: make one for each who calls, look who uses them, renew and end them."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from app.deps import Reading, Service
from app.errors import InvalidRequest
from app.keys.caller import Asking, Record
from app.keys.schemas import LONGEST_SECONDS, KeyMade, KeyMake, KeyRead, SelfRead
from app.keys.scopes import ADMIN, READ, administers
from app.paging import Cursor, Limit, PageRead, link_next
from app.problems import responses
from registry import audit, keys
from registry.scopes import Scope

router = APIRouter(prefix="/v1/keys", tags=["keys"])

KeyId = Annotated[str, Path(pattern=r"^key_[0-9a-f]{32}$", description="the key's id")]
#: A day: long enough to put the new secret wherever the old one is.
GRACE_SECONDS = 24 * 3600.0
NO_ADMIN = "must hold `admin` in the first key: from now on nobody comes in without one, and nobody could make another"


@router.post("", status_code=201, dependencies=[administers("key.create")], responses=responses(403, 413, 422, 503))
def create_key(body: KeyMake, response: Response, service: Service, who: Record) -> KeyMade:
    """Make a key. Its `secret` is in this answer and nowhere else.

    No `Idempotency-Key`: it would have to keep the secret. After a lost answer revoke the key and make another.
    """
    with service.writing() as session:
        cut = keys.make(session, name=body.name, scopes=body.scopes, seconds=body.seconds(keys.now(session)))
        if service.settings.key is None and not keys.is_there_admin(session):
            raise InvalidRequest.at("/scopes", NO_ADMIN)
        audit.note(session, who, cut.key.id)
        made = KeyMade(secret=cut.secret, **KeyRead.of(cut.key, now=keys.now(session)).model_dump())
    service.ring.forget()
    return _told(response, made)


@router.get("", dependencies=[ADMIN], responses=responses(403, 422))
def list_keys(
    request: Request, response: Response, session: Reading, limit: Limit = 50, cursor: Cursor = None
) -> PageRead[KeyRead]:
    """The keys, the newest first, with those that are over."""
    page = keys.page(session, limit=limit, cursor=cursor)
    link_next(request, response, page.next_cursor)
    now = keys.now(session)
    return PageRead(items=[KeyRead.of(key, now=now) for key in page.items], next_cursor=page.next_cursor)


@router.get("/self", dependencies=[READ])
def get_self(asking: Asking, response: Response) -> SelfRead:
    """Who asks: the key that was sent, and what it opens."""
    response.headers["Cache-Control"] = "no-store"
    return SelfRead(id=asking.key_id, name=asking.name, scopes=[scope for scope in Scope if scope in asking.scopes])


@router.get("/{key_id}", dependencies=[ADMIN], responses=responses(403, 404, 422))
def get_key(key_id: KeyId, session: Reading) -> KeyRead:
    """One key."""
    return KeyRead.of(keys.get(session, key_id), now=keys.now(session))


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    dependencies=[administers("key.rotate")],
    responses=responses(403, 404, 409, 422, 503),
)
def rotate_key(
    key_id: KeyId,
    response: Response,
    service: Service,
    who: Record,
    grace_seconds: Annotated[
        float, Query(ge=0, le=LONGEST_SECONDS, allow_inf_nan=False, description="the old secret opens for so long")
    ] = GRACE_SECONDS,
    expires_in_seconds: Annotated[
        float | None,
        Query(
            gt=0,
            le=LONGEST_SECONDS,
            allow_inf_nan=False,
            description="how long the new one opens; by default for as long as the old one was made for",
        ),
    ] = None,
) -> KeyMade:
    """Make a key of the same name and scopes in the place of this one, which opens for the grace only."""
    with service.writing() as session:
        cut = keys.rotate(session, key_id, grace_seconds=grace_seconds, seconds=expires_in_seconds)
        audit.note(session, who, key_id)
        made = KeyMade(secret=cut.secret, **KeyRead.of(cut.key, now=keys.now(session)).model_dump())
    service.ring.forget()
    return _told(response, made)


@router.delete(
    "/{key_id}",
    status_code=204,
    dependencies=[administers("key.revoke")],
    responses=responses(403, 404, 409, 422, 503),
)
def revoke_key(key_id: KeyId, service: Service, who: Record) -> None:
    """End a key for good: here at once, on other replicas within `DISTILLED_KEY_CACHE_SECONDS`. Twice is as once.

    Refused for the last key with `admin` where there is no root key: nobody could make another one.
    """
    with service.writing() as session:
        keys.revoke(session, key_id, keep_admin=service.settings.key is None)
        audit.note(session, who, key_id)
    service.ring.forget()


def _told(response: Response, made: KeyMade) -> KeyMade:
    response.headers["Location"] = f"/v1/keys/{made.id}"
    response.headers["Cache-Control"] = "no-store"  # it holds a secret
    return made
