"""A recipe goes in over HTTP, and a served artifact comes out."""

import json
import subprocess
from typing import Any

import httpx2

from tests.acceptance.service import Service


def test_a_job_becomes_an_artifact_with_evaluations_and_samples(service: Service, measured: dict[str, Any]) -> None:
    assert (measured["progress"], measured["step"], measured["steps"]) == (1.0, 60, 60)
    artifact_id = measured["artifact_id"]
    # Another test may have asked for a further network meanwhile.
    evaluation = service.get(f"/v1/artifacts/{artifact_id}")["evaluations"][0]
    assert (evaluation["state"], evaluation["network"]) == ("succeeded", "mlp-w16"), evaluation
    for name in ("random", "centroid", "full"):
        assert 0.0 <= evaluation["result"][name]["mean"] <= 1.0
    query = f"{service.url}/v1/artifacts/{artifact_id}/samples?ipc=1&seed=5&format=npz"
    once, twice = httpx2.get(query, timeout=30), httpx2.get(query, timeout=30)
    assert once.status_code == 200, once.text
    assert once.content == twice.content
    assert once.content[:2] == b"PK"


def test_the_story_of_a_job_is_told_in_order(service: Service, measured: dict[str, Any]) -> None:
    with httpx2.stream("GET", f"{service.url}/v1/jobs/{measured['id']}/events", timeout=30) as answer:
        lines = [line for line in answer.iter_lines() if line]
    kinds = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    states = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert kinds[0] == kinds[-1] == "state"
    assert {"progress", "metrics", "log"} <= set(kinds)
    assert "succeeded" in str(states[-1])


def test_a_recipe_that_the_data_cannot_meet_never_becomes_a_job(service: Service) -> None:
    answer = httpx2.post(
        f"{service.url}/v1/jobs", json={"dataset": "digits", "method": "kip", "ipc": 100000}, timeout=10
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/ipc"


def test_a_second_service_on_the_same_home_is_refused(service: Service) -> None:
    command = service.command("up", "--home", str(service.home), "--port", str(service.port + 1))
    done = subprocess.run(command, env=service.environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 5
    assert "runs on" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_doctor_finds_a_running_service_healthy(service: Service) -> None:
    command = service.command("doctor", "--json", "--home", str(service.home))
    done = subprocess.run(command, env=service.environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    states = {check["name"]: check["state"] for check in json.loads(done.stdout)["checks"]}
    assert states["database"] == states["store"] == states["broker"] == states["worker"] == "ok"
