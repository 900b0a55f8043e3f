"""What a queued job waits for that no live worker has: it would otherwise look like a long queue."""

from sqlalchemy.orm import Session

from distilled import device_memory
from registry import workers
from registry.models import Job, Need, State

LACKING = {
    Need.GPU: "A worker with a GPU: none is alive. Start one (`distilled worker --device cuda`), or submit the recipe "
    'with "device": "cpu".',
    Need.CPU: "A worker that takes jobs for a CPU: none is alive. Start one (`distilled worker --device cpu`).",
}


def waiting_for(session: Session, job: Job) -> str | None:
    """A sentence where a queued job needs what no live worker has: its kind of device, or as much memory."""
    if job.state is not State.QUEUED:
        return None
    takers = [worker for worker in workers.list_workers(session) if job.need in worker.queues]
    if not takers:
        return LACKING[job.need]
    held = [worker.memory_bytes for worker in takers]
    if job.memory_bytes is None or any(have is None or have >= job.memory_bytes for have in held):
        return None
    named = [f"`{name}` (now {value})" for name, value in device_memory.knobs(job.recipe)]
    largest = max(have for have in held if have is not None)
    return (
        f"A device with {_gib(job.memory_bytes)} of memory, as this recipe is estimated to take: the largest alive has "
        f"{_gib(largest)}. Start a worker with more, or lower {' or '.join(named) or 'the budget'}."
    )


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB"
