"""Artifacts as they are shown: a line in a list, and the manifest."""

from datetime import datetime
from typing import Any

from pydantic import AliasPath, BaseModel, ConfigDict, Field

from registry.models import State


class ArtifactRead(BaseModel):
    """A distilled data set, in a line."""

    model_config = ConfigDict(from_attributes=True, validate_by_name=True, validate_by_alias=True)

    id: str
    digest: str = Field(description="sha256 of its file")
    kind: str = Field(description="how it is stored: images, memory or generator")
    dataset: str
    method: str | None
    ipc: int | None = Field(description="images per class of the budget that was asked for")
    ratio: float | None = Field(description="synthetic images over real training images")
    bytes: int = Field(validation_alias="content_bytes", description="size of its file")
    classes: list[str] = Field(validation_alias=AliasPath("header", "classes"))
    network: str | None = Field(description="the network whose accuracy stands for the artifact")
    accuracy: float | None = Field(description="on the real test images, 0..1; null until it is evaluated")
    accuracy_std: float | None
    job_id: str | None
    created_at: datetime


class Normalisation(BaseModel):
    """How pixels in [0, 1] become what networks see: (pixel - mean) / std, per channel."""

    mean: list[float]
    std: list[float]


class Budget(BaseModel):
    """What it takes, in the literature's measures."""

    ipc: int | None = Field(description="images per class that were asked for")
    bytes: int = Field(description="of all stored tensors")
    floats: int | None = Field(description="stored numbers, whatever their precision")
    images_per_class: int | None = Field(description="what a fixed set holds of each class; null: any number is served")


class Lineage(BaseModel):
    """Where it comes from. The same recipe, data, seed, code and kind of device make the same bytes."""

    job_id: str | None
    dataset: str
    dataset_digest: str
    licence: str | None
    code_version: str
    seed: int | None
    device: str | None


class EvaluationRead(BaseModel):
    """The artifact's score on one network, beside the baselines."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    network: str
    state: State
    progress: float
    accuracy: float | None
    accuracy_std: float | None
    config: dict[str, Any] = Field(description="how the network is trained, the same for all rows of `result`")
    result: dict[str, Any] | None = Field(
        description="distilled, random, centroid and full, each mean ± std over repeats"
    )
    error: dict[str, Any] | None


class Manifest(ArtifactRead):
    """All that is known of an artifact."""

    shape: list[int] = Field(description="[C, H, W]")
    normalisation: Normalisation
    config: dict[str, Any] = Field(description="options of its kind")
    recipe: dict[str, Any] = Field(description="fully expanded")
    budget: Budget
    lineage: Lineage
    aliases: list[str]
    evaluations: list[EvaluationRead]
