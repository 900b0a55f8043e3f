"""Heads that come whole and are too long; those that come in pieces are tested on a real connection."""

import pytest
from fastapi.testclient import TestClient

from app.middleware.limits import HEAD_BYTES
from tests.unit.app.conftest import problem

LONG = "x" * HEAD_BYTES


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/jobs", {"x-long": LONG}),
        ("/v1/jobs", {f"x-{number}": "y" * 100 for number in range(400)}),
        (f"/v1/jobs?dataset={LONG}", {}),
        (f"/v1/{LONG}", {}),
    ],
    ids=["one header", "many headers", "query", "path"],
)
def test_a_head_that_is_too_long_is_refused(client: TestClient, path: str, headers: dict[str, str]) -> None:
    told = problem(client.get(path, headers=headers), 431)
    assert told["type"] == "/problems/head-too-large"
    assert "32 KiB" in told["detail"]


def test_a_head_of_half_the_length_is_taken(client: TestClient) -> None:
    assert client.get("/v1/jobs", headers={"x-long": LONG[: HEAD_BYTES // 2]}).status_code == 200
