"""What keys use, and how much they may."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from app.deps import Reading, Service
from app.keys.caller import Asking, Record
from app.keys.routes import KeyId
from app.keys.schemas import QuotaRead, QuotasRead
from app.keys.scopes import ADMIN, READ, administers
from app.problems import responses
from app.settings import AppSettings
from registry import audit, keys, quotas

router = APIRouter(prefix="/v1/keys", tags=["keys"])

ANY = "0: any amount; null: what the settings say"


class QuotaSet(BaseModel):
    """Limits of a key's own. What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    jobs: int | None = Field(None, ge=0, le=2**31 - 1, description=f"queued and running at once; {ANY}")
    device_seconds: float | None = Field(
        None, ge=0, le=1e12, allow_inf_nan=False, description=f"of its jobs and evaluations, in a day of UTC; {ANY}"
    )
    bytes: int | None = Field(None, ge=0, le=2**63 - 1, description=f"of its uploads, data sets and artifacts; {ANY}")


@router.get("/self/quotas", dependencies=[READ], responses=responses(422))
def get_own_quotas(asking: Asking, session: Reading, service: Service) -> QuotasRead:
    """What the key that was sent uses, and how much it may. The root key may use any amount."""
    return shown(session, asking.key_id, settings=service.settings)


@router.get("/{key_id}/quotas", dependencies=[ADMIN], responses=responses(403, 404, 422))
def get_quotas(key_id: KeyId, session: Reading, service: Service) -> QuotasRead:
    """What a key uses, and how much it may."""
    keys.get(session, key_id)
    return shown(session, key_id, settings=service.settings)


@router.patch(
    "/{key_id}/quotas", dependencies=[administers("key.quotas")], responses=responses(403, 404, 413, 422, 503)
)
def set_quotas(key_id: KeyId, body: QuotaSet, service: Service, who: Record) -> QuotasRead:
    """Give a key limits of its own. Those lower than what it uses end nothing; they refuse more."""
    with service.writing() as session:
        quotas.set_limits(session, key_id, body.model_dump(exclude_unset=True))
        audit.note(session, who, key_id)
        return shown(session, key_id, settings=service.settings)


def shown(session: Session, key_id: str | None, *, settings: AppSettings) -> QuotasRead:
    """Use and limits of a key; None: the root key, of which nothing is counted."""
    if key_id is None:
        free = QuotaRead(used=0, limit=None)
        return QuotasRead(jobs=free, device_seconds=free, bytes=free)
    used, most = quotas.use(session, key_id), quotas.limits(session, key_id, settings.quotas)
    return QuotasRead.model_validate(
        {
            name: {"used": getattr(used, name), "limit": getattr(most, name) or None}
            for name in ("jobs", "device_seconds", "bytes")
        }
    )
