"""A generator over HTTP: any number of images of any class, the same for the same question."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from safetensors.numpy import load
from safetensors.torch import load as load_tensors

from app.samples.choosing import MAX_IMAGES
from app.services import Services
from distilled.client import Backoff, Client
from distilled.files import open_artifact, pack
from distilled.parametrizations.base import ImageSpace
from tests.unit.app.conftest import CLASSES, Published, evaluate, pointers, publish
from tests.unit.reading.generators import generator, header

SPACE = ImageSpace(shape=(3, 8, 8), mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2), classes=CLASSES)
IPC = 4


def file(**options: Any) -> tuple[bytes, dict[str, Any]]:
    made = generator(space=SPACE, **options)
    about = header(made)
    about |= {"ipc": IPC, "dataset": {"name": "digits", "digest": "d" * 64, "licence": "CC BY 4.0"}}
    return pack(made, about), about


@pytest.fixture
def made(services: Services) -> Published:
    return publish(services, file=file())


def get(client: TestClient, made: Published, path: str) -> Any:
    response = client.get(f"/v1/artifacts/{made.id}{path}")
    assert response.status_code == 200, response.text
    return response


def test_the_manifest_says_that_any_number_is_served(client: TestClient, made: Published) -> None:
    shown = get(client, made, "").json()
    assert (shown["kind"], shown["ipc"]) == ("generator", IPC)
    size = open_artifact(made.content).parametrization.num_bytes()
    assert shown["budget"] == {
        "ipc": IPC,
        "bytes": size,
        "floats": size // 4,
        "images_per_class": None,
    }
    assert shown["serves"] == {"images_per_class": MAX_IMAGES // 3, "ratio": 1.0}
    assert shown["config"]["width"] == 5


def test_what_a_fixed_set_serves_is_what_it_holds(client: TestClient, published: Published) -> None:
    # 3 of each of 3 classes, made from 30 real images.
    assert get(client, published, "").json()["serves"] == {"images_per_class": 3, "ratio": 0.3}


@pytest.mark.parametrize(
    ("query", "labels"),
    [
        ("ipc=7", [0] * 7 + [1] * 7 + [2] * 7),
        ("ratio=0.5", [0] * 5 + [1] * 5 + [2] * 5),  # of 30 real images
        ("count=5", [0, 0, 1, 1, 2]),
        ("ipc=2&classes=dog", [1, 1]),
        ("ipc=2&classes=2,0", [2, 2, 0, 0]),
    ],
)
def test_any_number_of_any_class(client: TestClient, made: Published, query: str, labels: list[int]) -> None:
    response = get(client, made, f"/samples?seed=3&{query}")
    batch = load(response.content)
    assert batch["labels"].tolist() == labels
    assert batch["images"].shape == (len(labels), 8, 8, 3)
    assert len({image.tobytes() for image in batch["images"]}) == len(labels), "no two are the same"
    assert response.content == get(client, made, f"/samples?seed=3&{query}").content
    assert response.content != get(client, made, f"/samples?seed=4&{query}").content


def test_bytes_are_the_floats_of_the_same_seed(client: TestClient, made: Published) -> None:
    floats = load_tensors(get(client, made, "/samples?ipc=2&seed=1&dtype=float32").content)["images"]
    pixels = floats * torch.tensor(SPACE.std).view(1, 3, 1, 1) + torch.tensor(SPACE.mean).view(1, 3, 1, 1)
    rounded = load(get(client, made, "/samples?ipc=2&seed=1").content)["images"]
    assert np.abs(rounded - 255 * pixels.permute(0, 2, 3, 1).numpy()).max() <= 0.51


def test_a_number_has_to_be_named_and_is_bounded(client: TestClient, made: Published) -> None:
    url = f"/v1/artifacts/{made.id}"
    assert pointers(client.get(f"{url}/samples")) == ["/query/ipc"]
    assert "/query/ipc" in pointers(client.get(f"{url}/samples?ipc={MAX_IMAGES}"))


def test_a_download_is_the_budget_or_what_is_asked_for(client: TestClient, made: Published) -> None:
    whole = load(get(client, made, "/download").content)
    fewer, more = (load(get(client, made, f"/download?ipc={ipc}").content) for ipc in (1, 6))
    assert whole["labels"].tolist() == [0] * IPC + [1] * IPC + [2] * IPC
    np.testing.assert_array_equal(fewer["images"], whole["images"][::IPC])
    np.testing.assert_array_equal(more["images"].reshape(3, 6, -1)[:, :IPC], whole["images"].reshape(3, IPC, -1))
    one = load(get(client, made, "/download?classes=dog").content)
    np.testing.assert_array_equal(one["images"], whole["images"][IPC : 2 * IPC])
    again = get(client, made, "/download")
    assert again.headers["etag"] == get(client, made, f"/download?ipc={IPC}").headers["etag"]
    assert "immutable" in again.headers["cache-control"]
    for format in ("npz", "png"):
        assert get(client, made, f"/download?format={format}").content.startswith(b"PK")


def test_the_contact_sheet_has_as_many_columns_as_are_asked_for(client: TestClient, made: Published) -> None:
    def width(query: str) -> int:
        return int.from_bytes(get(client, made, f"/preview.png?scale=1{query}").content[16:20])

    assert width("&columns=3") == 3 * 10 + 2
    assert width("") == 10 * 10 + 2
    assert get(client, made, "/preview.png").content == get(client, made, "/preview.png").content


def test_a_strip_leads_from_the_images_of_one_class_to_those_of_another(client: TestClient, made: Published) -> None:
    def pixels(query: str) -> Any:
        return np.asarray(Image.open(io.BytesIO(get(client, made, f"/preview.png?scale=1{query}").content)), dtype=int)

    sheet, strip = pixels("&columns=2&classes=cat,dog"), pixels("&mix=cat,dog&columns=3&rows=2")
    for row in range(2):  # an image of 8 pixels and a gap of 2 make 10
        rows = slice(2 + 10 * row, 10 + 10 * row)
        assert np.abs(strip[rows, 2:10] - sheet[2:10, 2 + 10 * row : 10 + 10 * row]).max() <= 1
        assert np.abs(strip[rows, 22:30] - sheet[12:20, 2 + 10 * row : 10 + 10 * row]).max() <= 1


def test_mixtures_of_classes_are_drawn(client: TestClient, made: Published) -> None:
    rows = [{"mix": {"cat": 3, "2": 1}, "count": 50}, {"mix": {"dog": 1}, "count": 1}]
    url = f"/v1/artifacts/{made.id}/samples?seed=7"
    one, again = (client.post(url, json=rows) for _ in range(2))
    assert one.status_code == 200, one.text
    batch = load(one.content)
    assert one.content == again.content
    np.testing.assert_allclose(batch["soft_labels"], [[0.75, 0, 0.25]] * 50 + [[0, 1, 0]])
    assert len({image.tobytes() for image in batch["images"]}) == 51


def test_soft_targets_stand_beside_the_class_that_was_asked_for(client: TestClient, services: Services) -> None:
    made = publish(services, file=file(labels="soft"))
    batch = load(get(client, made, "/samples?ipc=2&seed=0").content)
    assert batch["labels"].tolist() == [0, 0, 1, 1, 2, 2]
    np.testing.assert_allclose(batch["soft_labels"].argmax(1), batch["labels"])
    np.testing.assert_allclose(batch["soft_labels"].sum(1), 1, rtol=1e-6)


def test_the_client_draws_and_downloads(client: TestClient, made: Published, tmp_path: Any) -> None:
    remote = Client("http://localhost", transport=client._transport, backoff=Backoff(retries=0))
    batch = remote.sample(made.id, ipc=9, classes=["dog"], seed=2)
    assert batch.images.shape == (9, 8, 8, 3)
    assert remote.mix(made.id, [{"mix": {"cat": 0.5, "dog": 0.5}, "count": 2}], seed=2).soft_labels is not None
    with np.load(remote.download(made.id, tmp_path / "set.npz", format="npz")) as arrays:
        assert len(arrays["train_labels"]) == 3 * IPC
    pulled = open_artifact(remote.pull(made.id, tmp_path / "whole")).parametrization
    assert pulled.per_class is None


def test_an_evaluation_with_both_modes_is_recorded_and_shown(
    client: TestClient, services: Services, made: Published
) -> None:
    fresh = {"mean": 0.9, "std": 0.0, "values": [0.9], "images_seen": 1000}
    evaluate(services, made.id, accuracy=0.75, also={"fresh": fresh})
    shown = get(client, made, "").json()
    assert shown["accuracy"] == 0.75, "what is compared with baselines is the fixed set"
    assert shown["evaluations"][0]["result"]["distilled"]["fresh"] == fresh
