"""What a pool child does: take a wake-up, claim what is due, run it, and leave the registry in order.

Imports torch and the laboratory: the spawned child imports this module while it waits, so that a job starts at once.
The main process of the worker never does.
"""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from sqlalchemy.orm import Session
from structlog.contextvars import bound_contextvars

import distilled
from registry import evaluations, jobs, logs, portions, tracing, validations, workers
from registry.errors import QueueDown, RegistryError
from registry.jobs import Claim
from workers import failures, seats, sources
from workers.bench import Bench
from workers.distill import loop
from workers.distill.memory import keep_freed_memory
from workers.evaluating import EvaluationReporter
from workers.helping import Helper, PortionReporter
from workers.leaseholder import Leaseholder
from workers.pulse import Leave, Pulse, Verdict
from workers.reporting import JobReporter
from workers.seats import host_memory
from workers.settings import WorkerSettings
from workers.shelving import sharing_shelf_of
from workers.snapshotting import SnapshotKeeper
from workers.validating import ValidationReporter

#: A job that is no longer ours must not keep the device from the next one, nor end its own process in mid-thought.
LOST_GRACE_SECONDS = 3.0


def choose_device(wanted: str) -> tuple[str, str]:
    """(torch device, name for people): what was asked for, else the first CUDA device, else the CPU."""
    device = wanted or ("cuda" if torch.cuda.is_available() else "cpu")
    if torch.device(device).type != "cuda":
        return device, device
    return device, f"{device} ({torch.cuda.get_device_name(device)})"


def device_memory(settings: WorkerSettings, device: str) -> int | None:
    """Bytes that a job may take of the device: as it is told, else all that it has; None where that is not known."""
    if settings.memory_bytes:
        return settings.memory_bytes
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return host_memory() if torch.device(device).type == "cpu" else None


def set_up(settings: WorkerSettings) -> None:
    """Set what holds for the whole process, before the first tensor: the allocator, and the CPU threads (0: all)."""
    keep_freed_memory()
    if settings.torch_threads:
        torch.set_num_threads(settings.torch_threads)


def warm_up() -> None:
    """Do now what a job's first seconds would otherwise go to: the imports that torch puts off."""
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])


def introduce(bench: Bench) -> None:
    """Tell the registry which device this worker has, which only a process with torch can know."""
    try:
        with bench.database.write() as session:
            workers.beat_worker(
                session,
                worker=bench.worker,
                device=bench.device_name,
                hostname=socket.gethostname(),
                pid=os.getppid(),
                version=distilled.__version__,
                queues=seats.queues(bench.settings, seats.need_of(bench.device)),
                memory_bytes=bench.memory_bytes,
            )
    except Exception:
        # Of interest to people only; the jobs name their device themselves.
        logs.get(__name__).warning("the device was not recorded", exc_info=True)


def distil(bench: Bench, *, job_id: str) -> None:
    """Run the job that is due, which need not be the one of the wake-up; come back when it is settled."""
    began = time.monotonic()
    with bench.database.write() as session:
        found = _next_job(session, bench)
    if found is None:
        logs.get(__name__).info("nothing is queued any more", woken_for=job_id)
        return
    claim, bench = found
    keeper = SnapshotKeeper(claim, database=bench.database, store=bench.store)
    reporter = JobReporter(claim, bench=bench, keeper=keeper)
    ids = {"job_id": claim.job_id, "request_id": claim.request_id, "attempt": claim.attempt}
    with bound_contextvars(**ids), tracing.span("distil", parent=claim.traceparent, **ids, dataset=claim.dataset):
        tracing.past("claim", seconds=time.monotonic() - began)
        settled = _settle(bench, reporter, work=lambda pulse: _distil(bench, reporter, keeper, pulse))
    if settled:
        _wake_evaluations(bench, job_id=claim.job_id)


def evaluate(bench: Bench, *, evaluation_id: str) -> None:
    """Measure the artifact of the evaluation that is due; come back when it is settled."""
    with bench.database.write() as session:
        claim = evaluations.claim_next(session, **bench.holder)
    if claim is None:
        logs.get(__name__).info("nothing is queued any more", woken_for=evaluation_id)
        return
    reporter = EvaluationReporter(claim, bench=bench)
    ids = {"evaluation_id": claim.evaluation_id, "request_id": claim.request_id, "attempt": claim.attempt}
    with bound_contextvars(**ids), tracing.span("evaluate", parent=claim.traceparent, **ids, network=claim.network):
        _settle(bench, reporter, work=reporter.measure)


def validate(bench: Bench, *, validation_id: str) -> None:
    """Look at the upload of the validation that is due; come back when it is settled."""
    with bench.database.write() as session:
        claim = validations.claim_next(session, **bench.holder)
    if claim is None:
        logs.get(__name__).info("nothing is queued any more", woken_for=validation_id)
        return
    reporter = ValidationReporter(claim, bench=bench)
    ids = {"validation_id": claim.validation_id, "request_id": claim.request_id, "attempt": claim.attempt}
    with bound_contextvars(**ids), tracing.span("validate", parent=claim.traceparent, **ids, kind=claim.kind):
        _settle(bench, reporter, work=reporter.validate)


def help_out(bench: Bench, *, portion_id: str) -> None:
    """Do what is due of another worker's job or evaluation, one portion after the other while that one has any."""
    kind = bench.device.partition(":")[0]
    with bench.database.write() as session:
        claim = portions.claim_next(session, **bench.holder, device_kind=kind)
    if claim is None:
        logs.get(__name__).info("nothing is queued any more", woken_for=portion_id)
        return
    helper = Helper(bench, owner_id=claim.owner_id)
    while claim is not None:
        reporter = PortionReporter(claim, bench=bench)
        ids = {"portion_id": claim.portion_id, "owner_id": claim.owner_id}
        ids |= {"request_id": claim.request_id, "attempt": claim.attempt}
        with bound_contextvars(**ids), tracing.span("portion", parent=claim.traceparent, **ids):
            if not _settle(bench, reporter, work=partial(helper.do, reporter)):
                return
        with bench.database.write() as session:
            claim = portions.claim(session, claim.owner_id, **bench.holder, device_kind=kind)


def _next_job(session: Session, bench: Bench) -> tuple[Claim, Bench] | None:
    """The job that is due for this worker, and the bench that it runs on: each on the kind of device that it needs."""
    for seat in bench.seats:
        place = replace(bench, device=seat.device, device_name=seat.name, memory_bytes=seat.memory_bytes)
        claim = jobs.claim_next(session, **place.holder, needs=[seat.need], memory_bytes=seat.memory_bytes)
        if claim is not None:
            return claim, place
    return None


def _distil(bench: Bench, reporter: JobReporter, keeper: SnapshotKeeper, pulse: Pulse) -> None:
    recipe = reporter.claim.recipe
    real = sources.resolve(recipe["dataset"], bench=bench)
    base = sources.base(recipe.get("base_artifact"), bench=bench)
    pulse.check(at_snapshot=True)
    reporter.train_images = sum(real.train_counts)
    resume = keeper.load()
    for event in loop.run(
        recipe,
        real,
        device=bench.device,
        resume=resume,
        code_version=distilled.__version__,
        snapshot_every=bench.settings.snapshot_every,
        shelf=sharing_shelf_of(bench, job_id=reporter.claim.job_id, request_id=reporter.claim.request_id),
        base=base,
        slices=reporter.claim.slices,
        looks=bench.settings.picture_seconds > 0,
    ):
        reporter.take(event, pulse=pulse)


def _settle(bench: Bench, reporter: JobReporter | Leaseholder, *, work: Callable[[Pulse], None]) -> bool:
    """Do the work under a pulse and settle however it ends. True: it ended well."""
    log = logs.get(__name__)
    log.info("starts", device=bench.device_name)
    try:
        with _pulse(bench, reporter) as pulse:
            work(pulse)
    except Leave as leave:
        log.info("left", verdict=str(leave.verdict))
        reporter.leave(leave.verdict)
        return False
    except Exception as error:
        failure = failures.describe(error)
        log.exception("failed", code=failure["code"])
        tracing.failed(failure["code"])
        (reporter.lose if failures.is_passing(error) else reporter.fail)(failure)
        return False
    log.info("succeeded")
    return True


def _pulse(bench: Bench, reporter: JobReporter | Leaseholder) -> Pulse:
    settings = bench.settings

    def give_up(verdict: Verdict) -> None:
        """The step hangs: settle what it held and end the process, which is what frees the device."""
        try:
            logs.get(__name__).warning("did not leave in time; the process is ended", verdict=str(verdict))
            reporter.leave(verdict)
        finally:
            os._exit(0)

    return Pulse(
        beat=reporter.beat,
        peek=reporter.peek,
        give_up=give_up,
        stop_signal=bench.stop_signal,
        heartbeat_seconds=settings.heartbeat_seconds,
        poll_seconds=settings.cancel_poll_seconds,
        lease_seconds=settings.lease_seconds,
        grace_seconds={
            Verdict.CANCEL: settings.cancel_grace_seconds,
            Verdict.STOP: settings.stop_grace_seconds,
            Verdict.LOST: LOST_GRACE_SECONDS,
        },
    )


def _wake_evaluations(bench: Bench, *, job_id: str) -> None:
    """Wake a worker for each evaluation of the new artifact. One that is not woken is swept up later."""
    try:
        with bench.database.read() as session:
            artifact_id = jobs.get(session, job_id).artifact_id
            queued = evaluations.of_artifact(session, artifact_id) if artifact_id else []
        for evaluation in queued:
            bench.queue.wake_evaluation(evaluation.id)
            with bench.database.write() as session:
                evaluations.woken(session, evaluation.id)
    except (QueueDown, RegistryError) as error:
        logs.get(__name__).warning("the evaluations were not woken; the sweep will", error=str(error))
