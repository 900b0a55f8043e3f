"""One service for all acceptance tests, as a start costs seconds. Each finds it running, whatever the last one did."""

from collections.abc import Iterator
from pathlib import Path

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
