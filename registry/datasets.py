"""Datasets that users have registered. The built-in ones are in the catalog and never here."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from registry import blobs, errors
from registry.ids import new_id
from registry.models import LIVING, Artifact, Dataset, Job, Json
from registry.names import checked_name


def register(session: Session, *, name: str, digest: str, blob_digest: str, num_bytes: int, facts: Json) -> Dataset:
    """Record a dataset whose file lies in the store under `blob_digest`. Names that differ by case alone are the same.

    `digest` is that of the arrays; `facts` is `NpzFacts.to_json` with the licence. Raises InvalidName, NameTaken.
    """
    checked_name(name)
    blobs.record(session, blob_digest, num_bytes=num_bytes)
    dataset = Dataset(
        id=new_id("dataset"),
        name=name,
        key=name.lower(),
        digest=digest,
        blob_digest=blob_digest,
        num_bytes=num_bytes,
        facts=facts,
    )
    try:
        with session.begin_nested():
            session.add(dataset)
            session.flush()
    except IntegrityError as error:
        raise errors.NameTaken(f"A dataset named {name!r} is registered already; choose another name.") from error
    return dataset


def find(session: Session) -> Sequence[Dataset]:
    """All registered datasets by name."""
    return session.scalars(select(Dataset).order_by(Dataset.key)).all()


def get(session: Session, name: str) -> Dataset:
    """The dataset of this name in any case; raises NotFound."""
    dataset = session.scalar(select(Dataset).where(Dataset.key == name.lower()))
    if dataset is None:
        raise errors.NotFound(f"There is no registered dataset {name!r}; GET /v1/datasets lists the datasets.")
    return dataset


def delete(session: Session, name: str, *, force: bool = False) -> None:
    """Forget a dataset. Raises NotFound, or InUse while a living job or an artifact names it, unless `force`."""
    dataset = get(session, name)
    living = select(func.count()).select_from(Job).where(Job.dataset == dataset.key, Job.state.in_(LIVING))
    made = select(func.count()).select_from(Artifact)
    made = made.where(Artifact.dataset == dataset.key, Artifact.deleted_at.is_(None))
    num_jobs, num_artifacts = session.scalar(living) or 0, session.scalar(made) or 0
    if (num_jobs or num_artifacts) and not force:
        raise errors.InUse(
            f"Dataset {dataset.name!r} is named by {num_jobs} living jobs and {num_artifacts} artifacts; "
            "end and delete those first, or force the deletion."
        )
    session.delete(dataset)
    session.flush()
