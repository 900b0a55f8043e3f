"""Artifacts are deleted softly: gone everywhere, to be found and taken back until the sweep, which tells beforehand."""

from collections.abc import Iterator

import pytest

from tests.conformance.conftest import Made
from tests.conformance.wire import Wire


@pytest.fixture
def deleted(wire: Wire, soft: Made) -> Iterator[Made]:
    """An artifact while it is deleted."""
    wire.ok("DELETE", soft.path, status=204)
    yield soft
    wire.ok("POST", f"{soft.path}/restore")


def ids(wire: Wire, path: str) -> set[str]:
    return {item["id"] for page in wire.pages(path) for item in page}


def test_what_is_deleted_is_gone_everywhere(wire: Wire, deleted: Made, dataset: str) -> None:
    for path in ("", "/content", "/download", "/samples?seed=1", "/preview.png", "/evaluations", "/stream?batches=1"):
        wire.problem(404, "GET", f"{deleted.path}{path}")
    wire.problem(404, "DELETE", deleted.path)
    wire.problem(404, "PUT", "/v1/aliases/of-nothing", json={"artifact_id": deleted.id})
    assert deleted.id not in ids(wire, f"/v1/artifacts?dataset={dataset}")
    assert wire.call("GET", f"/hf/api/datasets/distilled/{deleted.id}").status_code == 404
    assert wire.call("GET", f"/v2/models/{deleted.id}").status_code == 404


def test_what_is_deleted_can_be_found_and_taken_back(wire: Wire, soft: Made, dataset: str) -> None:
    before = wire.ok("GET", f"{soft.path}/content").content
    wire.ok("DELETE", soft.path, status=204)
    try:
        assert ids(wire, f"/v1/artifacts?dataset={dataset}&deleted=true") == {soft.id}
    finally:
        restored = wire.ok("POST", f"{soft.path}/restore").json()
    assert restored["id"] == soft.id
    assert wire.ok("GET", f"{soft.path}/content").content == before
    assert soft.id in ids(wire, f"/v1/artifacts?dataset={dataset}")
    assert wire.ok("POST", f"{soft.path}/restore").json()["id"] == soft.id


def test_what_never_was_cannot_be_taken_back(wire: Wire) -> None:
    wire.problem(404, "POST", f"/v1/artifacts/art_{'0' * 32}/restore")


def test_a_sweep_tells_beforehand_what_it_would_free(wire: Wire, deleted: Made) -> None:
    told = wire.ok("POST", "/v1/admin/sweep?dry_run=true&grace_seconds=0").json()
    assert told["dry_run"] is True
    assert deleted.id in [item["name"] for item in told["artifacts"]["items"]]
    assert deleted.manifest["digest"] in [item["name"] for item in told["blobs"]["items"]]
    assert told["bytes"] >= deleted.manifest["bytes"]
    kept = wire.ok("POST", "/v1/admin/sweep?grace_seconds=1000000").json()
    assert kept["dry_run"] is True
    assert deleted.id not in [item["name"] for item in kept["artifacts"]["items"]]
    assert deleted.id in [item["name"] for item in kept["deleted"]["items"]]


def test_a_sweep_frees_nothing_that_is_in_use(wire: Wire, images: Made) -> None:
    told = wire.ok("POST", "/v1/admin/sweep?dry_run=true&grace_seconds=0").json()
    named = {item["name"] for kind in ("artifacts", "blobs") for item in told[kind]["items"]}
    assert not named & {images.id, images.manifest["digest"]}
    assert wire.pointers("POST", "/v1/admin/sweep?grace_seconds=-1") == ["/query/grace_seconds"]
