"""From a wake-up to a settled row, with a laboratory that does as the test says."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from distilled.errors import Problem, RecipeError
from registry import evaluations, jobs, workers
from registry.errors import BlobMissing, RegistryBusy, StoreError
from registry.models import Artifact, Need
from registry.testing import FullDiskStore
from tests.unit.workers.conftest import Workplace
from workers import child, sources
from workers.distill import loop, snapshots
from workers.distill.errors import NotFinite
from workers.distill.events import Event, Finished, Log, Metrics, Progress, Snapshot, Started
from workers.settings import WorkerSettings

HEADER: dict[str, Any] = {
    "kind": "images",
    "classes": ["a", "b"],
    "dataset": {"name": "digits", "digest": "d" * 64, "licence": "x"},
    "ipc": 1,
    "budget": {"bytes": 8, "floats": 8, "images": 2, "ipc_equivalent": 1.0},
    "recipe": {"method": "dm"},
    "seed": 3,
    "code_version": "1",
    "device_kind": "cpu",
}
STEPS = 6


class Laboratory:
    """Stands for `loop.run`: six steps with a snapshot after each, and a hook to make things happen on the way."""

    def __init__(self) -> None:
        self.at: dict[int, Callable[[], None]] = {}
        self.resumed: list[Snapshot | None] = []
        self.slices: list[int] = []
        self.content = b"the artifact"

    def run(self, recipe: dict[str, Any], real: Any, *, resume: Snapshot | None, **options: Any) -> Iterator[Event]:
        self.resumed.append(resume)
        self.slices.append(options["slices"])
        first = resume.step if resume else 0
        yield Started(step=first, steps=STEPS, device="cpu", images_per_class=1)
        yield Log(message="hello")
        for step in range(first + 1, STEPS + 1):
            self.at.get(step, lambda: None)()
            yield Progress(step=step, steps=STEPS, loss=1 / step, images_per_second=10.0, eta_seconds=STEPS - step)
            yield Metrics(step=step, values={"loss": 1 / step})
            if step < STEPS:
                yield Snapshot(step=step, tensors={"x": torch.full((2,), float(step))}, state={"seen": step})
        yield Finished(content=self.content, header=HEADER)


@pytest.fixture
def laboratory(monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    laboratory = Laboratory()
    monkeypatch.setattr(loop, "run", laboratory.run)
    monkeypatch.setattr(sources, "resolve", lambda *_, **__: SimpleNamespace(train_counts=(5, 5)))
    return laboratory


def test_a_child_keeps_its_memory_and_takes_its_threads_before_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(child, "keep_freed_memory", lambda: told.append("memory"))
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    child.set_up(WorkerSettings(torch_threads=0))
    child.set_up(WorkerSettings(torch_threads=3))
    assert told == ["memory", "memory", 3]


def test_a_job_goes_through_to_an_artifact_and_wakes_its_evaluations(
    workplace: Workplace, laboratory: Laboratory
) -> None:
    job_id = workplace.submit()
    child.distil(workplace.bench, job_id=job_id)
    job = workplace.job(job_id)
    assert (job.state, job.progress, job.step, job.steps) == ("succeeded", 1.0, STEPS, STEPS)
    assert (job.worker, job.device) == ("here-1", "cpu")
    with workplace.database.read() as session:
        queued = evaluations.of_artifact(session, job.artifact_id)
        artifact = session.get_one(Artifact, job.artifact_id)
    assert artifact.train_images == 10
    assert workplace.store.get(artifact.digest) == laboratory.content
    assert workplace.queue.evaluations == [evaluation.id for evaluation in queued]
    assert [data["step"] for data in workplace.told(job_id, "progress")] == list(range(1, STEPS + 1))
    assert [data["values"] for data in workplace.told(job_id, "metrics")][-1] == {"loss": 1 / STEPS}
    assert {"message": "hello"} in workplace.told(job_id, "log")


def test_an_artifact_is_whole_though_a_sweep_took_its_bytes_before_it_was_recorded(
    workplace: Workplace, laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes lay there unnamed; the worker saw them, and they went before its transaction began."""
    finish = jobs.finish

    def swept_first(*given: Any, publication: jobs.Publication, **options: Any) -> Artifact | None:
        workplace.store.delete(publication.digest)
        return finish(*given, publication=publication, **options)

    monkeypatch.setattr(jobs, "finish", swept_first)
    job_id = workplace.submit()
    child.distil(workplace.bench, job_id=job_id)
    with workplace.database.read() as session:
        artifact = session.get_one(Artifact, workplace.job(job_id).artifact_id)
    assert workplace.store.get(artifact.digest) == laboratory.content


def test_a_wake_up_for_a_job_that_is_gone_is_quietly_answered(workplace: Workplace, laboratory: Laboratory) -> None:
    child.distil(workplace.bench, job_id="job_unknown")
    assert laboratory.resumed == []


def test_the_highest_priority_goes_first_whatever_the_wake_up_was_sent_for(
    workplace: Workplace, laboratory: Laboratory
) -> None:
    waiting = workplace.submit()
    with workplace.database.write() as session:
        urgent = jobs.submit(session, recipe={"dataset": "digits"}, digest="1" * 64, request_id="r", priority=5).id
    child.distil(workplace.bench, job_id=waiting)
    assert (workplace.job(urgent).state, workplace.job(waiting).state) == ("succeeded", "queued")


def test_progress_is_not_told_more_often_than_the_settings_say(
    make_workplace: Callable[..., Workplace], laboratory: Laboratory
) -> None:
    workplace = make_workplace(progress_seconds=1000.0)
    job_id = workplace.submit()
    child.distil(workplace.bench, job_id=job_id)
    assert [data["step"] for data in workplace.told(job_id, "progress")] == [1, STEPS]


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (RecipeError([Problem(pointer="/ipc", detail="too many")]), "recipe_error", "too many"),
        (NotFinite("the loss became nan at step 3 of 6"), "not_finite", "step 3"),
        (torch.OutOfMemoryError("tried to allocate"), "out_of_memory", "Lower"),
        (ValueError("/home/someone/secret"), "internal", "ValueError"),
    ],
)
def test_a_failure_is_recorded_in_plain_words(
    workplace: Workplace, laboratory: Laboratory, error: Exception, code: str, says: str
) -> None:
    def fail() -> None:
        raise error

    laboratory.at[3] = fail
    job_id = workplace.submit()
    child.distil(workplace.bench, job_id=job_id)
    job = workplace.job(job_id)
    assert (job.state, job.error["code"]) == ("failed", code)
    assert says in job.error["detail"]
    assert "secret" not in str(job.error)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
    ],
)
def test_out_of_memory_goes_on_in_smaller_parts_once_and_then_names_what_to_lower(
    workplace: Workplace, laboratory: Laboratory, error: Exception
) -> None:
    def fail() -> None:
        raise error

    laboratory.at[3] = fail
    job_id = workplace.submit(objective={"kind": "distribution", "network": "convnet3", "real_batch": 512})
    child.distil(workplace.bench, job_id=job_id)
    job = workplace.job(job_id)
    assert (job.state, job.slices, job.error, job.lost, job.lease_until) == ("queued", 8, None, 0, None)
    child.distil(workplace.bench, job_id=job_id)
    job = workplace.job(job_id)
    assert laboratory.slices == [1, 8]
    assert laboratory.resumed[1] is None or laboratory.resumed[1].step <= 2
    assert (job.state, job.attempt, job.error["code"]) == ("failed", 2, "out_of_memory")
    assert "`objective.real_batch` (now 512)" in job.error["detail"]
    child.distil(workplace.bench, job_id=job_id)
    assert len(laboratory.slices) == 2


def test_what_cannot_be_taken_in_parts_fails_at_once(workplace: Workplace, laboratory: Laboratory) -> None:
    def fail() -> None:
        raise MemoryError

    laboratory.at[3] = fail
    for objective in ({"kind": "statistics", "drawn_batch": 7}, {"kind": "kernel", "network": "convnet3-batch"}):
        job_id = workplace.submit(objective=objective)
        child.distil(workplace.bench, job_id=job_id)
        job = workplace.job(job_id)
        assert (job.state, job.attempt, job.slices) == ("failed", 1, 1)
        assert "cannot be taken in parts" in job.error["detail"]


def test_a_worker_runs_jobs_of_its_own_kind_that_its_device_holds(
    make_workplace: Callable[..., Workplace], laboratory: Laboratory
) -> None:
    workplace = make_workplace()
    with workplace.database.write() as session:
        asked = {"recipe": {"dataset": "digits"}, "digest": "1" * 64, "request_id": "r"}
        other = jobs.submit(session, **asked, need=Need.GPU).id
        large = jobs.submit(session, **asked, memory_bytes=2**40).id
        small = jobs.submit(session, **asked, memory_bytes=2**20).id
    bench = replace(workplace.bench, memory_bytes=2**30)
    for _ in range(3):
        child.distil(bench, job_id=other)
    assert [workplace.job(one).state for one in (other, large, small)] == ["queued", "queued", "succeeded"]
    both = replace(
        bench, settings=WorkerSettings(home=bench.settings.home, queues="gpu,cpu"), device="cuda", device_name="cuda"
    )
    assert [(seat.need, seat.device) for seat in both.seats] == [(Need.GPU, "cuda"), (Need.CPU, "cpu")]


def test_a_cancelled_job_leaves_at_the_next_event(workplace: Workplace, laboratory: Laboratory) -> None:
    job_id = workplace.submit()

    def cancel() -> None:
        workplace.cancel(job_id)
        time.sleep(0.2)  # ten looks at the flag

    laboratory.at[2] = cancel
    child.distil(workplace.bench, job_id=job_id)
    job = workplace.job(job_id)
    assert (job.state, job.artifact_id) == ("cancelled", None)
    assert max(data["step"] for data in workplace.told(job_id, "progress")) <= 2


def test_a_step_that_hangs_after_a_cancel_ends_its_process(
    make_workplace: Callable[..., Workplace], laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace = make_workplace(cancel_grace_seconds=0.1)
    job_id = workplace.submit()
    ended: list[str] = []
    monkeypatch.setattr(os, "_exit", lambda code: ended.append(workplace.job(job_id).state))

    def hang() -> None:
        workplace.cancel(job_id)
        deadline = time.monotonic() + 10
        while not ended and time.monotonic() < deadline:
            time.sleep(0.01)

    laboratory.at[2] = hang
    child.distil(workplace.bench, job_id=job_id)
    assert ended[0] == "cancelled"  # the registry knew before the process went


def test_a_job_that_someone_else_holds_now_is_left_without_a_word(workplace: Workplace, laboratory: Laboratory) -> None:
    job_id = workplace.submit()

    def lose() -> None:
        with workplace.database.write() as session:
            jobs.release(session, job_id, attempt=1)
        workplace.claim(job_id)

    laboratory.at[2] = lose
    child.distil(workplace.bench, job_id=job_id)
    job = workplace.job(job_id)
    assert (job.state, job.attempt, job.artifact_id) == ("running", 2, None)
    assert [data["step"] for data in workplace.told(job_id, "progress")] == [1]


def test_a_stopped_worker_snapshots_and_gives_back_and_the_next_attempt_goes_on_there(
    make_workplace: Callable[..., Workplace], laboratory: Laboratory
) -> None:
    workplace = make_workplace(snapshot_seconds=1000.0)
    job_id = workplace.submit()

    def stop() -> None:
        workplace.bench.stop_signal.ring(stop=True)
        time.sleep(0.2)

    laboratory.at[3] = stop
    child.distil(workplace.bench, job_id=job_id)
    job = workplace.job(job_id)
    assert (job.state, job.lost, job.snapshot["step"]) == ("queued", 0, 3)
    laboratory.at.clear()
    child.distil(make_workplace(store=workplace.store).bench, job_id=job_id)
    resumed = laboratory.resumed[-1]
    assert resumed is not None
    assert (resumed.step, resumed.state, resumed.tensors["x"].tolist()) == (3, {"seen": 3}, [3.0, 3.0])
    assert workplace.job(job_id).state == "succeeded"
    assert workplace.store.list_named(f"snapshots/{job_id}") == []


def test_snapshots_follow_the_clock_and_only_the_newest_is_kept(
    make_workplace: Callable[..., Workplace], laboratory: Laboratory
) -> None:
    workplace = make_workplace(snapshot_seconds=0.0)
    job_id = workplace.submit()
    kept: list[list[str]] = []
    laboratory.at = {step: lambda: kept.append(workplace.store.list_named(f"snapshots/{job_id}")) for step in (2, 3, 4)}
    child.distil(workplace.bench, job_id=job_id)
    assert kept == [[f"snapshots/{job_id}/1-{step}.safetensors"] for step in (1, 2, 3)]


def test_a_damaged_snapshot_means_a_fresh_start(workplace: Workplace, laboratory: Laboratory) -> None:
    job_id = workplace.submit()
    claim = workplace.claim(job_id)
    workplace.store.put_named("snapshots/x/1-2.safetensors", b"torn")
    with workplace.database.write() as session:
        jobs.record_snapshot(session, job_id, attempt=claim.attempt, key="snapshots/x/1-2.safetensors", step=2)
        jobs.release(session, job_id, attempt=claim.attempt)
    child.distil(workplace.bench, job_id=job_id)
    assert laboratory.resumed == [None]
    assert workplace.job(job_id).state == "succeeded"


def test_a_full_store_costs_snapshots_first_and_then_fails_the_job_with_the_fix(
    make_workplace: Callable[..., Workplace], laboratory: Laboratory
) -> None:
    workplace = make_workplace(store=FullDiskStore(), snapshot_seconds=0.0)
    job_id = workplace.submit()
    child.distil(workplace.bench, job_id=job_id)
    job = workplace.job(job_id)
    assert (job.state, job.step, job.snapshot) == ("failed", STEPS, None)
    assert job.error["code"] == "store_full"
    assert any("could not be kept" in data["message"] for data in workplace.told(job_id, "log"))


@pytest.mark.parametrize("error", [StoreError(), RegistryBusy()])
def test_a_job_is_tried_again_when_the_store_or_the_database_fails_it(
    workplace: Workplace, laboratory: Laboratory, error: Exception
) -> None:
    def fail() -> None:
        raise error

    laboratory.at[3] = fail
    job_id = workplace.submit()

    def attempt() -> str:
        child.distil(workplace.bench, job_id=job_id)
        with workplace.database.write() as session:
            jobs.sweep(session, max_attempts=2, rewake_seconds=30.0)
        return str(workplace.job(job_id).state)

    assert attempt() == "queued"
    assert (workplace.job(job_id).lost, workplace.job(job_id).error) == (1, None)
    assert any("tried again" in data["message"] for data in workplace.told(job_id, "log"))
    assert attempt() == "failed"
    code = {StoreError: "store_error", RegistryBusy: "registry_busy"}[type(error)]
    assert workplace.job(job_id).error["code"] == workplace.told(job_id, "state")[-1]["reason"] == code


def test_what_is_gone_from_the_store_fails_the_job_at_once(workplace: Workplace, laboratory: Laboratory) -> None:
    def fail() -> None:
        raise BlobMissing

    laboratory.at[3] = fail
    job_id = workplace.submit()
    child.distil(workplace.bench, job_id=job_id)
    assert (workplace.job(job_id).state, workplace.job(job_id).error["code"]) == ("failed", "blob_missing")


def test_a_queue_that_is_down_does_not_undo_a_finished_job(workplace: Workplace, laboratory: Laboratory) -> None:
    workplace.queue.down = True
    job_id = workplace.submit()
    child.distil(workplace.bench, job_id=job_id)
    assert workplace.job(job_id).state == "succeeded"


def test_snapshots_survive_the_way_through_the_store() -> None:
    snapshot = Snapshot(step=4, tensors={"x": torch.arange(3.0)}, state={"seen": [1, 2]})
    again = snapshots.load(snapshots.dump(snapshot))
    assert (again.step, again.state, again.tensors["x"].tolist()) == (4, {"seen": [1, 2]}, [0.0, 1.0, 2.0])


def test_the_device_is_the_one_asked_for() -> None:
    assert child.choose_device("cpu") == ("cpu", "cpu")


def test_a_worker_is_introduced_with_its_device(workplace: Workplace) -> None:
    child.introduce(workplace.bench)
    with workplace.database.read() as session:
        assert [(row.id, row.device) for row in workers.list_workers(session)] == [("here-1", "cpu")]
