"""Webhooks: where a message of a job's end may go. That it arrives is tested with a receiver of its own."""

import pytest

from tests.conformance.conftest import Made
from tests.conformance.making import QUICK
from tests.conformance.wire import Wire

FORBIDDEN = [
    "http://169.254.169.254/latest/meta-data",
    "http://[::ffff:169.254.169.254]/",
    "http://0.0.0.0/",
    "http://224.0.0.1/",
    "ftp://example.org/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "https://user:secret@example.org/",
    "https://",
    "no url",
]


@pytest.mark.parametrize("url", FORBIDDEN)
@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_a_message_never_goes_where_only_the_service_can_reach(wire: Wire, dataset: str, url: str, query: str) -> None:
    recipe = {**QUICK, "dataset": dataset, "ipc": 1, "webhook": url}
    assert wire.pointers("POST", f"/v1/jobs{query}", json=recipe) == ["/webhook"]


def test_a_job_tells_what_was_sent_of_its_end(wire: Wire, images: Made) -> None:
    assert wire.get(f"/v1/jobs/{images.job['id']}/webhooks")["items"] == []
    wire.problem(404, "GET", f"/v1/jobs/job_{'0' * 32}/webhooks")
