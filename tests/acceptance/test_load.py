"""The running service under a small load for a few seconds; `make load` is the large one."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from benchmarks._load import ENDLESS, Target, bear, replay
from benchmarks.load import faults
from tests.acceptance.service import Service

#: What is asked of two idle cores is 0.2 s; here all else that is tested runs on them as well.
P99_SECONDS = 2.0
GROWTH = 1.25


@pytest.fixture
def target(service: Service, measured: dict[str, Any]) -> Iterator[Target]:
    job_id = service.submit(**ENDLESS)
    artifact_id: str = measured["artifact_id"]
    service.until_state(job_id, "running")
    yield Target(url=service.url, job=job_id, large=artifact_id, small=artifact_id, pid=service.pid_of("-m app"))
    httpx2.post(f"{service.url}/v1/jobs/{job_id}/cancel", timeout=10).raise_for_status()
    httpx2.delete(f"{service.url}/v1/aliases/of-the-hour", timeout=10).raise_for_status()
    service.until_state(job_id, "cancelled")


def test_listeners_and_downloads_keep_nobody_waiting_and_memory_is_flat(target: Target) -> None:
    figures = bear(target, listeners=100, downloads=20, seconds=8, asked=20)
    replay(target, figures, requests=800)
    assert faults(figures, p99_seconds=P99_SECONDS, growth=GROWTH) == []
    assert len(figures.seconds) > 50
    assert figures.clients["listening"] == 100
    assert figures.clients["events"] > 200, "each of them got several"
    assert figures.clients["downloads"] > 20
