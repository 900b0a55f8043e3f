"""The thread in a worker's main process: signs of life, children that died, and the sweep.

It imports no torch and touches no device: whatever a job does to its child, this goes on beating and sweeping.
"""

import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from sqlalchemy import select

from distilled import __version__
from registry import evaluations, jobs, logs, portions, validations, workers
from registry.errors import QueueDown, RegistryError
from registry.models import Evaluation, Job, Need, Portion, State, Validation, Worker
from registry.queue import Waker
from registry.session import Database
from workers import hung, identity, seats
from workers.bench import cache_of
from workers.settings import WorkerSettings

TURN_SECONDS = 0.5
STARTING = "starting"  # a worker's device until its first child has looked


class Keeper:
    """Keeps the registry informed of one worker, and in order."""

    def __init__(
        self,
        *,
        settings: WorkerSettings,
        database: Database,
        queue: Waker,
        worker: str,
        pid: int,
        child_pids: Callable[[], Sequence[int]],
        busy_pids: Callable[[], Collection[int]] = tuple,
        is_alive: Callable[[int], bool] = identity.is_alive,
        end: Callable[[int], None] = hung.end,
    ) -> None:
        self._settings, self._database, self._queue = settings, database, queue
        self._worker, self._pid = worker, pid
        self._child_pids, self._is_alive = child_pids, is_alive
        self._busy_pids, self._end = busy_pids, end
        self._hung = hung.Hung(cancel_grace_seconds=settings.cancel_grace_seconds)
        self._known_pids: frozenset[int] = frozenset()
        self._next_beat = self._next_sweep = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread and strike the worker off the list."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        try:
            with self._database.write() as session:
                workers.forget_worker(session, worker=self._worker)
        except RegistryError as error:
            logs.get(__name__).warning("the worker was not struck off", error=str(error))

    def settle_in(self) -> None:
        """At the start: take over from dead workers of this machine, and wake for what the queue has forgotten."""
        with self._database.write() as session:
            for row in workers.list_workers(session, live_seconds=workers.FORGET_SECONDS):
                if row.id != self._worker and row.id.startswith(identity.machine()) and not self._is_alive(row.pid):
                    lost = workers.lost_children(session, worker=row.id, alive_pids=())
                    workers.forget_worker(session, worker=row.id)
                    logs.get(__name__).info("took over from a dead worker", worker=row.id, lost=lost)
        emptied = self._settings.broker_url.startswith("filesystem:") and not _holds_messages(self._settings)
        self._wake_queued(most=None if emptied else 1)

    def turn(self, now: float) -> None:
        """One look at everything. `now` is monotonic seconds."""
        alive = frozenset(pid for pid in self._child_pids() if self._is_alive(pid))
        alive -= self._end_hung(now, alive)
        died = bool(self._known_pids - alive)
        if now >= self._next_beat:
            self._beat()
            self._next_beat = now + min(self._settings.heartbeat_seconds, self._settings.lease_seconds / 3)
        if died and self._end_leases(alive):
            self._next_sweep = now
        self._known_pids = alive
        if now >= self._next_sweep:
            self._sweep()
            self._next_sweep = now + self._settings.sweep_seconds

    def _run(self) -> None:
        settled = False
        while not self._ended.is_set():
            try:
                if not settled:
                    self._beat()
                    self.settle_in()
                    settled = True
                self.turn(time.monotonic())
            except Exception:
                # The database may be away for hours; the thread must be there when it comes back.
                logs.get(__name__).warning("the worker could not report", exc_info=True)
                self._ended.wait(self._settings.cancel_poll_seconds)
            self._ended.wait(TURN_SECONDS)

    def _beat(self) -> None:
        kept = cache_of(self._settings).num_bytes()
        with self._database.write() as session:
            row = session.get(Worker, self._worker)
            workers.beat_worker(
                session,
                worker=self._worker,
                device=row.device if row else STARTING,
                hostname=socket.gethostname(),
                pid=self._pid,
                version=__version__,
                # As its child has found them. Until one has looked, what its device is taken for.
                queues=row.queues if row else seats.queues(self._settings, seats.need_of(self._settings.device)),
                memory_bytes=row.memory_bytes if row else None,
                cache_bytes=kept,
            )

    def _end_hung(self, now: float, alive: Collection[int]) -> frozenset[int]:
        """End the children that do not let go by themselves; those that were."""
        busy = frozenset(alive) & frozenset(self._busy_pids())
        if not busy:
            return frozenset()
        with self._database.read() as session:
            holdings = workers.holdings(session, worker=self._worker)
        ended = self._hung.look(now, busy=busy, holdings=holdings)
        for pid in ended:
            logs.get(__name__).warning("a child did not let go and is ended", pid=pid)
            self._end(pid)
        return ended

    def _end_leases(self, alive: Collection[int]) -> bool:
        """End what dead children held. True: there was something, so that a sweep is due."""
        with self._database.write() as session:
            lost = workers.lost_children(session, worker=self._worker, alive_pids=alive)
        if lost:
            logs.get(__name__).warning("a child died at work", lost=lost)
        return bool(lost)

    def _sweep(self) -> None:
        attempts, rewake_seconds = self._settings.max_attempts, self._settings.rewake_seconds
        with self._database.write() as session:
            swept = jobs.sweep(session, max_attempts=attempts, rewake_seconds=rewake_seconds)
            measured = evaluations.sweep(session, max_attempts=attempts, rewake_seconds=rewake_seconds)
            looked_at = validations.sweep(session, max_attempts=attempts, rewake_seconds=rewake_seconds)
            shared = portions.sweep(session, max_attempts=attempts, rewake_seconds=rewake_seconds)
        for found in (swept, measured, looked_at, shared):
            if found.requeued or found.failed or found.cancelled:
                logs.get(__name__).warning(
                    "swept", requeued=found.requeued, failed=found.failed, cancelled=found.cancelled
                )
        self._wake(swept.needs, measured.wake, looked_at.wake, shared.wake)

    def _wake(
        self,
        needs: Mapping[str, Need],
        evaluation_ids: Sequence[str],
        validation_ids: Sequence[str],
        portion_ids: Sequence[str],
    ) -> None:
        try:
            for job_id, need in needs.items():
                self._queue.wake_job(job_id, need)
            for evaluation_id in evaluation_ids:
                self._queue.wake_evaluation(evaluation_id)
            for validation_id in validation_ids:
                self._queue.wake_validation(validation_id)
            for portion_id in portion_ids:
                self._queue.wake_portion(portion_id)
        except QueueDown as error:
            # They count as woken now, and are woken again after `rewake_seconds`.
            logs.get(__name__).warning("a wake-up was not sent", error=str(error))

    def _wake_queued(self, *, most: int | None) -> None:
        """Wake for at most so many of each kind that are queued, whether or not they have been woken for.

        The embedded queue is emptied when the service starts: everything queued has lost its wake-up. Any other broker
        may have been, but most often was not: one wake-up of each kind gives a new worker something to claim, and costs
        nothing if it is one too many.
        """
        with self._database.write() as session:
            ids = {
                model: list(
                    session.scalars(select(model.id).where(model.state == State.QUEUED).order_by(model.id).limit(most))
                )
                for model in workers.HELD
            }
            found = session.execute(select(Job.id, Job.need).where(Job.id.in_(ids[Job])))
            needs = {row.id: row.need for row in found}
            for job_id in needs:
                jobs.woken(session, job_id)
            for evaluation_id in ids[Evaluation]:
                evaluations.woken(session, evaluation_id)
            for validation_id in ids[Validation]:
                validations.woken(session, validation_id)
        self._wake(needs, ids[Evaluation], ids[Validation], ids[Portion])


def _holds_messages(settings: WorkerSettings) -> bool:
    """Whether the folder of the embedded queue has any message in it."""
    return any(settings.queue_dir.rglob("*.msg"))
