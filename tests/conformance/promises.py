"""What is promised of every answer, whatever was asked. `Wire` holds each one to it."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2

PROBLEM = "application/problem+json"
#: Parts of the service that speak a protocol of others and have errors as its clients know them: the Hub, KServe.
FOREIGN = ("/hf/", "/v2")
#: What would tell a stranger how the host is laid out or what the code is made of.
LEAKS = re.compile(
    r"Traceback \(|File \"|site-packages|\.py\b|sqlalchemy|psycopg|sqlite|pydantic|"
    r"\b(?:SELECT|INSERT INTO|UPDATE) |/(?:home|root|tmp|usr|var|opt|srv|proc|Users)/",
    re.IGNORECASE,
)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)")


def check_answer(answer: httpx2.Response, *, sent_id: str | None) -> None:
    """Fail where an answer breaks a promise that holds for all of them. Its body has been read, unless it streams."""
    where = f"{answer.request.method} {answer.request.url} -> {answer.status_code}"
    known_as = answer.headers.get("x-request-id")
    assert known_as, f"{where}: has no X-Request-ID"
    assert sent_id in (None, known_as), f"{where}: the caller's X-Request-ID does not come back"
    if not answer.is_stream_consumed:
        assert answer.status_code < 400, where
        return
    if answer.status_code >= 400:
        _check_error(answer, where)
    elif _is_json(answer) and answer.request.url.path.startswith("/v1/"):
        for name, value in _fields(answer.json()):
            if name.endswith("_at") and value is not None:
                assert isinstance(value, str), f"{where}: {name} is no text"
                assert TIME.fullmatch(value), f"{where}: {name} is no UTC time: {value}"


def _check_error(answer: httpx2.Response, where: str) -> None:
    assert answer.status_code < 500 or answer.status_code == 503, f"{where}: {answer.text}"
    found = LEAKS.search(answer.text)
    assert found is None, f"{where}: shows {found and found.group()!r} in {answer.text}"
    headers = {401: "www-authenticate", 405: "allow", 416: "content-range", 429: "retry-after", 503: "retry-after"}
    needed = headers.get(answer.status_code)
    if not answer.request.url.path.startswith("/readyz"):
        assert needed is None or needed in answer.headers, f"{where}: lacks {needed}"
    if answer.request.method != "HEAD" and not answer.request.url.path.startswith((*FOREIGN, "/readyz")):
        check_problem(answer)


def check_problem(answer: httpx2.Response) -> dict[str, Any]:
    """RFC 9457: the problem, once its shape is found to be right."""
    where = f"{answer.request.method} {answer.request.url} -> {answer.status_code}: {answer.text}"
    assert answer.headers["content-type"].partition(";")[0] == PROBLEM, where
    body = answer.json()
    assert set(body) <= {"type", "title", "status", "detail", "errors"}, where
    assert body["status"] == answer.status_code, where
    assert all(isinstance(body[name], str) and body[name] for name in ("type", "title", "detail")), where
    if answer.status_code == 422:
        assert body["errors"], where
        assert all(set(fault) == {"pointer", "detail"} and fault["detail"] for fault in body["errors"]), where
        assert all(fault["pointer"] == "" or fault["pointer"].startswith("/") for fault in body["errors"]), where
    return body


def _is_json(answer: httpx2.Response) -> bool:
    return answer.headers.get("content-type", "").partition(";")[0] == "application/json" and bool(answer.content)


def _fields(value: object) -> Iterator[tuple[str, object]]:
    """Every field of a JSON value with its value, however deep."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield str(name), item
            yield from _fields(item)
    elif isinstance(value, list):
        for item in value:
            yield from _fields(item)
