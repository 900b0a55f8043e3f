"""Aliases as they are sent and shown."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


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
