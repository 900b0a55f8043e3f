"""The page of an artifact, for callers with keys."""

from collections.abc import Callable

from fastapi.testclient import TestClient

from app.services import Services
from tests.unit.app.conftest import publish
from tests.unit.app.keys.conftest import Held
from tests.unit.app.test_artifact_pages import get, snippet


def test_what_a_key_may_not_do_is_not_offered(
    keyed: Callable[[str], TestClient], held: dict[str, Held], services: Services
) -> None:
    made = publish(services)
    for kind, may in (("read", False), ("submit", True)):
        client = keyed(held[kind].secret)
        text = get(client, f"/artifacts/{made.id}")
        for part in ('id="delete"', 'id="name-it"', 'id="evaluate"'):
            assert (part in text) == may, part
        assert "$DISTILLED_API_KEY" in snippet(text, "curl")
        assert held[kind].secret not in text
    keyed(held["submit"].secret).delete(f"/v1/artifacts/{made.id}")
    assert 'id="restore"' not in get(keyed(held["read"].secret), f"/artifacts/{made.id}")
