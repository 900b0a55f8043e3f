"""Every kind of harm that is done to a running service, and how it is taken back."""

import os
import random
import resource
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from registry.errors import QueueDown
from registry.models import Evaluation, Job, State
from tests.acceptance.service import until
from tests.faults.stacks import LEASE_SECONDS, Stack

#: What takes a fault back when it has lasted long enough; None where nothing has to be.
Heal = Callable[[], None] | None
#: Longer than a lease, and longer than the sweep after it.
LONG_SECONDS = LEASE_SECONDS + 2.0
SHORT_SECONDS = 2.0
FULL_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Harm:
    """A kind of fault. do: None where there is nothing now to do it to. seconds: how long it lasts."""

    do: "Callable[[Stack, random.Random], tuple[bool, Heal]]"
    seconds: float = 0.0
    stacks: tuple[str, ...] = ("embedded", "cluster")


def _kill(find: Callable[[Stack], Sequence[int]]) -> Callable[[Stack, random.Random], tuple[bool, Heal]]:
    def do(stack: Stack, rng: random.Random) -> tuple[bool, Heal]:
        return signalled(find(stack), signal.SIGKILL, rng) is not None, None

    return do


def _pause(find: Callable[[Stack], Sequence[int]]) -> Callable[[Stack, random.Random], tuple[bool, Heal]]:
    def do(stack: Stack, rng: random.Random) -> tuple[bool, Heal]:
        pid = signalled(find(stack), signal.SIGSTOP, rng)
        return pid is not None, None if pid is None else lambda: _send(pid, signal.SIGCONT)

    return do


def signalled(pids: Sequence[int], number: signal.Signals, rng: random.Random) -> int | None:
    """Send the signal to one of these; its number."""
    pid = rng.choice(sorted(pids)) if pids else None
    return pid if pid is not None and _send(pid, number) else None


def _send(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def kill_supervisor(stack: Stack, rng: random.Random) -> tuple[bool, Heal]:
    """Everything dies with it; someone starts the service again."""
    _send(stack.supervisor, signal.SIGKILL)
    until(stack.is_gone, what="all die with their supervisor", seconds=20)
    stack.launch()
    return True, None


def stop(stack: Stack, rng: random.Random) -> tuple[bool, Heal]:
    """Stop the service as a person does, and start it again."""
    stack.stop()
    stack.launch()
    return True, None


def full_disk(stack: Stack, rng: random.Random) -> tuple[bool, Heal]:
    """No process can write a file beyond a few kilobytes: neither database, nor store, nor log."""

    def limit(num_bytes: int) -> None:
        for pid in stack.processes():
            try:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (num_bytes, resource.RLIM_INFINITY))
            except ProcessLookupError:
                continue

    limit(FULL_BYTES)
    return True, lambda: limit(resource.RLIM_INFINITY)


def clock_forward(stack: Stack, rng: random.Random) -> tuple[bool, Heal]:
    """The registry's clock is an hour ahead for a while, and then goes back to the truth."""
    stack.set_clock(3600.0)
    return True, lambda: stack.set_clock(0.0)


def clock_back(stack: Stack, rng: random.Random) -> tuple[bool, Heal]:
    """The registry's clock goes back an hour, and then on to the truth."""
    stack.set_clock(-3600.0)
    return True, lambda: stack.set_clock(0.0)


def broker_loses(stack: Stack, rng: random.Random) -> tuple[bool, Heal]:
    """All messages that wait are gone."""
    if stack.embedded:
        for path in Path(stack.home / "queue").rglob("*.msg"):
            path.unlink(missing_ok=True)
        return True, None
    try:
        stack.queue.purge()
    except QueueDown:
        return False, None
    return True, None


def broker_doubles(stack: Stack, rng: random.Random) -> tuple[bool, Heal]:
    """Each wake-up that was ever sent for something alive is delivered twice more."""
    living = (State.QUEUED, State.RUNNING)
    with stack.database.read() as session:
        jobs = session.execute(select(Job.id, Job.need).where(Job.state.in_(living)).limit(50)).all()
        evaluations = session.scalars(select(Evaluation.id).where(Evaluation.state.in_(living)).limit(50)).all()
    try:
        for _ in range(2):
            for job_id, need in jobs:
                stack.queue.wake_job(job_id, need)
            for evaluation_id in evaluations:
                stack.queue.wake_evaluation(evaluation_id)
    except QueueDown:
        return False, None
    return bool(jobs or evaluations), None


def kill_redis(stack: Stack, rng: random.Random) -> tuple[bool, Heal]:
    """Redis dies with all that it holds, and comes back empty."""
    assert stack.redis is not None
    stack.redis.stop(signal.SIGKILL)
    return True, stack.redis.start


def pause_redis(stack: Stack, rng: random.Random) -> tuple[bool, Heal]:
    """Redis answers nobody for a while."""
    assert stack.redis is not None
    process = stack.redis.process
    if process is None:
        return False, None
    return _send(process.pid, signal.SIGSTOP), lambda: process.send_signal(signal.SIGCONT)


def crash_postgresql(stack: Stack, rng: random.Random) -> tuple[bool, Heal]:
    """PostgreSQL crashes, and comes back with what was committed."""
    assert stack.postgresql is not None
    stack.postgresql.stop("immediate")
    return True, stack.postgresql.start


def restart_postgresql(stack: Stack, rng: random.Random) -> tuple[bool, Heal]:
    """PostgreSQL is restarted in good order, which cuts all connections."""
    assert stack.postgresql is not None
    stack.postgresql.stop("fast")
    stack.postgresql.start()
    return True, None


def pause_postgresql(stack: Stack, rng: random.Random) -> tuple[bool, Heal]:
    """PostgreSQL answers nobody for a while."""
    assert stack.postgresql is not None
    pids = stack.postgresql.process_ids()
    for pid in pids:
        _send(pid, signal.SIGSTOP)

    def heal() -> None:
        for pid in pids:
            _send(pid, signal.SIGCONT)

    return True, heal


def store_away(stack: Stack, rng: random.Random) -> tuple[bool, Heal]:
    """The bucket cannot be reached."""
    assert stack.bucket is not None
    stack.bucket.stop()
    return True, stack.bucket.start


ONE, MANY = ("embedded",), ("cluster",)
HARM: dict[str, Harm] = {
    "child killed": Harm(do=_kill(lambda stack: stack.children())),
    "child paused beyond its lease": Harm(do=_pause(lambda stack: stack.children()), seconds=LONG_SECONDS),
    "worker killed": Harm(do=_kill(lambda stack: stack.mains("worker"))),
    "worker paused beyond its lease": Harm(do=_pause(lambda stack: stack.mains("worker")), seconds=LONG_SECONDS),
    "API killed": Harm(do=_kill(lambda stack: stack.mains("api"))),
    "API paused": Harm(do=_pause(lambda stack: stack.mains("api")), seconds=SHORT_SECONDS),
    "supervisor killed": Harm(do=kill_supervisor),
    "supervisor paused": Harm(do=_pause(lambda stack: [stack.supervisor]), seconds=SHORT_SECONDS),
    "service stopped and started": Harm(do=stop),
    "disk full": Harm(do=full_disk, seconds=SHORT_SECONDS, stacks=ONE),
    "clock an hour ahead": Harm(do=clock_forward, seconds=SHORT_SECONDS),
    "clock an hour back": Harm(do=clock_back, seconds=SHORT_SECONDS),
    "broker loses all messages": Harm(do=broker_loses),
    "broker delivers all twice": Harm(do=broker_doubles),
    "Redis killed": Harm(do=kill_redis, seconds=SHORT_SECONDS, stacks=MANY),
    "Redis paused": Harm(do=pause_redis, seconds=SHORT_SECONDS, stacks=MANY),
    "PostgreSQL crashed": Harm(do=crash_postgresql, seconds=SHORT_SECONDS, stacks=MANY),
    "PostgreSQL restarted": Harm(do=restart_postgresql, stacks=MANY),
    "PostgreSQL paused": Harm(do=pause_postgresql, seconds=SHORT_SECONDS, stacks=MANY),
    "store out of reach": Harm(do=store_away, seconds=SHORT_SECONDS, stacks=MANY),
}
