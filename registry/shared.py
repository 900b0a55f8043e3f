"""Built-in data sets that a worker has put into the store, so that the others take them from there."""

from sqlalchemy.orm import Session

from registry import blobs
from registry.models import SharedDataset
from registry.session import lock_word


def find(session: Session, name: str) -> SharedDataset | None:
    """What is shared under a built-in set's name, in lower case without `_` and `-`."""
    return session.get(SharedDataset, name)


def share(session: Session, *, name: str, digest: str, blob_digest: str, num_bytes: int) -> SharedDataset:
    """Record that a set's npz lies in the store; the first one stays, unless its bytes are gone and these are in place.

    digest: of the arrays. blob_digest: of the npz.
    """
    lock_word(session, f"shared {name}")
    blobs.record(session, blob_digest, num_bytes=num_bytes)
    known = session.get(SharedDataset, name)
    if known is None:
        known = SharedDataset(name=name)
        session.add(known)
    known.digest, known.blob_digest, known.num_bytes = digest, blob_digest, num_bytes
    session.flush()
    return known
