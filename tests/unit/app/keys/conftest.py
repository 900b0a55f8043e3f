"""A service with keys, and callers who hold them."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from app.main import create_app
from app.services import Services
from registry import keys
from registry.scopes import Scope

ROOT = "the-root-key"
KINDS: dict[str, tuple[Scope, ...]] = {
    "none": (),
    "read": (Scope.READ,),
    "submit": (Scope.SUBMIT,),
    "admin": (Scope.ADMIN,),
}


@dataclass(frozen=True, kw_only=True)
class Held:
    """A key and its secret."""

    id: str
    secret: str

    @property
    def bearer(self) -> dict[str, str]:
        """The header that shows it."""
        return {"Authorization": f"Bearer {self.secret}"}


def cut(services: Services, name: str, scopes: Collection[Scope], **options: float) -> Held:
    """A key made past the API, which makes none without a scope."""
    with services.writing() as session:
        made = keys.make(session, name=name, scopes=scopes, **options)
    services.ring.forget()
    return Held(id=made.key.id, secret=made.secret)


@pytest.fixture
def held(services: Services) -> dict[str, Held]:
    """A key of each kind."""
    return {name: cut(services, name, scopes) for name, scopes in KINDS.items()}


@pytest.fixture
def keyed(services: Services) -> Iterator[Callable[[str], TestClient]]:
    """Clients of a service with a root key, by the secret they show; the service is reached by any name."""
    services.settings = services.settings.model_copy(update={"api_key": SecretStr(ROOT)})
    app = create_app(services.settings, services=services)
    opened: list[TestClient] = []

    def connect(secret: str) -> TestClient:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        opened.append(TestClient(app, base_url="http://anywhere.test", headers=headers))
        return opened[-1]

    yield connect
    for client in opened:
        client.close()
