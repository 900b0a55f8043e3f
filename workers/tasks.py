"""The four tasks, known to Celery by name. A message is a wake-up with an id; the registry says what is to be done.

No torch here: the worker's main process imports this module. The work is in `workers.child`, which only the spawned
children import (see `workers.celery_app.Loader`).
"""

from typing import TYPE_CHECKING, Any, cast

from celery import Task, shared_task

if TYPE_CHECKING:
    from workers.celery_app import Loader

OPTIONS: dict[str, Any] = {
    # Not retried by Celery when the child dies: the main process ends the dead child's lease and sends the wake-up
    # within a second (`workers.keeper`), and a retry would only wake another child for nothing.
    "retry_on_worker_lost": False,
    "Request": "workers.wakeups:WakeUp",
}


@shared_task(name="workers.distill_job", bind=True, **OPTIONS)
def distill_job(task: "Task[Any, Any]", job_id: str) -> None:
    """Run the job that is due."""
    child, bench = cast("Loader", task.app.loader).workplace()
    child.distil(bench, job_id=job_id)


@shared_task(name="workers.evaluate_artifact", bind=True, **OPTIONS)
def evaluate_artifact(task: "Task[Any, Any]", evaluation_id: str) -> None:
    """Run the evaluation that is due."""
    child, bench = cast("Loader", task.app.loader).workplace()
    child.evaluate(bench, evaluation_id=evaluation_id)


@shared_task(name="workers.validate_upload", bind=True, **OPTIONS)
def validate_upload(task: "Task[Any, Any]", validation_id: str) -> None:
    """Run the validation that is due."""
    child, bench = cast("Loader", task.app.loader).workplace()
    child.validate(bench, validation_id=validation_id)


@shared_task(name="workers.do_portion", bind=True, **OPTIONS)
def do_portion(task: "Task[Any, Any]", portion_id: str) -> None:
    """Do what is due of the work on another worker's job or evaluation."""
    child, bench = cast("Loader", task.app.loader).workplace()
    child.help_out(bench, portion_id=portion_id)
