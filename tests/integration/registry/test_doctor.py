"""What the doctor finds wrong with real servers, and right."""

from pathlib import Path

import pytest
from redis import Redis

from workers import checking
from workers.settings import WorkerSettings

pytestmark = pytest.mark.services


def test_a_redis_that_throws_wake_ups_away(redis_url: str, tmp_path: Path) -> None:
    settings = WorkerSettings(home=tmp_path, broker_url=redis_url)
    assert checking.broker_settings(settings).state == "ok"
    with Redis.from_url(redis_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            found = checking.broker_settings(settings)
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert (found.state, "allkeys-lru" in found.detail, "noeviction" in found.mend) == ("fault", True, True)


def test_a_postgresql_that_forgets_in_a_power_cut(server: str, tmp_path: Path) -> None:
    """The tests' own has its fsync off, because it need not survive one."""
    found = checking.database_settings(WorkerSettings(home=tmp_path, database_url=server))
    assert (found.state, "fsync = on" in found.mend) == ("fault", True)
