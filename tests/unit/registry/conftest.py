"""A migrated SQLite registry for each test, copied from one that the migrations built."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.session import Database
from registry.testing import migrated_template, temporary_database


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated_template(tmp_path_factory.mktemp("template"))


@pytest.fixture
def database(tmp_path: Path, template: Path) -> Iterator[Database]:
    made = temporary_database(tmp_path, template=template)
    yield made
    made.close()
