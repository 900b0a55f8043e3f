"""Jobs that continue a memory: what the base may be called, and what is refused before anything is queued."""

import copy
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.services import Services
from registry import jobs
from tests.unit.app.catalog import CATALOG
from tests.unit.app.conftest import Published, artifact_file, memory_file, problem, publish
from tests.unit.app.test_jobs import woken
from workers.distill import catalog as laboratory

BIRDS = CATALOG["datasets"]["digits"] | {"name": "birds", "shape": [3, 4, 4], "classes": ["wren", "owl"]}
BIRDS |= {"train_counts": [30, 30], "test_counts": [5, 5]}
RECIPE: dict[str, Any] = {
    "dataset": "birds",
    "method": "kip",
    "bytes": 1000,
    "parametrization": {"kind": "memory", "bases": 3, "downsample": 2},
    "objective": {"network": "mlp-w8"},
    "evaluation": {"networks": ["mlp-w8"]},
}


@pytest.fixture(autouse=True)
def whole_catalog(services: Services) -> None:
    """The laboratory's own catalog, with a small data set of the shape that the memories here have."""
    catalog = copy.deepcopy(laboratory.build())
    wrens = BIRDS | {"classes": ["wren", "cat"]}
    large = BIRDS | {"shape": [3, 8, 8]}
    services.catalog = catalog | {"datasets": {"birds": BIRDS, "cats": wrens, "large": large}}


@pytest.fixture
def base(services: Services) -> Published:
    return publish(services, file=memory_file())


def planned(client: TestClient, name: str, **changes: Any) -> dict[str, Any]:
    asked = {**RECIPE, "base_artifact": name, **changes}
    answer = client.post("/v1/jobs?dry_run=true", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_base_may_be_called_by_id_alias_or_digest(client: TestClient, base: Published) -> None:
    client.put("/v1/aliases/best", json={"artifact_id": base.id})
    plans = [planned(client, name) for name in (base.id, "best", base.digest)]
    assert {plan["recipe"]["base_artifact"] for plan in plans} == {base.id}
    assert len({plan["digest"] for plan in plans}) == 1
    assert plans[0]["digest"] != client.post("/v1/jobs?dry_run=true", json=RECIPE).json()["digest"]


def test_an_alias_that_moves_makes_another_job(client: TestClient, services: Services, base: Published) -> None:
    other = publish(services, file=memory_file(rows=4))
    client.put("/v1/aliases/best", json={"artifact_id": base.id})
    before = planned(client, "best")
    client.put("/v1/aliases/best", json={"artifact_id": other.id})
    after = planned(client, "best")
    assert after["recipe"]["base_artifact"] == other.id
    assert after["digest"] != before["digest"]


def test_the_budget_is_for_the_classes_of_both(client: TestClient, base: Published) -> None:
    # 3 bases of 3 x 2 x 2 bytes, 16 bytes for the scales of each; a row is 3 bytes for each of 3 + 2 classes.
    rows = (1000 - 3 * 12 - 16 * 3) // (3 * 5)
    assert planned(client, base.id)["estimate"]["bytes"] == 3 * 12 + 16 * 3 + rows * 3 * 5


def test_without_a_budget_it_is_as_large_as_its_base(client: TestClient, services: Services, base: Published) -> None:
    plan = planned(client, base.id, bytes=None)
    with services.database.read() as session:
        held = jobs.get(session, base.job_id).artifact_id
    assert held == base.id
    shown = client.get(f"/v1/artifacts/{base.id}").json()
    assert plan["recipe"]["bytes"] == shown["budget"]["bytes"]
    assert plan["estimate"]["bytes"] <= shown["budget"]["bytes"]
    assert planned(client, base.id, bytes=None, ipc=2)["recipe"].get("bytes") is None


def refused(client: TestClient, **changes: Any) -> dict[str, str]:
    answer = problem(client.post("/v1/jobs", json={**RECIPE, **changes}), 422)
    assert client.get("/v1/jobs?state=queued").json()["items"] == []
    return {found["pointer"]: found["detail"] for found in answer["errors"]}


def test_each_refusal_names_its_field_and_the_reason(client: TestClient, services: Services, base: Published) -> None:
    images = publish(services, file=artifact_file())
    gone = publish(services, file=memory_file(rows=4))
    assert client.delete(f"/v1/artifacts/{gone.id}").status_code == 204

    assert "alias" in refused(client, base_artifact="nobody")["/base_artifact"]
    assert "no artifact" in refused(client, base_artifact=gone.id)["/base_artifact"]
    assert "no artifact" in refused(client, base_artifact=gone.digest)["/base_artifact"]
    assert "a text" in refused(client, base_artifact=3)["/base_artifact"]
    assert "`images`" in refused(client, base_artifact=images.id)["/base_artifact"]
    assert "'cat'" in refused(client, base_artifact=base.id, dataset="cats")["/dataset"]
    assert "[3, 8, 8]" in refused(client, base_artifact=base.id, dataset="large")["/dataset"]
    other_kind = refused(client, base_artifact=base.id, parametrization={"kind": "images"})
    assert "only a memory" in other_kind["/base_artifact"]
    assert set(refused(client, base_artifact="nobody", dataset="nowhere", seed=-1)) == {
        "/base_artifact",
        "/dataset",
        "/seed",
    }


def test_a_base_is_kept_while_a_living_job_continues_it(
    client: TestClient, services: Services, base: Published
) -> None:
    job = client.post("/v1/jobs", json={**RECIPE, "base_artifact": base.id}).json()
    assert (job["recipe"]["base_artifact"], woken(services)) == (base.id, [job["id"]])
    assert job["id"] in problem(client.delete(f"/v1/artifacts/{base.id}"), 409)["detail"]
    client.post(f"/v1/jobs/{job['id']}/cancel")
    assert client.delete(f"/v1/artifacts/{base.id}").status_code == 204


def test_the_manifest_tells_the_base(client: TestClient, services: Services, base: Published) -> None:
    content, header = memory_file(classes=("cat", "dog", "a,b", "wren"))
    part = {"name": "digits", "digest": "d" * 64, "licence": "CC BY 4.0", "classes": 3}
    header |= {"base": {"digest": base.digest, "datasets": [part]}}
    continued = publish(services, file=(content, header))
    shown = client.get(f"/v1/artifacts/{continued.id}").json()
    assert shown["lineage"]["base"] == {"digest": base.digest, "datasets": [part]}
    assert client.get(f"/v1/artifacts/{base.id}").json()["lineage"]["base"] is None
