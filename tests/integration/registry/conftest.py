"""The `database` and `store` of the unit tests, on a real PostgreSQL and an S3 endpoint."""

from collections.abc import Iterator
from itertools import count

import pytest
from sqlalchemy import create_engine, make_url, text

from registry import schema
from registry.models import Base
from registry.session import Database
from registry.store import Store
from tests import services

NUMBERS = count()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with services.postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def migrated(server: str) -> Iterator[Database]:
    url = make_database(server, "registry")
    schema.upgrade(url)
    made = Database(url)
    yield made
    made.close()


@pytest.fixture
def database(migrated: Database) -> Database:
    """The one migrated database, emptied: a new one for each test would take half a second each."""
    with migrated.write() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(table.delete())
    return migrated


@pytest.fixture
def empty_url(server: str) -> str:
    return make_database(server, f"empty_{next(NUMBERS)}")


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[services.S3Endpoint]:
    with services.s3() as endpoint:
        yield endpoint


@pytest.fixture
def store(s3_endpoint: services.S3Endpoint) -> Store:
    """A prefix of its own in the bucket."""
    return Store.open(s3_endpoint.store_url.replace("/blobs?", f"/test-{next(NUMBERS)}?"))


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with services.redis() as url:
        yield url


def make_database(server: str, name: str) -> str:
    """Make a database on the server and return its URL."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)
