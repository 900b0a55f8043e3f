"""The same wake-ups over a real RabbitMQ, and a worker that lives by them."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import AppSettings
from registry import errors, schema
from registry.models import Need
from registry.queue import Queue, make_app
from registry.settings import Settings
from tests.acceptance.service import QUICK, TINY, until
from tests.services import rabbitmq_server

#: Only a message can bring a job to a worker: nobody looks for those that were forgotten.
BY_MESSAGE = {**QUICK, "DISTILLED_SWEEP_SECONDS": "3600", "DISTILLED_REWAKE_SECONDS": "3600"}


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


@pytest.mark.services
@pytest.mark.timeout(300)
def test_a_worker_hears_of_a_job_and_of_its_evaluation(tmp_path: Path) -> None:
    schema.upgrade(f"sqlite:///{tmp_path}/registry.db")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DISTILLED_")}
    with rabbitmq_server() as server, (tmp_path / "worker.log").open("w") as log:
        told = {**kept, **BY_MESSAGE, "DISTILLED_HOME": str(tmp_path), "DISTILLED_BROKER_URL": server.url}
        settings = AppSettings(home=tmp_path, broker_url=server.url, sweep_seconds=3600, rewake_seconds=3600)
        with (
            subprocess.Popen([sys.executable, "-m", "workers"], env=told, stdout=log, stderr=log) as worker,
            TestClient(create_app(settings), base_url="http://localhost") as client,
        ):
            try:
                until(lambda: client.get("/v1/workers").json()["items"], what="the worker is there", seconds=120)
                job_id = client.post("/v1/jobs", json=TINY).raise_for_status().json()["id"]

                def measured() -> bool:
                    job = client.get(f"/v1/jobs/{job_id}").json()
                    assert job["state"] != "failed", job["error"]
                    if job["artifact_id"] is None:
                        return False
                    (one,) = client.get(f"/v1/artifacts/{job['artifact_id']}").json()["evaluations"]
                    return one["state"] == "succeeded"

                until(measured, what="the job's artifact is measured", seconds=120)
            finally:
                worker.terminate()
                assert worker.wait(timeout=30) == 0, (tmp_path / "worker.log").read_text()
