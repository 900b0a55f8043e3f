"""What a worker may be told from outside, beside what the whole service is told (`registry.settings`)."""

from pydantic import Field, field_validator

from registry.settings import Settings
from registry.workers import EVERY_QUEUE


class WorkerSettings(Settings):
    """Read from `DISTILLED_*` when constructed; keyword arguments win over the environment."""

    device: str = Field(default="", description="torch device such as cpu or cuda:1; empty: cuda if there is one")
    queues: str = Field(
        default="", description="what it takes: cpu, gpu, evaluate, validate, with commas between; empty: by its device"
    )
    memory_bytes: int = Field(default=0, ge=0, description="device memory that a job may take; 0: all there is")
    torch_threads: int = Field(default=0, ge=0, description="CPU threads of a job; 0: as many as there are cores")
    nice: int = Field(default=10, ge=0, le=19, description="how far the work steps back for whatever else runs here")
    snapshot_seconds: float = Field(default=60.0, ge=0, description="time between two snapshots of a running job")
    snapshot_every: int = Field(default=10, ge=1, description="a snapshot is possible after each so many steps")
    progress_seconds: float = Field(default=0.5, ge=0, description="shortest time between two reports of progress")
    picture_seconds: float = Field(
        default=2.0, ge=0, description="shortest time between two pictures of what a job is learning; 0: none are made"
    )
    cancel_grace_seconds: float = Field(
        default=2.0, gt=0, description="a cancelled job still in its step after so long is ended with its process"
    )
    stop_grace_seconds: float = Field(
        default=5.0, gt=0, description="a job without a snapshot so long after SIGTERM goes back to its last one"
    )
    validation_seconds: float = Field(
        default=3600.0, gt=0, description="an upload that takes longer to validate is refused"
    )
    validation_memory_bytes: int = Field(
        default=2 * 1024**3, ge=256 * 1024**2, description="an upload that takes more memory to open is refused"
    )
    download: bool = Field(default=True, description="whether missing built-in datasets may be downloaded")
    share_seconds: float = Field(
        default=20.0, ge=0, description="idle workers are called to help where the rest of the work takes longer"
    )
    worker_cache_bytes: int = Field(
        default=10 * 1024**3, ge=0, description="copies of what was taken from the store; the longest unused go first"
    )

    @property
    def queue_names(self) -> tuple[str, ...]:
        """The queues that it is told to take from; none: by its device."""
        return tuple(name.strip() for name in self.queues.split(",") if name.strip())

    @field_validator("queues")
    @classmethod
    def _are_known(cls, value: str) -> str:
        unknown = [name for name in value.split(",") if name.strip() and name.strip() not in EVERY_QUEUE]
        if unknown:
            raise ValueError(f"unknown queue {unknown[0].strip()!r}; known are: {', '.join(EVERY_QUEUE)}")
        return value
