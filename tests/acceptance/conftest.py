"""One service for all acceptance tests, as a start costs seconds. Each finds it running, whatever the last one did."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.service import Service


@pytest.fixture(scope="session")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder: Path = tmp_path_factory.mktemp("acceptance")
    service = Service(folder / "home")
    yield service
    service.end()
    assert service.process_ids() == {}


@pytest.fixture
def service(shared_service: Service) -> Service:
    shared_service.ensure_up()
    return shared_service


@pytest.fixture(scope="session")
def measured(shared_service: Service) -> dict[str, Any]:
    """A job that has succeeded, with its artifact measured. One for all tests: a job is a new process with torch."""
    shared_service.ensure_up()
    objective = {"kind": "kernel", "kernel": "features", "network": "mlp-w16", "pool_size": 1, "real_batch": 32}
    job = shared_service.until_state(shared_service.submit(seed=11, objective=objective), "succeeded")
    shared_service.until_evaluated(job["artifact_id"])
    return job
