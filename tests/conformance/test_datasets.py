"""Data sets: the built-in ones, those that are uploaded, and what is refused."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.conformance.making import CLASSES, ENDLESS, SIDE, TEST, TRAIN, npz
from tests.conformance.wire import Wire

BUILT_IN = {"MNIST", "FashionMNIST", "CIFAR10", "CIFAR100", "SVHN", "digits"}


@pytest.fixture
def free_name(wire: Wire, prefix: str) -> Iterator[str]:
    """A name that no data set has, and that none has in the end."""
    name = f"{prefix}-Other.v1"
    yield name
    wire.call("DELETE", f"/v1/datasets/{name}?force=true")


def send(wire: Wire, name: str, content: bytes, *, status: int, filename: str = "a.npz", **fields: str) -> Any:
    files = {"file": (filename, content)}
    return wire.ok("POST", "/v1/datasets", status=status, data={"name": name, **fields}, files=files)


def test_the_built_in_ones_are_told_with_what_they_are(wire: Wire) -> None:
    found = {item["name"]: item for page in wire.pages("/v1/datasets", limit=5) for item in page}
    assert set(found) >= BUILT_IN
    for item in found.values():
        assert item["available"] in ("on_disk", "downloadable", "missing"), item["name"]
        assert item["available"] == "on_disk" or item["reason"], item["name"]
    for name in BUILT_IN:
        item = found[name]
        assert item["source"] == "built-in"
        assert len(item["shape"]) == 3
        assert len(item["classes"]) == len(item["train_counts"]) >= 2
        assert item["train"] == sum(item["train_counts"])
        assert item["test"] > 0
        assert item["licence"]
    assert found["digits"]["available"] == "on_disk"


def test_names_are_known_in_any_case(wire: Wire) -> None:
    assert wire.get("/v1/datasets/cifar10") == wire.get("/v1/datasets/CIFAR10")


def test_an_upload_is_registered_with_what_is_in_it(wire: Wire, free_name: str, prefix: str) -> None:
    content = npz(f"{prefix}-other")
    answer = send(wire, free_name, content, status=201, licence="CC BY 4.0")
    told = answer.json()
    assert answer.headers["location"] == f"/v1/datasets/{told['name']}"
    assert wire.get(answer.headers["location"])["digest"] == told["digest"]
    assert (told["source"], told["available"], told["licence"]) == ("registered", "on_disk", "CC BY 4.0")
    assert (told["shape"], told["classes"]) == ([1, SIDE, SIDE], CLASSES)
    assert told["train"] + told["val"] == TRAIN
    assert (told["test"], told["train"], told["bytes"]) == (TEST, sum(told["train_counts"]), len(content))
    assert len(told["mean"]) == len(told["std"]) == 1
    wire.ok("DELETE", f"/v1/datasets/{free_name.upper()}", status=204)
    wire.problem(404, "GET", f"/v1/datasets/{free_name}")
    wire.problem(404, "DELETE", f"/v1/datasets/{free_name}")


def test_its_images_are_shown_a_class_a_row(wire: Wire, free_name: str, prefix: str) -> None:
    send(wire, free_name, npz(f"{prefix}-shown"), status=201)
    path = f"/v1/datasets/{free_name}/samples.png"
    whole = wire.ok("GET", f"{path}?columns=3&scale=1")
    assert whole.headers["content-type"] == "image/png"
    assert whole.headers["etag"]
    width, height = (int.from_bytes(whole.content[at : at + 4]) for at in (16, 20))
    assert width > 3 * SIDE
    assert height > len(CLASSES) * SIDE
    first = wire.ok("GET", f"{path}?columns=3&scale=1&classes={CLASSES[0]}")
    assert int.from_bytes(first.content[20:24]) < height
    assert wire.ok("GET", f"{path}?seed=1").content == wire.ok("GET", f"{path}?seed=1").content
    wire.ok("GET", f"{path}?columns=0", status=422)


def test_the_digest_is_of_images_and_labels(wire: Wire, free_name: str, prefix: str, dataset: str) -> None:
    told = send(wire, free_name, npz(prefix), status=201).json()
    assert told["digest"] == wire.get(f"/v1/datasets/{dataset}")["digest"]


@pytest.mark.parametrize("name", ["MNIST", "mnist", "cifar_10", "Digits"])
def test_the_name_of_a_built_in_one_is_taken(wire: Wire, name: str) -> None:
    send(wire, name, npz("x"), status=409)


def test_a_name_is_given_once_whatever_its_case(wire: Wire, dataset: str) -> None:
    for name in (dataset, dataset.upper()):
        send(wire, name, npz("x"), status=409)


@pytest.mark.parametrize("name", ["", ".hidden", "-x", "a b", "a/b", "../x", "x" * 65, "é", "nul\0"])
def test_what_is_no_name_is_refused(wire: Wire, name: str) -> None:
    problem = send(wire, name, npz("x"), status=422).json()
    assert "/form/name" in [fault["pointer"] for fault in problem["errors"]]


BROKEN: list[dict[str, Any]] = [
    {"train_images": None},
    {"test_labels": None},
    {"train_images": np.zeros((TRAIN, SIDE, SIDE, 1), np.float32)},
    {"train_images": np.zeros((TRAIN, SIDE), np.uint8)},
    {"train_labels": np.zeros((TRAIN - 1, 1), np.int64)},
    {"train_labels": np.full((TRAIN, 1), -1)},
    {"test_images": np.zeros((TEST, SIDE, SIDE + 1, 1), np.uint8)},
    {"classes": np.array(["only one"])},
]


@pytest.mark.parametrize("changed", BROKEN, ids=lambda changed: f"{next(iter(changed))}")
def test_arrays_that_do_not_fit_are_named(wire: Wire, free_name: str, changed: dict[str, Any]) -> None:
    problem = send(wire, free_name, npz("x", **changed), status=422).json()
    assert all(fault["pointer"].startswith("/form/file") for fault in problem["errors"])
    wire.problem(404, "GET", f"/v1/datasets/{free_name}")


def test_objects_in_arrays_are_never_unpickled(wire: Wire, free_name: str) -> None:
    send(wire, free_name, npz("x", classes=np.array(["cat", None], dtype=object)), status=422)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 is cut short", b"\x93NUMPY", b"plain text", npz("x")[:1000]])
def test_what_is_no_data_set_is_refused(wire: Wire, free_name: str, content: bytes) -> None:
    send(wire, free_name, content, status=422)
    wire.problem(404, "GET", f"/v1/datasets/{free_name}")


def test_a_form_has_its_fields_and_no_others(wire: Wire, free_name: str) -> None:
    file = {"file": ("a.npz", npz("x"))}
    assert wire.pointers("POST", "/v1/datasets", files=file) == ["/form/name"]
    assert wire.pointers("POST", "/v1/datasets", data={"name": free_name, "colour": "red"}, files=file) == [
        "/form/colour"
    ]
    nothing = {"other": ("a.npz", b"")}
    assert "/form/file" in wire.pointers("POST", "/v1/datasets", data={"name": free_name}, files=nothing)
    assert wire.pointers("POST", "/v1/datasets", content=b"x", headers={"Content-Type": "text/plain"}) == [
        "/header/content-type"
    ]


def test_what_a_job_names_is_not_deleted_unless_forced(wire: Wire, free_name: str, prefix: str) -> None:
    send(wire, free_name, npz(f"{prefix}-named"), status=201)
    recipe = {**ENDLESS, "dataset": free_name}
    job_id = wire.ok("POST", "/v1/jobs", status=202, json=recipe).json()["id"]
    try:
        assert "job" in wire.problem(409, "DELETE", f"/v1/datasets/{free_name}")["detail"]
        wire.ok("DELETE", f"/v1/datasets/{free_name}?force=true", status=204)
    finally:
        # A worker that had it in hand may have found by now that its data set is gone: then it has failed.
        assert wire.call("POST", f"/v1/jobs/{job_id}/cancel").status_code in (200, 409)
    assert wire.until_job(job_id, "cancelled", "failed")
    wire.problem(404, "GET", f"/v1/datasets/{free_name}")


def test_a_built_in_one_is_not_deleted(wire: Wire) -> None:
    wire.problem(409, "DELETE", "/v1/datasets/digits")
    wire.problem(409, "DELETE", "/v1/datasets/digits?force=true")
