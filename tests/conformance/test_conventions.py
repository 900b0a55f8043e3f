"""Conventions: JSON, ids, times, problems, request ids, bodies that are too large, names that attack."""

import re
from typing import Any
from uuid import uuid4

import pytest

from tests.conformance.conftest import Made
from tests.conformance.making import ENDLESS
from tests.conformance.wire import Wire

ID = re.compile(r"(?:job|art|ds|eval)_[0-9a-f]{32}")
#: Ways out of a folder, ends of a string and other tricks; each as a client would have to write it in a path.
HOSTILE = [
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fetc",
    "%252e%252e%252fetc",
    "..%5c..%5cwindows",
    "C:%5cwindows",
    "nul%00byte",
    "hash%23tag",
    "query%3Fmark",
    "a%2f%2fb",
    "%E2%80%A5%E2%80%A5",
    "a" * 300,
    "%FF%FE",
    "%20",
    "-rf",
    "'; DROP TABLE jobs; --",
]
PATHS = [
    "/v1/jobs/{}",
    "/v1/jobs/{}/events",
    "/v1/jobs/{}/metrics",
    "/v1/artifacts/{}",
    "/v1/artifacts/{}/content",
    "/v1/artifacts/{}/download",
    "/v1/artifacts/{}/samples",
    "/v1/artifacts/{}/preview.png",
    "/v1/artifacts/{}/neighbours",
    "/v1/aliases/{}",
    "/v1/datasets/{}",
]


def test_ids_have_a_kind_and_sort_by_time(wire: Wire, dataset: str) -> None:
    recipes = [{**ENDLESS, "dataset": dataset, "seed": seed} for seed in (11, 12, 13)]
    ids = [wire.ok("POST", "/v1/jobs", status=202, json=recipe).json()["id"] for recipe in recipes]
    for job_id in ids:
        wire.ok("POST", f"/v1/jobs/{job_id}/cancel")
    assert ids == sorted(ids)
    assert all(re.fullmatch(r"job_[0-9a-f]{32}", job_id) for job_id in ids)
    assert ID.fullmatch(wire.get(f"/v1/datasets/{dataset}")["id"])


def test_fields_are_snake_case(wire: Wire, images: Made) -> None:
    for answer in (images.manifest, images.job, wire.get("/v1/datasets?limit=1"), wire.get("/v1/workers")):
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in answer)


def test_an_unknown_path_is_a_problem(wire: Wire) -> None:
    assert wire.problem(404, "GET", "/v1/nothing-of-this-name")["type"]
    assert wire.problem(404, "GET", "/v1/jobs/")


def test_another_method_is_a_problem_that_names_the_right_ones(wire: Wire) -> None:
    answer = wire.ok("PATCH", "/v1/jobs", status=405)
    assert {"GET", "POST"} & set(re.split(r",\s*", answer.headers["allow"]))


def test_the_type_of_a_problem_leads_to_a_page(wire: Wire) -> None:
    kinds = {
        wire.problem(404, "GET", f"/v1/aliases/{uuid4().hex}")["type"],
        wire.problem(422, "GET", "/v1/jobs?limit=0")["type"],
    }
    for kind in kinds:
        assert wire.ok("GET", kind).headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("body", [b"{", b"", b"[1]", b'"text"', b"\xff", b'{"dataset": NaN}', b'{"seed": 1e999}'])
def test_a_body_that_is_no_json_object_is_refused(wire: Wire, body: bytes) -> None:
    answer = wire.call("POST", "/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)


def test_text_that_no_database_stores_is_refused(wire: Wire) -> None:
    for text in ("a\0b", "\ud800"):
        body = ('{"dataset": ' + ascii(text).replace("'", '"').replace("\\x00", "\\u0000") + "}").encode()
        answer = wire.ok("POST", "/v1/jobs", status=422, content=body, headers={"Content-Type": "application/json"})
        assert "/dataset" in [fault["pointer"] for fault in answer.json()["errors"]]


def test_a_body_that_is_too_large_is_a_413(wire: Wire) -> None:
    wire.problem(413, "POST", "/v1/jobs", json={"dataset": "x" * (2 << 20)})


def test_an_unknown_field_is_an_error(wire: Wire, dataset: str) -> None:
    recipe: dict[str, Any] = {**ENDLESS, "dataset": dataset}
    assert wire.pointers("POST", "/v1/jobs", json={**recipe, "learning_rat": 1}) == ["/learning_rat"]
    nested = {**recipe, "objective": {**recipe["objective"], "wdith": 1}}
    assert wire.pointers("POST", "/v1/jobs", json=nested) == ["/objective/wdith"]
    assert wire.pointers("PUT", "/v1/aliases/x", json={"artifact_id": "y", "force": True}) == ["/force"]


def test_unknown_query_parameters_are_refused_everywhere(wire: Wire) -> None:
    document = wire.get("/openapi.json")
    asked = 0
    for path, operations in document["paths"].items():
        if "get" in operations and path.startswith("/v1/") and not path.startswith("/v1/uploads"):
            there = re.sub(r"\{\w+\}", "x", path.replace("{job_id}", f"job_{'0' * 32}"))
            assert wire.pointers("GET", f"{there}?no_such=1") == ["/query/no_such"], path
            asked += 1
    assert asked > 10


def test_the_caller_s_request_id_comes_back(wire: Wire) -> None:
    given = uuid4().hex
    for path in ("/healthz", "/v1/jobs", "/v1/nothing", "/v1/jobs?limit=0"):
        assert wire.call("GET", path, headers={"X-Request-ID": given}).headers["x-request-id"] == given


def test_a_request_without_an_id_gets_one_of_its_own(wire: Wire) -> None:
    found = {wire.call("GET", "/healthz", bare=True).headers["x-request-id"] for _ in range(3)}
    assert len(found) == 3


@pytest.mark.parametrize("unsafe", ["two words", "x" * 500, 'quote"d', "<script>"])
def test_a_request_id_that_would_spoil_a_log_is_replaced(wire: Wire, unsafe: str) -> None:
    answer = wire.call("GET", "/healthz", bare=True, headers={"X-Request-ID": unsafe})
    assert answer.headers["x-request-id"] != unsafe


def test_the_request_id_of_a_job_is_that_of_its_request(wire: Wire, dataset: str) -> None:
    given = uuid4().hex
    answer = wire.ok(
        "POST",
        "/v1/jobs",
        status=202,
        json={**ENDLESS, "dataset": dataset, "seed": 21},
        headers={"X-Request-ID": given},
    )
    wire.ok("POST", f"/v1/jobs/{answer.json()['id']}/cancel")
    assert answer.json()["request_id"] == given


def test_hostile_names_find_nothing_and_show_nothing(wire: Wire) -> None:
    for path in PATHS:
        for name in HOSTILE:
            assert wire.call("GET", path.format(name)).status_code in (400, 404, 422), path.format(name)


def test_content_is_not_to_be_sniffed(wire: Wire) -> None:
    for path in ("/", "/v1/jobs", "/v1/nothing"):
        assert wire.call("GET", path).headers["x-content-type-options"] == "nosniff"


def test_openapi_knows_the_routes(wire: Wire) -> None:
    document = wire.get("/openapi.json")
    assert document["openapi"].startswith("3.")
    known = {re.sub(r"\{\w+\}", "{}", path) for path in document["paths"]}
    promised = {path for path in PATHS if "preview" not in path} | {
        "/v1/methods",
        "/v1/workers",
        "/v1/jobs/{}/cancel",
        "/v1/jobs/{}/retry",
        "/v1/artifacts/{}/preview.png",
        "/healthz",
        "/readyz",
    }
    assert promised <= known
    assert "application/problem+json" in str(document["paths"]["/v1/jobs"]["post"]["responses"]["422"])
