"""A job's story as Server-Sent Events."""

import json
from typing import Any

import pytest

from tests.conformance.conftest import Made, submit
from tests.conformance.making import ENDLESS
from tests.conformance.wire import Wire

KINDS = {"state", "preparing", "progress", "metrics", "log", "picture"}


def parse(text: str) -> list[dict[str, Any]]:
    """The events of a stream, with `id` and `data` as they mean."""
    blocks = [block for block in text.replace("\r\n", "\n").split("\n\n") if block.strip() and block[0] != ":"]
    found = [dict(line.split(": ", 1) for line in block.split("\n") if line[0] != ":") for block in blocks]
    return [{**event, "id": int(event["id"]), "data": json.loads(event["data"])} for event in found]


@pytest.fixture(scope="module")
def story(wire: Wire, images: Made) -> list[dict[str, Any]]:
    """All events of a job that has ended: the stream ends too."""
    answer = wire.ok("GET", f"/v1/jobs/{images.job['id']}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "no-cache" in answer.headers["cache-control"] or "no-store" in answer.headers["cache-control"]
    assert answer.headers["x-accel-buffering"] == "no"
    return parse(answer.text)


def test_a_story_goes_from_queued_to_its_end(story: list[dict[str, Any]], images: Made) -> None:
    assert {event["event"] for event in story} <= KINDS
    states = [event["data"]["state"] for event in story if event["event"] == "state"]
    assert states == ["queued", "running", "succeeded"]
    assert images.id in str(story[-1]["data"])
    assert {"progress", "metrics"} & {event["event"] for event in story}


def test_events_are_numbered_upwards_and_dated(story: list[dict[str, Any]]) -> None:
    numbers = [event["id"] for event in story]
    assert numbers == sorted(set(numbers))
    assert all(event["data"]["at"] for event in story)


def test_after_a_cut_not_one_event_is_missed_or_repeated(wire: Wire, story: list[dict[str, Any]], images: Made) -> None:
    path = f"/v1/jobs/{images.job['id']}/events"
    for place, event in enumerate(story):
        rest = wire.ok("GET", path, headers={"Last-Event-ID": str(event["id"])})
        assert parse(rest.text) == story[place + 1 :]


@pytest.mark.parametrize("given", ["-1", "last", "1.5", "99999999999999999999"])
def test_a_number_that_no_event_has_is_refused(wire: Wire, images: Made, given: str) -> None:
    path = f"/v1/jobs/{images.job['id']}/events"
    assert wire.pointers("GET", path, headers={"Last-Event-ID": given}) == ["/header/last-event-id"]


def test_a_stream_shows_what_happens_when_it_happens(wire: Wire, dataset: str) -> None:
    job_id = submit(wire, {**ENDLESS, "dataset": dataset, "seed": 51})
    text = ""
    with wire.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        for line in answer.iter_lines():
            if "queued" in line:
                wire.ok("POST", f"/v1/jobs/{job_id}/cancel")
            text += line + "\n"
    assert [event["data"]["state"] for event in parse(text) if event["event"] == "state"][-1] == "cancelled"
