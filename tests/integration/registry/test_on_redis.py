"""The queue's unit tests once more, over a real Redis."""

from pathlib import Path

import pytest

from registry.settings import Settings
from tests.unit.registry.test_queue import (
    test_purge_drops_what_waits,
    test_wake_ups_arrive_with_the_id_and_nothing_else,
)

pytestmark = pytest.mark.services

__all__ = ["test_purge_drops_what_waits", "test_wake_ups_arrive_with_the_id_and_nothing_else"]


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> Settings:
    return Settings(home=tmp_path, broker_url=redis_url)
