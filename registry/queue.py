"""Wake-ups through Celery. A message carries an id and nothing else; the row in the registry is the job.

A lost message costs a delay until the sweeper's next round, a doubled one costs a claim that finds nothing.
"""

from typing import Any, Protocol

from celery import Celery
from kombu.exceptions import KombuError

from registry import errors
from registry.models import Evaluation, Need, Portion, Validation
from registry.settings import Settings
from registry.workers import EVERY_QUEUE

DISTILL_TASK = "workers.distill_job"
EVALUATE_TASK = "workers.evaluate_artifact"
VALIDATE_TASK = "workers.validate_upload"
PORTION_TASK = "workers.do_portion"
QUEUES = EVERY_QUEUE
#: What a broker raises that takes no message. ValueError: the folder broker found a file half written, so no JSON.
_BROKEN = (KombuError, OSError, ValueError)


class Waker(Protocol):
    """What the API and the sweepers need of a queue; `registry.testing.MemoryQueue` is another one."""

    def wake_job(self, job_id: str, need: Need) -> None:
        """Tell some worker that has what it needs that this job is queued. Raises QueueDown."""
        ...

    def wake_evaluation(self, evaluation_id: str) -> None:
        """Tell some worker that this evaluation is queued. Raises QueueDown."""
        ...

    def wake_validation(self, validation_id: str) -> None:
        """Tell some worker that this validation is queued. Raises QueueDown."""
        ...

    def wake_portion(self, portion_id: str) -> None:
        """Tell some worker that this portion is queued. Raises QueueDown."""
        ...


class Queue:
    """The sending side of Celery's broker."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    @classmethod
    def open(cls, settings: Settings) -> "Queue":
        """A queue on the configured broker. Connects on first use."""
        return cls(make_app(settings))

    def wake_job(self, job_id: str, need: Need) -> None:
        """Tell some worker that has what it needs that this job is queued. Raises QueueDown."""
        self._send(DISTILL_TASK, job_id, queue=need)

    def wake_evaluation(self, evaluation_id: str) -> None:
        """Tell some worker that this evaluation is queued. Raises QueueDown."""
        self._send(EVALUATE_TASK, evaluation_id, queue=Evaluation.queue)

    def wake_validation(self, validation_id: str) -> None:
        """Tell some worker that this validation is queued. Raises QueueDown."""
        self._send(VALIDATE_TASK, validation_id, queue=Validation.queue)

    def wake_portion(self, portion_id: str) -> None:
        """Tell some worker that this portion is queued. Raises QueueDown."""
        self._send(PORTION_TASK, portion_id, queue=Portion.queue)

    def ping(self, *, timeout_seconds: float = 2.0) -> None:
        """Connect to the broker. Raises QueueDown."""
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=0, timeout=timeout_seconds)
        except (KombuError, OSError) as error:
            raise errors.QueueDown from error

    def purge(self) -> int:
        """Drop every waiting wake-up and return how many there were. Nothing is lost: the sweeper sends them again."""
        try:
            return self._app.control.purge() or 0
        except _BROKEN as error:
            raise errors.QueueDown from error

    def close(self) -> None:
        """Close the connections."""
        self._app.close()

    def _send(self, task: str, row_id: str, *, queue: str) -> None:
        try:
            # One quick second try, for a connection that the broker closed while it was idle.
            policy = {"max_retries": 1, "interval_start": 0.1, "interval_step": 0.1, "interval_max": 0.1}
            self._app.send_task(task, args=[row_id], queue=queue, ignore_result=True, retry=True, retry_policy=policy)
        except _BROKEN as error:
            raise errors.QueueDown from error


def make_app(settings: Settings) -> Celery:
    """A Celery application under our configuration; makes the folders of a filesystem:// broker."""
    if settings.broker_url.startswith("filesystem:"):
        for folder in ("messages", "control"):
            (settings.queue_dir / folder).mkdir(parents=True, exist_ok=True)
    app = Celery("distilled", set_as_current=False)
    app.conf.update(celery_config(settings))
    return app


def celery_config(settings: Settings) -> dict[str, Any]:
    """Celery's configuration, the same for the sending and the working side.

    Early acknowledgement on purpose: no broker alone keeps a long job from being lost or run twice, the lease does.
    """
    return {
        "broker_url": settings.broker_url,
        "broker_transport_options": _transport_options(settings),
        "broker_connection_retry_on_startup": True,
        "broker_connection_timeout": 4.0,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_track_started": False,
        "task_acks_late": False,
        "task_queues": {str(name): {"exchange": str(name), "routing_key": str(name)} for name in QUEUES},
        "task_default_queue": str(Need.CPU),
        "worker_pool": "prefork",
        "worker_pool_start_method": "spawn",  # a forked child cannot use CUDA
        "worker_concurrency": 1,  # one process per device
        "worker_prefetch_multiplier": 1,
        # Where Celery can do it, a busy worker does not even keep one wake-up back from the idle ones.
        "worker_disable_prefetch": settings.broker_url.startswith(("redis:", "rediss:")),
        "worker_max_tasks_per_child": 1,  # a fresh CUDA context for each job, and all its memory back afterwards
        # A child imports torch. One that were killed over that, on a busy machine, would begin again and never work.
        "worker_proc_alive_timeout": 300.0,
        "worker_hijack_root_logger": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # the broker's hiccup is not the job's
        "worker_enable_remote_control": True,
    }


def _transport_options(settings: Settings) -> dict[str, Any]:
    if settings.broker_url.startswith("filesystem:"):
        messages = str(settings.queue_dir / "messages")
        return {
            "data_folder_in": messages,
            "data_folder_out": messages,  # one folder: what is sent here is read here
            "control_folder": str(settings.queue_dir / "control"),
            "polling_interval": 0.1,
        }
    if settings.broker_url.startswith(("redis:", "rediss:")):
        return {"socket_connect_timeout": 2.0, "socket_keepalive": True}
    if settings.broker_url.startswith(("amqp:", "amqps:", "pyamqp:")):
        return {"confirm_publish": True}  # without it, what is sent to a broker that has just died is lost unnoticed
    return {}
