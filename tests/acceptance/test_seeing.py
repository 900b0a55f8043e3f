"""One request is followed through the logs of all processes, and what its job took is told as numbers."""

import json
from typing import Any

import httpx2

from tests.acceptance.service import Service


def lines(service: Service, name: str) -> list[dict[str, Any]]:
    """The lines of a log. Each is an object: nothing is printed beside the log."""
    text = (service.home / "logs" / f"{name}.log").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_request_is_followed_by_its_id_to_the_evaluation(service: Service, measured: dict[str, Any]) -> None:
    at_work = [line for line in lines(service, "worker") if line.get("job_id") == measured["id"]]
    assert {"starts", "succeeded"} <= {line["event"] for line in at_work}
    (request_id,) = {line["request_id"] for line in at_work}
    assert {line["attempt"] for line in at_work} == {1}
    asked = [line for line in lines(service, "api") if line.get("request_id") == request_id]
    assert [(line["method"], line["path"]) for line in asked if line["event"] == "request"] == [("POST", "/v1/jobs")]
    measuring = [line for line in lines(service, "worker") if line.get("request_id") == request_id]
    assert [line["event"] for line in measuring if "evaluation_id" in line][-1] == "succeeded"


def test_what_a_job_took_is_told(service: Service, measured: dict[str, Any]) -> None:
    text = httpx2.get(f"{service.url}/metrics", timeout=10).text
    told = {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in text.splitlines() if line[0] != "#")
    }
    step = '{device="cpu",objective="kernel"}'
    assert told[f"distilled_step_duration_seconds_count{step}"] >= measured["steps"]
    assert told[f"distilled_step_duration_seconds_sum{step}"] > 0
    assert told['distilled_device_seconds_total{device="cpu",of="jobs"}'] > 0
    assert told['distilled_device_seconds_total{device="cpu",of="evaluations"}'] > 0
    assert told['distilled_jobs{state="succeeded"}'] >= 1
