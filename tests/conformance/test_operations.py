"""Operations: is it alive, is it ready, who works for it; and its pages."""

from tests.conformance.wire import Wire


def test_healthz_tells_that_the_process_answers(wire: Wire) -> None:
    assert wire.get("/healthz") == {"status": "ok"}


def test_readyz_names_each_part_with_its_state(wire: Wire) -> None:
    answer = wire.call("GET", "/readyz")
    body = answer.json()
    assert {"database", "broker", "store", "workers"} <= set(body["checks"])
    assert all(part["state"] in ("ok", "failed") for part in body["checks"].values())
    assert body["ready"] == all(part["state"] == "ok" for part in body["checks"].values())
    assert answer.status_code == (200 if body["ready"] else 503)
    assert answer.headers["cache-control"] == "no-store"


def test_workers_are_told_with_device_work_and_sign_of_life(wire: Wire, worker: None) -> None:
    (first, *_) = wire.get("/v1/workers")["items"]
    assert {"id", "device", "in_hand", "last_heartbeat"} <= set(first)
    assert isinstance(first["in_hand"], list)
    assert first["last_heartbeat"] >= first["started_at"]


def test_the_status_tells_queues_room_and_failures(wire: Wire) -> None:
    told = wire.get("/v1/status")
    assert told["ready"] == all(part["state"] == "ok" for part in told["checks"].values())
    assert {"cpu", "gpu", "evaluate", "validate"} <= {one["queue"] for one in told["queues"]}
    assert all(one["waiting"] >= 0 and one["oldest_seconds"] >= 0 for one in told["queues"])
    assert told["store"]["bytes"] >= 0
    assert all(one["last_day"] <= one["last_week"] for one in told["failures"])
    assert all(isinstance(said, str) for said in told["advice"])


def test_the_gallery_and_the_documentation_are_pages_that_load_nothing_from_elsewhere(wire: Wire) -> None:
    for path in ("/", "/docs"):
        page = wire.ok("GET", path)
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"] or "http" not in page.text
