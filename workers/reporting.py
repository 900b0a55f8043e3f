"""The one place where a run's events become rows and blobs.

Everything is written under the claim's attempt; a write that is refused means that the job is someone else's now.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.orm import Session

from registry import jobs, logs, portions, totals, tracing
from registry.errors import RegistryUnavailable, StoreError
from registry.jobs import Claim, Publication
from registry.leases import Beat
from registry.models import EventKind, Job, State
from registry.totals import Counted
from workers import failures
from workers.bench import Bench
from workers.distill import loop
from workers.distill.events import Event, Finished, Log, Look, Metrics, Preparing, Progress, Snapshot, Started
from workers.picturing import Pictures
from workers.pulse import Leave, Pulse, Verdict
from workers.snapshotting import SnapshotKeeper
from workers.writing import surely

#: Parts that real batches are taken in once a job has run out of memory.
SLICES = 8


class JobReporter:
    """One attempt at one job, as the registry sees it."""

    def __init__(
        self, claim: Claim, *, bench: Bench, keeper: SnapshotKeeper, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.claim = claim
        self._bench, self._keeper, self._clock = bench, keeper, clock
        self._next_progress = self._next_snapshot = 0.0
        self.pictures = Pictures(
            claim,
            database=bench.database,
            store=bench.store,
            every_seconds=bench.settings.picture_seconds,
            clock=clock,
        )
        self._preparing: Preparing | None = None
        self._resumed_at: float | None = None  # when the laboratory last went on
        self._next_count = self._next_span = 0.0
        self._steps, self._step_seconds = 0, 0.0  # since they were last counted
        self.train_images: int | None = None  # size of the real training set, once it is loaded

    # -- called in the pulse's thread ---------------------------------------------------------------------------------

    def beat(self) -> Beat:
        """Renew the lease. How far the run is, its own thread tells: two writers could put an older step last."""
        bench = self._bench
        with bench.database.write() as session:
            lease_seconds = bench.settings.lease_seconds
            portions.renew(session, worker=bench.worker, worker_pid=bench.pid, lease_seconds=lease_seconds)
            return self._renew(session, None)

    def peek(self) -> Beat:
        """Look whether the job is still held and wanted; writes nothing."""
        with self._bench.database.read() as session:
            job = session.get(Job, self.claim.job_id)
            if job is None or job.state is not State.RUNNING or job.attempt != self.claim.attempt:
                return Beat.LOST
            return Beat.CANCEL if job.cancel_requested else Beat.CONTINUE

    def leave(self, verdict: Verdict) -> None:
        """Settle the job in the registry for a run that is left, or had to be ended, before its end."""
        if verdict is Verdict.LOST:
            return
        settle = jobs.cancelled if verdict is Verdict.CANCEL else jobs.release
        surely(self._bench.database, lambda session: settle(session, self.claim.job_id, attempt=self.claim.attempt))

    # -- called by the task, event by event ---------------------------------------------------------------------------

    def take(self, event: Event, *, pulse: Pulse) -> None:
        """Record one event. Raises Leave where the job is lost, called off, or to be given back."""
        self._take(event, pulse=pulse)
        self._resumed_at = self._clock()

    def _take(self, event: Event, *, pulse: Pulse) -> None:
        match event:
            case Started():
                self._next_snapshot = self._clock() + self._bench.settings.snapshot_seconds
                self._tell(EventKind.LOG, {"message": _started(event)})
            case Preparing():
                self._take_preparing(event)
                # What is ready is kept already, and a snapshot may be far off: a worker that stops leaves here.
                pulse.check(at_snapshot=True)
            case Progress():
                self._take_progress(event)
            case Metrics():
                self._tell(EventKind.METRICS, {"step": event.step, "values": dict(event.values)})
            case Log():
                self._tell(EventKind.LOG, {"message": event.message})
            case Look():
                if not self.pictures.take(event):
                    raise Leave(Verdict.LOST)
            case Snapshot():
                stopping = pulse.verdict is Verdict.STOP  # read once: what is left for must have been kept
                self._take_snapshot(event, now=stopping)
                pulse.check(at_snapshot=stopping)
            case Finished():
                with tracing.span("publish"):
                    self._publish(event)
                return
        pulse.check()

    def fail(self, failure: Mapping[str, Any]) -> None:
        """End the job as failed, unless it is no longer ours. One that ran out of memory goes on in smaller parts
        first, where its objective can take them; where that fails too, it is told what to lower.
        """
        claim, error = self.claim, dict(failure)
        if error["code"] == failures.OUT_OF_MEMORY["code"]:
            if claim.slices == 1 and loop.sliceable(claim.recipe):
                self._shrink()
                return
            error["detail"] = failures.too_large(claim.recipe, slices=claim.slices)
        surely(
            self._bench.database,
            lambda session: jobs.fail(session, claim.job_id, attempt=claim.attempt, error=error),
        )

    def lose(self, failure: Mapping[str, Any]) -> None:
        """Let go of the job for a fault that is not its own, so that it is tried again, unless it is no longer ours."""
        claim, error = self.claim, dict(failure)
        surely(
            self._bench.database,
            lambda session: jobs.lose(session, claim.job_id, attempt=claim.attempt, error=error),
        )

    def _shrink(self) -> None:
        """Give the job back, to be gone on with from its last snapshot in a fresh process and in smaller parts."""
        claim = self.claim
        surely(
            self._bench.database,
            lambda session: jobs.release(session, claim.job_id, attempt=claim.attempt, slices=SLICES),
        )

    def log(self, message: str) -> None:
        """Tell people a sentence."""
        self._tell(EventKind.LOG, {"message": message})

    def _take_preparing(self, event: Preparing) -> None:
        """Tell it where it is news: the laboratory yields it at every step of what it prepares."""
        if event != self._preparing:
            self._preparing = event
            self._tell(EventKind.PREPARING, {"what": event.what, "done": event.done, "total": event.total})

    def _take_progress(self, event: Progress) -> None:
        now = self._clock()
        self._time_step(event, now)
        if now < self._next_progress and event.step < event.steps:
            return
        self._next_progress = now + self._bench.settings.progress_seconds
        told = {
            "step": event.step,
            "steps": event.steps,
            "loss": event.loss,
            "images_per_second": event.images_per_second,
            "eta_seconds": event.eta_seconds,
        }
        self._tell(EventKind.PROGRESS, told, progress=event)

    def _time_step(self, event: Progress, now: float) -> None:
        """Add up what the step took, without what was done with the event before it; trace one now and then."""
        if self._resumed_at is None:
            return
        seconds = now - self._resumed_at
        self._steps += 1
        self._step_seconds += seconds
        if now >= self._next_span:
            self._next_span = now + self._bench.settings.heartbeat_seconds
            tracing.past("step", seconds=seconds, step=event.step)

    def _count_steps(self, session: Session, done: Progress) -> None:
        """Count the steps since the last time; the sums are every worker's, so not at each report."""
        now = self._clock()
        if not self._steps or (now < self._next_count and done.step < done.steps):
            return
        self._next_count = now + self._bench.settings.heartbeat_seconds
        objective = self.claim.recipe.get("objective", {}).get("kind", "unknown")
        labels = {"device": totals.device_kind(self._bench.device_name), "objective": objective}
        totals.add(session, Counted.STEPS, self._steps, **labels)
        totals.add(session, Counted.STEP_SECONDS, self._step_seconds, **labels)
        self._steps, self._step_seconds = 0, 0.0

    def _take_snapshot(self, event: Snapshot, *, now: bool) -> None:
        if not now and self._clock() < self._next_snapshot:
            return
        try:
            with tracing.span("snapshot", step=event.step):
                kept = self._keeper.save(event)
            if not kept:
                raise Leave(Verdict.LOST)
        except (StoreError, RegistryUnavailable) as error:
            # The run itself is well; it only has less to go back to.
            logs.get(__name__).warning("a snapshot was not kept", step=event.step, error=str(error))
            self.log(f"The snapshot at step {event.step} could not be kept: {error}")
        self._next_snapshot = self._clock() + self._bench.settings.snapshot_seconds

    def _publish(self, event: Finished) -> None:
        digest = self._bench.store.put(event.content)
        publication = Publication(
            digest=digest,
            content_bytes=len(event.content),
            payload_bytes=event.header["budget"]["bytes"],
            kind=event.header["kind"],
            header=dict(event.header),
            train_images=self.train_images,
        )

        def publish(session: Session) -> bool:
            done = jobs.finish(session, self.claim.job_id, attempt=self.claim.attempt, publication=publication)
            if done is not None and not self._bench.store.exists(digest):
                self._bench.store.put(event.content)  # a sweep took the same bytes of an older artifact
            return done is not None

        if not surely(self._bench.database, publish):
            raise Leave(Verdict.LOST)
        self._keeper.clear()

    def _tell(self, kind: EventKind, data: dict[str, Any], *, progress: Progress | None = None) -> None:
        """Append an event; with `progress`, bring the job's row up to it in the same transaction."""
        try:
            with self._bench.database.write() as session:
                number = jobs.record_event(session, self.claim.job_id, attempt=self.claim.attempt, kind=kind, data=data)
                if progress is not None and number is not None:
                    self._renew(session, progress)
                    self._count_steps(session, progress)
        except RegistryUnavailable as error:
            # A line of the story is missing; the pulse decides whether the job can go on.
            logs.get(__name__).warning("an event was not recorded", kind=str(kind), error=str(error))
            return
        if number is None:
            raise Leave(Verdict.LOST)

    def _renew(self, session: Session, done: Progress | None) -> Beat:
        return jobs.beat(
            session,
            self.claim.job_id,
            attempt=self.claim.attempt,
            lease_seconds=self._bench.settings.lease_seconds,
            step=done.step if done else None,
            steps=done.steps if done else None,
            progress=done.step / done.steps if done else None,
            eta_seconds=done.eta_seconds if done else None,
        )


def _started(event: Started) -> str:
    number = "any number of" if event.images_per_class is None else str(event.images_per_class)
    where = f"on {event.device}, {number} {'image' if number == '1' else 'images'} of each class"
    begins = f"Goes on at step {event.step} of" if event.step else "Starts"
    return f"{begins} {event.steps} steps {where}"
