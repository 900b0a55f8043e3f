"""Jobs under fire: harm after harm by a seeded deck, until every job has ended, and then a look at every promise."""

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import func, select

from registry import workers
from registry.errors import RegistryError
from registry.models import ENDED, Artifact, Dataset, Evaluation, IdempotencyKey, Job, State
from tests.acceptance.service import until
from tests.faults import witness
from tests.faults.clients import Clients, kind_of, recipe
from tests.faults.harm import HARM
from tests.faults.hooks import HANGS, HANGS_AT, HANGS_HARD
from tests.faults.reading import Reader
from tests.faults.stacks import MAX_ATTEMPTS, Stack
from tests.undisturbed import undisturbed
from workers.distill.data import load

#: What ends a job only when it has been lost as often as it may be.
LOSSES = ("worker_lost", "store_error", "registry_down", "registry_busy")
#: The next fault waits until something was claimed, ended or given back since the last, but no longer than this.
SLOW_SECONDS = 20.0
#: Kind of job -> the digest of its artifact.
References = dict[tuple[int, bool], str]
#: How soon a cancelled job has let go of its device, whatever it is doing.
CANCEL_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of what. rest_seconds: between two faults, at most; kinds: different recipes; faults: at most so many.

    deck: the kinds of harm; each comes once before any comes again. patience_seconds: from the last fault to the end.
    """

    jobs: int
    seed: int
    faults: int
    kinds: int = 12
    at_once: int = 6
    rest_seconds: float = 3.0
    patience_seconds: float = 300.0
    deck: tuple[str, ...] = ()


@dataclass
class Outcome:
    """What came of it. `wrong` is empty, or a promise was broken."""

    stack: str
    plan: Plan
    faults: Counter[str] = field(default_factory=Counter[str])
    states: Counter[str] = field(default_factory=Counter[str])
    failures: Counter[str] = field(default_factory=Counter[str])
    accepted: int = 0
    claims: int = 0
    requeued: int = 0
    losses: int = 0
    duplicates: int = 0
    artifacts: int = 0
    evaluations: int = 0
    looks: int = 0
    stale: int = 0
    cancels: list[float] = field(default_factory=list[float])
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list[str])


def references(folder: Path, *, jobs: int, kinds: int) -> References:
    """The digest of each kind of job where nobody interferes."""
    real = load("digits", data_dir=folder, download=False)
    one_of_each = {kind_of(number, kinds=kinds): number for number in range(jobs)}
    return {kind: undisturbed(recipe(number, kinds=kinds), real) for kind, number in one_of_each.items()}


def run(stack: Stack, plan: Plan, *, expected: References, say: Callable[[str], None] = lambda _: None) -> Outcome:
    """Run a campaign on a stack that has not been started, and leave it stopped."""
    began = time.monotonic()
    outcome = Outcome(stack=stack.name, plan=plan)
    witness.set_up(stack.database)
    stack.start()
    clients = Clients(stack, jobs=plan.jobs, kinds=plan.kinds, at_once=plan.at_once, seed=plan.seed)
    reader = Reader(stack, seed=plan.seed)
    with reader, clients:
        with suppress(KeyboardInterrupt):
            _harm(stack, plan, clients, outcome, say)
        stack.until_ready()
        try:
            until(lambda: _ended(stack, clients), what="every job has ended", seconds=plan.patience_seconds, each=0.5)
        except AssertionError as error:
            outcome.wrong.append(str(error))
    outcome.wrong += clients.wrong + reader.wrong
    outcome.looks, outcome.stale = reader.looks, reader.stale
    _check_rows(stack, plan, clients, outcome, expected)
    _check_cancel(stack, outcome)
    _check_bytes(stack, outcome)
    stack.stop()
    outcome.seconds = time.monotonic() - began
    return outcome


def _harm(stack: Stack, plan: Plan, clients: Clients, outcome: Outcome, say: Callable[[str], None]) -> None:
    """Do harm until there has been enough of it or nothing is left to be harmed, and heal what was done."""
    rng = random.Random(plan.seed)
    kinds = plan.deck or tuple(name for name, harm in HARM.items() if stack.name in harm.stacks)
    deck: list[str] = []
    healing: list[tuple[float, str, Callable[[], None]]] = []
    until(lambda: len(clients.accepted) > 0, what="a job is accepted", seconds=60)
    next_at, moved = time.monotonic(), -1
    while True:
        now = time.monotonic()
        for due in [one for one in healing if one[0] <= now]:
            healing.remove(due)
            due[2]()
        # One at a time of those that last: two at once could keep each other from being healed. Nor is the database
        # asked meanwhile: it may be what is paused.
        if healing:
            time.sleep(0.2)
            continue
        if sum(outcome.faults.values()) >= plan.faults or (clients.all_sent and _ended(stack, clients)):
            return
        if now < next_at or (now < next_at + SLOW_SECONDS and witness.count(stack.database) == moved):
            time.sleep(0.2)
            continue
        moved = witness.count(stack.database)
        if not deck:
            deck = rng.sample(kinds, len(kinds))
        name = deck.pop()
        with suppress(RegistryError):
            done, heal = HARM[name].do(stack, rng)
            outcome.faults[name] += done
            say(f"{stack.name}: {name if done else f'nothing to do for: {name}'}")
            if heal is not None:
                healing.append((now + HARM[name].seconds, name, heal))
        next_at = time.monotonic() + rng.uniform(0.2, plan.rest_seconds)


def _ended(stack: Stack, clients: Clients) -> bool:
    """Whether all that was asked for has been accepted, and all that was accepted has ended."""
    if not clients.all_sent:
        return False
    with suppress(RegistryError), stack.database.read() as session:
        living = [
            session.scalar(select(func.count()).select_from(model).where(model.state.not_in(ENDED)))
            for model in workers.HELD
        ]
        return not any(living)
    return False


def _check_rows(stack: Stack, plan: Plan, clients: Clients, outcome: Outcome, expected: References) -> None:
    """Every job that was accepted is there, once, has ended for a reason, and in the bytes that it should."""
    testimony = witness.ask(stack.database)
    outcome.claims, outcome.requeued = testimony.claims, testimony.requeued
    outcome.wrong += testimony.wrong
    outcome.accepted = len(clients.accepted)
    with stack.database.read() as session:
        jobs = {job.id: job for job in session.query(Job)}
        artifacts = {artifact.id: artifact for artifact in session.query(Artifact)}
        evaluations = session.query(Evaluation).all()
        keys = session.query(IdempotencyKey).count()
    outcome.artifacts, outcome.evaluations = len(artifacts), len(evaluations)
    outcome.losses = sum(job_id not in jobs for job_id in clients.accepted.values())
    outcome.duplicates = len(jobs) - len(clients.accepted)
    if outcome.losses or outcome.duplicates or keys != len(clients.accepted):
        outcome.wrong.append(f"{len(clients.accepted)} accepted, {keys} keys, {len(jobs)} rows")
    for number, job_id in clients.accepted.items():
        job = jobs.get(job_id)
        if job is None:
            continue
        outcome.states[str(job.state)] += 1
        if job.state is State.SUCCEEDED:
            artifact = artifacts.get(job.artifact_id or "")
            if artifact is None or artifact.digest != expected[kind_of(number, kinds=plan.kinds)]:
                ended = "without an artifact" if artifact is None else f"as {artifact.digest[:12]}"
                outcome.wrong.append(
                    f"{job_id} did not end in the bytes of an undisturbed run but {ended}: "
                    f"kind {kind_of(number, kinds=plan.kinds)}, {job.recipe['method']}, "
                    f"attempt {job.attempt}, {job.lost} losses"
                )
        elif job.state is State.CANCELLED:
            if job_id not in clients.called_off:
                outcome.wrong.append(f"{job_id} is cancelled, and nobody called it off")
        else:
            _check_failure(job_id, job, outcome)
    for one in evaluations:
        if one.state is not State.SUCCEEDED:
            _check_failure(one.id, one, outcome)
    if len({artifact.digest for artifact in artifacts.values()}) != len(artifacts):
        outcome.wrong.append("two artifacts have one digest")


def _check_failure(row_id: str, row: Job | Evaluation, outcome: Outcome) -> None:
    """What fails says why, and the faults that were done explain it."""
    code = (row.error or {}).get("code", "none")
    outcome.failures[code] += 1
    done = outcome.faults
    lost_often = row.lost >= MAX_ATTEMPTS and sum(done.values()) >= MAX_ATTEMPTS
    full = code == "store_full" and done["disk full"] > 0
    if not full and not (code in LOSSES and lost_often):
        outcome.wrong.append(f"{row_id} is {row.state} after {row.lost} losses: {row.error}")


def _check_cancel(stack: Stack, outcome: Outcome) -> None:
    """A job whose step hangs is called off, and its process is gone: of each of the two ways to hang one."""
    for seed in (HANGS, HANGS_HARD):
        hanging = {**recipe(0, kinds=1), "seed": seed, "priority": 0}
        job_id = httpx2.post(f"{stack.urls[0]}/v1/jobs", json=hanging, timeout=20).raise_for_status().json()["id"]

        def child(job_id: str = job_id) -> int | None:
            with stack.database.read() as session:
                job = session.get_one(Job, job_id)
                return job.worker_pid if job.state is State.RUNNING and job.step == HANGS_AT else None

        pid = until(child, what=f"{job_id} hangs", seconds=120)
        began = time.monotonic()
        httpx2.post(f"{stack.urls[-1]}/v1/jobs/{job_id}/cancel", timeout=20).raise_for_status()

        def gone(job_id: str = job_id, pid: int = pid) -> bool:
            with stack.database.read() as session:
                return session.get_one(Job, job_id).state is State.CANCELLED and pid not in stack.processes()

        try:
            until(gone, what=f"{job_id} is cancelled and process {pid} is gone", seconds=CANCEL_SECONDS)
        except AssertionError as error:
            outcome.wrong.append(str(error))
            until(gone, what=f"{job_id} is cancelled at all", seconds=60)
        outcome.cancels.append(time.monotonic() - began)


def _check_bytes(stack: Stack, outcome: Outcome) -> None:
    """After a sweep the store holds what rows name, each with the bytes of its digest, and not a byte more."""
    url = f"{stack.urls[0]}/v1/admin/sweep?dry_run=false&grace_seconds=0"
    httpx2.post(url, timeout=60).raise_for_status()
    with stack.database.read() as session:
        named = {one for one in session.scalars(select(Artifact.digest))}
        named |= {one for one in session.scalars(select(Dataset.blob_digest)) if one is not None}
        alive = {job.id for job in session.query(Job).filter(Job.state.not_in(ENDED))}
    kept = {stored.name for stored in stack.store.blobs()}
    if kept != named:
        outcome.wrong.append(f"blobs without a row: {sorted(kept - named)}; rows without bytes: {sorted(named - kept)}")
    for digest in kept & named:
        try:
            stack.store.get(digest)  # checked against its digest
        except RegistryError as error:
            outcome.wrong.append(f"{digest}: {error}")
    left = [name for name in stack.store.list_named("snapshots") if name.split("/")[1] not in alive]
    if left:
        outcome.wrong.append(f"snapshots of jobs that have ended: {left}")


def told(outcome: Outcome) -> dict[str, Any]:
    """The figures of a campaign by their names in the report."""
    return {
        "seed": outcome.plan.seed,
        "faults": sum(outcome.faults.values()),
        "jobs accepted": outcome.accepted,
        **{f"jobs {state}": outcome.states[state] for state in ("succeeded", "cancelled", "failed")},
        "evaluations": outcome.evaluations,
        "artifacts": outcome.artifacts,
        "claims": outcome.claims,
        "queued again": outcome.requeued,
        "losses": outcome.losses,
        "duplicates": outcome.duplicates,
        "writes under an old attempt, all refused": outcome.stale,
        "looks at an artifact's bytes, all whole": outcome.looks,
        "seconds to cancel a job whose step hangs": ", ".join(f"{seconds:.1f}" for seconds in outcome.cancels),
        "broken promises": len(outcome.wrong),
        "seconds": round(outcome.seconds),
    }
