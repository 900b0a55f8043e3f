"""Images of a memory: whole classes like any fixed set, and mixtures of classes."""

import io
import json
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from safetensors.numpy import load

from app.services import Services
from distilled.files import open_artifact
from distilled.images import to_bytes, to_pixels
from tests.unit.app.conftest import Published, memory_file, pointers, publish

ROWS = 5


@pytest.fixture
def memory(services: Services) -> Published:
    return publish(services, file=memory_file(rows=ROWS))


def mixed(client: TestClient, memory: Published, rows: Any, query: str = "seed=7") -> Any:
    response = client.post(f"/v1/artifacts/{memory.id}/samples?{query}", json=rows)
    assert response.status_code == 200, response.text
    return response


def test_a_memory_serves_classes_like_any_fixed_set(client: TestClient, memory: Published) -> None:
    shown = client.get(f"/v1/artifacts/{memory.id}").json()
    batch = load(client.get(f"/v1/artifacts/{memory.id}/samples?seed=3&dtype=float32").content)
    whole = open_artifact(memory.content).parametrization.whole().images_NCHW.numpy()
    assert (shown["kind"], shown["budget"]["images_per_class"]) == ("memory", ROWS)
    assert batch["labels"].tolist() == [0] * ROWS + [1] * ROWS + [2] * ROWS
    assert {image.tobytes() for image in batch["images"]} == {image.tobytes() for image in whole}
    assert "/query/ipc" in pointers(client.get(f"/v1/artifacts/{memory.id}/samples?ipc={ROWS + 1}"))


def test_a_mixture_is_recalled_with_its_weights_as_soft_labels(client: TestClient, memory: Published) -> None:
    rows = [{"mix": {"cat": 3, "2": 1}, "count": ROWS}, {"mix": {"dog": 0.2}, "count": 2}]
    batch = load(mixed(client, memory, rows, "seed=7&dtype=float32").content)
    held = open_artifact(memory.content).parametrization
    whole_KRCHW = held.whole().images_NCHW.unflatten(0, (3, ROWS))
    possible = 0.75 * whole_KRCHW[0] + 0.25 * whole_KRCHW[2]
    expected = [[0.75, 0, 0.25]] * ROWS + [[0, 1, 0]] * 2
    distances = torch.cdist(torch.from_numpy(batch["images"][:ROWS]).flatten(1), possible.flatten(1))

    assert set(batch) == {"images", "soft_labels"}
    np.testing.assert_allclose(batch["soft_labels"], expected)
    assert sorted(distances.argmin(1).tolist()) == list(range(ROWS)), "each of its images once"
    assert distances.amin(1).max() < 1e-3


def test_the_same_seed_gives_the_same_bytes_and_another_one_other_bytes(client: TestClient, memory: Published) -> None:
    rows = [{"mix": {"cat": 0.5, "dog": 0.5}, "count": 4}]
    one, again, other = (mixed(client, memory, rows, f"seed={seed}") for seed in (7, 7, 8))
    drawn = mixed(client, memory, rows, "")
    assert one.content == again.content != other.content
    assert one.headers["x-seed"] == "7"
    assert drawn.content == mixed(client, memory, rows, f"seed={drawn.headers['x-seed']}").content
    assert drawn.headers["cache-control"] == "no-store"
    assert one.headers["content-disposition"] == f'attachment; filename="{memory.id}-mix-seed7.safetensors"'


def test_every_format_holds_the_same_mixtures_and_the_weights_that_were_asked_for(
    client: TestClient, memory: Published
) -> None:
    rows = [{"mix": {"cat": 0.4, "dog": 0.6}, "count": 2}, {"mix": {"a,b": 2, "0": 6}, "count": 1}]
    asked = np.array([[0.4, 0.6, 0]] * 2 + [[0.75, 0, 0.25]], np.float32)
    truth = load(mixed(client, memory, rows).content)
    document = json.loads(mixed(client, memory, rows, "seed=7&format=json").content)
    with np.load(io.BytesIO(mixed(client, memory, rows, "seed=7&format=npz").content)) as arrays:
        of_npz = {name: arrays[name] for name in ("train_images", "train_soft_labels", "train_labels")}
    with ZipFile(io.BytesIO(mixed(client, memory, rows, "seed=7&format=png").content)) as folder:
        of_png = json.loads(folder.read("classes.json"))["soft_labels"]
        images = [np.asarray(Image.open(folder.open(name))) for name in of_png]

    for soft_labels in (truth["soft_labels"], document["soft_labels"], of_npz["train_soft_labels"], [*of_png.values()]):
        np.testing.assert_array_equal(np.array(soft_labels, np.float32), asked)
    assert of_npz["train_labels"].ravel().tolist() == [1, 1, 0], "the likeliest class"
    for found in (document["images"], of_npz["train_images"], images):
        np.testing.assert_array_equal(found, truth["images"])


def test_bytes_are_what_is_recalled_clipped_to_the_range(client: TestClient, memory: Published) -> None:
    batch = load(mixed(client, memory, [{"mix": {"0": 1}, "count": ROWS}]).content)
    held = open_artifact(memory.content).parametrization
    cats = to_bytes(to_pixels(held.whole().images_NCHW[:ROWS], mean=held.space.mean, std=held.space.std)).numpy()
    assert {image.tobytes() for image in batch["images"]} == {image.tobytes() for image in cats}


@pytest.mark.parametrize(
    ("rows", "pointer"),
    [
        ([{"mix": {"cat": 1}, "count": ROWS + 1}], "/0/count"),
        ([{"mix": {"cat": 1}, "count": 1}, {"mix": {"bird": 1}, "count": 1}], "/1/mix"),
        ([{"mix": {"cat": 1, "0": 1}, "count": 1}], "/0/mix"),
        ([{"mix": {"cat,dog": 1}, "count": 1}], "/0/mix"),
        ([{"mix": {"cat": 0}, "count": 1}], "/0/mix"),
        ([{"mix": {"cat": -1}, "count": 1}], "/0/mix/cat"),
        ([{"mix": {"cat": 1}, "count": 0}], "/0/count"),
        ([], ""),
    ],
)
def test_a_wrong_row_is_named(client: TestClient, memory: Published, rows: Any, pointer: str) -> None:
    assert pointer in pointers(client.post(f"/v1/artifacts/{memory.id}/samples", json=rows))


def test_too_many_in_all_are_refused(client: TestClient, memory: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.samples.choosing.MAX_IMAGES", 3)
    rows = [{"mix": {"cat": 1}, "count": 2}, {"mix": {"dog": 1}, "count": 2}]
    assert "/1/count" in pointers(client.post(f"/v1/artifacts/{memory.id}/samples", json=rows))
