"""What a sweep frees, what it leaves alone, and that it may die anywhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from obstore.store import MemoryStore
from sqlalchemy import select, update

from registry import aliases, artifacts, datasets, errors, jobs
from registry.models import Alias, Artifact, Blob, Evaluation, Job, State
from registry.session import Database
from registry.store import Store
from registry.sweeping import Sweep, Sweeper
from registry.testing import memory_store, temporary_database
from tests.unit.registry.making import claim, publication, read, submit

HOUR, DAY = 3600.0, 24 * 3600.0


def publish(database: Database, store: Store, content: str, **facts: Any) -> Artifact:
    """An artifact with its file and preview in the store, published as a worker does it."""
    job = submit(database)
    held = claim(database, job.id)
    made = publication(content, **facts)
    for text in (content, content + "preview"):
        store.put(text.encode())
    with database.write() as session:
        artifact = jobs.finish(session, job.id, attempt=held.attempt, publication=made)
        for digest, text in ((made.digest, content), (made.preview_digest, content + "preview")):
            if not store.exists(str(digest)):
                store.put(text.encode())
    assert artifact is not None
    return artifact


def remove(database: Database, artifact_id: str, *, seconds_ago: float = 0.0) -> None:
    with database.write() as session:
        artifacts.delete(session, artifact_id).deleted_at = datetime.now(UTC) - timedelta(seconds=seconds_ago)


def age(database: Database) -> None:
    """Let everything that was named have been named long ago."""
    with database.write() as session:
        session.execute(update(Blob).values(named_at=datetime.now(UTC) - timedelta(days=30)))


def sweep(
    database: Database, store: Store, *, grace_seconds: float = 0.0, dry_run: bool = False, **options: bool
) -> Sweep:
    sweeper = Sweeper(
        read=database.read, write=database.write, store=store, grace_seconds=grace_seconds, dry_run=dry_run
    )
    return sweeper.sweep(**options)


def named(found: Sweep) -> dict[str, list[str]]:
    """What was freed, by kind."""
    kinds = ("artifacts", "blobs", "snapshots", "pictures", "uploads", "resources")
    return {kind: [name for name, _ in getattr(found, kind).named] for kind in kinds if getattr(found, kind).count}


def digests(store: Store) -> set[str]:
    return {stored.name for stored in store.blobs()}


def test_what_was_deleted_long_ago_is_freed_and_nothing_else(database: Database) -> None:
    store = memory_store()
    kept, gone = publish(database, store, "kept"), publish(database, store, "gone", num_bytes=4)
    remove(database, gone.id)
    freed = {"artifacts": [gone.id], "blobs": sorted([gone.digest, str(gone.preview_digest)])}
    for dry_run in (True, False):
        told = sweep(database, store, dry_run=dry_run)
        assert named(told) == freed
        assert told.num_bytes == told.blobs.num_bytes == len("gone") + len("gonepreview")
        assert (told.deleted.count, told.next_at) == (0, None)
        assert dict(told.blobs.named)[gone.digest] == 4
        if dry_run:
            assert store.get(gone.digest) == b"gone"
    assert digests(store) == {kept.digest, kept.preview_digest}
    with database.read() as session:
        assert session.scalars(select(Evaluation.artifact_id).distinct()).all() == [kept.id]
        assert set(session.scalars(select(Blob.digest))) == {kept.digest, kept.preview_digest}
    with database.write() as session, pytest.raises(errors.NotFound, match="swept"):
        artifacts.restore(session, gone.id)
    assert gone.job_id is not None
    assert read(database, gone.job_id).artifact_id is None
    assert named(sweep(database, store)) == {}


def test_nothing_goes_before_its_grace_is_over(database: Database) -> None:
    store = memory_store()
    old, young = publish(database, store, "old"), publish(database, store, "young")
    store.put(b"put by a worker that died before it could name it")
    remove(database, old.id, seconds_ago=2 * DAY)
    remove(database, young.id, seconds_ago=HOUR)
    told = sweep(database, store, grace_seconds=DAY)
    assert named(told) == {"artifacts": [old.id]}  # its bytes are young in this store
    assert [name for name, _ in told.deleted.named] == [young.id]
    assert told.next_at is not None
    assert timedelta(hours=22) < told.next_at - datetime.now(UTC) < timedelta(hours=24)
    assert len(digests(store)) == 5
    with database.write() as session:
        assert artifacts.restore(session, young.id).deleted_at is None
    assert len(named(sweep(database, store))["blobs"]) == 3
    assert store.get(young.digest) == b"young"


def test_what_an_alias_names_stays_however_it_was_deleted(database: Database) -> None:
    store = memory_store()
    artifact = publish(database, store, "named")
    with database.write() as session:
        aliases.put(session, "best", artifact=artifact.id)
        session.execute(update(Artifact).values(deleted_at=datetime.now(UTC) - timedelta(days=9)))
    for dry_run in (True, False):
        assert named(sweep(database, store, dry_run=dry_run)) == {}
    assert store.get(artifact.digest) == b"named"


def test_datasets_keep_their_file_until_they_are_deleted(database: Database) -> None:
    store = memory_store()
    digest = store.put(b"arrays")
    with database.write() as session:
        datasets.register(session, name="faces", digest="d" * 64, blob_digest=digest, num_bytes=6, facts={})
    age(database)
    assert named(sweep(database, store)) == {}
    with database.write() as session:
        datasets.delete(session, "faces")
    assert named(sweep(database, store)) == {"blobs": [digest]}


def test_snapshots_go_with_the_grace_of_their_job(database: Database) -> None:
    store = memory_store()
    failed, running, young = (submit(database, same=same) for same in "abc")
    keys = {}
    for job in (failed, running, young):
        held = claim(database, job.id)
        keys[job.id] = f"snapshots/{job.id}/{held.attempt}-10.safetensors"
        store.put_named(keys[job.id], b"snapshot")
        with database.write() as session:
            jobs.record_snapshot(session, job.id, attempt=held.attempt, key=keys[job.id], step=10)
            if job is not running:
                jobs.fail(session, job.id, attempt=held.attempt, error={"code": "x", "title": "x", "detail": "x"})
    store.put_named(f"snapshots/job_{'0' * 32}/1-1.safetensors", b"of nobody")
    with database.write() as session:
        long_ago = datetime.now(UTC) - timedelta(days=9)
        session.execute(update(Job).where(Job.id == failed.id).values(ended_at=long_ago))
        session.execute(update(Job).where(Job.id == young.id).values(ended_at=datetime.now(UTC) + timedelta(hours=1)))
    freed = [f"snapshots/job_{'0' * 32}/1-1.safetensors", keys[failed.id]]
    assert named(sweep(database, store, dry_run=True)) == {"snapshots": sorted(freed)}
    assert read(database, failed.id).snapshot is not None
    told = sweep(database, store)
    assert (named(told), told.snapshots.num_bytes) == ({"snapshots": sorted(freed)}, 8 + 9)
    assert sorted(store.list_named("snapshots")) == sorted([keys[running.id], keys[young.id]])
    assert read(database, failed.id).snapshot is None  # a retry begins anew
    assert read(database, young.id).snapshot == {"key": keys[young.id], "step": 10}


def test_resources_go_only_when_asked_for(database: Database) -> None:
    store = memory_store()
    key = f"resources/{'a' * 64}.safetensors"
    store.put_named(key, b"experts")
    assert named(sweep(database, store)) == {}
    assert named(sweep(database, store, resources=True, dry_run=True)) == {"resources": [key]}
    assert named(sweep(database, store, resources=True, grace_seconds=DAY)) == {}
    assert named(sweep(database, store, resources=True)) == {"resources": [key]}
    assert store.list_named("resources") == []


def test_pieces_of_an_upload_that_is_gone_are_freed(database: Database) -> None:
    store = memory_store()
    key = f"uploads/up_{'0' * 32}/000001-aa"
    store.put_named(key, b"piece")
    assert named(sweep(database, store)) == {"uploads": [key]}
    assert store.list_named("uploads") == []


def test_what_is_published_between_the_look_and_the_deletion_stays(database: Database) -> None:
    """The sweep has found the bytes unnamed; before it deletes them, a job publishes the very same."""
    store = memory_store()
    first = publish(database, store, "same")
    remove(database, first.id)

    @contextmanager
    def write() -> Iterator[Any]:
        if first.id not in seen:  # the first transaction forgets the artifact; then someone publishes
            seen.append(first.id)
        elif len(seen) == 1:
            seen.append(publish(database, store, "same").id)
        with database.write() as session:
            yield session

    seen: list[str] = []
    told = Sweeper(read=database.read, write=write, store=store, grace_seconds=0, dry_run=False).sweep()
    assert named(told) == {"artifacts": [first.id]}
    with database.read() as session:
        again = artifacts.get(session, seen[1])
    assert (store.get(again.digest), store.get(str(again.preview_digest))) == (b"same", b"samepreview")


class Dying(Store):
    """A store that fails for good after so many operations, before or after the last one was done."""

    def __init__(self, whole: Store, *, operations: int, done: bool) -> None:
        super().__init__(whole._backend)  # pyright: ignore[reportPrivateUsage]
        self.left, self.done = operations, done

    def _spend(self, act: Callable[[], Any]) -> Any:
        if self.left <= 0 and not self.done:
            raise errors.StoreError
        out = act()
        if self.left <= 0:
            raise errors.StoreError
        self.left -= 1
        return out

    def blobs(self) -> Iterator[Any]:
        return self._spend(super().blobs)

    def named(self, folder: str) -> Iterator[Any]:
        return self._spend(lambda: super(Dying, self).named(folder))

    def delete(self, digest: str) -> None:
        self._spend(lambda: super(Dying, self).delete(digest))

    def delete_named(self, key: str) -> None:
        self._spend(lambda: super(Dying, self).delete_named(key))


@pytest.mark.parametrize("done", [False, True])
def test_a_sweep_may_die_at_any_operation(tmp_path: Path, template: Path, done: bool) -> None:
    """Whatever was left half done, nothing that is named is lost, and the next sweep finishes."""
    for operations in range(100):
        folder = tmp_path / f"{done}-{operations}"
        folder.mkdir()
        database, store = temporary_database(folder, template=template), Store(MemoryStore())
        kept, gone = publish(database, store, "kept"), publish(database, store, "gone")
        remove(database, gone.id)
        store.put_named(f"snapshots/job_{'0' * 32}/1-1.safetensors", b"of nobody")
        store.put_named(f"snapshots/job_{'0' * 32}/1-2.safetensors", b"of nobody")
        try:
            sweep(database, Dying(store, operations=operations, done=done))
            died = False
        except errors.StoreError:
            died = True
        assert (store.get(kept.digest), store.get(str(kept.preview_digest))) == (b"kept", b"keptpreview")
        if operations % 2:  # what was half swept is published again, and is whole
            back = publish(database, store, "gone")
            sweep(database, store)
            assert (store.get(back.digest), store.get(str(back.preview_digest))) == (b"gone", b"gonepreview")
        else:
            sweep(database, store)
            assert digests(store) == {kept.digest, kept.preview_digest}
        assert store.list_named("snapshots") == []
        with database.read() as session:
            assert set(session.scalars(select(Blob.digest))) == digests(store)
        database.close()
        if not died:
            assert operations > 5
            return
    pytest.fail("the sweep never came to its end")


class Life(RuleBasedStateMachine):
    """Artifacts are made, named, deleted, restored and swept in any order, by sweepers of any grace."""

    template: Path
    folder: Path
    number = 0

    @initialize()
    def begin(self) -> None:
        Life.number += 1
        folder = self.folder / str(Life.number)
        folder.mkdir()
        self.database, self.store = temporary_database(folder, template=self.template), memory_store()
        self.ids: dict[str, str] = {}  # content -> id of its artifact
        self.painted: list[str] = []  # ids of jobs that have pictures
        self.deleted: set[str] = set()

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close()

    @rule(content=st.sampled_from("abc"))
    def make(self, content: str) -> None:
        self.ids[content] = publish(self.database, self.store, content).id
        self.deleted.discard(content)

    @rule()
    def paint(self) -> None:
        job = submit(self.database, same="painted")
        held = claim(self.database, job.id)
        key = f"pictures/{job.id}/{held.attempt}-1.png"
        self.store.put_named(key, b"png")
        with self.database.write() as session:
            jobs.record_picture(session, job.id, attempt=held.attempt, step=1, key=key, num_bytes=3)
        self.painted.append(job.id)

    @precondition(lambda self: self.painted)
    @rule(data=st.data())
    def call_off(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(self.painted))
        with self.database.write() as session:
            jobs.cancelled(session, job_id, attempt=1)

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), name=st.sampled_from(["best", "latest"]))
    def name(self, data: st.DataObject, name: str) -> None:
        content = data.draw(st.sampled_from(sorted(self.ids)))
        with self.database.write() as session:
            try:
                aliases.put(session, name, artifact=self.ids[content])
                assert content not in self.deleted
            except errors.NotFound:
                assert content in self.deleted

    @rule(name=st.sampled_from(["best", "latest"]))
    def unname(self, name: str) -> None:
        with self.database.write() as session:
            if session.get(Alias, name) is not None:
                aliases.delete(session, name)

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        content = data.draw(st.sampled_from(sorted(self.ids)))
        with self.database.write() as session:
            try:
                artifacts.delete(session, self.ids[content])
                self.deleted.add(content)
            except errors.InUse:
                assert aliases.of_artifacts(session, [self.ids[content]])
            except errors.NotFound:
                assert content in self.deleted

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        content = data.draw(st.sampled_from(sorted(self.ids)))
        with self.database.write() as session:
            assert artifacts.restore(session, self.ids[content]).deleted_at is None
        self.deleted.discard(content)

    @rule(grace_seconds=st.sampled_from([0.0, DAY]))
    def sweep(self, grace_seconds: float) -> None:
        foretold = sweep(self.database, self.store, grace_seconds=grace_seconds, dry_run=True)
        told = sweep(self.database, self.store, grace_seconds=grace_seconds)
        assert named(foretold) == named(told)
        gone = set() if grace_seconds else {self.ids[content] for content in self.deleted}
        assert {name for name, _ in told.artifacts.named} == gone
        if not grace_seconds:
            for content in self.deleted:
                del self.ids[content]
            self.deleted.clear()
            assert len(digests(self.store)) == 2 * len(self.ids)

    @invariant()
    def what_is_named_can_be_read(self) -> None:
        for content, artifact_id in getattr(self, "ids", {}).items():
            with self.database.read() as session:
                artifact = artifacts.get(session, artifact_id, deleted=True)
            assert (artifact.deleted_at is not None) == (content in self.deleted)
            assert self.store.get(artifact.digest) == content.encode()
            assert self.store.get(str(artifact.preview_digest)) == f"{content}preview".encode()
        for job_id in getattr(self, "painted", []):
            with self.database.read() as session:
                job, kept = jobs.get(session, job_id), jobs.pictures(session, job_id)
            assert job.state is State.CANCELLED or len(kept) == 1
            assert all(self.store.get_named(picture.key) == b"png" for picture in kept)


def test_whatever_happens_what_is_named_can_be_read(tmp_path: Path, template: Path) -> None:
    Life.folder, Life.template = tmp_path, template
    machine: Any = Life
    machine.TestCase.settings = settings(
        max_examples=8, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
    )
    machine.TestCase().runTest()


def test_a_job_that_ended_long_ago_is_not_touched_otherwise(database: Database) -> None:
    store = memory_store()
    artifact = publish(database, store, "done")
    sweep(database, store, resources=True)
    assert artifact.job_id is not None
    job = read(database, artifact.job_id)
    assert (job.state, job.artifact_id) == (State.SUCCEEDED, artifact.id)
