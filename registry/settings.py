"""What the service may be told from outside: `DISTILLED_*` variables, read once, frozen, and passed down.

Everything has a default under `home`, so that one machine needs no setting; a cluster changes three URLs.
"""

from enum import StrEnum
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

#: Of waiting, that a level of priority is worth.
LEVEL_SECONDS = 600.0


class LogFormat(StrEnum):
    """How lines are logged."""

    AUTO = "auto"  #: words on a terminal, JSON elsewhere
    JSON = "json"
    TEXT = "text"


class Settings(BaseSettings):
    """Read from the environment when constructed; keyword arguments win over the environment."""

    model_config = SettingsConfigDict(env_prefix="DISTILLED_", frozen=True, extra="ignore")

    home: Path = Field(
        default_factory=lambda: Path.home() / ".distilled", description="folder of everything a single machine keeps"
    )
    database_url: str = Field(
        default_factory=lambda values: f"sqlite:///{_absolute(values['home'])}/registry.db",
        description="registry: sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME",
    )
    broker_url: str = Field(default="filesystem://", description="wake-ups: filesystem://, redis:// or amqp://")
    store_url: str = Field(
        default_factory=lambda values: (_absolute(values["home"]) / "store").as_uri(),
        description="blobs: file:///FOLDER, s3://BUCKET/PREFIX?endpoint=URL, gs://, az:// or memory://",
    )
    data_dir: Path = Field(
        default_factory=lambda values: _absolute(values["home"]) / "data",
        description="folder of the real datasets' files",
    )

    lease_seconds: float = Field(default=60.0, gt=0, description="a worker that is silent for so long has lost its job")
    heartbeat_seconds: float = Field(default=10.0, gt=0, description="time between a worker's signs of life")
    cancel_poll_seconds: float = Field(
        default=1.0, gt=0, description="time between a worker's looks at the cancel flag"
    )
    sweep_seconds: float = Field(default=15.0, gt=0, description="time between two sweeps for lost jobs")
    rewake_seconds: float = Field(default=30.0, gt=0, description="a queued job is woken again after so long")
    priority_seconds: float = Field(
        default=LEVEL_SECONDS, ge=0, le=1e6, description="waiting so long is worth one level of priority"
    )
    max_attempts: int = Field(default=3, ge=1, description="workers that a job may lose before it is failed")
    max_upload_bytes: int = Field(default=4 * 1024**3, ge=1, description="largest dataset upload, in bytes")
    max_open_uploads: int = Field(default=16, ge=1, description="resumable uploads that may be open at once")
    upload_hours: float = Field(default=24.0, gt=0, description="an upload that gets no bytes for so long is removed")
    idempotency_hours: float = Field(default=24.0, gt=0, description="how long an Idempotency-Key is remembered")

    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="least level logged")
    log_format: LogFormat = Field(default=LogFormat.AUTO, description="json, text, or auto: text on a terminal")
    tracing: bool = Field(default=False, description="send traces, also where OTEL_EXPORTER_OTLP_ENDPOINT is not set")

    @property
    def queue_dir(self) -> Path:
        """Folder of the filesystem:// broker; unused with any other broker."""
        return _absolute(self.home) / "queue"


def _absolute(path: Path) -> Path:
    """The same place whatever the working folder of the process that reads the setting later."""
    return path.expanduser().absolute()
