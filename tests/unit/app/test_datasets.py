"""Data sets: the built-in ones, and uploads of every kind that goes wrong."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.datasets.uploads import remove_stale, spool_folder
from app.services import Services
from registry.testing import FullDiskStore
from tests.unit.app.catalog import RECIPE
from tests.unit.app.conftest import MAX_UPLOAD, pointers, problem, publish


def npz(**changes: Any) -> bytes:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "train_images": rng.integers(0, 256, (20, 8, 8), dtype=np.uint8),
        "train_labels": np.arange(20) % 2,
        "test_images": rng.integers(0, 256, (6, 8, 8), dtype=np.uint8),
        "test_labels": np.arange(6) % 2,
    }
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value for name, value in (arrays | changes).items() if value is not None})
    return buffer.getvalue()


def upload(client: TestClient, name: str = "mine", content: bytes | None = None) -> Any:
    files = {"file": ("data.npz", npz() if content is None else content)}
    return client.post("/v1/datasets", data={"name": name}, files=files)


def left_behind(services: Services) -> list[Path]:
    return list(spool_folder(services.settings.home).iterdir())


def test_the_built_in_sets_are_told_with_where_they_are(client: TestClient, services: Services) -> None:
    shown = {item["name"]: item for item in client.get("/v1/datasets").json()["items"]}
    assert shown["digits"]["available"] == "on_disk"
    assert shown["CIFAR10"]["available"] == "downloadable"
    assert shown["CIFAR10"]["reason"]
    assert shown["CIFAR10"]["shape"] == [3, 32, 32]
    assert client.get("/v1/datasets/cIfAr10").json() == shown["CIFAR10"]

    folder = services.settings.data_dir / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    (folder / "data_batch_1").touch()
    assert client.get("/v1/datasets/cifar10").json()["available"] == "downloadable"  # half of it is not it
    (folder / "test_batch").touch()
    assert client.get("/v1/datasets/cifar10").json()["available"] == "on_disk"


def test_a_built_in_set_may_lie_there_as_npz(client: TestClient, services: Services) -> None:
    services.settings.data_dir.mkdir(parents=True)
    (services.settings.data_dir / "cifar-10.npz").touch()
    assert client.get("/v1/datasets/cifar10").json()["available"] == "on_disk"


def test_an_upload_can_be_distilled(client: TestClient, services: Services) -> None:
    response = upload(client, "Mine.v1")

    made = response.json()
    assert response.status_code == 201, response.text
    assert response.headers["location"] == "/v1/datasets/Mine.v1"
    assert (made["train"], made["val"], made["test"], made["shape"]) == (18, 2, 6, [1, 8, 8])
    assert made["train_counts"] == [9, 9]
    assert made["classes"] == ["0", "1"]
    assert made["available"] == "on_disk"
    assert made["source"] == "registered"
    assert client.get("/v1/datasets/mine.V1").json() == made
    assert left_behind(services) == []
    job = client.post("/v1/jobs", json=RECIPE | {"dataset": "mine.v1", "evaluation": {"networks": ["mlp"]}})
    assert job.status_code == 202, job.text
    assert pointers(client.post("/v1/jobs", json=RECIPE | {"dataset": "mine.v1", "ipc": 11})) == ["/ipc"]


def test_an_uploaded_set_whose_file_is_gone_says_so(client: TestClient, services: Services) -> None:
    upload(client)
    with services.database.read() as session:
        from registry import datasets  # noqa: PLC0415 -- for one look

        services.store.delete(datasets.get(session, "mine").blob_digest)
    assert client.get("/v1/datasets/mine").json()["available"] == "missing"


@pytest.mark.parametrize("name", ["mine", "MINE", "digits", "DIGITS", "cifar-10", "CIFAR_10"])
def test_a_name_that_is_taken_is_a_409(client: TestClient, name: str) -> None:
    upload(client)
    assert problem(upload(client, name), 409)["type"] == "/problems/name-taken"


@pytest.mark.parametrize("name", ["", ".hidden", "-x", "a/b", "..", "a b", "x" * 65, "ä", "a\0b", "a\nb"])
def test_what_cannot_be_a_name_is_refused(client: TestClient, name: str) -> None:
    assert pointers(upload(client, name)) == ["/form/name"]


def bomb() -> bytes:
    """An npz whose images are a gigabyte of zeros in a kilobyte."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (20, 8, 8)})
        with archive.open("train_images.npy", "w") as member:
            member.write(header.getvalue())
            for _ in range(64):
                member.write(bytes(1024 * 1024))
        for name in ("train_labels", "test_labels", "test_images"):
            archive.writestr(f"{name}.npy", b"")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        (b"", ""),
        (b"not a zip", ""),
        (npz()[:200], ""),
        (npz()[:-30], ""),
        (npz(train_labels=None), "/train_labels"),
        (npz(train_labels=np.array([None] * 20, dtype=object)), "/train_labels"),
        (npz(train_labels=np.arange(19) % 2), "/train_labels"),
        (npz(train_images=np.zeros((20, 8, 8), dtype=np.float32)), "/train_images"),
        (npz(test_labels=np.full(6, 9)), "/test_labels"),
        (npz(classes=np.array(["one"])), "/train_labels"),
        (bomb(), ""),
    ],
    ids=["empty", "text", "torn", "cut", "missing", "objects", "uneven", "floats", "labels", "classes", "bomb"],
)
def test_a_file_that_is_no_data_set_names_what_is_wrong(
    client: TestClient, services: Services, content: bytes, pointer: str
) -> None:
    response = upload(client, content=content)
    assert f"/form/file{pointer}" in pointers(response)
    assert response.json()["type"] == "/problems/invalid-upload"
    assert left_behind(services) == []
    assert client.get("/v1/datasets/mine").status_code == 404


@pytest.mark.parametrize(
    ("sent", "pointer"),
    [
        ({"data": {"name": "x"}}, "/header/content-type"),
        ({"files": {"file": ("a.npz", b"x")}}, "/form/name"),
        ({"data": {"name": "x"}, "files": {"data": ("a.npz", b"x")}}, "/form/data"),
        ({"data": {"name": "x", "file": "text"}, "files": {"other": ("a", b"x")}}, "/form/file"),
        ({"data": {"name": ["x", "y"]}, "files": {"file": ("a", b"x")}}, "/form/name"),
        ({"files": [("name", ("n", b"x")), ("file", ("a", b"x"))]}, "/form/name"),
        ({"files": [("file", ("a", b"x"))] * 5}, ""),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, ""),
        ({"content": b"--b\r\nrubbish", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, "/form/file"),
        ({"json": {"name": "x"}}, "/upload"),
        ({}, "/header/content-type"),
    ],
)
def test_a_form_that_is_wrong_names_its_field(client: TestClient, sent: dict[str, Any], pointer: str) -> None:
    assert pointer in pointers(client.post("/v1/datasets", **sent))


def test_a_large_upload_is_refused_before_it_is_read(client: TestClient) -> None:
    read = 0

    def body() -> Iterator[bytes]:
        nonlocal read
        for _ in range(100):
            read += 1
            yield bytes(100)

    headers = {"Content-Length": str(5 * 1024**3), "Content-Type": "multipart/form-data; boundary=b"}
    response = client.post("/v1/datasets", content=body(), headers=headers)
    assert str(MAX_UPLOAD) in problem(response, 413)["detail"]
    assert read == 0


def test_a_large_upload_that_hides_its_size_is_cut_off(client: TestClient, services: Services) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.npz"\r\n\r\n'
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        yield head
        while sent < 10 * MAX_UPLOAD:
            sent += 100_000
            yield bytes(100_000)

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    problem(client.post("/v1/datasets", content=body(), headers=headers), 413)
    assert left_behind(services) == []


def test_a_full_store_is_a_507_that_says_what_to_do(client: TestClient, services: Services) -> None:
    services.store = FullDiskStore()
    body = problem(upload(client), 507)
    assert "free space" in body["detail"]
    assert left_behind(services) == []
    assert client.get("/v1/datasets/mine").status_code == 404


def test_a_full_disk_while_receiving_is_a_507(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device", "/secret/path")

    monkeypatch.setattr("app.datasets.receiving.NamedTemporaryFile", refuse)
    response = upload(client)
    problem(response, 507)
    assert "/secret" not in response.text


def test_deleting_is_refused_while_something_names_it(client: TestClient, services: Services) -> None:
    upload(client)
    client.post("/v1/jobs", json=RECIPE | {"dataset": "mine", "evaluation": {"networks": ["mlp"]}})
    assert "1 living jobs" in problem(client.delete("/v1/datasets/mine"), 409)["detail"]
    assert client.delete("/v1/datasets/MINE?force=true").status_code == 204
    problem(client.delete("/v1/datasets/mine"), 404)


def test_a_built_in_set_cannot_be_deleted(client: TestClient, services: Services) -> None:
    publish(services)
    problem(client.delete("/v1/datasets/digits?force=true"), 409)


def test_an_unknown_name_is_a_404(client: TestClient) -> None:
    problem(client.get("/v1/datasets/nothere"), 404)
    problem(client.delete("/v1/datasets/nothere"), 404)


def test_data_sets_are_paged_by_name(client: TestClient) -> None:
    upload(client)
    first = client.get("/v1/datasets?limit=2")
    rest = client.get(first.links["next"]["url"])
    assert [item["name"] for item in first.json()["items"] + rest.json()["items"]] == ["CIFAR10", "digits", "mine"]
    assert rest.json()["next_cursor"] is None


@pytest.mark.parametrize("query", ["cursor=%C3%A4", "cursor=_w", "limit=0", "limit=999", "force=1"])
def test_a_wrong_query_names_its_parameter(client: TestClient, query: str) -> None:
    assert pointers(client.get(f"/v1/datasets?{query}")) == [f"/query/{query.partition('=')[0]}"]


def test_what_a_killed_process_left_is_removed_after_a_day(services: Services) -> None:
    import os  # noqa: PLC0415 -- for the clock of a file

    home = services.settings.home
    old, new = (spool_folder(home) / name for name in ("upload-old", "upload-new"))
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    remove_stale(home)
    assert left_behind(services) == [new]
