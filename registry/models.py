"""The tables, but for a job's history (`registry.histories`): no model imports another, so the schema can be read down.

Nothing is loaded lazily: a row carries its columns and no relationships, so it stays whole after its session ends.
Leases and heartbeats are floats, epoch seconds by the database's clock (`registry.clock`); every other time is UTC.
`key_id` is the key of who asked for it, and None where that was the root key or a service without keys. It is no
foreign key: history outlives the keys.
"""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from registry.clock import utc_now
from registry.histories import JobEvent as JobEvent  # noqa: PLC0414 -- whoever asks for tables finds them all here
from registry.histories import JobPicture as JobPicture  # noqa: PLC0414
from registry.rows import Base as Base  # noqa: PLC0414 -- migrations and tests ask this file for all tables
from registry.rows import Json as Json  # noqa: PLC0414
from registry.rows import Leased
from registry.states import ENDED as ENDED  # noqa: PLC0414 -- whoever asks for rows by their state finds its words here
from registry.states import LIVING as LIVING  # noqa: PLC0414
from registry.states import DatasetState, MessageState, Need, Outcome
from registry.states import EventKind as EventKind  # noqa: PLC0414
from registry.states import State as State  # noqa: PLC0414

DELETED, THERE = "deleted_at IS NOT NULL", "deleted_at IS NULL"


class Job(Leased, Base):
    """One recipe on its way to an artifact. The row is the job; messages in the queue only wake workers."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index(None, "state", "need", "due", "id"),
        Index(None, "state", "lease_until"),
        Index(None, "digest", "state"),
        Index(None, "dataset", "id"),
        Index(None, "state", "id"),
        Index(None, "method", "id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))  # of recipe, data and code: equal digests, equal results
    recipe: Mapped[Json]  # fully expanded
    dataset: Mapped[str] = mapped_column(String(96))  # lower-case
    method: Mapped[str | None] = mapped_column(String(64))  # the preset; None: put together by hand
    ipc: Mapped[int | None]  # images per class that the budget resolved to
    need: Mapped[Need] = mapped_column(default=Need.CPU)
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)  # of the device, as estimated; None: not known
    slices: Mapped[int] = mapped_column(default=1)  # parts that real batches are taken in, to need less memory
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    events: Mapped[int] = mapped_column(default=0)  # how many events were recorded, hence the last one's number
    step: Mapped[int | None]
    steps: Mapped[int | None]
    eta_seconds: Mapped[float | None]
    snapshot: Mapped[Json | None]  # {"key", "step"} of the newest snapshot in the store
    artifact_id: Mapped[str | None] = mapped_column(ForeignKey("artifacts.id", ondelete="SET NULL"), index=True)
    key_id: Mapped[str | None] = mapped_column(String(40), index=True)  # of the key that asked for it


class Artifact(Base):
    """A distilled dataset. Its content never changes; aliases, evaluations and deletion are beside it."""

    __tablename__ = "artifacts"
    __table_args__ = (
        Index(None, "accuracy", "id"),
        Index(None, "content_bytes", "id"),
        Index(None, "dataset", "id"),
        Index(None, "kind", "id"),
        Index(None, "method", "id"),
        # All that facets are counted by, so that no row with its long header is read for them.
        Index(None, "dataset", "method", "kind", "ipc", sqlite_where=text(THERE), postgresql_where=text(THERE)),
        # Partial: nearly every row has no deleted_at, and a planner that took this index for those would then sort.
        Index(None, "deleted_at", sqlite_where=text(DELETED), postgresql_where=text(DELETED)),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)  # sha256 of the file, and its address in the store
    kind: Mapped[str] = mapped_column(String(32))  # images, memory, generator
    dataset: Mapped[str] = mapped_column(String(96))  # lower-case
    dataset_digest: Mapped[str] = mapped_column(String(64))
    method: Mapped[str | None] = mapped_column(String(64))
    ipc: Mapped[int | None]
    num_classes: Mapped[int]
    train_images: Mapped[int | None]  # size of the real training set it stands for
    content_bytes: Mapped[int] = mapped_column(BigInteger)  # size of the file
    payload_bytes: Mapped[int] = mapped_column(BigInteger)  # size of its tensors: what budgets are compared by
    header: Mapped[Json]  # the manifest inside the file
    preview_digest: Mapped[str | None] = mapped_column(String(64))
    seed: Mapped[int | None] = mapped_column(BigInteger)
    code_version: Mapped[str] = mapped_column(String(64), default="")
    device: Mapped[str | None] = mapped_column(String(255))  # the one that made it
    job_id: Mapped[str | None] = mapped_column(String(40), index=True)  # the first job that made it
    primary_network: Mapped[str | None] = mapped_column(String(64))  # whose accuracy will stand for the artifact
    network: Mapped[str | None] = mapped_column(String(64))  # the same, once that evaluation has succeeded
    accuracy: Mapped[float | None]
    accuracy_std: Mapped[float | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    deleted_at: Mapped[datetime | None]

    @property
    def ratio(self) -> float | None:
        """Synthetic images over real training images, where both are known."""
        if self.ipc is None or not self.train_images:
            return None
        return self.ipc * self.num_classes / self.train_images


class ArtifactClass(Base):
    """A class that an artifact holds, so that artifacts can be found by it."""

    __tablename__ = "artifact_classes"
    __table_args__ = (Index(None, "name", "artifact_id"),)

    artifact_id: Mapped[str] = mapped_column(ForeignKey("artifacts.id", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(255))


class Evaluation(Leased, Base):
    """One artifact's score on one network under one training recipe."""

    queue: ClassVar[str] = "evaluate"  # that its wake-ups go to
    __tablename__ = "evaluations"
    __table_args__ = (
        UniqueConstraint("artifact_id", "network", "config_digest"),
        Index(None, "state", "due", "id"),
        Index(None, "state", "lease_until"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    artifact_id: Mapped[str] = mapped_column(ForeignKey("artifacts.id", ondelete="CASCADE"))
    network: Mapped[str] = mapped_column(String(64))
    config: Mapped[Json]  # the recipe's evaluation without its networks
    config_digest: Mapped[str] = mapped_column(String(64))
    seed: Mapped[int] = mapped_column(BigInteger, default=0)
    result: Mapped[Json | None]
    accuracy: Mapped[float | None]
    accuracy_std: Mapped[float | None]
    key_id: Mapped[str | None] = mapped_column(String(40), index=True)  # of the key that asked for it


class Portion(Leased, Base):
    """A part of the work on jobs and evaluations that any worker may do (`registry.portions`)."""

    queue: ClassVar[str] = Evaluation.queue
    __tablename__ = "portions"
    __table_args__ = (Index(None, "state", "due", "id"), Index(None, "state", "lease_until"))

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)  # of what it follows from: equal keys, equal results
    what: Mapped[Json]  # which one it is, for who does it
    device_kind: Mapped[str] = mapped_column(String(16))  # cpu, cuda: the only kind that may do it
    result: Mapped[Json | None]  # None also where it lies in the store


class PortionOwner(Base):
    """A job or an evaluation that needs a portion. No foreign key: it may be of either table."""

    __tablename__ = "portion_owners"

    portion_id: Mapped[str] = mapped_column(ForeignKey("portions.id", ondelete="CASCADE"), primary_key=True)
    owner_id: Mapped[str] = mapped_column(String(40), primary_key=True, index=True)


class Baseline(Base):
    """The accuracy of random, centroid or full real data, measured once for each key and used again."""

    __tablename__ = "baselines"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    score: Mapped[Json]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Alias(Base):
    """A movable name of an artifact."""

    __tablename__ = "aliases"

    name: Mapped[str] = mapped_column(String(96), primary_key=True)
    artifact_id: Mapped[str] = mapped_column(ForeignKey("artifacts.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)


class AliasMove(Base):
    """One line in a name's history: whence and whither. It outlives the name, and the artifacts that it names."""

    __tablename__ = "alias_moves"
    __table_args__ = (Index(None, "name", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(96))
    from_artifact_id: Mapped[str | None] = mapped_column(String(40))  # None: there was no such name
    to_artifact_id: Mapped[str | None] = mapped_column(String(40))  # None: the name was taken away
    request_id: Mapped[str] = mapped_column(String(128), default="")
    key_id: Mapped[str | None] = mapped_column(String(64))  # of the key that moved it
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class WebhookMessage(Base):
    """What is told at an address when a job ends: written with the job's end, sent after it until it has arrived."""

    __tablename__ = "webhook_messages"
    __table_args__ = (Index(None, "job_id", "id"), Index(None, "state", "next_at"))

    id: Mapped[str] = mapped_column(String(40), primary_key=True)  # the same at every attempt
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    url: Mapped[str] = mapped_column(String(2048))
    state: Mapped[MessageState] = mapped_column(default=MessageState.WAITING)
    body: Mapped[Json | None]  # what is sent; None while the job lives
    attempts: Mapped[int] = mapped_column(default=0)  # how often sending has begun
    next_at: Mapped[float | None]  # epoch seconds by the database's clock; None: not to be sent
    status: Mapped[int | None]  # HTTP status of the last answer
    error: Mapped[str | None] = mapped_column(String(500))  # why the last attempt failed
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    ended_at: Mapped[datetime | None]  # when it was delivered or given up


class Dataset(Base):
    """A registered dataset: facts here, its npz in the store under `blob_digest` once it is ready."""

    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(96))  # as it was written
    key: Mapped[str] = mapped_column(String(96), unique=True)  # in lower case: names differ by more than case
    state: Mapped[DatasetState] = mapped_column(default=DatasetState.READY)
    digest: Mapped[str | None] = mapped_column(String(64))  # of the arrays; None until it is ready
    blob_digest: Mapped[str | None] = mapped_column(String(64))  # of the npz; None until it is ready
    num_bytes: Mapped[int] = mapped_column(BigInteger)  # of the npz; of what was sent until it is ready
    facts: Mapped[Json]  # the licence, and distilled.npz.NpzFacts.to_json once it is ready
    report: Mapped[Json | None]  # what validation found, as `distilled.report` has it
    key_id: Mapped[str | None] = mapped_column(String(40), index=True)  # of the key that sent it
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class SharedDataset(Base):
    """A built-in dataset that a worker had and put into the store as an npz, for the workers that lack it."""

    __tablename__ = "shared_datasets"

    name: Mapped[str] = mapped_column(String(96), primary_key=True)  # lower case, without `_` and `-`
    digest: Mapped[str] = mapped_column(String(64))  # of the arrays
    blob_digest: Mapped[str] = mapped_column(String(64))  # of the npz
    num_bytes: Mapped[int] = mapped_column(BigInteger)  # of the npz
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Upload(Base):
    """A file on its way in pieces. They lie in the store until it has become a dataset, or for too long."""

    __tablename__ = "uploads"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    length: Mapped[int] = mapped_column(BigInteger)  # bytes of the whole file
    offset: Mapped[int] = mapped_column(BigInteger, default=0)  # bytes that are in the store
    told: Mapped[str] = mapped_column(String(4096), default="")  # Upload-Metadata as the client wrote it
    expires: Mapped[float] = mapped_column(index=True)  # epoch seconds by the database's clock
    key_id: Mapped[str | None] = mapped_column(String(40), index=True)  # of the key that sends it
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class UploadPart(Base):
    """A piece of an upload: an object in the store. All but the last one are of one size."""

    __tablename__ = "upload_parts"

    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # from 0
    key: Mapped[str] = mapped_column(String(128))  # of a named object
    num_bytes: Mapped[int] = mapped_column(BigInteger)


class Validation(Leased, Base):
    """A look at what was sent for a dataset, on its way to the npz that workers read."""

    queue: ClassVar[str] = "validate"
    __tablename__ = "validations"
    __table_args__ = (Index(None, "state", "due", "id"), Index(None, "state", "lease_until"))

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), unique=True)
    upload_id: Mapped[str | None] = mapped_column(ForeignKey("uploads.id", ondelete="SET NULL"), index=True)
    kind: Mapped[str] = mapped_column(String(16))  # distilled.kinds.Kind


class Blob(Base):
    """A blob in the store that some row has named, so that what nothing names any more can be swept."""

    __tablename__ = "blobs"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    num_bytes: Mapped[int] = mapped_column(BigInteger)
    named_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)


class IdempotencyKey(Base):
    """What a request was answered, so that its repetition is answered the same. No status: still in flight."""

    __tablename__ = "idempotency_keys"

    scope: Mapped[str] = mapped_column(String(128), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    body_digest: Mapped[str] = mapped_column(String(64))
    status: Mapped[int | None]
    headers: Mapped[Json | None]
    body: Mapped[Json | None]
    created: Mapped[float] = mapped_column(index=True)  # epoch seconds by the database's clock


class Worker(Base):
    """A worker process and its last sign of life."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    device: Mapped[str] = mapped_column(String(255))
    hostname: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    version: Mapped[str] = mapped_column(String(64), default="")  # of the code it runs
    queues: Mapped[list[Any]] = mapped_column(default=list)  # names of those that it takes from
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)  # that a job may take of its device; None: not known
    cache_bytes: Mapped[int | None] = mapped_column(BigInteger)  # of copies of the store, for all of its machine
    heartbeat: Mapped[float] = mapped_column(index=True)
    started_at: Mapped[datetime] = mapped_column(default=utc_now)


class Total(Base):
    """A sum that only ever grows (`registry.totals`)."""

    __tablename__ = "totals"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    labels: Mapped[str] = mapped_column(String(255), primary_key=True)  # JSON, in the order of the names
    value: Mapped[float] = mapped_column(default=0.0)


class ApiKey(Base):
    """A key that callers hold. What they send is kept nowhere: only its sha256 is."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(96))
    prefix: Mapped[str] = mapped_column(String(16))  # how the secret begins, so that people know it again
    secret_digest: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[Any]]  # registry.scopes.Scope
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires: Mapped[float | None]  # epoch seconds by the database's clock; None: never
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]  # written about once a minute
    rotated_from: Mapped[str | None] = mapped_column(String(40))  # the key that this one takes the place of
    # Limits of its own (`registry.quotas`); 0: any amount; None: what the settings say.
    most_jobs: Mapped[int | None]
    most_device_seconds: Mapped[float | None]
    most_bytes: Mapped[int | None] = mapped_column(BigInteger)


class KeyUsage(Base):
    """How long a key's jobs and evaluations held devices on a day, of the holds that have ended."""

    __tablename__ = "key_usage"

    key_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # counted from 1970, UTC
    device_seconds: Mapped[float] = mapped_column(default=0.0)


class AuditEvent(Base):
    """Who did what: written with the change itself, or with the refusal. It outlives the key and the target."""

    __tablename__ = "audit_events"
    __table_args__ = (Index(None, "key_id", "id"), Index(None, "action", "id"), Index(None, "target", "id"))

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    key_id: Mapped[str | None] = mapped_column(String(40))  # None: root, or a service without keys
    key_name: Mapped[str] = mapped_column(String(96))
    action: Mapped[str] = mapped_column(String(64))  # such as job.submit
    target: Mapped[str] = mapped_column(String(255), default="")  # the id or name of what it was done to
    outcome: Mapped[Outcome]
    reason: Mapped[str | None] = mapped_column(String(64))  # of a refusal: the kind of problem it was answered with
    request_id: Mapped[str] = mapped_column(String(128), default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
