"""The service around the routes: ids, keys, hosts, limits, health, documents, pages."""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from openapi_spec_validator import validate

from app.errors import KINDS, InsecureBinding
from app.main import create_app
from app.services import Services
from app.settings import AppSettings
from app.sweeper import sweep_once
from registry import jobs, workers
from registry.session import Database
from registry.testing import FullDiskStore, MemoryQueue
from tests.unit.app.catalog import CATALOG, RECIPE
from tests.unit.app.conftest import Published, pointers, problem


def test_every_answer_carries_the_callers_id_or_a_new_one(client: TestClient, logs: list[Any]) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": "a.B_9-"}).headers["x-request-id"] == "a.B_9-"
    assert [line["request_id"] for line in logs if line["event"] == "request"] == ["a.B_9-"]
    for bad in ("a b", "x" * 129, "a;b", ""):
        given = client.get("/nowhere", headers={"X-Request-ID": bad}).headers["x-request-id"]
        assert given != bad
        assert len(given) == 32


def test_an_unhandled_error_is_a_bare_500_with_its_cause_in_the_log(
    client: TestClient, logs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("secret at /home/someone")

    monkeypatch.setattr("app.jobs.routes.jobs.find", fail)
    response = client.get("/v1/jobs", headers={"X-Request-ID": "find-me"})
    problem(response, 500)
    assert "secret" not in response.text
    assert response.headers["x-request-id"] == "find-me"
    assert [line["request_id"] for line in logs if line["event"] == "request_failed"] == ["find-me"]


@pytest.mark.parametrize("path", ["/nowhere", "/v1", "/v1/", "/v1/jobs/", "/v3/jobs", "/..%2f..%2fetc/passwd"])
def test_an_unknown_path_is_a_problem_too(client: TestClient, path: str) -> None:
    problem(client.get(path), 404)


def test_a_wrong_method_names_the_right_ones(client: TestClient) -> None:
    response = client.put("/v1/jobs/job_" + "0" * 32)
    problem(response, 405)
    assert response.headers["allow"] == "GET"


@pytest.mark.parametrize("size", [1024 * 1024 + 1])
def test_a_json_body_of_more_than_a_mebibyte_is_refused(client: TestClient, size: int) -> None:
    problem(client.post("/v1/jobs", content=b"x" * size, headers={"Content-Type": "application/json"}), 413)


def test_a_json_body_that_hides_its_size_is_cut_off(client: TestClient) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * 100_000

    problem(client.post("/v1/jobs", content=body(), headers={"Content-Type": "application/json"}), 413)


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "[::1]", "LOCALHOST"])
def test_the_service_answers_to_loopbacks_names(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.test", "localhost.evil.test", "127.0.0.1.evil.test:80", "", "[::2]"])
def test_the_service_answers_to_no_other_name(client: TestClient, host: str) -> None:
    problem(client.get("/healthz", headers={"Host": host}), 421)


def test_a_page_of_another_origin_changes_nothing(client: TestClient) -> None:
    for origin in (
        "http://evil.test",
        "null",
        "http://localhost:9",
        "http://[",
        "",
        "http://localhost.",
        "//localhost@x",
    ):
        problem(client.post("/v1/jobs", json=RECIPE, headers={"Origin": origin}), 403)
    for site in ("cross-site", "same-site", "Cross-Site"):  # of browsers that leave Origin out
        problem(client.post("/v1/jobs", json=RECIPE, headers={"Sec-Fetch-Site": site}), 403)
    assert client.get("/v1/jobs").json()["items"] == []
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/v1/jobs", json=RECIPE, headers=own).status_code == 202
    assert client.post("/v1/jobs", json=RECIPE, headers={"Sec-Fetch-Site": "none"}).status_code == 202
    assert client.get("/v1/jobs", headers={"Origin": "http://evil.test"}).status_code == 200


def test_a_page_of_another_origin_is_given_no_leave_to_ask(client: TestClient) -> None:
    """A browser asks first for what is no plain form; nothing here ever answers that it may."""
    for path in ("/v1/jobs", "/v1/uploads", "/v1/aliases/x", "/hf/api/datasets"):
        asked = {"Origin": "http://evil.test", "Access-Control-Request-Method": "PATCH"}
        for answer in (client.options(path, headers=asked), client.get(path, headers={"Origin": "http://evil.test"})):
            assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.fixture
def keyed(settings: AppSettings, services: Services) -> TestClient:
    kept = AppSettings(home=settings.home, host="0.0.0.0", api_key="sesame")  # noqa: S104 -- never bound
    return TestClient(create_app(kept, services=services), base_url="http://anywhere.test")


def test_a_key_opens_and_nothing_else_does(keyed: TestClient) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic sesame"}, {"Authorization": "ä"}):
        for path in ("/v1/jobs", "/", "/docs", "/nowhere"):
            response = keyed.get(path, headers={k: v.encode() for k, v in headers.items()})
            problem(response, 401)
            assert response.headers["www-authenticate"] == "Bearer"
    assert keyed.get("/v1/jobs", headers={"Authorization": "Bearer sesame"}).status_code == 200
    assert keyed.get("/healthz").status_code == 200
    document = keyed.get("/openapi.json", headers={"Authorization": "bearer sesame"}).json()
    assert document["paths"]["/v1/jobs"]["post"]["security"] == [{"key": ["submit"]}]
    assert "security" not in document["paths"]["/healthz"]["get"]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "example.test", "::"])  # noqa: S104 -- never bound
def test_without_a_key_it_refuses_to_listen_elsewhere(settings: AppSettings, services: Services, host: str) -> None:
    with pytest.raises(InsecureBinding, match="DISTILLED_API_KEY"):
        create_app(AppSettings(home=settings.home, host=host), services=services)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_without_a_key_it_listens_on_this_machine(host: str) -> None:
    AppSettings(host=host).check_binding()


def introduce_worker(services: Services) -> None:
    with services.database.write() as session:
        workers.beat_worker(session, worker="w", device="cpu", hostname="here", pid=1)


def test_it_is_ready_when_every_part_is(client: TestClient, services: Services) -> None:
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"]["workers"]["state"] == "failed"
    assert response.json()["checks"]["database"]["state"] == "ok"
    assert client.get("/healthz").status_code == 200

    introduce_worker(services)

    response = client.get("/readyz")
    assert (response.status_code, response.json()["ready"]) == (200, True)


def test_what_no_live_worker_takes_is_named(client: TestClient, services: Services) -> None:
    with services.database.write() as session:
        workers.beat_worker(session, worker="w", device="cpu", hostname="here", pid=1, queues=["evaluate"])
    client.post("/v1/jobs", json=RECIPE)
    body = client.get("/readyz").json()
    assert body["ready"]
    assert "work waits in cpu" in body["checks"]["workers"]["detail"]


@pytest.mark.parametrize("part", ["broker", "store", "database"])
def test_the_part_that_is_not_ready_is_named(client: TestClient, services: Services, part: str, tmp_path: Any) -> None:
    introduce_worker(services)
    if part == "broker":
        assert isinstance(services.queue, MemoryQueue)
        services.queue.down = True
    elif part == "store":
        services.store = FullDiskStore()
    else:
        services.database = Database(f"sqlite:///{tmp_path}/empty.db")
    response = client.get("/readyz")
    failed = [name for name, check in response.json()["checks"].items() if check["state"] != "ok"]
    services.database.close()
    assert response.status_code == 503
    assert part in failed
    assert str(tmp_path) not in response.text


def test_a_registry_of_another_version_is_a_503_that_names_the_command(
    client: TestClient, services: Services, tmp_path: Any
) -> None:
    services.database = Database(f"sqlite:///{tmp_path}/empty.db")
    body = problem(client.get("/v1/jobs"), 503)
    services.database.close()
    assert "distilled migrate" in body["detail"]


def test_workers_are_shown_with_what_they_have_in_hand(client: TestClient, services: Services) -> None:
    introduce_worker(services)
    job_id = client.post("/v1/jobs", json=RECIPE).json()["id"]
    with services.database.write() as session:
        jobs.claim(session, job_id, worker="w", device="cpu", lease_seconds=60)
    (worker,) = client.get("/v1/workers").json()["items"]
    assert (worker["id"], worker["device"], worker["in_hand"]) == ("w", "cpu", [job_id])
    assert worker["last_heartbeat"].endswith("Z")
    assert pointers(client.get("/v1/workers?limit=1")) == ["/query/limit"]


def test_the_sweep_sends_the_wake_ups_that_were_lost(client: TestClient, services: Services) -> None:
    assert isinstance(services.queue, MemoryQueue)
    services.queue.down = True
    job_id = client.post("/v1/jobs", json=RECIPE).json()["id"]
    services.queue.down = False
    sweep_once(services)
    assert services.queue.jobs == [job_id]


def test_the_service_sweeps_while_it_lives_and_stops_cleanly(settings: AppSettings, services: Services) -> None:
    import threading  # noqa: PLC0415 -- to look at the threads

    assert isinstance(services.queue, MemoryQueue)
    with services.database.write() as session:
        jobs.submit(session, recipe={"dataset": "digits"}, digest="e" * 64, request_id="r")
    with TestClient(create_app(settings, services=services), base_url="http://localhost") as client:
        client.get("/healthz")
        for thread in threading.enumerate():
            if thread.name == "sweep":
                thread.join(0.5)
        assert [thread.name for thread in threading.enumerate()].count("sweep") == 1
    assert len(services.queue.jobs) == 1
    assert "sweep" not in [thread.name for thread in threading.enumerate()]


def test_a_sweep_that_fails_is_tried_again(services: Services, logs: list[Any]) -> None:
    from app.sweeper import Sweeper  # noqa: PLC0415 -- beside its test

    services.settings = services.settings.model_copy(update={"sweep_seconds": 0.01})
    broken, services.database = services.database, Database("sqlite:////nonexistent/registry.db")
    sweeper = Sweeper(services)
    sweeper.start()
    for _ in range(200):
        if sum(line["event"] == "sweep_failed" for line in logs) >= 2:
            break
        sweeper._thread.join(0.02)
    services.database = broken
    sweeper.stop()
    assert sum(line["event"] == "sweep_failed" for line in logs) >= 2


def test_methods_show_each_preset_with_its_options(client: TestClient) -> None:
    body = client.get("/v1/methods").json()
    (dm,) = body["items"]
    assert dm["composes"] == {
        "parametrization": "images",
        "objective": "distribution",
        "start": "random",
        "batches": "random",
    }
    assert dm["paper"]["year"] == 2023
    options = dm["options"]["properties"]
    assert options["objective"]["properties"]["real_batch"]["default"] == 32  # the preset's, not the objective's 64
    assert options["steps"]["default"] == 100
    assert {one["title"] for one in body["recipe"]["properties"]["objective"]["oneOf"]} == {"distribution", "kernel"}


def test_methods_show_each_penalty_with_its_paper_and_where_it_goes(client: TestClient) -> None:
    body = client.get("/v1/methods").json()
    (penalty,) = body["penalties"]
    assert (penalty["kind"], penalty["paper"]["url"]) == ("invariance", "https://p.test/1")
    assert penalty["options"]["properties"]["weight"]["default"] == 1.0
    for properties in (body["recipe"]["properties"], body["items"][0]["options"]["properties"]):
        (item,) = properties["penalties"]["items"]["oneOf"]
        assert item["properties"]["kind"] == {"const": "invariance"}
        assert item["required"] == ["kind"]
        assert properties["penalties"]["default"] == []


def test_the_openapi_document_is_valid_and_tells_our_errors(client: TestClient, app: FastAPI) -> None:
    document = client.get("/openapi.json").json()
    validate(document)
    text = str(document)
    assert "HTTPValidationError" not in text
    submit = document["paths"]["/v1/jobs"]["post"]
    schema = submit["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["method"]["enum"] == ["dm"]
    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            for status, answer in operation["responses"].items():
                if status.startswith(("4", "5")) and path != "/readyz":
                    told = "application/json" if path.startswith("/v2") else "application/problem+json"
                    assert list(answer["content"]) == [told], (path, verb, status)
            if "{" in path:
                assert operation["responses"].keys() & {"404", "4XX"}, (path, verb)


def test_every_route_refuses_a_parameter_that_it_does_not_know(client: TestClient, published: Published) -> None:
    known = {"job_id": published.job_id, "artifact": published.id, "version": published.digest}
    names = defaultdict(lambda: "x", known)
    document = client.get("/openapi.json").json()
    tried = 0
    for path, operations in document["paths"].items():
        for verb in operations:
            url = path.format_map(names) + "?surprise=1"
            body = {"json": {"artifact_id": "x"}} if verb == "put" else {}
            response = client.request(verb, url, **body)
            if path.startswith("/v2"):  # where errors have another protocol's form
                assert (response.status_code, "/query/surprise" in response.text) == (400, True), (verb, path)
            else:
                assert response.status_code == 422, (verb, path, response.text)
                assert verb == "head" or "/query/surprise" in pointers(response), (verb, path)
            tried += 1
    assert tried > 25


def test_the_type_of_a_problem_leads_to_its_explanation(client: TestClient) -> None:
    for kind in {kind.slug for kind in KINDS.values()}:
        page = client.get(f"/problems/{kind}")
        assert page.status_code == 200
        assert "HTTP status" in page.text
    assert "fewer images of a class" in client.get("/problems/not-held").text
    assert "X-Request-ID" in client.get("/problems/internal-error").text
    problem(client.get("/problems/nothing"), 404)


def test_the_front_end_starts_without_torch() -> None:
    looking = "import sys, app.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", looking], check=False).returncode == 0


def test_the_catalog_of_the_tests_has_every_table(client: TestClient) -> None:
    tables = {"presets", "parametrizations", "objectives", "selections", "networks", "evaluation", "recipe", "datasets"}
    assert tables <= set(CATALOG)
