"""A sweep as it is shown."""

from datetime import datetime

from pydantic import BaseModel, Field

from registry.sweeping import Heap, Sweep


class FreedRead(BaseModel):
    """One thing in the store or the registry."""

    name: str = Field(description="an artifact's id, a blob's sha256, or the key of another object")
    bytes: int


class HeapRead(BaseModel):
    """Things of one kind."""

    count: int
    bytes: int
    items: list[FreedRead] = Field(description="the first thousand of them")

    @classmethod
    def of(cls, heap: Heap) -> "HeapRead":
        items = [FreedRead(name=name, bytes=num_bytes) for name, num_bytes in heap.named]
        return cls(count=heap.count, bytes=heap.num_bytes, items=items)


class SweepRead(BaseModel):
    """What a sweep has freed, or with `dry_run` would free."""

    dry_run: bool
    grace_seconds: float
    bytes: int = Field(description="in the store, of all that is freed")
    artifacts: HeapRead = Field(description="deleted ones; their bytes are among those of `blobs`")
    blobs: HeapRead = Field(description="files of artifacts and data sets, and previews, that nothing names any more")
    snapshots: HeapRead = Field(description="of jobs that ended; a retry of one of them begins anew")
    pictures: HeapRead = Field(description="of how jobs that ended got there")
    uploads: HeapRead = Field(description="pieces of uploads that are gone")
    resources: HeapRead = Field(description="experts, teachers and warm-ups, if asked for")
    deleted: HeapRead = Field(description="artifacts that are hidden, take up room and can still be restored")
    next_at: datetime | None = Field(description="when the first of `deleted` can no longer be restored")

    @classmethod
    def of(cls, found: Sweep, *, dry_run: bool, grace_seconds: float) -> "SweepRead":
        return cls(
            dry_run=dry_run,
            grace_seconds=grace_seconds,
            bytes=found.num_bytes,
            artifacts=HeapRead.of(found.artifacts),
            blobs=HeapRead.of(found.blobs),
            snapshots=HeapRead.of(found.snapshots),
            pictures=HeapRead.of(found.pictures),
            uploads=HeapRead.of(found.uploads),
            resources=HeapRead.of(found.resources),
            deleted=HeapRead.of(found.deleted),
            next_at=found.next_at,
        )
