"""The embedded service, as `distilled up` starts it without a key, keeps the promises of its API."""

import pytest

from tests.acceptance.service import Service
from tests.conformance.running import check_conformance


@pytest.mark.timeout(600)  # jobs, validations and an evaluation, each in a process of its own
def test_the_embedded_service_keeps_its_promises(service: Service) -> None:
    check_conformance(service.url)
