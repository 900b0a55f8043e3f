"""The moment a job's result becomes visible.

The blobs are in the store before; what happens here is one transaction, so a reader sees all of an artifact or none.
"""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from registry import artifacts, evaluations, leases
from registry.clock import utc_now
from registry.jobs.story import change
from registry.leases import mine
from registry.models import Artifact, EventKind, Job, Json, State


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A finished artifact whose blobs are in the store already.

    `digest` is the sha256 of the file and `content_bytes` its size; `payload_bytes` is what its tensors take, the
    measure of a budget. `header` is the manifest inside the file. `train_images` is the size of the real training set.
    """

    digest: str
    content_bytes: int
    payload_bytes: int
    kind: str
    header: Json
    preview_digest: str | None = None
    preview_bytes: int = 0
    train_images: int | None = None


def finish(session: Session, job_id: str, *, attempt: int, publication: Publication) -> Artifact | None:
    """Publish the artifact, queue its evaluations and end the job. None, and nothing changed: no longer yours.

    If an artifact of this digest exists, the job shares it. Wake the evaluations after the commit:
    `evaluations.of_artifact` names them.
    """
    job = session.get(Job, job_id, with_for_update=True, populate_existing=True)
    if job is None or job.state is not State.RUNNING or job.attempt != attempt:
        return None
    artifact = artifacts.publish(session, publication, job=job)
    config: Json = dict(job.recipe.get("evaluation") or {})
    evaluations.queue(
        session,
        artifact,
        networks=config.pop("networks", None) or [],
        config=config,
        seed=job.recipe.get("seed") or 0,
        request_id=job.request_id,
        priority=job.priority,
        key_id=job.key_id,
        due=job.due,  # whoever waited for the job waits for its figures
    )
    ending = {
        "state": State.SUCCEEDED,
        "artifact_id": artifact.id,
        "progress": 1.0,
        "eta_seconds": None,
        "error": None,
        "ended_at": utc_now(),
        **leases.letting_go(),
    }
    told = {"state": State.SUCCEEDED, "artifact_id": artifact.id}
    change(session, job_id, mine(Job, attempt=attempt), kind=EventKind.STATE, data=told, values=ending)
    leases.count_hold(session, Job, job_id)
    return artifact
