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
    deleted_at: datetime | None = Field(description="when it was deleted; it can be restored until the sweep")


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


class Serves(BaseModel):
    """What one request for samples may ask for, of all classes at once."""

    images_per_class: int = Field(description="at most; a generator is bounded by the size of an answer alone")
    ratio: float | None = Field(description="the same as a share of the real training images; null: unknown how many")


class PartRead(BaseModel):
    """A data set whose classes an artifact holds."""

    name: str
    digest: str
    licence: str | None = None
    classes: int = Field(description="how many classes it brought, in the order of the artifact's")


class BaseRead(BaseModel):
    """The memory that an artifact continues."""

    digest: str = Field(description="sha256 of its file")
    datasets: list[PartRead] = Field(description="what it was made from, the oldest first")


class Lineage(BaseModel):
    """Where it comes from. The same recipe, data, seed, code and kind of device make the same bytes."""

    job_id: str | None
    dataset: str
    dataset_digest: str
    licence: str | None
    code_version: str
    seed: int | None
    device: str | None
    base: BaseRead | None = Field(description="of a memory that continues another; else null")


class EvaluationRead(BaseModel):
    """The artifact's score on one network, beside the baselines."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    network: str
    state: State
    progress: float = Field(ge=0, le=1)
    attempt: int = Field(description="how often a worker has taken it")
    accuracy: float | None
    accuracy_std: float | None
    config: dict[str, Any] = Field(description="how the network is trained, the same for all rows of `result`")
    result: dict[str, Any] | None = Field(
        description="distilled, random, centroid and full, each mean ± std over repeats"
    )
    error: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class ScoreRead(BaseModel):
    """Test accuracy in 0..1, the mean over networks."""

    mean: float
    std: float | None = Field(description="of that mean over repeats; null where the networks differ in their number")


class GroupRead(BaseModel):
    """What an artifact is worth on several networks. A score is null where one of the networks lacks it."""

    networks: list[str]
    distilled: dict[str, ScoreRead] = Field(
        description="by `hard` and by `soft` labels; of a generator also `fresh`, `fresh_soft`: new images at each step"
    )
    random: ScoreRead | None
    centroid: ScoreRead | None
    full: ScoreRead | None


class SummaryRead(BaseModel):
    """Means over the networks that were trained alike, those that the distillation used and the others apart."""

    config: dict[str, Any] = Field(description="how the networks were trained")
    absent: list[str] = Field(description="classes they were not tested on, because their data are gone")
    seen: GroupRead | None = Field(description="networks that the distillation used; null: none of them was measured")
    unseen: GroupRead | None = Field(description="networks that it did not use; null: none was measured")
    all: GroupRead


class Manifest(ArtifactRead):
    """All that is known of an artifact."""

    shape: list[int] = Field(description="[C, H, W]")
    normalisation: Normalisation
    config: dict[str, Any] = Field(description="options of its kind")
    recipe: dict[str, Any] = Field(description="fully expanded")
    budget: Budget
    serves: Serves
    lineage: Lineage
    aliases: list[str]
    evaluations: list[EvaluationRead]
    seen_networks: list[str] = Field(description="the networks that the distillation used")
    summary: list[SummaryRead] = Field(description="of the evaluations that have succeeded: one for each `config`")
