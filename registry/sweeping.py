"""Freeing room: what was deleted long enough ago, and what nothing names any more, leaves the registry and the store.

Rows go first and bytes after them, each in small transactions, so that whatever dies in between leaves at worst bytes
that nobody names, which the next sweep finds. `registry.blobs` tells how what is published meanwhile is kept safe.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from registry import blobs, jobs
from registry.clock import utc_now
from registry.models import ENDED, Artifact, Job, Upload
from registry.store import Store, Stored

#: So many digests or keys are looked up at once.
BATCH = 500
#: So many of what is freed are named; all are counted.
MAX_NAMED = 1000

Transaction = Callable[[], AbstractContextManager[Session]]


@dataclass
class Heap:
    """Things of one kind: how many, how many bytes in the store, and the first of them as (name, bytes)."""

    count: int = 0
    num_bytes: int = 0
    named: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])

    def add(self, name: str, num_bytes: int) -> None:
        self.count += 1
        self.num_bytes += num_bytes
        if len(self.named) < MAX_NAMED:
            self.named.append((name, num_bytes))


@dataclass
class Sweep:
    """What a sweep has freed, or would free. The bytes of `artifacts` are among those of `blobs`.

    snapshots: of jobs that ended, and pictures: of how they got there. uploads: pieces of uploads that are gone.
    resources: experts, teachers, warm-ups.
    deleted: artifacts that can still be restored; `next_at` is when the first of them no longer can.
    """

    artifacts: Heap = field(default_factory=Heap)
    blobs: Heap = field(default_factory=Heap)
    snapshots: Heap = field(default_factory=Heap)
    pictures: Heap = field(default_factory=Heap)
    uploads: Heap = field(default_factory=Heap)
    resources: Heap = field(default_factory=Heap)
    deleted: Heap = field(default_factory=Heap)
    next_at: datetime | None = None

    @property
    def num_bytes(self) -> int:
        """Bytes in the store that are, or would be, freed."""
        heaps = (self.blobs, self.snapshots, self.pictures, self.uploads, self.resources)
        return sum(heap.num_bytes for heap in heaps)


class Sweeper:
    """One sweep of one registry and its store. Any number may run at once."""

    def __init__(
        self, *, read: Transaction, write: Transaction, store: Store, grace_seconds: float, dry_run: bool
    ) -> None:
        """grace_seconds: how long what was deleted, and what nothing names, is left alone. dry_run: only look."""
        self._read, self._write, self._store, self._dry_run = read, write, store, dry_run
        self._grace = timedelta(seconds=grace_seconds)
        self._before = utc_now() - self._grace

    def sweep(self, *, resources: bool = False) -> Sweep:
        """Free what can be freed; resources only if asked for, since later jobs would have to make them again.

        Raises StoreError, RegistryUnavailable: what was freed until then is freed, and the next sweep goes on.
        """
        found = Sweep()
        self._artifacts(found)
        self._blobs(found)
        self._snapshots(found)
        self._pictures(found)
        self._uploads(found)
        if resources:
            self._named("resources", lambda _: set(), found.resources)
        return found

    def _artifacts(self, found: Sweep) -> None:
        doomed = blobs.doomed(before=self._before)
        columns = (Artifact.id, Artifact.content_bytes)
        if self._dry_run:
            with self._read() as session:
                rows = session.execute(select(*columns).where(doomed)).all()
        else:
            with self._write() as session:
                gone = delete(Artifact).where(doomed).returning(*columns)
                rows = session.execute(gone, execution_options={"synchronize_session": False}).all()
        for artifact_id, num_bytes in sorted(rows):
            found.artifacts.add(artifact_id, num_bytes)
        with self._read() as session:
            waiting = select(Artifact).where(Artifact.deleted_at.is_not(None), ~doomed)
            for artifact in session.scalars(waiting.order_by(Artifact.id)):
                found.deleted.add(artifact.id, artifact.content_bytes)
            first = session.scalar(select(func.min(Artifact.deleted_at)).where(~doomed))
            found.next_at = None if first is None else first + self._grace

    def _blobs(self, found: Sweep) -> None:
        sizes: dict[str, int] = {}
        for batch in _batches(stored for stored in self._store.blobs() if stored.modified < self._before):
            with self._read() as session:
                kept = blobs.kept(
                    session,
                    [stored.name for stored in batch],
                    before=self._before,
                    # Of a real sweep the doomed are gone; what has become doomed since keeps its blobs until the next.
                    doomed=blobs.doomed(before=self._before) if self._dry_run else blobs.nothing(),
                )
            sizes |= {stored.name: stored.num_bytes for stored in batch if stored.name not in kept}
        if self._dry_run:
            for digest in sorted(sizes):
                found.blobs.add(digest, sizes[digest])
            return
        with self._read() as session:
            lost = blobs.lost(session, before=self._before)
        for digest in sorted({*sizes, *lost}):
            with self._write() as session:
                if not blobs.strike(session, digest, before=self._before):
                    continue
                self._store.delete(digest)
            if digest in sizes:
                found.blobs.add(digest, sizes[digest])

    def _snapshots(self, found: Sweep) -> None:
        """Of jobs that ended: one that failed or was called off could go on from its own, until the grace is over."""

        def no_snapshot(session: Session, job: Job) -> None:
            if job.snapshot is not None:
                job.snapshot = None

        self._of_jobs("snapshots", found.snapshots, forget=no_snapshot)

    def _pictures(self, found: Sweep) -> None:
        """Of jobs that ended: what they made is there to be looked at by then, or will not be made."""
        self._of_jobs("pictures", found.pictures, forget=lambda session, job: jobs.forget_pictures(session, job.id))

    def _of_jobs(self, folder: str, heap: Heap, *, forget: Callable[[Session, Job], None]) -> None:
        """Free a folder's objects of jobs that ended long ago, once the job names them no more."""

        def living(job_ids: set[str]) -> set[str]:
            over = Job.state.in_(ENDED) & (Job.ended_at < self._before)
            with self._read() as session:
                return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids), ~over)))

        def forgotten(job_id: str) -> bool:
            """False: the job was queued again in the meantime."""
            with self._write() as session:
                job = session.get(Job, job_id, with_for_update=True, populate_existing=True)
                if job is not None and job.state not in ENDED:
                    return False
                if job is not None:
                    forget(session, job)
            return True

        self._named(folder, living, heap, forget=forgotten)

    def _uploads(self, found: Sweep) -> None:
        """Pieces that were written while their upload was being forgotten."""

        def known(upload_ids: set[str]) -> set[str]:
            with self._read() as session:
                return set(session.scalars(select(Upload.id).where(Upload.id.in_(upload_ids))))

        self._named("uploads", known, found.uploads)

    def _named(
        self,
        folder: str,
        keep: Callable[[set[str]], set[str]],
        heap: Heap,
        *,
        forget: Callable[[str], bool] = lambda owner: True,
    ) -> None:
        """Free the old objects of a folder whose owner, the next part of their keys, is none of those to `keep`."""
        free: dict[str, list[Stored]] = {}
        for batch in _batches(stored for stored in self._store.named(folder) if stored.modified < self._before):
            owners = {_owner(stored) for stored in batch}
            kept = keep(owners)
            for stored in batch:
                if _owner(stored) not in kept:
                    free.setdefault(_owner(stored), []).append(stored)
        for owner in sorted(free):
            if not self._dry_run and not forget(owner):
                continue
            for stored in sorted(free[owner], key=lambda stored: stored.name):
                if not self._dry_run:
                    self._store.delete_named(stored.name)
                heap.add(stored.name, stored.num_bytes)


def _owner(stored: Stored) -> str:
    return stored.name.split("/")[1]


def _batches(found: Iterable[Stored]) -> Iterator[list[Stored]]:
    rest = iter(found)
    while batch := list(islice(rest, BATCH)):
        yield batch
