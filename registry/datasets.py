"""Datasets that users have registered. The built-in ones are in the catalog and never here."""

from collections.abc import Sequence

from sqlalchemy import delete as sql_delete
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from registry import blobs, errors, uploads
from registry.ids import new_id
from registry.models import LIVING, Artifact, Dataset, DatasetState, Job, Json, Validation
from registry.names import checked_name
from registry.session import lock_word


def register(
    session: Session,
    *,
    name: str,
    digest: str,
    blob_digest: str,
    num_bytes: int,
    facts: Json,
    report: Json | None = None,
    key_id: str | None = None,
) -> Dataset:
    """Record a dataset whose file lies in the store under `blob_digest`. Names that differ by case alone are the same.

    `digest` is that of the arrays; `facts` is `NpzFacts.to_json` with the licence; `key_id` is who sent it.
    Raises InvalidName, NameTaken.
    """
    blobs.record(session, blob_digest, num_bytes=num_bytes)
    about = {"facts": facts, "report": report, "key_id": key_id}
    made = Dataset(digest=digest, blob_digest=blob_digest, num_bytes=num_bytes, **about)
    return _named(session, made, name)


def await_validation(
    session: Session,
    *,
    name: str,
    kind: str,
    upload_id: str,
    licence: str | None,
    request_id: str,
    key_id: str | None = None,
) -> tuple[Dataset, str]:
    """Record a dataset that a worker is to make from a whole upload, and the id of the validation to wake for.

    Raises NotFound for the upload, OffsetMoved where it is not whole, InUse, InvalidName, NameTaken.
    """
    lock_word(session, f"upload {upload_id}")  # two at once would both find it free
    upload = uploads.get(session, upload_id)
    if upload.offset < upload.length:
        raise errors.OffsetMoved(
            f"Upload {upload_id} has {upload.offset} of {upload.length} bytes; send the rest before it is used."
        )
    uploads.check_free(session, upload_id)
    made = Dataset(state=DatasetState.VALIDATING, num_bytes=upload.length, facts={"licence": licence}, key_id=key_id)
    dataset = _named(session, made, name)
    validation = Validation(
        id=new_id("validation"), dataset_id=dataset.id, upload_id=upload_id, kind=kind, request_id=request_id
    )
    session.add(validation)
    session.flush()
    return dataset, validation.id


def check_free(session: Session, name: str) -> None:
    """Raises NameTaken where a dataset has this name that is not refused; `register` looks again."""
    state = session.scalar(select(Dataset.state).where(Dataset.key == name.lower()))
    if state is not None and state is not DatasetState.REFUSED:
        raise _taken(name)


def progress(session: Session, dataset_ids: Sequence[str]) -> dict[str, float]:
    """How far the validations of these datasets are, 0..1, for those that have one."""
    asked = select(Validation.dataset_id, Validation.progress).where(Validation.dataset_id.in_(dataset_ids))
    return {dataset_id: done for dataset_id, done in session.execute(asked)}


def _named(session: Session, made: Dataset, name: str) -> Dataset:
    """Insert it under a name. A dataset that was refused gives up its name: it holds nothing."""
    checked_name(name)
    made.id, made.name, made.key = new_id("dataset"), name, name.lower()
    refused = (Dataset.key == made.key) & (Dataset.state == DatasetState.REFUSED)
    session.execute(sql_delete(Dataset).where(refused))
    try:
        with session.begin_nested():
            session.add(made)
            session.flush()
    except IntegrityError as error:
        raise _taken(name) from error
    return made


def _taken(name: str) -> errors.NameTaken:
    return errors.NameTaken(f"A dataset named {name!r} is registered already; choose another name.")


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
