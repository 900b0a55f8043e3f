"""The client's verbs: what they send and what they make of the answers."""

import io
import json
from pathlib import Path

import httpx2
import numpy as np
import pytest

from distilled import errors
from distilled.client import Event, EventKind, JobState
from distilled.formats.sets import SyntheticSet, encode
from tests.unit.client.service import Cut, FakeService, artifact, evaluation, job, problem

EVENTS = "GET /v1/jobs/job_1/events"


def stream(*events: tuple[int, str, dict[str, object]], cut: bool = False) -> httpx2.Response:
    text = ": ping\n\n" + "".join(f"id: {n}\nevent: {kind}\ndata: {json.dumps(data)}\n\n" for n, kind, data in events)
    body = Cut(text.encode()) if cut else httpx2.ByteStream(text.encode())
    return httpx2.Response(200, stream=body, headers={"content-type": "text/event-stream; charset=utf-8"})


RUNNING = (1, "state", {"state": "running"})
STEP = (2, "progress", {"step": 5, "steps": 10, "loss": 0.5})
DONE = (3, "state", {"state": "succeeded"})


def test_submit_sends_the_recipe_with_keywords_over_it() -> None:
    service = FakeService().on("POST /v1/jobs", job())
    service.client().submit({"dataset": "digits", "ipc": 1}, ipc=10, reuse=True)
    assert json.loads(service.requests[0].content) == {"dataset": "digits", "ipc": 10}
    assert dict(service.requests[0].url.params) == {"reuse": "true"}


def test_dry_run_queues_nothing() -> None:
    service = FakeService().on("POST /v1/jobs", {"recipe": {"ipc": 1}, "ipc": 1})
    assert service.client().dry_run(dataset="digits")["ipc"] == 1
    assert dict(service.requests[0].url.params) == {"dry_run": "true"}


def test_a_job_is_a_value() -> None:
    found = FakeService().on("GET /v1/jobs/job_1", job("running", step=5, eta_seconds=3.5)).client().job("job_1")
    assert (found.state, found.step, found.steps, found.eta_seconds) == (JobState.RUNNING, 5, 100, 3.5)
    assert not found.ended
    assert found.recipe["method"] == "frepo"


def test_events_are_followed_to_the_end_of_the_job() -> None:
    service = FakeService().on(EVENTS, stream(RUNNING, STEP, DONE)).on("GET /v1/jobs/job_1", job("succeeded"))
    events = list(service.client().events("job_1"))
    assert events[1] == Event(id="2", kind=EventKind.PROGRESS, data={"step": 5, "steps": 10, "loss": 0.5})
    assert [event.id for event in events] == ["1", "2", "3"]
    assert "Last-Event-ID" not in service.requests[0].headers


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "ended politely"])
def test_a_stream_that_ends_too_early_goes_on_after_the_last_event(cut: bool) -> None:
    service = FakeService().on(EVENTS, stream(RUNNING, STEP, cut=cut), problem(503), stream(DONE))
    states = [job("succeeded")] if cut else [job("running"), job("succeeded")]
    service.on("GET /v1/jobs/job_1", *states)
    assert [event.id for event in service.client().events("job_1")] == ["1", "2", "3"]
    assert [request.headers.get("Last-Event-ID") for request in service.asked(EVENTS)] == [None, "2", "2"]


def test_events_go_on_after_a_given_one() -> None:
    service = FakeService().on(EVENTS, stream(DONE)).on("GET /v1/jobs/job_1", job("succeeded"))
    list(service.client().events("job_1", last_event_id="2"))
    assert service.requests[0].headers["Last-Event-ID"] == "2"


def test_kinds_that_we_do_not_know_are_stepped_over() -> None:
    service = FakeService().on(EVENTS, stream((1, "weather", {"sun": True}), DONE))
    service.on("GET /v1/jobs/job_1", job("succeeded"))
    assert [event.kind for event in service.client().events("job_1")] == [EventKind.STATE]


def test_a_stream_that_only_breaks_is_given_up() -> None:
    service = FakeService().on(EVENTS, httpx2.ReadError("cut"))
    with pytest.raises(errors.Unavailable):
        list(service.client().events("job_1"))
    assert len(service.requests) == 4


def test_no_such_job_is_no_reason_to_wait() -> None:
    with pytest.raises(errors.NotFound):
        FakeService().client().wait("job_2")


def test_wait_gives_the_job_as_it_ended() -> None:
    ended = job("failed", error={"code": "worker_lost", "title": "t", "detail": "d"})
    service = FakeService().on(EVENTS, stream(RUNNING)).on("GET /v1/jobs/job_1", ended)
    seen: list[Event] = []
    found = service.client().wait("job_1", on_event=seen.append)
    assert (found.state, found.error) == (JobState.FAILED, ended["error"])
    assert len(seen) == 1


def test_evaluations_are_waited_for() -> None:
    states = [
        [evaluation("queued")],
        [evaluation("running"), evaluation("failed")],
        [evaluation(), evaluation("failed")],
    ]
    service = FakeService().on("GET /v1/artifacts/art_1", *[artifact(*listed) for listed in states])
    assert len(service.client().wait_for_evaluations("art_1").evaluations) == 2
    assert len(service.requests) == 3


def test_a_sample_is_arrays_with_its_seed() -> None:
    images = np.arange(2 * 4 * 4 * 1, dtype=np.uint8).reshape(2, 4, 4, 1)
    made = SyntheticSet(images=images, classes=("a", "b"), labels=np.array([0, 1]))
    answer = httpx2.Response(200, content=encode(made, format="safetensors"), headers={"X-Seed": "42"})
    service = FakeService().on("GET /v1/artifacts/best/samples", answer)
    batch = service.client().sample("best", count=2, classes=[0, "b"])
    np.testing.assert_array_equal(batch.images, images)
    np.testing.assert_array_equal(batch.labels, [0, 1])
    assert (batch.classes, batch.seed, batch.soft_labels, len(batch)) == (("a", "b"), 42, None, 2)
    asked = service.requests[0].url.params
    assert asked.get_list("classes") == ["0", "b"]  # one each: a name may hold a comma
    assert (asked["count"], asked["dtype"], asked["format"]) == ("2", "uint8", "safetensors")


def test_mixtures_are_posted_as_rows_and_come_with_soft_labels() -> None:
    weights = np.array([[0.5, 0.5]], dtype=np.float32)
    made = SyntheticSet(images=np.zeros((1, 4, 4, 1), dtype=np.uint8), classes=("a", "b"), soft_labels=weights)
    answer = httpx2.Response(200, content=encode(made, format="safetensors"), headers={"X-Seed": "42"})
    service = FakeService().on("POST /v1/artifacts/best/samples", problem(503), answer)  # asked again: nothing changes
    rows = [{"mix": {"a": 1, "b": 1}, "count": 1}]
    batch = service.client().mix("best", rows, seed=42, dtype="uint8")
    np.testing.assert_array_equal(batch.soft_labels, weights)
    assert (batch.labels, batch.seed) == (None, 42)
    assert [json.loads(request.content) for request in service.requests] == [rows, rows]
    assert dict(service.requests[0].url.params) == {"format": "safetensors", "seed": "42", "dtype": "uint8"}


def test_an_upload_sends_the_file_and_says_how_far_it_is(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.savez(content, train_images=np.zeros((1000, 100), dtype=np.uint8))
    path = tmp_path / "mine.npz"
    path.write_bytes(content.getvalue())
    seen: list[tuple[int, int | None]] = []
    service = FakeService().on("POST /v1/datasets", {"name": "mine"})
    assert service.client().upload(path, name="mine", progress=lambda *at: seen.append(at)) == {"name": "mine"}
    sent = service.requests[0]
    assert content.getvalue() in sent.content
    assert b'name="name"\r\n\r\nmine\r\n' in sent.content
    assert int(sent.headers["Content-Length"]) == len(sent.content)
    assert len(seen) > 1
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)


def test_an_alias_is_put_and_taken_away() -> None:
    service = FakeService().on("PUT /v1/aliases/best", {"name": "best", "artifact_id": "art_1"})
    service.on("DELETE /v1/aliases/best", httpx2.Response(204))
    client = service.client()
    client.alias("best", "art_1")
    client.delete_alias("best")
    assert json.loads(service.requests[0].content) == {"artifact_id": "art_1"}
    assert [request.method for request in service.requests] == ["PUT", "DELETE"]


def test_cancel_is_repeated_when_the_line_breaks() -> None:
    service = FakeService().on("POST /v1/jobs/job_1/cancel", httpx2.ReadError("cut"), job("cancelled"))
    assert service.client().cancel("job_1").state is JobState.CANCELLED


def test_the_library_loads_the_client_on_use_alone() -> None:
    import subprocess  # noqa: PLC0415 - the question is about a fresh process
    import sys  # noqa: PLC0415

    code = "import distilled, sys; print(sorted({'torch', 'numpy', 'httpx2', 'typer'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
