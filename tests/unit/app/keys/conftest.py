"""A service with keys, and callers who hold them."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr

from app.main import create_app
from app.services import Services
from app.settings import AppSettings
from registry import keys
from registry.scopes import Scope
from registry.session import Database
from registry.testing import MemoryQueue, memory_store
from tests.unit.app.catalog import CATALOG

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


@pytest.fixture(scope="session")
def keyed_app(tmp_path_factory: pytest.TempPathFactory, template: Path) -> FastAPI:
    """An application with a root key for all tests; its parts are each test's own."""
    settings = AppSettings(home=tmp_path_factory.mktemp("keyed"), api_key=SecretStr(ROOT))
    database = Database(f"sqlite:///{template}")
    parts = Services(settings=settings, database=database, store=memory_store(), queue=MemoryQueue(), catalog=CATALOG)
    return create_app(settings, services=parts)


@pytest.fixture
def keyed(keyed_app: FastAPI, services: Services) -> Iterator[Callable[[str], TestClient]]:
    """Clients of a service with a root key, by the secret they show; the service is reached by any name."""
    services.settings = services.settings.model_copy(update={"api_key": SecretStr(ROOT)})
    app = keyed_app
    app.state.services = services
    opened: list[TestClient] = []

    def connect(secret: str) -> TestClient:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        opened.append(TestClient(app, base_url="http://anywhere.test", headers=headers))
        return opened[-1]

    yield connect
    for client in opened:
        client.close()
