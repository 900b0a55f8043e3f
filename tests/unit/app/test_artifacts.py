"""Artifacts: found by what they are, described, hidden."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.services import Services
from tests.unit.app.conftest import Published, evaluate, pointers, problem, publish


@pytest.fixture
def three(services: Services) -> list[Published]:
    made = [publish(services, seed=0), publish(services, seed=1, held=5), publish(services, seed=2, classes=("x", "y"))]
    evaluate(services, made[0].id, accuracy=0.5)
    evaluate(services, made[1].id, accuracy=0.7)
    return made


def found(client: TestClient, query: str) -> list[str]:
    response = client.get(f"/v1/artifacts?{query}")
    assert response.status_code == 200, response.text
    return [item["id"] for item in response.json()["items"]]


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ("", [2, 1, 0]),
        ("sort=created", [0, 1, 2]),
        ("sort=-accuracy", [1, 0, 2]),
        ("sort=accuracy", [0, 1, 2]),
        ("sort=bytes", [2, 0, 1]),
        ("sort=-bytes", [1, 0, 2]),
        ("dataset=DIGITS", [2, 1, 0]),
        ("dataset=other", []),
        ("kind=images&method=dm", [2, 1, 0]),
        ("kind=memory", []),
        ("class=cat", [1, 0]),
        ("class=1", [2, 1, 0]),
        ("class=a%2Cb", [1, 0]),
        ("class=nothere", []),
        ("ipc=5", [1]),
        ("ratio=0.3", [0]),
        ("network=convnet3", [1, 0]),
        ("min_accuracy=0.6", [1]),
        ("max_bytes=10", []),
        ("alias=best", []),
        ("q=CAT+digits", [1, 0]),
        ("q=dm&ipc=5", [1]),
        ("q=nowhere", []),
        ("q=", [2, 1, 0]),
    ],
)
def test_artifacts_are_found_by_what_they_are(
    client: TestClient, three: list[Published], query: str, places: list[int]
) -> None:
    assert found(client, query) == [three[place].id for place in places]


def test_artifacts_are_found_by_alias_and_by_job(client: TestClient, three: list[Published]) -> None:
    client.put("/v1/aliases/best", json={"artifact_id": three[1].id})
    assert found(client, "alias=best") == [three[1].id]
    assert found(client, f"job={three[2].job_id}") == [three[2].id]


def test_facets_tell_how_many_would_be_found(client: TestClient, three: list[Published]) -> None:
    told = client.get("/v1/facets?q=digits&ipc=5").json()
    assert told == {
        "total": 1,
        "dataset": [{"value": "digits", "count": 1}],
        "method": [{"value": "dm", "count": 1}],
        "kind": [{"value": "images", "count": 1}],
        "ipc": [{"value": 3, "count": 2}, {"value": 5, "count": 1}],
    }
    for found in told["ipc"]:
        assert len(client.get(f"/v1/artifacts?q=digits&ipc={found['value']}").json()["items"]) == found["count"]
    assert len(client.get("/v1/facets?most=1").json()["ipc"]) == 1
    assert client.get("/v1/facets?class=nothere").json()["total"] == 0
    assert pointers(client.get("/v1/facets?most=0&sort=bytes")) == ["/query/sort"]
    assert pointers(client.get("/v1/facets?q=a+b+c+d+e+f+g+h+i")) == ["/query/q"]


def test_pages_name_the_next_one_under_the_same_query(client: TestClient, three: list[Published]) -> None:
    first = client.get("/v1/artifacts?sort=-accuracy&limit=2&dataset=digits")
    rest = client.get(first.links["next"]["url"])
    assert [item["id"] for item in first.json()["items"]] == [three[1].id, three[0].id]
    assert [item["id"] for item in rest.json()["items"]] == [three[2].id]
    assert first.json()["next_cursor"] in first.headers["link"]
    assert pointers(client.get(f"/v1/artifacts?sort=bytes&cursor={first.json()['next_cursor']}")) == ["/query/cursor"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("ipc=0", "/query/ipc"),
        ("ipc=x", "/query/ipc"),
        (f"ipc={10**30}", "/query/ipc"),
        ("ratio=0", "/query/ratio"),
        ("ratio=1.5", "/query/ratio"),
        ("ratio=nan", "/query/ratio"),
        ("min_accuracy=2", "/query/min_accuracy"),
        ("min_accuracy=inf", "/query/min_accuracy"),
        ("max_bytes=-1", "/query/max_bytes"),
        (f"max_bytes={10**30}", "/query/max_bytes"),
        ("sort=size", "/query/sort"),
        ("limit=0", "/query/limit"),
        ("cursor=zz", "/query/cursor"),
        (f"cursor={'x' * 600}", "/query/cursor"),
        ("colour=red", "/query/colour"),
        ("class=%00", "/query/class"),
        (f"job={'x' * 50}", "/query/job"),
        (f"alias={'x' * 97}", "/query/alias"),
        (f"network={'x' * 65}", "/query/network"),
        (f"kind={'x' * 33}", "/query/kind"),
    ],
)
def test_a_wrong_query_names_its_parameter(client: TestClient, query: str, pointer: str) -> None:
    assert pointers(client.get(f"/v1/artifacts?{query}")) == [pointer]


def test_the_manifest_tells_what_it_is_and_how_well_it_does(client: TestClient, three: list[Published]) -> None:
    client.put("/v1/aliases/best", json={"artifact_id": three[0].id})
    shown: dict[str, Any] = client.get("/v1/artifacts/best").json()

    assert shown["id"] == three[0].id
    assert shown["digest"] == three[0].digest
    assert shown["bytes"] == len(three[0].content)
    assert shown["classes"] == ["cat", "dog", "a,b"]
    assert shown["shape"] == [3, 4, 4]
    assert shown["normalisation"] == {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2]}
    assert shown["budget"] == {"ipc": 3, "bytes": 9 * 49, "floats": 9 * 49, "images_per_class": 3}
    assert shown["lineage"]["job_id"] == three[0].job_id
    assert shown["lineage"]["dataset_digest"] == "d" * 64
    assert shown["lineage"]["licence"] == "CC BY 4.0"
    assert shown["aliases"] == ["best"]
    assert (shown["accuracy"], shown["network"]) == (0.5, "convnet3")
    assert [row["state"] for row in shown["evaluations"]] == ["succeeded"]
    assert shown["evaluations"][0]["result"]["random"]["mean"] == 0.5
    assert shown["evaluations"][0]["config"] == {"repeats": 2}
    assert shown["ratio"] == pytest.approx(0.3)


def test_a_deleted_artifact_is_gone_and_an_aliased_one_is_kept(client: TestClient, published: Published) -> None:
    client.put("/v1/aliases/best", json={"artifact_id": published.id})
    assert "best" in problem(client.delete(f"/v1/artifacts/{published.id}"), 409)["detail"]
    client.delete("/v1/aliases/best")

    assert client.delete(f"/v1/artifacts/{published.id}").status_code == 204

    problem(client.get(f"/v1/artifacts/{published.id}"), 404)
    problem(client.get(f"/v1/artifacts/{published.id}/content"), 404)
    problem(client.delete(f"/v1/artifacts/{published.id}"), 404)
    assert found(client, "") == []


def test_an_alias_can_be_made_moved_and_taken_away(client: TestClient, three: list[Published]) -> None:
    made = client.put("/v1/aliases/best", json={"artifact_id": three[0].id})
    moved = client.put("/v1/aliases/best", json={"artifact_id": three[1].id})
    assert (made.status_code, moved.status_code) == (201, 200)
    assert made.headers["location"] == "/v1/aliases/best"
    assert client.get("/v1/aliases/best").json()["artifact_id"] == three[1].id
    assert client.get("/v1/artifacts/best/content").content == three[1].content
    assert client.delete("/v1/aliases/best").status_code == 204
    problem(client.get("/v1/aliases/best"), 404)
    problem(client.delete("/v1/aliases/best"), 404)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/artifact_id"),
        ({"artifact_id": 3}, "/artifact_id"),
        ({"artifact_id": "../x"}, "/artifact_id"),
        ({"artifact_id": "a\0"}, "/artifact_id"),
        ({"artifact_id": "x" * 97}, "/artifact_id"),
        ({"artifact_id": "art_1", "force": True}, "/force"),
        ([], ""),
    ],
)
def test_a_wrong_alias_body_names_its_field(client: TestClient, body: Any, pointer: str) -> None:
    assert pointers(client.put("/v1/aliases/best", json=body)) == [pointer]


def test_an_alias_of_nothing_or_with_an_ids_name_is_refused(client: TestClient, published: Published) -> None:
    problem(client.put("/v1/aliases/best", json={"artifact_id": "art_" + "0" * 32}), 404)
    problem(client.put("/v1/aliases/a%20b", json={"artifact_id": published.id}), 404)
    like_an_id = client.put("/v1/aliases/art_" + "0" * 32, json={"artifact_id": published.id})
    assert pointers(like_an_id) == ["/path/name"]
