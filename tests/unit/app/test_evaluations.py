"""Networks that are added to an artifact later: queued once, woken, shown, and reported seen and unseen apart."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.services import Services
from app.sweeper import sweep_once
from registry import evaluations
from registry.testing import MemoryQueue
from tests.unit.app.conftest import Published, artifact_file, pointers, problem, publish

ERROR = {"code": "internal", "title": "The worker failed", "detail": "look into its log"}


def ask(client: TestClient, artifact: str, *networks: str, status: int = 202, **options: Any) -> list[dict[str, Any]]:
    response = client.post(f"/v1/artifacts/{artifact}/evaluations", json={"networks": networks, **options})
    assert response.status_code == status, response.text
    return response.json()["items"]


def listed(client: TestClient, artifact: str) -> list[dict[str, Any]]:
    return client.get(f"/v1/artifacts/{artifact}/evaluations").json()["items"]


def end(services: Services, evaluation_id: str, accuracy: float | None) -> None:
    """Let an evaluation succeed with this accuracy, or fail."""
    with services.database.write() as session:
        claim = evaluations.claim(session, evaluation_id, worker="w", device="cpu", lease_seconds=60)
        assert claim is not None
        if accuracy is None:
            evaluations.fail(session, evaluation_id, attempt=claim.attempt, error=ERROR)
        else:
            half = {"mean": accuracy / 2, "std": 0.0, "values": [accuracy / 2]}
            score = {"mean": accuracy, "std": 0.0, "values": [accuracy]}
            result = {"distilled": {"hard": score}, "random": half, "centroid": half, "full": half}
            evaluations.finish(session, evaluation_id, attempt=claim.attempt, result=result)


def woken(services: Services) -> list[str]:
    assert isinstance(services.queue, MemoryQueue)
    return services.queue.evaluations


def test_networks_are_added_and_a_worker_woken_for_each(
    client: TestClient, services: Services, published: Published
) -> None:
    client.put("/v1/aliases/best", json={"artifact_id": published.id})
    response = client.post("/v1/artifacts/best/evaluations", json={"networks": ["mlp", "convnet1"]})
    items = response.json()["items"]
    assert (response.status_code, response.headers["location"]) == (202, f"/v1/artifacts/{published.id}/evaluations")
    assert [(one["network"], one["state"], one["progress"], one["attempt"]) for one in items] == [
        ("mlp", "queued", 0.0, 0),
        ("convnet1", "queued", 0.0, 0),
    ]
    assert items[0]["config"] == {"repeats": 2}, "as in its recipe"
    assert woken(services) == [one["id"] for one in items]
    assert [one["network"] for one in listed(client, "best")] == ["convnet3", "mlp", "convnet1"]
    assert listed(client, "best") == client.get("/v1/artifacts/best").json()["evaluations"]


def test_what_is_asked_for_twice_is_made_once(client: TestClient, services: Services, published: Published) -> None:
    first = ask(client, published.id, "mlp")
    again = ask(client, published.id, "convnet1", "mlp")
    assert [one["id"] for one in again][1:] == [one["id"] for one in first]
    assert len(listed(client, published.id)) == 3
    assert len(woken(services)) == 2
    (other,) = ask(client, published.id, "mlp", repeats=3)
    assert other["config"] == {"repeats": 3}
    assert other["id"] not in {one["id"] for one in again}


def test_what_has_ended_is_answered_at_once_and_what_failed_is_tried_again(
    client: TestClient, services: Services, published: Published
) -> None:
    done, broken = ask(client, published.id, "mlp", "convnet1")
    end(services, done["id"], 0.5)
    end(services, broken["id"], None)
    assert [one["error"] for one in listed(client, published.id)][1:] == [None, ERROR]
    (kept,) = ask(client, published.id, "mlp", status=200)
    assert (kept["state"], kept["accuracy"], kept["attempt"]) == ("succeeded", 0.5, 1)
    (again,) = ask(client, published.id, "convnet1")
    assert (again["id"], again["state"], again["error"]) == (broken["id"], "queued", None)
    assert woken(services) == [done["id"], broken["id"], broken["id"]]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/networks"),
        ({"networks": []}, "/networks"),
        ({"networks": "mlp"}, "/networks"),
        ({"networks": [1]}, "/networks"),
        ({"networks": ["mlp", "mlp"]}, "/networks"),
        ({"networks": ["nonet"]}, "/networks/0"),
        ({"networks": ["mlp", "convnet3"]}, "/networks/1"),  # 4 pixels are halved three times
        ({"networks": ["mlp"], "repeats": 0}, "/repeats"),
        ({"networks": ["mlp"], "repeats": "many"}, "/repeats"),
        ({"networks": ["mlp"], "colour": "red"}, "/colour"),
        ({"networks": ["a\0"]}, "/networks/0"),
        ([], ""),
    ],
)
def test_a_wrong_request_names_its_field_and_queues_nothing(
    client: TestClient, services: Services, published: Published, body: Any, pointer: str
) -> None:
    response = client.post(f"/v1/artifacts/{published.id}/evaluations", json=body)
    assert pointers(response) == [pointer]
    assert response.json()["type"] == "/problems/invalid-request"
    assert len(listed(client, published.id)) == 1
    assert woken(services) == []


def test_an_unknown_artifact_and_one_whose_data_are_gone_are_refused(client: TestClient, services: Services) -> None:
    nobody = f"/v1/artifacts/art_{'0' * 32}/evaluations"
    problem(client.post(nobody, json={"networks": ["mlp"]}), 404)
    problem(client.get(nobody), 404)
    content, header = artifact_file()
    gone = publish(services, file=(content, header | {"dataset": {"name": "Gone", "digest": "d" * 64}}))
    said = problem(client.post(f"/v1/artifacts/{gone.id}/evaluations", json={"networks": ["mlp"]}), 409)
    assert "'gone'" in said["detail"]
    assert "upload it again" in said["detail"]


def test_a_broker_that_is_down_delays_and_loses_nothing(
    client: TestClient, services: Services, published: Published
) -> None:
    assert isinstance(services.queue, MemoryQueue)
    services.queue.down = True
    (queued,) = ask(client, published.id, "mlp")
    assert woken(services) == []
    services.queue.down = False
    sweep_once(services)
    assert queued["id"] in woken(services)


def test_the_manifest_reports_seen_and_unseen_networks_apart(
    client: TestClient, services: Services, published: Published
) -> None:
    before = client.get(f"/v1/artifacts/{published.id}").json()
    assert (before["seen_networks"], before["summary"]) == (["convnet3"], [])
    end(services, listed(client, published.id)[0]["id"], 0.5)
    for one, accuracy in zip(ask(client, published.id, "mlp", "convnet1", "convnet2"), (0.7, 0.9, None), strict=True):
        end(services, one["id"], accuracy)
    (other,) = ask(client, published.id, "convnet1", repeats=1)
    end(services, other["id"], 0.1)

    shown = client.get(f"/v1/artifacts/{published.id}").json()
    found, otherwise = shown["summary"]
    assert (found["config"], otherwise["config"]) == ({"repeats": 2}, {"repeats": 1})
    assert {name: found[name]["networks"] for name in ("seen", "unseen")} == {
        "seen": ["convnet3"],
        "unseen": ["mlp", "convnet1"],
    }
    for group, mean in (("seen", 0.5), ("unseen", 0.8), ("all", 0.7)):
        assert found[group]["distilled"] == {"hard": {"mean": pytest.approx(mean), "std": 0.0}}
        for baseline in ("random", "centroid", "full"):
            assert found[group][baseline]["mean"] == pytest.approx(mean / 2)
    assert (otherwise["seen"], otherwise["all"]["networks"]) == (None, ["convnet1"])
    assert (shown["network"], shown["accuracy"]) == ("convnet3", 0.5), "the artifact's own"


def test_the_schema_of_the_request_is_told(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/v1/artifacts/{artifact}/evaluations"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["networks"]
    assert schema["properties"]["networks"]["minItems"] == 1
    assert "default" not in schema["properties"]["repeats"], "it is the recipe's"
    assert {"200", "202", "404", "409", "422"} <= set(operation["responses"])
