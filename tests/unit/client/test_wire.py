"""Requests, retries and errors."""

import random

import httpx2
import pytest

from distilled import errors
from distilled.client import Backoff, Client
from distilled.client.retry import retry_after_seconds
from tests.unit.client.service import FakeService, artifact, job, problem

UNAVAILABLE = [problem(429), problem(502), problem(503), problem(504)]
CUTS = [httpx2.ReadError("cut"), httpx2.ConnectError("refused"), httpx2.RemoteProtocolError("rude")]


@pytest.mark.parametrize("passing", [*UNAVAILABLE, *CUTS], ids=str)
def test_what_passes_is_retried(passing: httpx2.Response | Exception) -> None:
    service = FakeService().on("GET /v1/jobs/job_1", passing, passing, job())
    assert service.client().job("job_1").state == "queued"
    assert len(service.requests) == 3
    assert len(service.slept) == 2


def test_patience_ends() -> None:
    service = FakeService().on("GET /v1/jobs/job_1", problem(503, title="Starting", detail="no worker yet"))
    with pytest.raises(errors.Unavailable, match="Starting: no worker yet") as caught:
        service.client().job("job_1")
    assert (caught.value.status, len(service.requests)) == (503, 4)


def test_nobody_there_names_the_address_and_the_remedy() -> None:
    service = FakeService().on("GET /v1/methods", httpx2.ConnectError("connection refused"))
    with pytest.raises(errors.Unavailable, match=r"http://service .*connection refused.*`distilled up`"):
        service.client().methods()


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500, 507])
def test_a_refusal_is_not_repeated(status: int) -> None:
    service = FakeService().on("GET /v1/jobs/job_1", problem(status))
    with pytest.raises(errors.ServiceError) as caught:
        service.client().job("job_1")
    assert (caught.value.status, len(service.requests)) == (status, 1)


def test_submit_carries_one_key_through_its_repetitions() -> None:
    service = FakeService().on("POST /v1/jobs", httpx2.ReadError("cut"), problem(503), job())
    assert service.client().submit(dataset="digits", method="frepo", ipc=1).id == "job_1"
    keys = {request.headers["Idempotency-Key"] for request in service.requests}
    assert len(service.requests) == 3
    assert len(keys) == 1
    assert len(keys.pop()) >= 16


def test_two_submissions_carry_two_keys() -> None:
    service = FakeService().on("POST /v1/jobs", job())
    client = service.client()
    client.submit(dataset="digits")
    client.submit(dataset="digits")
    assert len({request.headers["Idempotency-Key"] for request in service.requests}) == 2


def test_a_twin_in_flight_is_waited_for_and_another_conflict_is_not() -> None:
    service = FakeService().on("POST /v1/jobs", problem(409, headers={"Retry-After": "1"}), job())
    assert service.client().submit(dataset="digits").id == "job_1"
    assert service.slept[0] >= 1.0
    service = FakeService().on("POST /v1/jobs", problem(409), job())
    with pytest.raises(errors.Conflict):
        service.client().submit(dataset="digits")


def test_a_call_that_may_not_be_repeated_is_sent_once() -> None:
    service = FakeService().on("POST /v1/jobs/job_1/retry", httpx2.ReadError("cut"), job())
    with pytest.raises(errors.Unavailable):
        service.client().retry("job_1")
    assert len(service.requests) == 1


def test_what_never_left_may_be_sent_again() -> None:
    service = FakeService().on("POST /v1/jobs/job_1/retry", httpx2.ConnectError("refused"), job())
    assert service.client().retry("job_1").id == "job_1"


def test_retry_after_is_honoured_and_too_much_of_it_is_not() -> None:
    service = FakeService().on("GET /v1/methods", problem(429, headers={"Retry-After": "7"}), {"items": []})
    service.client().methods()
    assert 7.0 <= service.slept[0] <= 7.5
    service = FakeService().on("GET /v1/methods", problem(429, headers={"Retry-After": "3600"}))
    with pytest.raises(errors.Unavailable):
        service.client().methods()
    assert service.slept == []


def test_retry_after_may_be_a_date() -> None:
    assert retry_after_seconds("Sat, 21 Nov 2026 00:00:10 GMT", now=1795219200.0) == 10.0
    assert retry_after_seconds("Sat, 21 Nov 2026 00:00:00 GMT", now=1795219205.0) == 0.0
    assert retry_after_seconds("soon", now=0.0) is None
    assert retry_after_seconds(None, now=0.0) is None


def test_delays_grow_up_to_a_bound_and_are_drawn_from_the_given_generator() -> None:
    backoff = Backoff(retries=8)
    drawn = [[backoff.delay(n, rng=random.Random(seed)) or 0.0 for n in range(8)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(delay <= min(8.0, 0.5 * 2**n) for delays in drawn for n, delay in enumerate(delays))
    assert backoff.delay(8, rng=random.Random(0)) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Invalid),
        (401, errors.NotAllowed),
        (403, errors.NotAllowed),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (413, errors.Invalid),
        (416, errors.Invalid),
        (422, errors.Invalid),
        (503, errors.Unavailable),
    ],
)
def test_a_status_is_an_error_of_its_kind(status: int, kind: type[Exception]) -> None:
    service = FakeService().on("GET /v1/methods", problem(status, title="T", detail="D"))
    with pytest.raises(kind, match="T: D"):
        service.client(backoff=Backoff(retries=0)).methods()


def test_each_faulty_field_is_named() -> None:
    faults = [{"pointer": "/ipc", "detail": "at least 1"}, {"pointer": "/dataset", "detail": "unknown"}]
    service = FakeService().on("POST /v1/jobs", problem(422, title="The recipe has faults", detail="x", errors=faults))
    with pytest.raises(errors.Invalid, match=r"/ipc: at least 1; /dataset: unknown") as caught:
        service.client().submit(dataset="nope", ipc=0)
    assert [(fault.pointer, fault.detail) for fault in caught.value.errors] == [
        ("/ipc", "at least 1"),
        ("/dataset", "unknown"),
    ]


@pytest.mark.parametrize(
    "response",
    [
        httpx2.Response(404, content=b"<html>proxy</html>", headers={"content-type": "text/html"}),
        httpx2.Response(404, content=b"{", headers={"content-type": "application/json"}),
        httpx2.Response(404, content=b"[]", headers={"content-type": "application/json"}),
    ],
)
def test_an_error_without_a_problem_is_still_one(response: httpx2.Response) -> None:
    with pytest.raises(errors.NotFound, match="Not Found"):
        FakeService().on("GET /v1/methods", response).client().methods()


def test_url_and_key_come_from_the_environment_when_the_client_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILLED_URL", "http://elsewhere:9/")
    monkeypatch.setenv("DISTILLED_API_KEY", "secret")
    service = FakeService().on("GET /v1/methods", {})
    client = Client(transport=httpx2.MockTransport(service.handle))
    client.methods()
    assert client.url == "http://elsewhere:9"
    assert str(service.requests[0].url) == "http://elsewhere:9/v1/methods"
    assert service.requests[0].headers["Authorization"] == "Bearer secret"
    monkeypatch.delenv("DISTILLED_URL")
    monkeypatch.delenv("DISTILLED_API_KEY")
    assert Client().url == "http://127.0.0.1:8000"


def test_lists_are_followed_page_by_page_with_the_same_filters() -> None:
    pages = [
        {"items": [artifact(id="art_1")], "next_cursor": "c 2"},
        {"items": [artifact(id="art_2")], "next_cursor": None},
    ]
    service = FakeService().on("GET /v1/artifacts", *pages)
    found = list(service.client().find(dataset="digits", class_="3", min_accuracy=0.5, ipc=None))
    assert [item.id for item in found] == ["art_1", "art_2"]
    asked = [dict(request.url.params) for request in service.requests]
    same = {"dataset": "digits", "class": "3", "min_accuracy": "0.5"}
    assert asked == [same, {**same, "cursor": "c 2"}]


@pytest.mark.parametrize("name", ["../jobs", "a/b", "..", "a?b", "a#b", "%2e%2e"])
def test_a_name_cannot_leave_its_place_in_the_path(name: str) -> None:
    service = FakeService()
    with pytest.raises(errors.NotFound):
        service.client().artifact(name)
    raw = service.requests[0].url.raw_path.decode()
    assert raw.startswith("/v1/artifacts/")
    assert raw.count("/") == 3
    assert "?" not in raw
