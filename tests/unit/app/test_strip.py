"""The interpolation strip: rows of one image each, on its way from one class to another."""

import io
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from safetensors.numpy import load

from app.services import Services
from distilled.files import pack
from distilled.parametrizations.base import ImageSpace
from tests.unit.app.conftest import CLASSES, Published, memory_file, pointers, publish
from tests.unit.reading.generators import generator, header

ROWS = 5
SIDE, GAP = 4, 2


@pytest.fixture
def memory(services: Services) -> Published:
    return publish(services, file=memory_file(rows=ROWS))


def pictures(client: TestClient, artifact: Published, query: str, *, side: int = SIDE) -> Any:
    """The images of a sheet of scale 1: rows, columns, H, W, C."""
    response = client.get(f"/v1/artifacts/{artifact.id}/preview.png?scale=1&{query}")
    assert response.status_code == 200, response.text
    sheet = np.asarray(Image.open(io.BytesIO(response.content))).astype(int)
    step = side + GAP
    rows, columns = (sheet.shape[0] - GAP) // step, (sheet.shape[1] - GAP) // step
    cut = sheet[GAP:, GAP:].reshape(rows, step, columns, step, 3).swapaxes(1, 2)
    return cut[:, :, :side, :side]


def test_a_strip_begins_with_one_class_and_ends_with_another(client: TestClient, memory: Published) -> None:
    strip = pictures(client, memory, "mix=dog,cat&columns=4&rows=2")
    held = load(client.get(f"/v1/artifacts/{memory.id}/download?classes=dog,cat").content)["images"].astype(int)
    assert strip.shape == (2, 4, SIDE, SIDE, 3)
    # A byte more or less: a class is recalled by a sum over classes here, all but one of them 0.
    assert np.abs(strip[:, 0] - held[:2]).max() <= 1
    assert np.abs(strip[:, -1] - held[ROWS : ROWS + 2]).max() <= 1


def test_a_generators_row_has_one_noise(client: TestClient, services: Services) -> None:
    space = ImageSpace(shape=(3, 8, 8), mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2), classes=CLASSES)
    made = generator(space=space)
    about = header(made) | {"dataset": {"name": "digits", "digest": "d" * 64}}
    artifact = publish(services, file=(pack(made, about), about))
    strip = pictures(client, artifact, "mix=0,2&columns=3", side=8)
    download = client.get(f"/v1/artifacts/{artifact.id}/download?ipc=3&classes=0,2").content
    held = load(download)["images"].astype(int)
    assert strip.shape == (3, 3, 8, 8, 3)
    assert np.abs(strip[:, 0] - held[:3]).max() <= 1
    assert np.abs(strip[:, -1] - held[3:]).max() <= 1
    assert np.abs(strip[:, 1] - strip[:, 0]).max() > 1


def test_a_row_is_one_image_in_even_steps(client: TestClient, memory: Published) -> None:
    strip = pictures(client, memory, "mix=0,1&columns=5&rows=3")
    shares = np.linspace(0, 1, 5).reshape(1, 5, 1, 1, 1)
    straight = (1 - shares) * strip[:, :1] + shares * strip[:, -1:]
    # Pixels beyond the range are cut off on the way to bytes, so only rows of pixels within it lie on a line.
    within = ((strip > 0) & (strip < 255)).all(axis=1, keepdims=True)
    assert within.mean() > 0.05
    assert np.abs((strip - straight) * within).max() <= 1.5
    others = np.roll(strip, 1, axis=0)
    assert np.abs((others - straight) * within).max() > 20, "another row is another image"


def test_three_rows_are_followed_unless_fewer_are_held(client: TestClient, services: Services) -> None:
    five, two = (publish(services, file=memory_file(rows=rows)) for rows in (5, 2))
    assert pictures(client, five, "mix=0,1").shape[:2] == (3, 10)
    assert pictures(client, two, "mix=0,1").shape[:2] == (2, 10)


def test_classes_are_named_as_elsewhere(client: TestClient, memory: Published) -> None:
    by_name = pictures(client, memory, "mix=cat&mix=a%2Cb&rows=1&columns=2")
    assert np.array_equal(by_name, pictures(client, memory, "mix=0,2&rows=1&columns=2"))
    assert not np.array_equal(by_name, pictures(client, memory, "mix=2,0&rows=1&columns=2"))


def test_the_same_question_has_the_same_bytes_under_one_tag(client: TestClient, memory: Published) -> None:
    url = f"/v1/artifacts/{memory.id}/preview.png?mix=cat,dog"
    first, again = client.get(url), client.get(url)
    assert first.content == again.content
    assert first.headers["etag"] == again.headers["etag"]
    assert "immutable" in first.headers["cache-control"]
    assert client.get(url, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    assert client.get(url + "&columns=9").headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("mix=cat", "/query/mix"),
        ("mix=cat,dog,2", "/query/mix"),
        ("mix=cat,0", "/query/mix"),
        ("mix=cat,bird", "/query/mix"),
        ("mix=cat,dog&columns=1", "/query/columns"),
        ("mix=cat,dog&columns=101", "/query/columns"),
        ("mix=cat,dog&rows=0", "/query/rows"),
        ("mix=cat,dog&rows=21", "/query/rows"),
        (f"mix=cat,dog&rows={ROWS + 1}", "/query/rows"),
        ("mix=cat,dog&classes=cat", "/query/classes"),
        ("mix=cat,dog&wrap=2", "/query/wrap"),
        ("rows=2", "/query/rows"),
    ],
)
def test_a_wrong_strip_names_its_parameter(client: TestClient, memory: Published, query: str, pointer: str) -> None:
    assert pointers(client.get(f"/v1/artifacts/{memory.id}/preview.png?{query}")) == [pointer]


def test_a_strip_that_is_too_large_is_refused(
    client: TestClient, memory: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distilled.formats.sheet.MAX_PIXELS", 1000)
    assert pointers(client.get(f"/v1/artifacts/{memory.id}/preview.png?mix=cat,dog")) == ["/query/scale"]


def test_finished_images_have_nothing_between_them(client: TestClient, published: Published) -> None:
    refused = client.get(f"/v1/artifacts/{published.id}/preview.png?mix=cat,dog")
    assert pointers(refused) == ["/query/mix"]
    assert "kind `images`" in refused.json()["detail"]
