"""Pages of data sets, and the pictures in them."""

import io
import json
import re

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.services import CATALOG, Services
from registry import datasets, uploads, workers
from tests.unit.app.conftest import pointers, problem
from tests.unit.app.test_datasets import npz, upload

BROWSER = {"Accept": "text/html"}
WHITE = 255


@pytest.fixture(autouse=True)
def real_catalog(services: Services) -> None:
    services.catalog = json.loads(CATALOG.read_text())


def sheet(client: TestClient, name: str = "mine", **query: object) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    answer = client.get(f"/v1/datasets/{name}/samples.png", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def test_a_sheet_shows_a_class_a_row_and_is_as_wide_as_asked(client: TestClient) -> None:
    content = npz()
    upload(client, "mine", content)
    arrays = np.load(io.BytesIO(content))
    pixels = sheet(client, split="test", columns=5, scale=1)
    assert pixels.shape == (2 * 10 + 2, 5 * 10 + 2)  # a gap of 2 round images of 8
    of_class = arrays["test_images"][arrays["test_labels"] == 1]
    np.testing.assert_array_equal(pixels[12:20, 12:20], of_class[1])
    assert (pixels[:, 32:] == WHITE).all()  # three images of each class, and room for five
    assert sheet(client, columns=3).shape == (2 * 66 + 2, 3 * 66 + 2)
    np.testing.assert_array_equal(
        sheet(client, split="test", columns=1, scale=1, start=1, classes="1"), pixels[10:22, 10:22]
    )


def test_a_seed_draws_other_images_and_the_same_again(client: TestClient) -> None:
    upload(client)
    first = sheet(client, seed=1)
    np.testing.assert_array_equal(first, sheet(client, seed=1))
    assert not np.array_equal(first, sheet(client, seed=2))


def test_a_sheet_that_a_browser_has_is_not_sent_again(client: TestClient) -> None:
    upload(client)
    answer = client.get("/v1/datasets/mine/samples.png")
    assert answer.headers["cache-control"] == "no-cache"  # the name may be another's one day
    again = client.get("/v1/datasets/mine/samples.png", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    assert int(client.head("/v1/datasets/mine/samples.png").headers["content-length"]) == len(answer.content)


def test_what_cannot_be_shown_is_refused(client: TestClient) -> None:
    upload(client)
    for query, where in (
        ({"classes": "x"}, "/query/classes"),
        ({"split": "all"}, "/query/split"),
        ({"columns": 101}, "/query/columns"),
        ({"seed": 1, "start": 1}, "/query/start"),
    ):
        assert pointers(client.get("/v1/datasets/mine/samples.png", params=query)) == [where]
    large = client.get("/v1/datasets/digits/samples.png?columns=100&scale=64")
    assert pointers(large) == ["/query/scale"]
    problem(client.get("/v1/datasets/yours/samples.png"), 404)
    missing = problem(client.get("/v1/datasets/cifar10/samples.png"), 409)
    assert missing["type"] == "/problems/data-not-here"
    assert "cifar10.npz" in missing["detail"]


def test_the_list_says_what_there_is_and_where(client: TestClient) -> None:
    upload(client)
    text = client.get("/datasets", headers=BROWSER).text
    assert re.search(r'href="/datasets/mine">mine</a> <span class="chip">uploaded</span>', text)
    assert 'href="/jobs/new?dataset=mine"' in text
    assert "32 × 32, colour" in text
    assert "downloadable" in text
    assert "No live worker looks at uploads now" in text
    with client.app.state.services.writing() as session:  # type: ignore[attr-defined]
        workers.beat_worker(session, worker="w", device="cpu", hostname="h", pid=1)
    assert "No live worker looks at uploads now" not in client.get("/datasets", headers=BROWSER).text


def test_a_page_shows_facts_report_and_samples(client: TestClient) -> None:
    images = np.zeros((20, 8, 8), dtype=np.uint8)
    upload(client, "mine", npz(train_images=images, classes=np.array(["<b>", "dog"])))
    text = client.get("/datasets/mine?columns=4&seed=3", headers=BROWSER).text
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    assert "19 within train" in text
    assert text.count("<image href=") == 2
    assert 'href="/v1/datasets/mine/samples.png?split=train&amp;columns=4&amp;seed=3"' in text
    assert 'id="delete"' in text
    assert client.get("/datasets/mine?columns=4&seed=", headers=BROWSER).status_code == 200  # as a form sends it
    assert client.get("/datasets/mine?seed=x", headers=BROWSER).status_code == 422
    elsewhere = client.get("/datasets/cifar10", headers=BROWSER).text
    assert "Not here: the images of CIFAR10" in elsewhere
    assert 'id="delete"' not in elsewhere
    assert client.get("/datasets/yours", headers=BROWSER).status_code == 404


def test_many_classes_are_turned_over_and_named(client: TestClient, services: Services) -> None:
    # The second class has the third one's number as its name.
    names = np.array(["a", "2", *(f"c{k}" for k in range(2, 30))])
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    upload(client, "many", npz(train_images=images, train_labels=np.arange(60) % 30, classes=names))
    first = client.get("/datasets/many", headers=BROWSER).text
    assert "classes 1 to 20 of 30" in first
    address = re.search(r'<image href="([^"]+)"', first)
    assert address is not None
    shown = np.asarray(Image.open(io.BytesIO(client.get(address[1].replace("&amp;", "&")).content)))
    height = int((re.search(r'<image [^>]*height="(\d+)"', first) or [0, 0])[1])
    width = int((re.search(r'<image [^>]*width="(\d+)"', first) or [0, 0])[1])
    assert shown.shape == (height, width)
    np.testing.assert_array_equal(shown[66 + 2 : 66 + 66 : 8, 2:66:8], images[1])
    assert "classes 21 to 30 of 30" in client.get("/datasets/many?first=20", headers=BROWSER).text


def test_what_is_being_looked_at_and_what_was_refused_say_so(client: TestClient, services: Services) -> None:
    with services.writing() as session:
        upload_id = uploads.create(session, length=0, told="", hours=1).id
        datasets.await_validation(session, name="birds", kind="zip", upload_id=upload_id, licence=None, request_id="r")
    text = client.get("/datasets/birds", headers=BROWSER).text
    assert "A worker looks at it" in text
    assert "No live worker looks at uploads" in text
    assert "Distil this" not in text
    assert "being validated" in client.get("/datasets", headers=BROWSER).text
