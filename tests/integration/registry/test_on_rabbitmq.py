"""The same wake-ups over a real RabbitMQ."""

import time
from pathlib import Path
from typing import Any

import pytest

from registry import errors
from registry.models import Need
from registry.queue import Queue, make_app
from registry.settings import Settings
from tests.services import rabbitmq_server


def test_wake_ups_take_turns_and_outlive_the_broker(tmp_path: Path) -> None:
    with rabbitmq_server() as server:
        settings = Settings(home=tmp_path, broker_url=server.url)
        queue = Queue.open(settings)
        for i in range(3):
            queue.wake_job(f"job_{i}", Need.CPU)
        queue.wake_evaluation("eval_1")
        assert received(settings, ["cpu", "evaluate"], most=2) == {"job_0", "eval_1"}  # not behind all jobs
        queue.wake_job("job_gpu", Need.GPU)
        server.stop()
        with pytest.raises(errors.QueueDown):
            queue.wake_job("job_lost", Need.CPU)
        server.start()
        queue.ping(timeout_seconds=10)
        assert received(settings, ["gpu"], most=1) == {"job_gpu"}  # it was on its disk
        # What was taken just before may come again: a claim that finds nothing.
        assert received(settings, ["cpu"], most=2) < {"job_0", "job_1", "job_2"}
        queue.wake_job("job_lost", Need.CPU)  # as the next sweep does
        assert received(settings, ["cpu"], most=1) < {"job_2", "job_lost"}
        queue.close()


def received(settings: Settings, names: list[str], *, most: int) -> set[str]:
    """What a worker with these queues is handed, one message at a time."""
    app, ids = make_app(settings), list[str]()

    def take(body: Any, message: Any) -> None:
        if len(ids) < most:  # what is not acknowledged goes back when the channel ends
            ids.append(body[0][0])
            message.ack()

    deadline = time.monotonic() + 60
    with app.connection_for_read() as connection, connection.channel() as channel:
        channel.basic_qos(0, 1, False)
        wanted = [app.amqp.queues[name](channel) for name in names]
        with app.amqp.TaskConsumer(channel, queues=wanted, callbacks=[take], accept=["json"]):
            while len(ids) < most and time.monotonic() < deadline:
                connection.drain_events(timeout=30)
    app.close()
    return set(ids)
