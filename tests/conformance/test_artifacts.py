"""Artifacts: the query over them, and the manifest."""

import hashlib
import json
from typing import Any

import pytest

from tests.conformance.conftest import Made
from tests.conformance.making import CLASSES, IMAGES, SIDE
from tests.conformance.wire import Wire


@pytest.fixture(scope="module")
def everything(wire: Wire, dataset: str, measured: dict[str, Any], generator: Made, soft: Made) -> str:
    """The query that finds this run's artifacts."""
    return f"/v1/artifacts?dataset={dataset}"


def ids(wire: Wire, query: str) -> list[str]:
    return [item["id"] for page in wire.pages(query) for item in page]


def test_filters_find_what_they_say(wire: Wire, everything: str, images: Made, generator: Made, soft: Made) -> None:
    accuracy = wire.get(images.path)["accuracy"]
    wanted = {
        "kind=images": {images.id, soft.id},
        "kind=generator": {generator.id},
        "kind=memory": set(),
        "method=kip": {images.id, soft.id},
        "method=dm": {generator.id},
        "class=dog": {images.id, soft.id, generator.id},
        "class=1": {images.id, soft.id, generator.id},
        "class=tabby cat": {images.id, soft.id, generator.id},
        "class=cow": set(),
        "ipc=3": {images.id},
        "ipc=2": {soft.id},
        "network=mlp-w16": {images.id},
        "network=resnet18": set(),
        f"min_accuracy={accuracy}": {images.id},
        "min_accuracy=1": {images.id} if accuracy == 1 else set(),
        f"max_bytes={images.manifest['bytes']}": {
            one.id for one in (images, soft, generator) if one.manifest["bytes"] <= images.manifest["bytes"]
        },
        "max_bytes=1": set(),
        f"job={images.job['id']}": {images.id},
        f"job=job_{'0' * 32}": set(),
        "alias=no-such-name": set(),
        "kind=images&ipc=2&method=kip": {soft.id},
        "kind=generator&ipc=3": set(),
    }
    assert {query: set(ids(wire, f"{everything}&{query}")) for query in wanted} == wanted


def test_words_find_an_artifact_by_what_is_told_of_it(wire: Wire, everything: str, images: Made, soft: Made) -> None:
    assert set(ids(wire, f"{everything}&q=KIP images")) == {images.id, soft.id}
    assert ids(wire, f"{everything}&q={images.id}") == [images.id]
    assert ids(wire, f"{everything}&q=tabby no-such-word") == []


def test_facets_count_what_would_be_found(wire: Wire, everything: str, dataset: str) -> None:
    query = everything.partition("?")[2]
    told = wire.get(f"/v1/facets?{query}")
    assert told["total"] == len(ids(wire, everything))
    for facet in ("method", "kind", "ipc"):
        counts = {one["value"]: one["count"] for one in told[facet] if one["value"] is not None}
        assert counts == {value: len(ids(wire, f"{everything}&{facet}={value}")) for value in counts}
        assert [one["count"] for one in told[facet]] == sorted((one["count"] for one in told[facet]), reverse=True)
    narrower = wire.get(f"/v1/facets?{query}&ipc=3")
    assert narrower["ipc"] == told["ipc"]
    assert wire.pointers("GET", "/v1/facets?sort=bytes") == ["/query/sort"]


def test_a_ratio_finds_what_a_recipe_with_it_makes(wire: Wire, everything: str, images: Made, dataset: str) -> None:
    train = wire.get(f"/v1/datasets/{dataset}")["train"]
    ratio = images.manifest["ratio"]
    assert ratio == pytest.approx(IMAGES["ipc"] * len(CLASSES) / train)
    assert images.id in ids(wire, f"{everything}&ratio={ratio}")
    assert images.id not in ids(wire, f"{everything}&ratio=1")


def test_names_of_data_sets_are_found_in_any_case(wire: Wire, everything: str) -> None:
    assert ids(wire, everything.upper().replace("/V1/ARTIFACTS?DATASET", "/v1/artifacts?dataset")) == ids(
        wire, everything
    )


@pytest.mark.parametrize(("sort", "field"), [("created", "id"), ("bytes", "bytes"), ("accuracy", "accuracy")])
def test_sorts_rise_and_fall_and_put_the_unmeasured_last(wire: Wire, everything: str, sort: str, field: str) -> None:
    rising, falling = (
        [item[field] for item in wire.get(f"{everything}&sort={way}{sort}")["items"]] for way in ("", "-")
    )
    known = [value for value in rising if value is not None]
    assert known == sorted(known)
    assert rising == known + [None] * (len(rising) - len(known))
    assert falling == known[::-1] + [None] * (len(rising) - len(known))


@pytest.mark.parametrize("sort", ["created", "-created", "bytes", "-accuracy"])
def test_every_sort_can_be_paged(wire: Wire, everything: str, sort: str) -> None:
    whole = ids(wire, f"{everything}&sort={sort}&limit=200")
    assert [item["id"] for page in wire.pages(f"{everything}&sort={sort}&limit=1") for item in page] == whole
    assert len(whole) >= 3


@pytest.mark.parametrize(
    "query",
    ["sort=colour", "min_accuracy=2", "min_accuracy=nan", "ratio=0", "ratio=2", "ipc=0", "ipc=x", "max_bytes=-1"],
)
def test_a_filter_that_makes_no_sense_is_refused(wire: Wire, query: str) -> None:
    assert wire.pointers("GET", f"/v1/artifacts?{query}") == [f"/query/{query.partition('=')[0]}"]


def test_a_cursor_of_another_sort_is_refused(wire: Wire, everything: str) -> None:
    cursor = wire.get(f"{everything}&sort=bytes&limit=1")["next_cursor"]
    assert wire.pointers("GET", f"{everything}&sort=created&limit=1&cursor={cursor}") == ["/query/cursor"]


def test_the_manifest_says_what_it_is_and_how_it_was_made(wire: Wire, images: Made, dataset: str) -> None:
    manifest, registered = images.manifest, wire.get(f"/v1/datasets/{dataset}")
    assert manifest["classes"] == CLASSES
    assert manifest["shape"] == [1, SIDE, SIDE]
    assert (manifest["kind"], manifest["method"], manifest["dataset"], manifest["ipc"]) == ("images", "kip", dataset, 3)
    assert [len(manifest["normalisation"][name]) for name in ("mean", "std")] == [1, 1]
    budget = manifest["budget"]
    assert (budget["ipc"], budget["images_per_class"]) == (3, 3)
    assert 0 < budget["bytes"] <= manifest["bytes"]
    assert budget["floats"] >= 3 * len(CLASSES) * SIDE * SIDE
    lineage = manifest["lineage"]
    assert (lineage["job_id"], lineage["dataset"]) == (images.job["id"], dataset)
    assert (lineage["dataset_digest"], lineage["licence"]) == (registered["digest"], registered["licence"])
    assert (lineage["seed"], lineage["device"]) == (IMAGES["seed"], images.job["device"])
    assert lineage["code_version"]
    assert manifest["recipe"]["objective"]["kind"] == "kernel"
    assert manifest["job_id"] == images.job["id"]


def test_what_any_number_can_be_drawn_from_says_so(generator: Made, images: Made) -> None:
    assert generator.manifest["budget"]["images_per_class"] is None
    assert generator.manifest["serves"]["images_per_class"] > 1000
    assert images.manifest["serves"]["images_per_class"] == 3


def test_the_evaluation_stands_beside_its_baselines(measured: dict[str, Any]) -> None:
    (row,) = measured["evaluations"]
    assert (row["network"], row["state"], row["error"]) == ("mlp-w16", "succeeded", None)
    assert row["accuracy"] == measured["accuracy"] == pytest.approx(row["result"]["distilled"]["hard"]["mean"])
    assert row["accuracy_std"] is not None
    for name in ("random", "centroid", "full"):
        score = row["result"][name]
        assert 0 <= score["mean"] <= 1, name
        assert len(score["values"]) == 2, name
        assert score["std"] >= 0, name
    assert row["result"]["random"]["bytes"] <= row["result"]["full"]["bytes"]
    assert measured["network"] == "mlp-w16"


def test_a_network_measured_before_is_not_measured_again(wire: Wire, measured: dict[str, Any]) -> None:
    path = f"/v1/artifacts/{measured['id']}/evaluations"
    again = wire.ok("POST", path, json={"networks": ["mlp-w16"]}).json()["items"]
    assert [row["id"] for row in again] == [row["id"] for row in measured["evaluations"]]
    assert wire.get(path)["items"] == again
    assert wire.pointers("POST", path, json={"networks": ["skynet"]}) == ["/networks/0"]


def test_the_digest_is_that_of_the_content_and_the_header_inside_agrees(wire: Wire, images: Made) -> None:
    content = wire.ok("GET", f"{images.path}/content").content
    assert hashlib.sha256(content).hexdigest() == images.manifest["digest"]
    assert len(content) == images.manifest["bytes"]
    length = int.from_bytes(content[:8], "little")
    inside = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["manifest"])
    assert inside["classes"] == images.manifest["classes"]
    assert inside["recipe"] == images.manifest["recipe"]


def test_what_never_was_is_not_found(wire: Wire) -> None:
    for name in (f"art_{'0' * 32}", "no-such-alias", "0" * 64):
        for path in ("", "/content", "/download", "/samples", "/preview.png", "/evaluations"):
            wire.problem(404, "GET", f"/v1/artifacts/{name}{path}")
