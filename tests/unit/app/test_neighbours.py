"""The real images nearest to an artifact's own, against a search that compares each with each."""

import io
import json
from base64 import b64decode
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load

from app.datasets.real import real_images
from app.samples import neighbours
from app.samples.nearest import nearest
from app.services import Services
from distilled.files import open_artifact, pack
from distilled.parametrizations.base import ImageSpace
from distilled.parametrizations.images import Images
from registry import datasets
from tests.unit.app.conftest import CLASSES, Published, artifact_file, pointers, publish
from tests.unit.app.test_datasets import npz, upload
from tests.unit.app.test_generators import file as generator_file
from tests.unit.app.test_hub_card import grey_and_alpha

SIDE = 8


def brute(a_MHWC: NDArray[Any], b_NHWC: NDArray[Any]) -> tuple[list[int], list[int]]:
    """Indices and squared distances, one pair of images at a time, in whole numbers."""
    table = [[int(((a.astype(int) - b.astype(int)) ** 2).sum()) for b in b_NHWC] for a in a_MHWC]
    return [row.index(min(row)) for row in table], [min(row) for row in table]


def test_numbers_are_those_of_a_search_that_compares_each_with_each() -> None:
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, (50, 6, 5, 3), dtype=np.uint8)
    made = np.concatenate([rng.integers(0, 256, (7, 6, 5, 3), dtype=np.uint8), real[[31]], 255 - real[[4]]])
    real[40] = real[31]  # as near, and later
    found = nearest(made, [real[:20], real[20:20], real[20:33], real[33:]])
    indices, distances = brute(made, real)
    assert found.index_M.tolist() == indices
    assert found.distance_M.tolist() == distances
    assert (found.index_M[7], found.distance_M[7]) == (31, 0)
    np.testing.assert_array_equal(found.bytes_MHWC, real[indices])


def test_the_greatest_distances_are_exact() -> None:
    black, white = np.zeros((1, 256, 256, 3), np.uint8), np.full((1, 256, 256, 3), 255, np.uint8)
    assert nearest(black, [white]).distance_M.tolist() == [255**2 * 256 * 256 * 3]
    assert nearest(black, []).index_M.tolist() == [-1]


def of_mine(services: Services, *, digest: str | None = None, classes: tuple[str, ...] = ("0", "1")) -> Published:
    """An artifact of the data set `mine`, as `upload` sends it: two classes of 1 x 8 x 8."""
    with services.database.read() as session:
        known = datasets.get(session, "mine").digest
    space = ImageSpace(shape=(1, SIDE, SIDE), mean=(0.5,), std=(0.2,), classes=classes)
    rng = np.random.default_rng(5)
    pixels = torch.from_numpy(rng.random((len(classes) * 3, 1, SIDE, SIDE), dtype=np.float32))
    made = Images(Images.Config(), space=space, images_NCHW=(pixels - 0.5) / 0.2)
    _, header = artifact_file(classes=classes)
    header |= {"space": space.to_json(), "config": {"storage": "uint8", "labels": "hard"}}
    header |= {"dataset": {"name": "mine", "digest": digest or known, "licence": ""}}
    return publish(services, file=(pack(made, header), header))


def ask(client: TestClient, published: Published, query: str = "") -> dict[str, Any]:
    response = client.get(f"/v1/artifacts/{published.id}/neighbours{query}")
    assert response.status_code == 200, response.text
    return response.json()


def test_each_image_has_its_neighbour(client: TestClient, services: Services) -> None:
    upload(client)
    published = of_mine(services)
    told = ask(client, published, "?ipc=3&classes=1,0")
    assert (told["available"], told["reason"]) == (True, None)
    assert [(item["class"], item["class_index"], item["place"]) for item in told["items"]] == [
        (name, k, i) for name, k in (("1", 1), ("0", 0)) for i in range(3)
    ]
    for k in (0, 1):
        url = f"/v1/artifacts/{published.id}/download?ipc=3&classes={k}"
        made, real = load(client.get(url).content)["images"], real_images(services, "mine", class_index=k)
        indices, distances = brute(made, real)
        items = [item for item in told["items"] if item["class_index"] == k]
        assert [item["index"] for item in items] == indices
        assert [item["distance"] for item in items] == distances
        for item in items:
            assert item["rms"] == pytest.approx(np.sqrt(item["distance"] / SIDE**2))
            shown = np.asarray(Image.open(io.BytesIO(b64decode(item["png"]))))
            np.testing.assert_array_equal(shown, real[item["index"], ..., 0])


def test_it_is_looked_for_once(client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(client)
    published = of_mine(services)
    told = ask(client, published, "?ipc=2")
    monkeypatch.setattr(neighbours, "nearest", None)
    assert ask(client, published, "?ipc=2") == told


def test_images_of_a_seed_have_theirs(client: TestClient, services: Services) -> None:
    upload(client)
    published = of_mine(services)
    url = f"/v1/artifacts/{published.id}/samples?ipc=2&classes=1&seed=9"
    made = load(client.get(url).content)["images"]
    indices, _ = brute(made, real_images(services, "mine", class_index=1))
    assert [item["index"] for item in ask(client, published, "?ipc=2&classes=1&seed=9")["items"]] == indices


def test_pieces_make_no_difference(client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(client)
    published = of_mine(services)
    whole = ask(client, published, "?ipc=3")
    monkeypatch.setattr(neighbours, "PIECE_BYTES", 4 * SIDE**2)
    for path in services.settings.home.rglob("cache/exports/*/*"):
        path.unlink()  # so that it is looked for again
    assert ask(client, published, "?ipc=3") == whole


def test_where_the_data_are_not_here_the_answer_says_why(client: TestClient, services: Services) -> None:
    told = ask(client, publish(services))  # 3 x 4 x 4 cats, said to be of `digits`
    assert (told["available"], told["items"]) == (False, [])
    assert "another size" in told["reason"]
    upload(client)
    other = of_mine(services, digest="0" * 64)
    assert "another data set has its name" in ask(client, other)["reason"]
    published = of_mine(services)
    client.delete("/v1/datasets/mine?force=true")
    assert "was deleted" in ask(client, published)["reason"]


def test_a_class_that_the_data_lack_is_told(client: TestClient, services: Services) -> None:
    upload(client)
    assert "none of class '7'" in ask(client, of_mine(services, classes=("0", "7")))["reason"]


def test_two_channels_are_no_picture(client: TestClient, services: Services) -> None:
    assert "no pictures" in ask(client, publish(services, file=grey_and_alpha()))["reason"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("?ipc=0", "/query/ipc"),
        ("?ipc=101", "/query/ipc"),
        ("?ipc=4", "/query/ipc"),  # it holds 3
        ("?ipc=40", "/query/ipc"),  # times three classes
        ("?classes=cow", "/query/classes"),
        ("?seed=-1", "/query/seed"),
    ],
)
def test_what_cannot_be_answered_is_refused(client: TestClient, published: Published, query: str, pointer: str) -> None:
    assert pointers(client.get(f"/v1/artifacts/{published.id}/neighbours{query}")) == [pointer]


def test_many_classes_are_asked_for_in_parts(client: TestClient, services: Services) -> None:
    many = publish(services, file=artifact_file(classes=tuple(f"c{i}" for i in range(30)), held=1))
    assert pointers(client.get(f"/v1/artifacts/{many.id}/neighbours")) == ["/query/classes"]
    assert ask(client, many, "?classes=c1,c2")["available"] is False


def test_a_generator_has_neighbours_too(client: TestClient, services: Services) -> None:
    rng = np.random.default_rng(2)
    content = npz(
        train_images=rng.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8),
        train_labels=np.arange(30) % 3,
        test_images=rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8),
        test_labels=np.arange(6) % 3,
        classes=np.array(CLASSES),
    )
    response = upload(client, content=content)
    packed, header = generator_file()
    header |= {"dataset": {"name": "mine", "digest": response.json()["digest"], "licence": ""}}
    packed = pack(open_artifact(packed).parametrization, header)
    told = ask(client, publish(services, file=(packed, header)), "?ipc=2")
    assert told["available"], told
    assert len(json.dumps(told)) < 20_000
    assert len(told["items"]) == 6
