"""Everything that can go wrong with the record, the store and the queue.

* RegistryError
  - NotFound
  - Conflict
    + JobFinished
    + JobAlive
    + NameTaken
    + InUse
    + OffsetMoved
    + IdempotencyInFlight
  - IdempotencyMismatch
  - TooManyUploads
  - QuotaExceeded
  - InvalidName
  - InvalidQuery
    + InvalidCursor
  - RegistryUnavailable
    + RegistryFull
    + RegistryBusy
    + RegistryDown
    + RegistryOutdated
  - StoreError
    + BlobMissing
    + BlobCorrupt
    + InvalidKey
    + InvalidRange
    + StoreFull
  - QueueDown

Each class's docstring is its default message: the cause and what to do about it. None knows HTTP.
"""


class RegistryError(Exception):
    """The registry refused the operation."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))


class NotFound(RegistryError):
    """Nothing is recorded under this id or name; list the collection to see what there is."""


class Conflict(RegistryError):
    """The record is not in a state that allows this; read it again before trying once more."""


class JobFinished(Conflict):
    """The job has already ended; submit a new one, or retry it if it failed or was cancelled."""


class JobAlive(Conflict):
    """The job is still queued or running; cancel it first, or wait until it has ended."""


class NameTaken(Conflict):
    """This name is already used; choose another one, or delete what holds it first."""


class InUse(Conflict):
    """Something else still names this; delete or move that first."""


class OffsetMoved(Conflict):
    """The upload goes on elsewhere than at this Upload-Offset; ask with HEAD where, and send from there."""


class IdempotencyInFlight(Conflict):
    """A request with this Idempotency-Key is still being worked on; ask again in a few seconds."""


class IdempotencyMismatch(RegistryError):
    """This Idempotency-Key was used with another body; use a fresh key for a different request."""


class TooManyUploads(RegistryError):
    """Too many uploads are open; finish or delete one of them, or wait until one has expired."""


class QuotaExceeded(RegistryError):
    """The key uses as much as it may, of jobs at once, of device time in a day, or of bytes; nothing was changed."""

    def __init__(self, *, quota: str, limit: float, used: float, seconds: int) -> None:
        self.quota, self.limit, self.used, self.seconds = quota, limit, used, seconds
        super().__init__(
            f"This key may use {limit:g} of the quota `{quota}`, and uses {used:g}; nothing was changed. "
            f"{QUOTA_MENDS[quota]}, or ask an administrator for more."
        )


#: What makes room in a quota.
QUOTA_MENDS = {
    "jobs": "Wait until a job has ended, or cancel one",
    "device_seconds": "Wait for the next day (UTC)",
    "bytes": "Delete uploads, data sets or artifacts",
}


class InvalidName(RegistryError):
    """A name is 1 to 96 of the characters A-Z a-z 0-9 . _ - and begins with a letter or a digit; choose such a name."""


class InvalidQuery(RegistryError):
    """The query cannot be answered as asked; correct the parameter that the message names."""


class InvalidCursor(InvalidQuery):
    """The cursor is not one that this list gave out under the same sort; start again without a cursor."""


class RegistryUnavailable(RegistryError):
    """The registry's database cannot be used now; try again later."""


class RegistryFull(RegistryUnavailable):
    """The registry's database has no room left; free disk space and try again. Nothing was changed."""


class RegistryBusy(RegistryUnavailable):
    """The registry's database was locked for too long by another writer; try again."""


class RegistryDown(RegistryUnavailable):
    """The registry's database cannot be reached; check DISTILLED_DATABASE_URL and that its server is up."""


class RegistryOutdated(RegistryUnavailable):
    """The registry's tables are not those of this version; run `distilled migrate`."""


class StoreError(RegistryError):
    """The blob store failed; check DISTILLED_STORE_URL and that the store is reachable and writable."""


class BlobMissing(StoreError):
    """The store holds no blob under this digest; it was never put there, or has been swept."""


class BlobCorrupt(StoreError):
    """The bytes in the store no longer have the digest they are filed under; restore the blob from a backup."""


class InvalidKey(StoreError):
    """A key in the store is made of our own ids and digests only; this one is not."""


class InvalidRange(StoreError):
    """The range of bytes lies outside the blob; ask for the blob's size first."""


class StoreFull(StoreError):
    """The blob store has no room left; free space where DISTILLED_STORE_URL points and try again."""


class QueueDown(RegistryError):
    """The broker did not take the wake-up; the job stays queued and the sweeper sends it again."""
