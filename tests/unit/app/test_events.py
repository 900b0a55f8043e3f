"""A job's story as Server-Sent Events."""

import asyncio
import threading
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.jobs.telling import Stories
from app.services import Services
from registry import jobs
from registry.models import EventKind
from tests.unit.app.catalog import RECIPE
from tests.unit.app.conftest import Published, pointers, problem


def parse(text: str) -> list[dict[str, str]]:
    """The events of a stream: their `id`, `event` and `data`."""
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


def record(services: Services, job_id: str, *, kind: EventKind, **data: Any) -> None:
    with services.database.write() as session:
        assert jobs.record_event(session, job_id, attempt=1, kind=kind, data=data) is not None


@pytest.fixture
def running(client: TestClient, services: Services) -> str:
    job_id = client.post("/v1/jobs", json=RECIPE).json()["id"]
    with services.database.write() as session:
        jobs.claim(session, job_id, worker="w", device="cpu", lease_seconds=60)
    return job_id


def end(services: Services, job_id: str) -> None:
    with services.database.write() as session:
        jobs.fail(session, job_id, attempt=1, error={"code": "x", "title": "X", "detail": "y"})


def test_the_story_of_a_job_that_has_ended_is_told_whole(client: TestClient, published: Published) -> None:
    response = client.get(f"/v1/jobs/{published.job_id}/events")

    told = parse(response.text)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-accel-buffering"] == "no"
    assert [event["id"] for event in told] == ["1", "2", "3"]
    assert {event["event"] for event in told} == {"state"}
    assert '"state":"succeeded"' in told[-1]["data"].replace(" ", "")
    assert published.id in told[-1]["data"]


def test_the_story_goes_on_after_the_last_event_that_arrived(client: TestClient, published: Published) -> None:
    response = client.get(f"/v1/jobs/{published.job_id}/events", headers={"Last-Event-ID": "2"})
    assert [event["id"] for event in parse(response.text)] == ["3"]
    response = client.get(f"/v1/jobs/{published.job_id}/events", headers={"Last-Event-ID": "99"})
    assert parse(response.text) == []


def test_a_browser_that_can_set_no_header_says_where_to_go_on_in_the_address(
    client: TestClient, published: Published
) -> None:
    path = f"/v1/jobs/{published.job_id}/events?after=1"
    assert [event["id"] for event in parse(client.get(path).text)] == ["2", "3"]
    # After a cut the browser sends both: the later one counts.
    later = client.get(path, headers={"Last-Event-ID": "2"})
    assert [event["id"] for event in parse(later.text)] == ["3"]


def test_a_stream_follows_a_running_job_to_its_end(client: TestClient, services: Services, running: str) -> None:
    record(services, running, kind=EventKind.PROGRESS, step=1, loss=0.5)

    def later() -> None:
        record(services, running, kind=EventKind.LOG, message="nearly there")
        end(services, running)

    timer = threading.Timer(0.2, later)
    timer.start()
    told = parse(client.get(f"/v1/jobs/{running}/events").text)
    timer.join()

    assert [event["event"] for event in told] == ["state", "state", "progress", "log", "state"]
    assert '"at"' in told[2]["data"]


def test_more_events_than_one_look_takes_are_all_told(
    client: TestClient, services: Services, running: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.telling.BATCH", 2)
    for step in range(4):
        record(services, running, kind=EventKind.PROGRESS, step=step)
    end(services, running)
    told = parse(client.get(f"/v1/jobs/{running}/events").text)
    assert [event["id"] for event in told] == [str(n) for n in range(1, 8)]


async def looked(stories: Stories, job_id: str, after: int, *, fresh: float = 60.0) -> tuple[bool, list[int]]:
    ended, found = await stories.after(job_id, after, fresh_seconds=fresh)
    return ended, [told.number for told in found]


def test_listeners_share_one_look_at_the_database(services: Services, running: str) -> None:
    looks: list[int] = []
    stories = services.stories
    read = stories._read

    def counted(job_id: str, after: int) -> Any:
        looks.append(after)
        return read(job_id, after)

    stories._read = counted  # type: ignore[method-assign]

    async def listen() -> None:
        with stories.listening(running):
            for _ in range(200):
                assert await looked(stories, running, 0) == (False, [1, 2])
            record(services, running, kind=EventKind.LOG, message="new")
            stories._news[running].looked = 0.0  # long ago
            found = await asyncio.gather(*(looked(stories, running, 2) for _ in range(200)))
            assert (False, [3]) in found
            assert await looked(stories, running, 2) == (False, [3])
            assert await looked(stories, running, 1) == (False, [2, 3]), "who is behind"
        assert not stories._news
        assert not stories._listeners

    asyncio.run(listen())
    assert looks == [0, 2]


def test_who_is_far_behind_or_ahead_disturbs_nobody(
    services: Services, running: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.telling.BATCH", 3)
    for step in range(6):
        record(services, running, kind=EventKind.PROGRESS, step=step)
    stories = services.stories

    async def listen() -> None:
        with stories.listening(running):
            assert await looked(stories, running, 99) == (False, [])
            assert await looked(stories, running, 0) == (False, [1, 2, 3])
            assert await looked(stories, running, 3) == (False, [4, 5, 6])
            assert await looked(stories, running, 6) == (False, [7, 8])
            end(services, running)
            assert await looked(stories, running, 8, fresh=0.0) == (True, [9])
            assert await looked(stories, running, 99) == (True, [])
            assert await looked(stories, running, 0) == (False, [1, 2, 3])

    asyncio.run(listen())


def test_a_number_that_is_none_is_told_as_null(client: TestClient, services: Services, running: str) -> None:
    record(services, running, kind=EventKind.PROGRESS, loss=float("nan"))
    end(services, running)
    assert '"loss":null' in client.get(f"/v1/jobs/{running}/events").text


def test_an_idle_stream_is_kept_open_with_pings(
    client: TestClient, services: Services, running: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.05)
    timer = threading.Timer(0.3, end, (services, running))
    timer.start()
    text = client.get(f"/v1/jobs/{running}/events").text
    timer.join()
    assert ": ping\n\n" in text


def test_a_stream_holds_no_connection_while_it_waits(
    client: TestClient, services: Services, running: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []

    async def look(seconds: float) -> None:
        if seconds:  # the framework sleeps for none
            held.append(services.database._engine.pool.checkedout())
            end(services, running)

    monkeypatch.setattr("app.jobs.events.anyio.sleep", look)
    assert len(parse(client.get(f"/v1/jobs/{running}/events").text)) == 3
    assert held == [0]


def test_a_service_that_stops_lets_its_streams_go(
    client: TestClient, services: Services, running: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = services.stories.after

    async def last_look(*given: Any, **named: Any) -> Any:
        found = await after(*given, **named)
        services.stopping.set()
        return found

    monkeypatch.setattr(services.stories, "after", last_look)
    told = parse(client.get(f"/v1/jobs/{running}/events").text)
    assert len(told) == 2


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "9" * 30])
def test_a_wrong_last_event_id_is_named(client: TestClient, running: str, value: str) -> None:
    response = client.get(f"/v1/jobs/{running}/events", headers={"Last-Event-ID": value})
    assert pointers(response) == ["/header/last-event-id"]


def test_the_events_of_an_unknown_job_are_a_404_and_no_stream(client: TestClient) -> None:
    problem(client.get(f"/v1/jobs/job_{'0' * 32}/events"), 404)
