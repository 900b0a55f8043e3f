"""Which blobs in the store some row has ever named, so that those that none names any more can be swept."""

from datetime import timedelta

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from registry.clock import utc_now
from registry.models import Artifact, Blob, Dataset
from registry.session import lock_word


def record(session: Session, digest: str, *, num_bytes: int) -> None:
    """Note that a row is about to name this blob, which lies in the store already."""
    lock_word(session, f"blob {digest}")
    known = update(Blob).where(Blob.digest == digest).values(named_at=utc_now()).returning(Blob.digest)
    if session.scalar(known) is None:
        session.add(Blob(digest=digest, num_bytes=num_bytes))
        session.flush()


def orphans(session: Session, *, grace_seconds: float) -> list[str]:
    """The digests that nothing names any more, and that nothing has named for so long."""
    limit = utc_now() - timedelta(seconds=grace_seconds)
    named = (
        exists().where(Artifact.digest == Blob.digest),
        exists().where(Artifact.preview_digest == Blob.digest),
        exists().where(Dataset.blob_digest == Blob.digest),
    )
    lost = select(Blob.digest).where(Blob.named_at < limit, *(~by for by in named))
    return list(session.scalars(lost.order_by(Blob.digest)))


def forget(session: Session, digest: str) -> None:
    """Strike a blob off, in the transaction in which it is deleted from the store."""
    session.execute(delete(Blob).where(Blob.digest == digest))
