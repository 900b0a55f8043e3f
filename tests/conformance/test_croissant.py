"""`croissant`: the description that catalogues and loaders read (mlcroissant itself validates it elsewhere)."""

import hashlib
from typing import Any

import httpx2
import pytest

from tests.conformance.conftest import Made
from tests.conformance.wire import Wire


@pytest.fixture(scope="module")
def described(wire: Wire, images: Made) -> dict[str, Any]:
    answer = wire.ok("GET", f"{images.path}/croissant")
    assert answer.headers["content-type"].partition(";")[0] == "application/ld+json"
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    return answer.json()


def test_the_set_is_described_as_the_standard_asks(described: dict[str, Any], images: Made) -> None:
    assert described["@type"] == "sc:Dataset"
    assert described["conformsTo"].startswith("http://mlcommons.org/croissant/1.")
    assert {"name", "description", "license", "url", "version", "creator", "datePublished"} <= set(described)
    assert described["isLiveDataset"] is False
    assert images.manifest["digest"] in str(described)


def test_its_files_are_where_it_says_and_what_it_says(wire: Wire, described: dict[str, Any]) -> None:
    assert len(described["distribution"]) >= 2
    for file in described["distribution"]:
        url = httpx2.URL(file["contentUrl"])
        content = wire.ok("GET", url.raw_path.decode()).content
        assert hashlib.sha256(content).hexdigest() == file["sha256"], file["name"]
        assert file["contentSize"] == f"{len(content)} B"


def test_its_records_have_an_image_and_a_label(described: dict[str, Any]) -> None:
    fields = {field["name"]: field["dataType"] for record in described["recordSet"] for field in record["field"]}
    assert fields["image"] == "sc:ImageObject"
    assert fields["label"] == "sc:Integer"


def test_soft_labels_are_described_where_they_are_held(wire: Wire, soft: Made) -> None:
    assert "soft_label" in wire.ok("GET", f"{soft.path}/croissant").text
    wire.problem(404, "GET", "/v1/artifacts/no-such/croissant")
