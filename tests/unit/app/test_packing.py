"""What is packed for slow lines, and what is not."""

import pytest
from fastapi.testclient import TestClient

from app.packing import LEAST_BYTES
from app.services import Services
from tests.unit.app.conftest import publish
from tests.unit.app.test_pages import BROWSER


@pytest.mark.parametrize("path", ["/v1/methods", "/", "/jobs/new", "/nowhere"])
def test_text_is_packed_for_who_takes_it(client: TestClient, path: str) -> None:
    plain, packed = (
        client.get(path, headers=BROWSER | {"Accept-Encoding": taken}) for taken in ("gzip;q=0", "br, gzip;q=0.5")
    )
    assert plain.text == packed.text
    assert len(plain.content) > LEAST_BYTES
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < 0.6 * len(plain.content)
    assert all("Accept-Encoding" in one.headers["vary"] for one in (plain, packed))


def test_what_is_short_or_named_by_its_digest_is_not(client: TestClient, services: Services) -> None:
    made = publish(services)
    for path in (f"/v1/artifacts/{made.id}/content", f"/v1/artifacts/{made.id}", "/healthz"):
        assert "content-encoding" not in client.get(path, headers={"Accept-Encoding": "gzip"}).headers
