"""A message as the worker's main process sees it, before it wakes a child.

Each message that reaches a child costs a child: seconds of imports for the next one. So a wake-up that comes late or
double is answered here: where nothing of its kind is queued any more, nobody is woken.
"""

from collections.abc import Callable
from typing import Any

from celery.worker.request import Request
from celery.worker.state import revoked as revoked_ids
from sqlalchemy import select

from registry.errors import RegistryError
from registry.models import Evaluation, Job, Portion, State, Validation
from registry.queue import DISTILL_TASK, EVALUATE_TASK, PORTION_TASK, VALIDATE_TASK
from registry.session import Database

KINDS = {DISTILL_TASK: Job, EVALUATE_TASK: Evaluation, VALIDATE_TASK: Validation, PORTION_TASK: Portion}


def is_anything_queued(database: Database, task: str) -> bool:
    """Whether a child woken for this task would find work. If the registry cannot say, let it look for itself."""
    model = KINDS[task]
    try:
        with database.read() as session:
            return session.scalar(select(model.id).where(model.state == State.QUEUED).limit(1)) is not None
    except RegistryError:
        return True


class WakeUp(Request):
    """Counts as revoked, which is Celery's word for `not to be run`, where there is nothing to do."""

    def revoked(self) -> bool:
        """Celery asks this just before it hands the message to the pool."""
        app: Any = self.app
        is_due: Callable[[str], bool] | None = getattr(app.loader, "is_due", None)
        if is_due is not None and not is_due(str(self.name)):
            revoked_ids.add(self.id)
        return bool(super().revoked())
