"""Two services for all acceptance tests, as a start costs seconds. Each test finds its own running, whatever the last
one did: `service` as a user starts it, and `quick`, of forks, where tests need many jobs and none is about how its
process is born. They end with the last of these tests: even when they have nothing to do they look for it ten times as
often as a service elsewhere.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.forked import Forked
from tests.acceptance.service import Service
from tests.faults.stacks import Machine

#: A job whose artifact is measured at once.
MEASURED: dict[str, Any] = {
    "seed": 11,
    "objective": {"kind": "kernel", "kernel": "features", "network": "mlp-w16", "pool_size": 1, "real_batch": 32},
}


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
def shared_quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forked]:
    machine = Machine()
    service = Forked(tmp_path_factory.mktemp("forked") / "home", machine)
    yield service
    service.end()
    machine.close()


@pytest.fixture
def quick(shared_quick: Forked) -> Forked:
    shared_quick.ensure_up()
    return shared_quick


@pytest.fixture(scope="package")
def measured(shared_service: Service) -> dict[str, Any]:
    """A job of `service` that has succeeded, with its artifact measured. One for all tests: a job is a new process."""
    return _measured(shared_service)


@pytest.fixture(scope="package")
def artifact_id(shared_quick: Forked) -> str:
    """An artifact of `quick` that is measured."""
    return _measured(shared_quick)["artifact_id"]


def _measured(service: Service) -> dict[str, Any]:
    service.ensure_up()
    job = service.until_state(service.submit(**MEASURED), "succeeded")
    service.until_evaluated(job["artifact_id"])
    return job
