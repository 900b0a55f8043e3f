"""Whatever is killed, and whenever: an accepted job is there, is done once, and ends in the same bytes."""

import os
import signal
import threading
import time
from typing import Any

import httpx2
import pytest

from tests.acceptance.service import TINY, Service, until

#: Long enough to be hit in the middle, and the same for every test that is: their results are compared.
LONG: dict[str, Any] = {"seed": 21, "steps": 1200, "evaluation": {"networks": []}}
#: Never finished by itself.
ENDLESS: dict[str, Any] = {**LONG, "steps": 1_000_000}


@pytest.fixture(scope="session")
def undisturbed(shared_service: Service) -> str:
    """The id of the artifact that LONG makes when nobody interferes; another digest would be another artifact."""
    shared_service.ensure_up()
    return shared_service.until_state(shared_service.submit(**LONG), "succeeded")["artifact_id"]


def test_a_job_survives_the_death_of_its_process(service: Service, undisturbed: str) -> None:
    job_id = service.submit(**LONG)
    service.until_snapshot(job_id)
    os.kill(service.child_at_work(job_id), signal.SIGKILL)
    job = service.until_state(job_id, "succeeded")
    assert job["attempt"] == 2
    assert job["artifact_id"] == undisturbed


def test_a_job_survives_the_death_of_the_worker(service: Service, undisturbed: str) -> None:
    job_id = service.submit(**LONG)
    service.until_snapshot(job_id)
    os.kill(service.pid_of("-m workers"), signal.SIGKILL)
    job = service.until_state(job_id, "succeeded")
    assert job["attempt"] == 2
    assert job["artifact_id"] == undisturbed


def test_a_job_survives_the_death_of_everything(service: Service, undisturbed: str) -> None:
    job_id = service.submit(**LONG)
    waiting = service.submit(seed=22, evaluation={"networks": []})
    service.until_snapshot(job_id)
    assert service.process is not None
    service.process.kill()
    service.process.wait()
    until(lambda: not service.process_ids(), what="every process has died with its supervisor", seconds=10)
    service.start()
    job = service.until_state(job_id, "succeeded")
    assert (job["attempt"], job["artifact_id"]) == (2, undisturbed)
    service.until_state(waiting, "succeeded")


def test_a_stop_gives_the_job_back_and_leaves_nothing_behind(service: Service, undisturbed: str) -> None:
    job_id = service.submit(**LONG)
    service.until_snapshot(job_id)
    began = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - began < 20
    assert service.process_ids() == {}
    service.start()
    job = service.until_state(job_id, "succeeded")
    assert job["artifact_id"] == undisturbed


def test_accepted_jobs_survive_the_death_of_the_api(service: Service) -> None:
    accepted: list[str] = []
    over = threading.Event()

    def keep_submitting() -> None:
        while not over.is_set():
            try:
                answer = httpx2.post(f"{service.url}/v1/jobs", json={**TINY, **ENDLESS}, timeout=5)
            except httpx2.TransportError:
                time.sleep(0.02)
                continue
            if answer.status_code == 202:
                accepted.append(answer.json()["id"])

    clients = [threading.Thread(target=keep_submitting) for _ in range(3)]
    for client in clients:
        client.start()
    until(lambda: len(accepted) >= 5, what="some jobs are accepted", seconds=30)
    os.kill(service.pid_of("-m app"), signal.SIGKILL)
    over.set()
    for client in clients:
        client.join()
    service.until_ready()
    for job_id in accepted:
        assert service.job(job_id)["state"] in ("queued", "running")
        httpx2.post(f"{service.url}/v1/jobs/{job_id}/cancel", timeout=10).raise_for_status()
    for job_id in accepted:
        service.until_state(job_id, "cancelled", seconds=15)


def test_a_cancelled_job_frees_its_device_within_five_seconds(service: Service) -> None:
    job_id = service.submit(**ENDLESS)
    service.until_snapshot(job_id)
    child = service.child_at_work(job_id)
    began = time.monotonic()
    httpx2.post(f"{service.url}/v1/jobs/{job_id}/cancel", timeout=10).raise_for_status()
    service.until_state(job_id, "cancelled", seconds=5)
    until(lambda: child not in service.process_ids(), what="its process has gone", seconds=5)
    assert time.monotonic() - began < 5
