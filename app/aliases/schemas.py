"""Aliases as they are sent and shown."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, computed_field


class AliasPut(BaseModel):
    """What a name shall point to."""

    model_config = ConfigDict(extra="forbid")

    artifact_id: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$", description="the artifact's id, or another alias of it"
    )


class AliasRead(BaseModel):
    """A movable name of an artifact."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    artifact_id: str
    created_at: datetime
    updated_at: datetime


class Action(StrEnum):
    """What happened to a name."""

    SET = "set"  #: it is new
    MOVED = "moved"  #: it points elsewhere
    DELETED = "deleted"  #: it was taken away


class MoveRead(BaseModel):
    """One move of a name. An artifact that it tells of may be gone by now."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    name: str
    from_artifact_id: str | None = Field(description="where it pointed; null: there was no such name")
    to_artifact_id: str | None = Field(description="where it points since; null: it was taken away")
    at: datetime = Field(validation_alias="created_at")
    request_id: str = Field(description="of the request that moved it; the log tells the rest")
    key_id: str | None = Field(description="of the key that moved it; null for the root key, and without keys")

    @computed_field
    @property
    def action(self) -> Action:
        """What happened."""
        if self.from_artifact_id is None:
            return Action.SET
        return Action.DELETED if self.to_artifact_id is None else Action.MOVED
