"""Jobs as they are shown."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.keys.schemas import QuotasRead
from registry.models import EventKind, Need, State

Recipe = dict[str, Any]


class JobError(BaseModel):
    """Why a job failed."""

    code: str = Field(description="stable name of the kind of failure", examples=["worker_lost"])
    title: str
    detail: str = Field(description="what happened, and what to do about it")


class JobRead(BaseModel):
    """A recipe on its way to an artifact."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    state: State
    queue_position: int | None = Field(
        default=None, description="1 for the job that is taken next of those with its `need`; null unless queued"
    )
    need: Need = Field(description="kind of device that it runs on")
    memory_bytes: int | None = Field(description="of the device's memory that it will take, as estimated")
    waiting_for: str | None = Field(
        default=None, description="what a queued job lacks that no live worker has, and what to do about it"
    )
    stage: str | None = Field(
        default=None, description="what a running job makes before its first step", examples=["training experts 3/10"]
    )
    helped_by: list[str] = Field(
        default_factory=list[str], description="other workers that are doing a portion of it, such as an expert"
    )
    progress: float = Field(ge=0, le=1)
    step: int | None
    steps: int | None
    eta_seconds: float | None
    attempt: int = Field(description="how often a worker has taken it")
    cancel_requested: bool
    device: str | None
    error: JobError | None
    artifact_id: str | None = Field(description="the result, once the job has succeeded")
    dataset: str
    method: str | None
    ipc: int | None = Field(description="images per class that the budget comes to")
    priority: int
    digest: str = Field(description="jobs with equal digests make equal artifacts")
    recipe: Recipe = Field(description="fully expanded")
    request_id: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    updated_at: datetime


class Match(StrEnum):
    """How much like this recipe those jobs were that an estimate follows from."""

    RECIPE = "recipe"  #: the same recipe, data and code
    OPTIONS = "options"  #: the same data set, budget and options; another seed or number of steps
    IPC = "ipc"  #: the same data set, method and images per class; other options
    METHOD = "method"  #: the same data set and method
    GUESS = "guess"  #: none has finished: a first guess, right in its order of magnitude if at all


class Basis(BaseModel):
    """What the seconds follow from. Those of jobs with other steps are taken in proportion."""

    jobs: int = Field(description="finished jobs that they follow from; 0: a first guess")
    match: Match
    devices: list[str] = Field(description="the kinds of device that those jobs, or the guess, are of")


class Estimate(BaseModel):
    """What a recipe will take."""

    need: Need = Field(description="kind of device that it will run on")
    bytes: int = Field(description="size of the stored tensors; exact")
    seconds: float = Field(description="from a worker's start to the artifact, without evaluations: the median")
    seconds_p90: float = Field(description="what nine of ten such jobs stay below")
    memory_bytes: int = Field(description="peak of the device's memory, or of the process on a CPU")
    memory_jobs: int = Field(description="finished jobs that reported it; 0: a first guess")
    queue_position: int = Field(description="1: it would be taken next")
    seconds_ahead: float | None = Field(description="until a worker is free for it; null: no worker is alive")
    basis: Basis


class DryRun(BaseModel):
    """What a recipe comes to; nothing was queued."""

    recipe: Recipe = Field(description="fully expanded")
    ipc: int = Field(description="images per class that the budget comes to")
    digest: str
    existing_job_id: str | None = Field(description="a living or succeeded job of an identical recipe")
    estimate: Estimate
    quotas: QuotasRead = Field(description="what the key that asks uses before it, and how much it may")


class MetricRead(BaseModel):
    """Measured values at one moment of a job."""

    model_config = ConfigDict(from_attributes=True)

    number: int = Field(description="of the event; ?cursor= goes on after it")
    kind: EventKind
    at: datetime = Field(validation_alias="created_at")
    data: dict[str, Any] = Field(description="step, and loss terms, accuracy, images_per_second, memory …")
