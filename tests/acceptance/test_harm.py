"""Whatever is killed, and whenever: an accepted job is there, is done once, and ends in the same bytes."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.acceptance.service import TINY, Service, until
from tests.undisturbed import undisturbed
from workers.distill.data import load

#: Long enough to be hit in the middle four times.
LONG: dict[str, Any] = {**TINY, "seed": 21, "steps": 2500, "evaluation": {"networks": []}}
#: Never finished by itself.
ENDLESS: dict[str, Any] = {**LONG, "steps": 1_000_000}


@pytest.mark.timeout(600)
def test_a_job_survives_its_process_its_worker_everything_and_a_stop(service: Service, tmp_path: Path) -> None:
    """One job suffers them all, each after a snapshot of its own; one, because each job is a new process with torch."""
    job_id = service.submit(**LONG)
    attempt = service.until_snapshot(job_id)
    os.kill(service.child_at_work(job_id), signal.SIGKILL)

    attempt = service.until_snapshot(job_id, after=attempt)
    os.kill(service.pid_of("-m workers"), signal.SIGKILL)

    attempt = service.until_snapshot(job_id, after=attempt)
    waiting = service.submit(seed=22, evaluation={"networks": []})
    assert service.process is not None
    service.process.kill()
    service.process.wait()
    until(lambda: not service.process_ids(), what="every process has died with its supervisor", seconds=10)
    service.start()

    attempt = service.until_snapshot(job_id, after=attempt)
    began = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - began < 20
    assert service.process_ids() == {}
    service.start()

    job = service.until_state(job_id, "succeeded")
    assert job["attempt"] > attempt >= 4
    digest = undisturbed(LONG, load("digits", data_dir=tmp_path, download=False))
    assert service.get(f"/v1/artifacts/{job['artifact_id']}")["digest"] == digest
    service.until_state(waiting, "succeeded")


def test_accepted_jobs_survive_the_death_of_the_api(service: Service) -> None:
    accepted: list[str] = []
    over = threading.Event()

    def keep_submitting() -> None:
        while not over.is_set():
            try:
                answer = httpx2.post(f"{service.url}/v1/jobs", json=ENDLESS, timeout=5)
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
