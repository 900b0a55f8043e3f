"""Artifacts: published once, read for ever, deleted softly. `registry.finding` holds the query over them."""

from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from registry import blobs, errors
from registry.clock import utc_now
from registry.finding import Facets, Filters, Sort, facets, find
from registry.ids import is_id, new_id
from registry.models import LIVING, Alias, Artifact, ArtifactClass, Job, Json

if TYPE_CHECKING:
    from registry.jobs.publishing import Publication

__all__ = [
    "Facets",
    "Filters",
    "Sort",
    "classes",
    "delete",
    "facets",
    "find",
    "get",
    "id_of",
    "publish",
    "restore",
]


def publish(session: Session, publication: "Publication", *, job: Job) -> Artifact:
    """Record a finished artifact, or give back the one of this digest, undeleted. `jobs.finish` calls this."""
    blobs.record(session, publication.digest, num_bytes=publication.content_bytes)
    if publication.preview_digest is not None:
        blobs.record(session, publication.preview_digest, num_bytes=publication.preview_bytes)
    artifact = _by_digest(session, publication.digest)
    if artifact is None:
        try:
            with session.begin_nested():
                return _insert(session, publication, job=job)
        except IntegrityError:  # another job has published the same bytes since we looked
            artifact = _by_digest(session, publication.digest)
            if artifact is None:
                raise
    artifact.deleted_at = None
    session.flush()
    return artifact


def get(session: Session, id_or_alias: str, *, deleted: bool = False, hold: bool = False) -> Artifact:
    """The artifact under an id or an alias. Raises NotFound, also for a deleted one unless `deleted`.

    hold: nobody can delete it before this transaction has ended.
    """
    artifact_id = id_or_alias
    if not is_id(id_or_alias, kind="artifact"):
        named = session.scalar(select(Alias.artifact_id).where(Alias.name == id_or_alias))
        if named is None:
            raise errors.NotFound(f"There is no artifact with the id or alias {id_or_alias!r}; list the artifacts.")
        artifact_id = named
    lock = {"read": True} if hold else None
    artifact = session.get(Artifact, artifact_id, with_for_update=lock, populate_existing=hold)
    if artifact is None or (artifact.deleted_at is not None and not deleted):
        raise errors.NotFound(f"There is no artifact {artifact_id!r}, or it was deleted; list the artifacts.")
    return artifact


def id_of(session: Session, digest: str) -> str | None:
    """The id of the artifact whose file has this sha256 (hex), also of a deleted one; None where there is none."""
    return session.scalar(select(Artifact.id).where(Artifact.digest == digest))


def classes(session: Session, artifact_id: str) -> list[str]:
    """The names of the classes it holds, by index."""
    named = select(ArtifactClass.name).where(ArtifactClass.artifact_id == artifact_id).order_by(ArtifactClass.index)
    return list(session.scalars(named))


def delete(session: Session, artifact_id: str) -> Artifact:
    """Hide an artifact until `restore` or a sweep (`registry.sweeping`).

    Raises NotFound, or InUse naming the aliases that point to it or a living job that continues it.
    """
    artifact = session.get(Artifact, artifact_id, with_for_update=True)
    if artifact is None or artifact.deleted_at is not None:
        raise errors.NotFound(f"There is no artifact {artifact_id!r}, or it was deleted already.")
    names = session.scalars(select(Alias.name).where(Alias.artifact_id == artifact_id).order_by(Alias.name)).all()
    if names:
        shown = ", ".join(names)
        raise errors.InUse(f"Artifact {artifact_id} is named by the alias {shown}; move or delete the alias first.")
    continuing = select(Job.id).where(Job.state.in_(LIVING), Job.recipe["base_artifact"].as_string() == artifact_id)
    job_id = session.scalar(continuing.order_by(Job.id).limit(1))
    if job_id is not None:
        raise errors.InUse(f"Artifact {artifact_id} is the base of job {job_id}; cancel that, or wait for its end.")
    artifact.deleted_at = utc_now()
    session.flush()
    return artifact


def restore(session: Session, artifact_id: str) -> Artifact:
    """Take back a deletion; of one that was not deleted nothing changes. Raises NotFound for one that was swept."""
    # Locked: of a restoration and a sweep at the same time one comes first, and the other sees what it has done.
    artifact = session.get(Artifact, artifact_id, with_for_update=True, populate_existing=True)
    if artifact is None:
        raise errors.NotFound(f"There is no artifact {artifact_id!r}, or it has been swept for good; distil it again.")
    artifact.deleted_at = None
    session.flush()
    return artifact


def _by_digest(session: Session, digest: str) -> Artifact | None:
    same = select(Artifact).where(Artifact.digest == digest).with_for_update()
    return session.scalar(same, execution_options={"populate_existing": True})


def _insert(session: Session, publication: "Publication", *, job: Job) -> Artifact:
    header: Json = publication.header
    names: list[str] = header["classes"]
    dataset: Json = header["dataset"]
    networks: list[str] = (job.recipe.get("evaluation") or {}).get("networks") or []
    artifact = Artifact(
        id=new_id("artifact"),
        digest=publication.digest,
        kind=publication.kind,
        dataset=str(dataset["name"]).lower(),
        dataset_digest=dataset["digest"],
        method=job.method,
        ipc=header.get("ipc"),
        num_classes=len(names),
        train_images=publication.train_images,
        content_bytes=publication.content_bytes,
        payload_bytes=publication.payload_bytes,
        header=header,
        preview_digest=publication.preview_digest,
        seed=header.get("seed"),
        code_version=header.get("code_version") or "",
        device=job.device,
        job_id=job.id,
        primary_network=networks[0] if networks else None,
    )
    session.add(artifact)
    session.flush()
    session.add_all(ArtifactClass(artifact_id=artifact.id, index=i, name=name) for i, name in enumerate(names))
    session.flush()
    return artifact
