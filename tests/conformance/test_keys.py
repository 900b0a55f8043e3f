"""Who may speak to the service: callers with its key; without one configured, this machine alone."""

import pytest

from tests.conformance.wire import Wire

CLOSED = [
    ("GET", "/v1/jobs"),
    ("POST", "/v1/jobs"),
    ("GET", "/v1/artifacts"),
    ("GET", "/v1/datasets"),
    ("POST", "/v1/datasets"),
    ("PUT", "/v1/aliases/x"),
    ("DELETE", "/v1/artifacts/x"),
    ("GET", "/v1/workers"),
    ("GET", "/v1/nothing"),
    ("GET", "/"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
]


@pytest.fixture
def key(wire: Wire) -> str:
    if wire.key is None:
        pytest.skip("needs a service that has a key")
    return wire.key


@pytest.fixture
def keyless(wire: Wire) -> Wire:
    if wire.key is not None:
        pytest.skip("needs a service without a key")
    return wire


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_nothing_is_told_without_the_key(wire: Wire, key: str, method: str, path: str) -> None:
    answer = wire.ok(method, path, status=401, bare=True)
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_another_key_is_no_key(wire: Wire, key: str) -> None:
    wrong = [f"Bearer {key}x", f"Bearer {key[:-1]}", "Bearer", f"Basic {key}", key, "Bearer ké"]
    for given in wrong:
        answer = wire.call("GET", "/v1/jobs", bare=True, headers={"Authorization": given.encode()})
        assert answer.status_code == 401, given


def test_the_key_opens(wire: Wire, key: str) -> None:
    wire.ok("GET", "/v1/jobs", bare=True, headers={"Authorization": f"Bearer {key}"})
    wire.ok("GET", "/v1/jobs", bare=True, headers={"Authorization": f"bearer {key}"})


def test_the_key_is_no_query_parameter(wire: Wire, key: str) -> None:
    assert wire.call("GET", f"/v1/jobs?key={key}", bare=True).status_code == 401


def test_probes_need_no_key(wire: Wire, key: str) -> None:
    assert wire.call("GET", "/healthz", bare=True).status_code == 200
    assert wire.call("GET", "/readyz", bare=True).status_code in (200, 503)


def test_the_key_stands_in_no_answer(wire: Wire, key: str) -> None:
    for path in ("/", "/openapi.json", "/docs", "/v1/workers", "/v1/nothing"):
        assert key not in wire.call("GET", path).text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "10.0.0.1"])
def test_without_a_key_it_answers_to_loopback_s_names_alone(keyless: Wire, host: str) -> None:
    assert keyless.problem(421, "GET", "/v1/jobs", headers={"Host": host})
    keyless.ok("GET", "/v1/jobs", headers={"Host": "localhost"})


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"])
def test_a_page_of_another_origin_changes_nothing(wire: Wire, origin: str) -> None:
    for method, path in (("POST", "/v1/jobs"), ("PUT", "/v1/aliases/x"), ("DELETE", "/v1/artifacts/x")):
        wire.problem(403, method, path, headers={"Origin": origin})
