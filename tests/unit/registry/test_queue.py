"""Wake-ups over the folder broker: what is sent is what a worker reads. Redis is in integration."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kombu.transport import filesystem

from registry import errors
from registry.models import Need
from registry.queue import Queue, celery_config, make_app
from registry.settings import Settings
from registry.testing import MemoryQueue


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def received(settings: Settings, name: str) -> dict[str, Any] | None:
    """The next message in a queue, as a worker takes it: its task and its arguments."""
    app = make_app(settings)
    with app.connection_for_read() as connection, connection.SimpleQueue(app.amqp.queues[name]) as queue:
        try:
            message = queue.get(timeout=1)
        except queue.Empty:
            return None
        message.ack()
        body = message.payload if isinstance(message.payload, list) else json.loads(message.body)
        return {"task": message.headers["task"], "args": body[0], "type": message.content_type}


def test_wake_ups_arrive_with_the_id_and_nothing_else(settings: Settings) -> None:
    queue = Queue.open(settings)
    queue.wake_job("job_1", Need.GPU)
    queue.wake_evaluation("eval_1")
    queue.close()
    job, evaluation = received(settings, "gpu"), received(settings, "evaluate")
    assert job == {"task": "workers.distill_job", "args": ["job_1"], "type": "application/json"}
    assert evaluation == {"task": "workers.evaluate_artifact", "args": ["eval_1"], "type": "application/json"}
    assert received(settings, "gpu") is None


def test_purge_drops_what_waits(settings: Settings) -> None:
    queue = Queue.open(settings)
    for i in range(3):
        queue.wake_job(f"job_{i}", Need.CPU)
    queue.wake_evaluation("eval_1")
    queue.ping()
    assert queue.purge() == 4
    assert received(settings, "gpu") is None


def test_a_broker_that_is_gone_is_a_queue_that_is_down(settings: Settings) -> None:
    queue = Queue.open(settings)
    shutil.rmtree(settings.queue_dir)
    with pytest.raises(errors.QueueDown):
        queue.wake_job("job_1", Need.GPU)
    unreachable = Queue.open(Settings(home=settings.home, broker_url="redis://127.0.0.1:1/0"))
    asks: list[Callable[[], object]] = [
        lambda: unreachable.wake_job("job_1", Need.GPU),
        unreachable.ping,
        unreachable.purge,
    ]
    for ask in asks:
        with pytest.raises(errors.QueueDown, match="sweeper"):
            ask()


@pytest.mark.parametrize("left", [b"", b'[["gpu", "", "gp'])
def test_a_half_written_file_of_the_folder_broker_is_a_queue_that_is_down(settings: Settings, left: bytes) -> None:
    queue = Queue.open(settings)
    (settings.queue_dir / "control" / "gpu.exchange").write_bytes(left)
    asks: list[Callable[[], object]] = [lambda: queue.wake_job("job_1", Need.GPU), queue.purge]
    for ask in asks:
        filesystem.Transport.global_state.clear()  # as in a new process, which has bound no queue yet
        with pytest.raises(errors.QueueDown, match="sweeper"):
            ask()


def test_the_configuration_never_pickles_and_never_acknowledges_late(settings: Settings) -> None:
    config = celery_config(settings)
    assert (config["task_serializer"], config["accept_content"]) == ("json", ["json"])
    assert (config["task_acks_late"], config["worker_prefetch_multiplier"]) == (False, 1)
    options = config["broker_transport_options"]
    assert options["data_folder_in"] == options["data_folder_out"]
    assert options["polling_interval"] == 0.1


def test_the_memory_queue_keeps_the_same_promises() -> None:
    queue = MemoryQueue()
    queue.wake_job("job_1", Need.GPU)
    queue.wake_evaluation("eval_1")
    queue.ping()
    assert (queue.jobs, queue.evaluations, queue.purge(), queue.jobs) == ([], [], 2, [])
    queue.down = True
    with pytest.raises(errors.QueueDown):
        queue.wake_job("job_2", Need.CPU)
