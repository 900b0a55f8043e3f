"""The life of a validation: that of an evaluation, and its end is that of its dataset's waiting."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from registry import blobs, errors, leases
from registry.clock import utc_now
from registry.leases import Beat, Swept
from registry.models import Dataset, DatasetState, Json, State, Validation

WORKER_LOST = {
    **leases.WORKER_LOST,
    "detail": "Every worker that looked at the file stopped giving signs of life: killed, out of memory, or cut off "
    "from the database. Look at the workers' logs and at the size of the images, then send it again.",
}


@dataclass(frozen=True, kw_only=True)
class ValidationClaim:
    """What the holder of a validation needs. kind: of `distilled.kinds.Kind`. num_bytes: of what was sent."""

    validation_id: str
    attempt: int
    dataset: str
    upload_id: str | None
    kind: str
    num_bytes: int
    request_id: str
    traceparent: str | None


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """What a dataset is once it is ready. The blob lies in the store; facts are `NpzFacts.to_json`."""

    digest: str
    blob_digest: str
    num_bytes: int
    facts: Json


def get(session: Session, validation_id: str) -> Validation:
    """The validation with this id; raises NotFound."""
    validation = session.get(Validation, validation_id, populate_existing=True)
    if validation is None:
        raise errors.NotFound(f"There is no validation {validation_id!r}; its dataset may have been deleted.")
    return validation


def claim_next(
    session: Session,
    *,
    worker: str,
    device: str,
    lease_seconds: float,
    worker_pid: int | None = None,
) -> ValidationClaim | None:
    """Take the next queued validation. None: there is none."""
    next_id = leases.next_queued(session, Validation)
    if next_id is None:
        return None
    holder = {"worker": worker, "worker_pid": worker_pid, "device": device, "lease_seconds": lease_seconds}
    if not leases.take(session, Validation, next_id, **holder):
        return None
    validation = get(session, next_id)
    dataset = session.get_one(Dataset, validation.dataset_id)
    return ValidationClaim(
        validation_id=validation.id,
        attempt=validation.attempt,
        dataset=dataset.name,
        upload_id=validation.upload_id,
        kind=validation.kind,
        num_bytes=dataset.num_bytes,
        request_id=validation.request_id,
        traceparent=validation.traceparent,
    )


def beat(
    session: Session, validation_id: str, *, attempt: int, lease_seconds: float, progress: float | None = None
) -> Beat:
    """Renew the lease and report progress 0..1. The answer is CONTINUE, or LOST, also where the dataset was deleted."""
    return leases.beat(
        session, Validation, validation_id, attempt=attempt, lease_seconds=lease_seconds, progress=progress
    )


def accept(session: Session, validation_id: str, *, attempt: int, accepted: Accepted, report: Json) -> bool:
    """The dataset is ready from now on. False: no longer yours."""
    if not _end(session, validation_id, attempt=attempt, state=State.SUCCEEDED):
        return False
    blobs.record(session, accepted.blob_digest, num_bytes=accepted.num_bytes)
    dataset = _dataset(session, validation_id)
    dataset.state, dataset.report = DatasetState.READY, report
    dataset.digest, dataset.blob_digest = accepted.digest, accepted.blob_digest
    dataset.num_bytes, dataset.facts = accepted.num_bytes, {**dataset.facts, **accepted.facts}
    session.flush()
    return True


def refuse(session: Session, validation_id: str, *, attempt: int, report: Json) -> bool:
    """The file cannot be used, and the report says why. False: no longer yours."""
    if not _end(session, validation_id, attempt=attempt, state=State.FAILED, error=report.get("error")):
        return False
    _set_refused(session, validation_id, report)
    return True


def release(session: Session, validation_id: str, *, attempt: int) -> bool:
    """Give the validation back unfinished, without counting a loss. False: no longer yours."""
    return leases.release(session, Validation, validation_id, attempt=attempt)


def lose(session: Session, validation_id: str, *, attempt: int, error: Json) -> bool:
    """End the hold for a fault that is not the file's own: it is looked at again. False: no longer yours."""
    return leases.lose(session, Validation, validation_id, attempt=attempt, error=error)


def sweep(session: Session, *, max_attempts: int, rewake_seconds: float) -> Swept:
    """Queue again what a silent worker held, or refuse it at the `max_attempts`-th loss; name what to wake."""
    return leases.sweep(
        session,
        Validation,
        max_attempts=max_attempts,
        rewake_seconds=rewake_seconds,
        error=WORKER_LOST,
        on_failed=lambda failed: _set_refused(session, failed, {"error": get(session, failed).error}),
    )


def woken(session: Session, validation_id: str) -> None:
    """Note that a wake-up for this validation was sent now."""
    leases.woken(session, Validation, [validation_id])


def _dataset(session: Session, validation_id: str) -> Dataset:
    return session.get_one(Dataset, get(session, validation_id).dataset_id, populate_existing=True)


def _set_refused(session: Session, validation_id: str, report: Json) -> None:
    dataset = _dataset(session, validation_id)
    dataset.state, dataset.report = DatasetState.REFUSED, report
    session.flush()


def _end(session: Session, validation_id: str, *, attempt: int, state: State, error: Json | None = None) -> bool:
    values: Json = {"state": state, "error": error, "progress": 1.0, "ended_at": utc_now()}
    return leases.let_go(session, Validation, validation_id, attempt=attempt, values=values)
