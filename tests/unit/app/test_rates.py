"""How many requests a caller may send: over the whole application, and window by window."""

import time
from collections.abc import Iterator
from time import sleep
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from fastapi.testclient import TestClient
from huggingface_hub.utils import http_backoff, parse_ratelimit_headers

from app.main import create_app
from app.middleware.rates import EXEMPT, Budgets, address
from app.services import Services
from app.settings import AppSettings
from registry import keys
from registry.scopes import Scope
from tests.integration.app.live import running
from tests.services import redis
from tests.unit.app.catalog import RECIPE
from tests.unit.app.conftest import Published, problem

READS, WRITES, WRONG = 5, 2, 3


@pytest.fixture
def limited(settings: AppSettings, services: Services) -> TestClient:
    few = {"reads_per_minute": READS, "writes_per_minute": WRITES, "wrong_keys_per_minute": WRONG}
    services.settings = settings.model_copy(update=few)
    return TestClient(create_app(services.settings, services=services), base_url="http://localhost")


def test_reads_and_writes_are_counted_apart(limited: TestClient) -> None:
    for left in reversed(range(READS)):
        told = limited.get("/v1/jobs").headers
        info = parse_ratelimit_headers(told)
        assert info is not None
        assert (info.resource_type, info.remaining, info.limit, info.window_seconds) == ("reads", left, READS, 60)
        assert 1 <= info.reset_in_seconds <= 60
    refused = limited.get("/v1/jobs")
    assert problem(refused, 429)["type"] == "/problems/rate-limited"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    info = parse_ratelimit_headers(refused.headers)
    assert info is not None
    assert (info.remaining, info.reset_in_seconds) == (0, int(refused.headers["retry-after"]))
    assert limited.post("/v1/jobs", json=RECIPE).status_code == 202
    assert limited.post("/v1/jobs", json=RECIPE).status_code == 202
    problem(limited.post("/v1/jobs", json=RECIPE), 429)
    assert len(limited.app.state.services.queue.jobs) == 2  # type: ignore[attr-defined]


def test_probes_are_never_refused(limited: TestClient) -> None:
    for path in EXEMPT:
        for _ in range(READS + 2):
            answer = limited.get(path)
            assert answer.status_code != 429
            assert "ratelimit" not in answer.headers


def test_each_key_has_a_budget_of_its_own_and_wrong_ones_share_the_address(
    limited: TestClient, services: Services
) -> None:
    with services.writing() as session:
        secrets = [keys.make(session, name=name, scopes=[Scope.READ]).secret for name in ("one", "two")]
    services.ring.forget()

    def ask(secret: str) -> int:
        return limited.get("/v1/jobs", headers={"Authorization": f"Bearer {secret}"}).status_code

    assert [ask(secrets[0]) for _ in range(READS + 1)] == [200] * READS + [429]
    assert ask(secrets[1]) == 200
    assert [ask("wrong") for _ in range(WRONG + 1)] == [401] * WRONG + [429]
    assert ask(secrets[1]) == 429  # who guesses is not told when it is right
    assert limited.get("/v1/jobs").status_code == 401  # showing none is no guess
    assert limited.get("/healthz").status_code == 200


def test_a_client_of_the_hub_waits_for_as_long_as_it_is_told(
    settings: AppSettings, services: Services, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.settings = settings.model_copy(update={"reads_per_minute": 1})
    monkeypatch.setattr("app.middleware.rates.WINDOW_SECONDS", 2)
    waited: list[float] = []
    answered = 0
    monkeypatch.setattr(
        "huggingface_hub.utils._http.time", SimpleNamespace(sleep=lambda s: (waited.append(s), sleep(s)))
    )
    with running(create_app(services.settings, services=services)) as live:
        url = f"{live.url}/hf/api/datasets/distilled/{published.id}"
        for _ in range(9):
            if not waited:
                assert http_backoff("GET", url).status_code == 200
                answered += 1
        assert len(live.asked) == answered + 1  # one was refused, and came again
    assert len(waited) == 1
    assert 1 <= waited[0] <= 3  # what t says, and the second that the client adds


def test_a_window_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> list[bool]:
        budgets = Budgets(broker_url="filesystem://", window_seconds=1, reads=2)
        found: list[bool] = []
        for pause in (0, 0, 0, 1.1, 0):
            await anyio.sleep(pause)
            standing = await budgets.spend("reads", "someone")
            assert standing is not None
            found.append(standing.allowed)
        return found

    assert anyio.run(ask) == [True, True, False, True, True]


def test_nothing_is_counted_where_there_is_no_end() -> None:
    budgets = Budgets(broker_url="filesystem://", reads=0)
    assert anyio.run(budgets.spend, "reads", "someone") is None


@pytest.mark.parametrize(
    ("client", "who"),
    [
        (("10.0.0.1", 5), "10.0.0.1"),
        (("2001:db8:1:2:3:4:5:6", 5), "2001:db8:1:2::/64"),
        (("2001:db8:1:2::", 6), "2001:db8:1:2::/64"),
        (None, ""),
        (("testclient", 1), "testclient"),
    ],
)
def test_who_shows_no_key_is_known_by_the_address(client: Any, who: str) -> None:
    assert address({"client": client}) == who


@pytest.fixture(scope="module")
def shared() -> Iterator[str]:
    with redis() as url:
        yield url


def test_replicas_share_the_windows_of_redis(shared: str) -> None:
    async def ask() -> list[bool | None]:
        replicas = [Budgets(broker_url=shared, writes=3) for _ in range(2)]
        standings = [await replicas[i % 2].spend("writes", "key_1") for i in range(5)]
        other = await replicas[0].look("writes", "key_2")
        for replica in replicas:
            await replica.close()
        return [standing and standing.allowed for standing in (*standings, other)]

    assert anyio.run(ask) == [True, True, True, False, False, True]


def test_where_redis_is_away_nobody_is_refused_and_it_is_told_once(logs: list[Any]) -> None:
    async def ask() -> list[Any]:
        budgets = Budgets(broker_url="redis://127.0.0.1:1/0", reads=1)
        found = [await budgets.spend("reads", "someone") for _ in range(20)]
        await budgets.close()
        return found

    began = time.monotonic()
    assert anyio.run(ask) == [None] * 20
    assert time.monotonic() - began < 5
    assert [line["event"] for line in logs] == ["rate_limits_suspended"]
    assert "127.0.0.1" not in str(logs)
