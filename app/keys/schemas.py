"""Keys as they are asked for and shown, and the lines of the audit log."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.bodies import Moment
from app.errors import InvalidRequest
from registry.models import ApiKey, Outcome
from registry.names import NAME_PATTERN
from registry.scopes import Scope

#: The longest that a key may be asked to live, in seconds: ten years.
LONGEST_SECONDS = 10 * 366 * 24 * 3600
Seconds = Annotated[float, Field(gt=0, le=LONGEST_SECONDS, allow_inf_nan=False)]


class KeyState(StrEnum):
    """Whether a key opens anything."""

    LIVE = "live"  #: it does
    EXPIRED = "expired"  #: its time is over
    REVOKED = "revoked"  #: somebody ended it


class KeyMake(BaseModel):
    """What a key is to be."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=f"^{NAME_PATTERN.pattern}$", description="who or what holds it; two may have one name")
    scopes: list[Scope] = Field(min_length=1, max_length=8, description="the highest contains the others")
    expires_at: Moment | None = Field(None, description="opens nothing from then on; else until it is revoked")
    expires_in_seconds: Seconds | None = Field(None, description="the same, from now")

    @model_validator(mode="after")
    def _one_end(self) -> "KeyMake":
        if self.expires_at is not None and self.expires_in_seconds is not None:
            raise ValueError("give expires_at or expires_in_seconds, not both")
        return self

    def seconds(self, now: float) -> float | None:
        """How long it is to live from `now`, in epoch seconds; None: until it is revoked. Raises InvalidRequest."""
        if self.expires_at is None:
            return self.expires_in_seconds
        seconds = self.expires_at.timestamp() - now
        if not 0 < seconds <= LONGEST_SECONDS:
            raise InvalidRequest.at("/expires_at", "must lie in the future, and within ten years")
        return seconds


class KeyRead(BaseModel):
    """A key, without its secret."""

    id: str
    name: str
    prefix: str = Field(description="how its secret begins")
    scopes: list[Scope] = Field(description="as they were given; each contains those before it: read, submit, admin")
    state: KeyState
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="to the minute or so")
    rotated_from: str | None = Field(description="the key that it took the place of")

    @classmethod
    def of(cls, key: ApiKey, *, now: float) -> "KeyRead":
        expired = key.expires is not None and key.expires <= now
        state = KeyState.REVOKED if key.revoked_at else KeyState.EXPIRED if expired else KeyState.LIVE
        expires_at = None if key.expires is None else datetime.fromtimestamp(key.expires, UTC)
        given = {
            name: getattr(key, name)
            for name in (
                "id",
                "name",
                "prefix",
                "scopes",
                "created_at",
                "revoked_at",
                "last_used_at",
                "rotated_from",
            )
        }
        return cls(state=state, expires_at=expires_at, **given)


class KeyMade(KeyRead):
    """A key that was just made, with its secret, which is never shown again."""

    secret: str = Field(description="what is sent as `Authorization: Bearer …`; nobody can be told it again")


class SelfRead(BaseModel):
    """Who asks."""

    id: str | None = Field(description="the key's id; null for the root key, and where no key is needed")
    name: str
    scopes: list[Scope] = Field(description="all that it opens")


class QuotaRead(BaseModel):
    """One of the things that are limited."""

    used: float
    limit: float | None = Field(description="null: any amount")


class QuotasRead(BaseModel):
    """What a key uses, and how much it may."""

    jobs: QuotaRead = Field(description="queued and running")
    device_seconds: QuotaRead = Field(description="of its jobs and evaluations, today in UTC")
    bytes: QuotaRead = Field(description="of its uploads, data sets and artifacts")


class AuditRead(BaseModel):
    """A line of the audit log."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    key_id: str | None = Field(description="null for the root key, and where no key is needed")
    key_name: str
    action: str
    target: str = Field(description="the id or name of what it was done to; empty where there is none yet")
    outcome: Outcome
    reason: str | None = Field(description="of a refusal: the last part of its problem's `type`")
    request_id: str
    created_at: datetime
