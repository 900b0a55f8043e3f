"""A service in one process, whose store and database go wrong at the operation that a test names."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.freeing import free
from app.services import Services
from app.settings import AppSettings
from registry import errors, evaluations, jobs, validations, workers
from registry.models import ENDED, Artifact, Dataset, Job, State, Upload
from registry.testing import FaultyDatabase, FaultyStore, MemoryQueue
from tests.unit.app.catalog import CATALOG
from tests.unit.app.conftest import artifact_file
from workers import child, sources
from workers.bench import Bench
from workers.distill import loop
from workers.distill.events import Finished, Progress, Snapshot, Started
from workers.evaluating import EvaluationReporter
from workers.pulse import Leave, Pulse, Verdict
from workers.settings import WorkerSettings
from workers.stop_signal import StopSignal

STEPS = 3
MAX_ATTEMPTS = 3
TURNS = 12


class Died(BaseException):
    """The process ends here, as by SIGKILL: nobody catches it but the test."""


def run(recipe: dict[str, Any], real: Any, *, resume: Snapshot | None, **options: Any) -> Any:
    """Stands for the laboratory: three steps, and bytes that tell whether it went on from where it was."""
    first, seen = (resume.step, int(resume.tensors["seen"])) if resume else (0, recipe["seed"])
    yield Started(step=first, steps=STEPS, device="cpu", images_per_class=1)
    for step in range(first + 1, STEPS + 1):
        seen = (seen * 31 + step) % 1_000_003
        yield Progress(step=step, steps=STEPS, loss=1.0, images_per_second=1.0, eta_seconds=0.0)
        if step < STEPS:
            yield Snapshot(step=step, tensors={"seen": torch.tensor(seen)}, state={})
    content, header = artifact_file(seed=recipe["seed"])
    yield Finished(content=content if seen == last(recipe["seed"]) else b"torn", header=header)


def last(seed: int) -> int:
    """What three steps make of a seed."""
    seen = seed
    for step in range(1, STEPS + 1):
        seen = (seen * 31 + step) % 1_000_003
    return seen


def measure(reporter: EvaluationReporter, pulse: Pulse) -> None:
    """Stands for an evaluation: the bytes are fetched, and a result is recorded."""
    reporter.bench.store.get(reporter.claim.artifact_digest)
    score = {"mean": 0.9, "std": 0.01, "values": [0.9]}
    result = {"distilled": {"hard": score}, "random": score, "baseline_keys": {"random": "r" * 64}}
    if reporter.settle(evaluations.finish, result=result) is None:
        raise Leave(Verdict.LOST)


def put_in_place(patch: pytest.MonkeyPatch) -> None:
    """Put the stand-ins where the laboratory was."""
    real = SimpleNamespace(train_counts=(5, 5), digest="d" * 64)
    patch.setattr(loop, "run", run)
    patch.setattr(sources, "resolve", lambda *_, **__: real)
    patch.setattr(EvaluationReporter, "measure", measure)


@dataclass(kw_only=True)
class Place:
    """One registry, one store, an API and a worker's child. Close it."""

    home: Path
    app: FastAPI
    database: FaultyDatabase
    store: FaultyStore = field(default_factory=FaultyStore)
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    stop_signal: StopSignal = field(default_factory=StopSignal)

    def __post_init__(self) -> None:
        settings = AppSettings(home=self.home, sweep_seconds=3600)
        parts = {"database": self.database, "store": self.store, "queue": self.queue}
        self.services = Services(settings=settings, catalog=CATALOG, **parts)
        self.app.state.services = self.services
        self.client = TestClient(self.app, base_url="http://localhost")
        # Beats and looks are far apart: the pulse would count as a writer, and when it writes is chance.
        slow = {"heartbeat_seconds": 3600, "cancel_poll_seconds": 3600, "lease_seconds": 20_000, "snapshot_seconds": 0}
        self.bench = Bench(
            settings=WorkerSettings(home=self.home, progress_seconds=0, **slow),
            stop_signal=self.stop_signal,
            worker="here-1",
            pid=7,
            device="cpu",
            device_name="cpu",
            **parts,
        )

    def work(self, *, deadly: bool) -> None:
        """The worker takes one of each, and its process ends; its main process then looks after what it left.

        deadly: a fault kills the process, so that not even an error is recorded.
        """
        kinds = {self.store.faults: errors.StoreError, self.database.faults: errors.RegistryDown}
        for faults in kinds:
            faults.error = Died if deadly else faults.error
        try:
            for take in (
                partial(child.distil, job_id=""),
                partial(child.evaluate, evaluation_id=""),
                partial(child.validate, validation_id=""),
            ):
                with suppress(Died, errors.RegistryError):
                    take(self.bench)
        finally:
            for faults, error in kinds.items():
                faults.error = error
        try:
            with self.database.write() as session:
                workers.lost_children(session, worker="here-1", alive_pids=())
            with self.database.write() as session:
                for life in (jobs, evaluations, validations):
                    life.sweep(session, max_attempts=MAX_ATTEMPTS, rewake_seconds=30.0)
        except errors.RegistryError:
            pass  # the keeper tries again at its next turn

    def insist(self, ask: Callable[[], Any], *accepted: int) -> Any:
        """Ask until the answer is one of these; in between it may only be that something is away."""
        for _ in range(TURNS):
            answer = ask()
            if answer.status_code in accepted:
                return answer
            assert answer.status_code == 503, answer.text
        raise AssertionError(f"still {answer.status_code}: {answer.text}")

    def free(self) -> None:
        """Sweep the store of all that nothing names, until a sweep has gone through."""
        for _ in range(TURNS):
            try:
                free(self.services, grace_seconds=0, dry_run=False)
            except errors.RegistryError:
                continue
            return
        raise AssertionError("no sweep went through")

    def check(self) -> None:
        """Everything has ended, every row has its bytes, and all bytes have their row."""
        with self.database.read() as session:
            jobs_ = session.query(Job).all()
            artifacts = session.query(Artifact).all()
            named = {artifact.digest for artifact in artifacts}
            named |= {dataset.blob_digest for dataset in session.query(Dataset).all() if dataset.blob_digest}
            assert {job.state for job in jobs_} <= set(ENDED)
            assert {job.artifact_id for job in jobs_ if job.state is State.SUCCEEDED} == {one.id for one in artifacts}
        assert {stored.name for stored in self.store.blobs()} == named
        for digest in named:
            self.store.get(digest)
        with self.database.read() as session:
            uploads = {upload.id for upload in session.query(Upload)}  # which expire
        assert not [name for name in self.store.list_named("uploads") if name.split("/")[1] not in uploads]
        assert self.store.list_named("snapshots") == []

    def close(self) -> None:
        """Let go of what was opened for it."""
        self.stop_signal.close()
