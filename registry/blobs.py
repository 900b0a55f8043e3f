"""Which blobs in the store some row names, so that those that none names any more can be swept.

Whoever names a blob puts it into the store first, then in one transaction calls `record`, writes the row, and makes
sure with `Store.exists` that the blob is still there, putting it again if not: a sweep may have taken an old one of the
same bytes since it was put. From `record` to the commit no sweep touches it.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, delete, exists, or_, select, update
from sqlalchemy.orm import Session

from registry.clock import utc_now
from registry.models import Alias, Artifact, Blob, Dataset, SharedDataset
from registry.session import lock_word


def record(session: Session, digest: str, *, num_bytes: int) -> None:
    """Note that a row is about to name this blob, which lies in the store already."""
    _lock(session, digest)
    known = update(Blob).where(Blob.digest == digest).values(named_at=utc_now()).returning(Blob.digest)
    if session.scalar(known) is None:
        session.add(Blob(digest=digest, num_bytes=num_bytes))
        session.flush()


def kept(session: Session, digests: Collection[str], *, before: datetime, doomed: ColumnElement[bool]) -> set[str]:
    """Those of these blobs that must stay: a row names them, or did so after `before`.

    Artifacts that are `doomed` count for nothing.
    """
    held = or_(Artifact.digest.in_(digests), Artifact.preview_digest.in_(digests))
    found: set[str] = set()
    for model in (Dataset, SharedDataset):
        named = session.scalars(select(model.blob_digest).where(model.blob_digest.in_(digests)))
        found.update(digest for digest in named if digest is not None)
    found.update(session.scalars(select(Blob.digest).where(Blob.digest.in_(digests), Blob.named_at >= before)))
    for row in session.execute(select(Artifact.digest, Artifact.preview_digest).where(held, ~doomed)):
        found.update(digest for digest in row if digest is not None)
    return found


def lost(session: Session, *, before: datetime) -> list[str]:
    """The digests on record that nothing names any more, and that nothing has named since `before`."""
    named = (
        exists().where(Artifact.digest == Blob.digest),
        exists().where(Artifact.preview_digest == Blob.digest),
        exists().where(Dataset.blob_digest == Blob.digest),
        exists().where(SharedDataset.blob_digest == Blob.digest),
    )
    unnamed = select(Blob.digest).where(Blob.named_at < before, *(~by for by in named))
    return list(session.scalars(unnamed.order_by(Blob.digest)))


def strike(session: Session, digest: str, *, before: datetime) -> bool:
    """Strike a blob off, if nothing names it now; delete it from the store in the same transaction. False: it stays.

    What dies between the two leaves a row without bytes, which is `lost` to the next sweep, or without a row bytes that
    it finds in the store.
    """
    _lock(session, digest)
    if kept(session, [digest], before=before, doomed=nothing()):
        return False
    session.execute(delete(Blob).where(Blob.digest == digest))
    return True


def nothing() -> ColumnElement[bool]:
    """No artifact is doomed."""
    return Artifact.id.is_(None)


def doomed(*, before: datetime) -> ColumnElement[bool]:
    """The artifacts that were deleted before this time. One that a name points to is none, however it came to that."""
    # `IS NOT NULL` keeps this from being NULL, whose negation would be no better.
    old = Artifact.deleted_at.is_not(None) & (Artifact.deleted_at < before)
    return old & ~exists().where(Alias.artifact_id == Artifact.id)


def _lock(session: Session, digest: str) -> None:
    lock_word(session, f"blob {digest}")
