"""Images of an artifact: how many, of which classes, in which format, and the same for the same seed."""

import io
import json
import zipfile
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from safetensors.numpy import load

from app.services import Services
from tests.unit.app.conftest import Published, pointers, publish


def sample(client: TestClient, name: str, query: str = "") -> dict[str, Any]:
    response = client.get(f"/v1/artifacts/{name}/samples?{query}")
    assert response.status_code == 200, response.text
    return load(response.content)


@pytest.mark.parametrize(
    ("query", "labels"),
    [
        ("", [0, 0, 0, 1, 1, 1, 2, 2, 2]),
        ("ipc=2", [0, 0, 1, 1, 2, 2]),
        ("ratio=0.1", [0, 1, 2]),
        ("ratio=0.25", [0, 0, 1, 1, 2, 2]),  # round(0.25 * 30 / 3) = round(2.5) = 2
        ("count=4", [0, 0, 1, 2]),
        ("count=2", [0, 1]),
        ("count=3&classes=dog", [1, 1, 1]),
        ("ipc=1&classes=2,cat", [2, 0]),
        ("ipc=1&classes=a%2Cb&classes=dog", [2, 1]),
    ],
)
def test_a_batch_holds_what_was_asked_for(
    client: TestClient, published: Published, query: str, labels: list[int]
) -> None:
    batch = sample(client, published.id, query)
    assert batch["labels"].tolist() == labels
    assert batch["labels"].dtype == np.int64
    assert batch["images"].shape == (len(labels), 4, 4, 3)
    assert batch["images"].dtype == np.uint8


def test_the_same_seed_gives_the_same_bytes_and_another_one_other_bytes(
    client: TestClient, published: Published
) -> None:
    url = f"/v1/artifacts/{published.id}/samples?ipc=2"
    one, again, other = (client.get(f"{url}&seed={seed}") for seed in (7, 7, 8))
    assert one.content == again.content
    assert one.headers["etag"] == again.headers["etag"]
    assert one.content != other.content
    assert (one.headers["x-seed"], one.headers["x-images-per-class"]) == ("7", "2")
    assert "immutable" in one.headers["cache-control"]


def test_a_drawn_seed_is_told_and_can_be_used_again(client: TestClient, published: Published) -> None:
    url = f"/v1/artifacts/{published.id}/samples?ipc=2"
    drawn = client.get(url)
    again = client.get(f"{url}&seed={drawn.headers['x-seed']}")
    assert drawn.headers["cache-control"] == "no-store"
    assert drawn.content == again.content


def test_a_fixed_set_repeats_no_image_in_a_batch(client: TestClient, published: Published) -> None:
    images = sample(client, published.id, "ipc=3&seed=1")["images"]
    assert len({image.tobytes() for image in images}) == 9


def test_floats_are_normalised_as_the_manifest_says(client: TestClient, published: Published) -> None:
    bytes_NHWC = sample(client, published.id, "seed=1")["images"]
    floats_NCHW = sample(client, published.id, "seed=1&dtype=float32")["images"]
    mean, std = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.2, 0.2])
    assert floats_NCHW.dtype == np.float32
    np.testing.assert_allclose(floats_NCHW.transpose(0, 2, 3, 1), (bytes_NHWC / 255 - mean) / std, atol=1e-5)


def test_every_format_holds_the_same_images(client: TestClient, published: Published) -> None:
    url = f"/v1/artifacts/{published.id}/samples?seed=3&format="
    truth = sample(client, published.id, "seed=3")
    answers = {kind: client.get(url + kind) for kind in ("npz", "png", "json")}

    arrays = np.load(io.BytesIO(answers["npz"].content), allow_pickle=False)
    document = json.loads(answers["json"].content)
    archive = zipfile.ZipFile(io.BytesIO(answers["png"].content))
    pictures = [name for name in archive.namelist() if name.endswith(".png")]
    first = np.asarray(Image.open(io.BytesIO(archive.read(pictures[0]))))

    assert np.array_equal(arrays["train_images"], truth["images"])
    assert arrays["train_labels"].reshape(-1).tolist() == truth["labels"].tolist()
    assert document["labels"] == truth["labels"].tolist()
    assert np.array_equal(first, truth["images"][0])
    assert len(pictures) == 9
    assert answers["json"].headers["content-type"] == "application/json"
    assert answers["png"].headers["content-type"] == "application/zip"


def test_soft_labels_come_beside_the_class_that_was_asked_for(client: TestClient, services: Services) -> None:
    batch = sample(client, publish(services, labels="soft").id, "ipc=1")
    assert batch["labels"].tolist() == [0, 1, 2]
    assert batch["soft_labels"].shape == (3, 3)
    np.testing.assert_allclose(batch["soft_labels"].sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("ipc=4", "/query/ipc"),
        ("ratio=1", "/query/ratio"),
        ("count=10", "/query/count"),
        ("ipc=0", "/query/ipc"),
        ("ipc=x", "/query/ipc"),
        ("ratio=0", "/query/ratio"),
        ("ratio=nan", "/query/ratio"),
        ("count=0", "/query/count"),
        ("ipc=1&count=3", "/query/count"),
        ("ipc=1&ratio=0.1&count=3", "/query/count"),
        ("classes=bird", "/query/classes"),
        ("classes=3", "/query/classes"),
        ("classes=-1", "/query/classes"),
        ("classes=cat,0", "/query/classes"),
        ("classes=", "/query/classes"),
        (f"classes={'9' * 1000}", "/query/classes"),
        ("seed=-1", "/query/seed"),
        (f"seed={2**63}", "/query/seed"),
        ("format=parquet", "/query/format"),
        ("format=png&dtype=float32", "/query/dtype"),
        ("dtype=float64", "/query/dtype"),
        ("batch=3", "/query/batch"),
    ],
)
def test_a_wrong_query_names_its_parameter(client: TestClient, published: Published, query: str, pointer: str) -> None:
    assert pointer in pointers(client.get(f"/v1/artifacts/{published.id}/samples?{query}"))


def test_asking_for_too_many_says_how_many_there_are(client: TestClient, published: Published) -> None:
    response = client.get(f"/v1/artifacts/{published.id}/samples?ipc=4")
    assert "holds 3 of each" in response.json()["errors"][0]["detail"]
    response = client.get(f"/v1/artifacts/{published.id}/samples?classes=bird")
    assert "cat, dog" in response.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("rows", "pointer"),
    [
        ([{"mix": {"cat": 0.7, "dog": 0.3}, "count": 2}], "/0/mix"),
        ([{"mix": {"bird": 1}, "count": 2}], "/0/mix"),
        ([{"mix": {"cat": 0}, "count": 2}], "/0/mix"),
        ([{"mix": {"cat": -1}, "count": 2}], "/0/mix/cat"),
        ([{"mix": {}, "count": 2}], "/0/mix"),
        ([{"mix": {"cat": 1}, "count": 0}], "/0/count"),
        ([{"mix": {"cat": 1}}], "/0/count"),
        ([{"mix": {"cat": 1}, "count": 1, "seed": 3}], "/0/seed"),
        ([{"mix": "cat", "count": 1}], "/0/mix"),
        ([], ""),
        ({"rows": []}, ""),
    ],
)
def test_mixtures_are_refused_with_the_reason(
    client: TestClient, published: Published, rows: Any, pointer: str
) -> None:
    assert pointer in pointers(client.post(f"/v1/artifacts/{published.id}/samples", json=rows))


def test_the_reason_is_the_kind(client: TestClient, published: Published) -> None:
    row = {"mix": {"cat": 0.7, "dog": 0.3}, "count": 2}
    response = client.post(f"/v1/artifacts/{published.id}/samples", json=[row])
    assert "kind `images` holds finished images and cannot mix classes" in response.json()["errors"][0]["detail"]


@pytest.mark.parametrize("format", ["safetensors", "npz", "png"])
def test_a_download_is_the_same_bytes_each_time_and_can_be_continued(
    client: TestClient, published: Published, services: Services, format: str
) -> None:
    url = f"/v1/artifacts/{published.id}/download?format={format}&ipc=2&classes=cat,dog"
    whole = client.get(url)
    services.sampler._open.clear()
    again = client.get(url)
    rest = client.get(url, headers={"Range": "bytes=10-", "If-Range": whole.headers["etag"]})

    assert whole.content == again.content
    assert (rest.status_code, rest.content) == (206, whole.content[10:])
    assert client.get(url, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    assert client.head(url).headers["content-length"] == str(len(whole.content))


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("format=json", "/query/format"),
        ("ipc=4", "/query/ipc"),
        ("classes=bird", "/query/classes"),
        ("seed=1", "/query/seed"),
    ],
)
def test_a_wrong_download_names_its_parameter(
    client: TestClient, published: Published, query: str, pointer: str
) -> None:
    assert pointers(client.get(f"/v1/artifacts/{published.id}/download?{query}")) == [pointer]


def test_the_preview_is_a_sheet_with_a_class_a_row(client: TestClient, published: Published) -> None:
    response = client.get(f"/v1/artifacts/{published.id}/preview.png?classes=dog,cat&columns=2&scale=3")
    picture = Image.open(io.BytesIO(response.content))
    assert response.headers["content-type"] == "image/png"
    assert response.headers["content-disposition"].startswith("inline")
    assert picture.size == (2 * (4 * 3 + 2) + 2, 2 * (4 * 3 + 2) + 2)
    first_dog = sample_stored(client, published)[3]
    assert np.asarray(picture)[2, 2].tolist() == first_dog[0, 0].tolist()


def test_a_preview_that_wraps_has_full_rows(client: TestClient, published: Published) -> None:
    """Two images of each of three classes, in rows of four: the second row is half empty."""
    response = client.get(f"/v1/artifacts/{published.id}/preview.png?columns=2&wrap=4&scale=1")
    picture = np.asarray(Image.open(io.BytesIO(response.content)))
    assert picture.shape[:2] == (2 * 6 + 2, 4 * 6 + 2)
    held = sample_stored(client, published).reshape(3, 3, 4, 4, 3)
    np.testing.assert_array_equal(picture[2:6, 14:18], held[1, 0])
    np.testing.assert_array_equal(picture[8:12, 8:12], held[2, 1])
    assert (picture[8:, 14:] == 255).all()


def sample_stored(client: TestClient, published: Published) -> Any:
    return load(client.get(f"/v1/artifacts/{published.id}/download").content)["images"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("columns=0", "/query/columns"),
        ("scale=65", "/query/scale"),
        ("classes=x", "/query/classes"),
        ("w=1", "/query/w"),
        ("wrap=0", "/query/wrap"),
    ],
)
def test_a_wrong_preview_names_its_parameter(
    client: TestClient, published: Published, query: str, pointer: str
) -> None:
    assert pointers(client.get(f"/v1/artifacts/{published.id}/preview.png?{query}")) == [pointer]
