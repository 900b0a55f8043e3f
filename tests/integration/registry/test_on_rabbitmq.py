"""The same wake-ups over a real RabbitMQ."""

import time
from pathlib import Path
from typing import Any

from registry.models import Need
from registry.queue import Queue, make_app
from registry.settings import Settings
from tests.services import rabbitmq_server


def test_wake_ups_arrive_and_evaluations_do_not_wait_behind_all_jobs(tmp_path: Path) -> None:
    with rabbitmq_server() as server:
        settings = Settings(home=tmp_path, broker_url=server.url)
        queue = Queue.open(settings)
        for i in range(3):
            queue.wake_job(f"job_{i}", Need.CPU)
        queue.wake_evaluation("eval_1")
        assert received(settings, ["cpu", "evaluate"], most=2) == {"job_0", "eval_1"}  # not behind all jobs
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
