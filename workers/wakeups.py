"""A message as the worker's main process sees it, before it wakes a child.

Each message that reaches a child costs a child: seconds of imports for the next one. So a wake-up that comes late or
double is answered here: where nothing of its kind is queued any more, nobody is woken.
"""

from collections.abc import Callable
from typing import Any

from celery.worker.request import Request
from celery.worker.state import revoked as revoked_ids
from sqlalchemy import ColumnElement, select

from registry.errors import RegistryError
from registry.jobs import holding
from registry.models import Evaluation, Job, Portion, State, Validation, Worker
from registry.queue import DISTILL_TASK, EVALUATE_TASK, PORTION_TASK, VALIDATE_TASK
from registry.session import Database
from workers.seats import needs

KINDS = {DISTILL_TASK: Job, EVALUATE_TASK: Evaluation, VALIDATE_TASK: Validation, PORTION_TASK: Portion}


def is_anything_queued(database: Database, task: str, *, worker: str = "") -> bool:
    """Whether a child of this worker, woken for this task, would find work that it takes. If the registry cannot say,
    let it look for itself.
    """
    model = KINDS[task]
    try:
        with database.read() as session:
            queued = select(model.id).where(model.state == State.QUEUED).limit(1)
            row = session.get(Worker, worker)
            if model is not Job or row is None:
                return session.scalar(queued) is not None
            return any(session.scalar(queued.where(*fits)) is not None for fits in _fitting(row))
    except RegistryError:
        return True


def _fitting(worker: Worker) -> list[list[ColumnElement[bool]]]:
    """For each need of jobs that a worker takes, what they have to meet."""
    taken = needs(worker.queues)
    # What is told is the memory of its device. One with a GPU that takes `cpu` too runs these on its host.
    memory = {need: worker.memory_bytes for need in taken[-1:]}
    return [holding.fitting(need, memory_bytes=memory.get(need)) for need in taken]


class WakeUp(Request):
    """Counts as revoked, which is Celery's word for `not to be run`, where there is nothing to do."""

    def revoked(self) -> bool:
        """Celery asks this just before it hands the message to the pool."""
        app: Any = self.app
        is_due: Callable[[str], bool] | None = getattr(app.loader, "is_due", None)
        if is_due is not None and not is_due(str(self.name)):
            revoked_ids.add(self.id)
        return bool(super().revoked())
