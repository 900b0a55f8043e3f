"""schemathesis over the whole OpenAPI document: short and the same each time; `make fuzz` is the long one."""

import pytest

from tests.fuzz.api import fuzz


@pytest.mark.timeout(1200)
def test_every_answer_of_every_route_is_as_declared_and_none_is_a_500() -> None:
    """All checks of schemathesis, in all phases. It takes a while, since every route meets every kind of request."""
    found = fuzz(examples=2)
    assert not found.findings, found.told()
    assert len(found.tested) == found.operations
    assert found.cases["stateful"]
    assert not [status for status in found.statuses if status >= 500 and status != 503]
    for status in (200, 201, 202, 204, 401, 404, 405, 409, 412, 422):
        assert found.statuses[status], f"{status} was never answered"
