"""Snapshots between store and registry: the bytes first, the row last, the predecessor away after that.

Whatever dies in between, the row names a snapshot that is wholly there.
"""

from registry import jobs, logs
from registry.errors import BlobMissing, StoreError
from registry.jobs import Claim
from registry.session import Database
from registry.store import Store
from workers.distill import snapshots
from workers.distill.events import Snapshot


class SnapshotKeeper:
    """The snapshots of one attempt at a job."""

    def __init__(self, claim: Claim, *, database: Database, store: Store) -> None:
        self._claim, self._database, self._store = claim, database, store
        self._newest: str | None = claim.snapshot["key"] if claim.snapshot else None

    def load(self) -> Snapshot | None:
        """The snapshot to go on from; None where there is none, or none that can be read: then it starts afresh."""
        if self._newest is None:
            return None
        try:
            return snapshots.load(self._store.get_named(self._newest))
        except (BlobMissing, snapshots.SnapshotUnreadable) as error:
            logs.get(__name__).warning("the snapshot cannot be used", key=self._newest, error=str(error))
            return None

    def save(self, snapshot: Snapshot) -> bool:
        """Keep a snapshot. False: the job is no longer ours, and the row names what it named before."""
        key = f"snapshots/{self._claim.job_id}/{self._claim.attempt}-{snapshot.step}.safetensors"
        self._store.put_named(key, snapshots.dump(snapshot))
        with self._database.write() as session:
            noted = jobs.record_snapshot(
                session, self._claim.job_id, attempt=self._claim.attempt, key=key, step=snapshot.step
            )
        old, self._newest = (self._newest, key) if noted else (key, self._newest)
        if old is not None and old != self._newest:
            self._delete(old)
        return noted

    def clear(self) -> None:
        """Throw the last snapshot away: the job has succeeded and nothing will go on from it."""
        if self._newest is not None:
            self._delete(self._newest)

    def _delete(self, key: str) -> None:
        try:
            self._store.delete_named(key)
        except StoreError as error:
            # It costs room and nothing else; a later sweep of the store may find it.
            logs.get(__name__).warning("an old snapshot was not deleted", key=key, error=str(error))
