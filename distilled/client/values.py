"""What the service says, as values: a job, an artifact, an event.

Each keeps the whole JSON under `document`, so that a field which a newer service adds is within reach.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias, cast

from distilled import transfer

Json: TypeAlias = dict[str, Any]  # a JSON object as it came over the wire; read it through the values below


class JobState(StrEnum):
    QUEUED = "queued"  #: waits for a worker
    RUNNING = "running"  #: a worker is distilling
    SUCCEEDED = "succeeded"  #: `artifact_id` names the result
    FAILED = "failed"  #: `error` says why
    CANCELLED = "cancelled"  #: called off


ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


class EventKind(StrEnum):
    STATE = "state"  #: the job changed its state
    PREPARING = "preparing"  #: what is made before the first step: what, done, total
    PROGRESS = "progress"  #: step, steps, loss, images a second, ETA
    METRICS = "metrics"  #: named figures of one step
    LOG = "log"  #: a line for people
    PICTURE = "picture"  #: a contact sheet of a step: GET …/pictures/{this event's id}.png


@dataclass(frozen=True, kw_only=True)
class Job:
    """A recipe on its way to an artifact. `progress` lies in 0..1; `eta_seconds` is None where nobody knows."""

    id: str
    state: JobState
    document: Json
    progress: float = 0.0
    step: int | None = None
    steps: int | None = None
    eta_seconds: float | None = None
    queue_position: int | None = None
    device: str | None = None
    artifact_id: str | None = None

    @classmethod
    def from_json(cls, document: Json) -> "Job":
        return cls(
            id=str(document["id"]),
            state=JobState(document["state"]),
            document=document,
            progress=float(document.get("progress") or 0.0),
            step=document.get("step"),
            steps=document.get("steps"),
            eta_seconds=document.get("eta_seconds"),
            queue_position=document.get("queue_position"),
            device=document.get("device"),
            artifact_id=document.get("artifact_id"),
        )

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def error(self) -> Json | None:
        """Why the job failed: `code`, `title`, `detail`."""
        return self.document.get("error")

    @property
    def recipe(self) -> Json:
        """The recipe with every default filled in."""
        return cast(Json, self.document.get("recipe") or {})


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A distilled dataset in the registry. `digest` is the sha256 of its file, in hex; `bytes` its size."""

    id: str
    digest: str
    bytes: int
    document: Json

    @classmethod
    def from_json(cls, document: Json) -> "Artifact":
        return cls(
            id=str(document["id"]), digest=str(document["digest"]), bytes=int(document["bytes"]), document=document
        )

    @property
    def dataset(self) -> str:
        """The name of the real dataset."""
        return str(self.document.get("dataset") or "")

    @property
    def method(self) -> str | None:
        """The preset; None where it was put together by hand."""
        return self.document.get("method")

    @property
    def ipc(self) -> int | None:
        """Images per class of the budget that was asked for."""
        return self.document.get("ipc")

    @property
    def classes(self) -> list[str]:
        return cast("list[str]", self.document.get("classes") or [])

    @property
    def evaluations(self) -> list[Json]:
        """One for each network: `network`, `state`, and `result` once it has ended."""
        return cast("list[Json]", self.document.get("evaluations") or [])

    @property
    def seen_networks(self) -> list[str]:
        """The networks that the distillation used."""
        return transfer.seen_networks(self.document.get("recipe") or {})

    @property
    def summary(self) -> list[Json]:
        """Means over the networks that have been evaluated, seen and unseen ones apart: `transfer.summaries`."""
        return transfer.summaries(self.evaluations, seen=self.seen_networks)


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a job. `id` is what `Last-Event-ID` resumes after."""

    id: str
    kind: EventKind
    data: Json

    @classmethod
    def from_json(cls, *, id: str, kind: EventKind, data: object) -> "Event":
        return cls(id=id, kind=kind, data=cast(Json, data) if isinstance(data, dict) else {"value": data})
