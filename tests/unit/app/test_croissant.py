"""Croissant on the wire: what is told of an artifact, and that the same artifact is told of in the same bytes."""

import hashlib
import json
from base64 import b64encode
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.croissant.describe import _licence
from app.main import create_app
from app.services import Services
from app.settings import AppSettings
from tests.unit.app.conftest import CLASSES, Published, artifact_file, problem, publish
from tests.unit.app.test_generators import IPC
from tests.unit.app.test_generators import file as generator_file


def described(client: TestClient, one: Published) -> Any:
    response = client.get(f"/v1/artifacts/{one.id}/croissant")
    assert response.status_code == 200, response.text
    return response.json()


def test_it_tells_what_it_is_who_made_it_and_what_it_may_be_used_for(client: TestClient, published: Published) -> None:
    told = described(client, published)
    assert (told["@type"], told["conformsTo"]) == ("sc:Dataset", "http://mlcommons.org/croissant/1.1")
    assert (told["name"], told["alternateName"]) == ("digits-distilled", published.id)
    assert told["identifier"] == f"sha256:{published.digest}"
    assert told["version"] == f"1.0.0+{published.digest[:12]}"
    assert told["isLiveDataset"] is False
    assert told["license"] == ["https://spdx.org/licenses/CC-BY-4.0.html"]
    assert told["isBasedOn"][0]["identifier"] == f"sha256:{'d' * 64}"
    assert told["citation"]["name"] == "DM"
    own, paper = told["citeAs"].splitlines()
    assert own.startswith(f"@misc{{{published.id}, title={{digits, distilled}}")
    assert paper.startswith("@inproceedings{dm, title={DM}, author={Zhao and Bilen}, booktitle={WACV}, year={2023}")
    assert [row["classes/name"] for row in told["recordSet"][0]["data"]] == list(CLASSES)


@pytest.mark.parametrize("file", [artifact_file(), artifact_file(labels="soft"), generator_file()])
def test_its_files_are_what_it_says_they_are(client: TestClient, services: Services, file: Any) -> None:
    for told in described(client, publish(services, file=file))["distribution"]:
        content = client.get(told["contentUrl"].removeprefix("http://localhost")).content
        assert told["sha256"] == hashlib.sha256(content).hexdigest()
        assert told["contentSize"] == f"{len(content)} B"


def test_a_generator_is_described_by_its_budget_or_an_image_a_class(client: TestClient, services: Services) -> None:
    content, about = generator_file(seed=1)  # as one that was budgeted in bytes
    for file, number in ((generator_file(), IPC), ((content, about | {"ipc": None}), 1)):
        told = described(client, publish(services, file=file))["distribution"][1]
        assert told["contentUrl"].endswith(f"/download?format=parquet&ipc={number}")


def test_the_same_bytes_under_every_name(client: TestClient, published: Published) -> None:
    client.put("/v1/aliases/best", json={"artifact_id": published.id})
    first, second = (client.get(f"/v1/artifacts/{name}/croissant") for name in (published.id, "best"))
    assert first.content == second.content
    assert first.headers["content-type"] == "application/ld+json"
    assert first.headers["cache-control"] == "no-cache"
    again = client.get("/v1/artifacts/best/croissant", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert "best" not in json.dumps(first.json())


def test_what_is_no_picture_is_described_without_records(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.croissant.routes.PICTURE_CHANNELS", ())
    told = described(client, publish(services))
    assert [one["name"] for one in told["distribution"]] == ["artifact.safetensors"]
    assert "recordSet" not in told


def test_a_licence_is_a_page_of_spdx_or_what_its_authors_said() -> None:
    assert _licence("Apache 2.0") == "https://spdx.org/licenses/Apache-2.0.html"
    assert _licence("MIT") == "https://spdx.org/licenses/MIT.html"
    assert _licence("CC BY-SA 3.0") == "https://spdx.org/licenses/CC-BY-SA-3.0.html"
    assert _licence("non-commercial use only") == "non-commercial use only"
    assert _licence(None) == "unknown"


def test_what_does_not_exist_is_a_problem(client: TestClient, published: Published) -> None:
    problem(client.get("/v1/artifacts/nothing/croissant"), 404)
    problem(client.get(f"/v1/artifacts/{published.id}/croissant?ipc=3"), 422)


def test_a_key_may_be_the_password_of_basic(services: Services, settings: AppSettings) -> None:
    made = publish(services)
    app = create_app(AppSettings(home=settings.home, api_key="s:esame"), services=services)
    guarded = TestClient(app, base_url="http://localhost")

    def status(credentials: str) -> int:
        headers = {"Authorization": credentials}
        return guarded.get(f"/v1/artifacts/{made.id}/croissant", headers=headers).status_code

    def basic(text: str) -> str:
        return f"Basic {b64encode(text.encode()).decode()}"

    assert status(basic("anybody:s:esame")) == 200
    assert status(basic(":s:esame")) == 200
    for wrong in (basic("s:esame:"), basic("s:esame"), basic("a:wrong"), "Basic s:esame", "Basic ", "Digest s:esame"):
        assert status(wrong) == 401
