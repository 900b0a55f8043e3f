"""Samples: batches by images per class, ratio or number; of chosen classes; by seed; in several formats."""

import io
import zipfile
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load

from tests.conformance.conftest import Made
from tests.conformance.making import CLASSES, SIDE
from tests.conformance.wire import Wire

Arrays = dict[str, NDArray[Any]]


def sample(wire: Wire, made: Made, query: str) -> Arrays:
    return load(wire.ok("GET", f"{made.path}/samples?{query}").content)


def test_a_batch_has_bytes_and_labels(wire: Wire, images: Made) -> None:
    batch = sample(wire, images, "ipc=2&seed=1")
    assert (batch["images"].dtype, batch["images"].shape) == (np.uint8, (4, SIDE, SIDE, 1))
    assert (batch["labels"].dtype, batch["labels"].tolist()) == (np.int64, [0, 0, 1, 1])


def test_floats_are_normalised_and_channels_first(wire: Wire, images: Made) -> None:
    bytes_, floats = (sample(wire, images, f"ipc=3&seed=1&dtype={name}") for name in ("uint8", "float32"))
    assert (floats["images"].dtype, floats["images"].shape) == (np.float32, (6, 1, SIDE, SIDE))
    mean, std = (images.manifest["normalisation"][name][0] for name in ("mean", "std"))
    expected = (bytes_["images"].transpose(0, 3, 1, 2) / 255 - mean) / std
    assert np.abs(floats["images"] - expected).max() < 0.51 / 255 / std


def test_soft_labels_travel_where_they_are_held(wire: Wire, soft: Made) -> None:
    batch = sample(wire, soft, "ipc=1&seed=1")
    assert (batch["soft_labels"].dtype, batch["soft_labels"].shape) == (np.float32, (2, len(CLASSES)))
    assert batch["soft_labels"].sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(wire: Wire, generator: Made) -> None:
    path = f"{generator.path}/samples?count=5"
    one, same, other = (wire.ok("GET", f"{path}&seed={seed}").content for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_a_seed_that_is_not_given_is_drawn_and_told(wire: Wire, generator: Made) -> None:
    path = f"{generator.path}/samples?count=3"
    drawn = [wire.ok("GET", path) for _ in range(2)]
    assert drawn[0].headers["x-seed"] != drawn[1].headers["x-seed"]
    for answer in drawn:
        assert wire.ok("GET", f"{path}&seed={answer.headers['x-seed']}").content == answer.content


def test_a_count_is_spread_evenly(wire: Wire, generator: Made) -> None:
    assert sample(wire, generator, "count=5&seed=1")["labels"].tolist() == [0, 0, 0, 1, 1]


def test_a_ratio_is_of_the_real_training_images(wire: Wire, generator: Made, dataset: str) -> None:
    train = wire.get(f"/v1/datasets/{dataset}")["train"]
    answer = wire.ok("GET", f"{generator.path}/samples?ratio=0.5&seed=1")
    assert answer.headers["x-images-per-class"] == str(round(0.5 * train / len(CLASSES)))
    assert len(load(answer.content)["labels"]) == round(0.5 * train / len(CLASSES)) * len(CLASSES)


@pytest.mark.parametrize(("asked", "labels"), [("dog", [1]), ("1", [1]), ("1,0", [1, 0]), ("dog,tabby cat", [1, 0])])
def test_classes_are_chosen_by_name_or_index(wire: Wire, images: Made, asked: str, labels: list[int]) -> None:
    assert sample(wire, images, f"ipc=1&seed=1&classes={asked}")["labels"].tolist() == labels


def test_a_generator_serves_more_than_was_asked_of_its_recipe(wire: Wire, generator: Made) -> None:
    assert len(sample(wire, generator, "ipc=200&seed=1")["images"]) == 200 * len(CLASSES)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("ipc=0", "/query/ipc"),
        ("ipc=1&ratio=0.5", "/query/ratio"),
        ("ratio=1.5", "/query/ratio"),
        ("count=x", "/query/count"),
        ("ipc=1&classes=cow", "/query/classes"),
        ("ipc=1&classes=2", "/query/classes"),
        ("ipc=1&classes=dog,1", "/query/classes"),
        ("ipc=1&seed=-1", "/query/seed"),
        ("ipc=1&seed=99999999999999999999", "/query/seed"),
        ("ipc=1&format=bmp", "/query/format"),
        ("ipc=1&dtype=float64", "/query/dtype"),
        ("ipc=1&format=png&dtype=float32", "/query/dtype"),
        ("count=100000000", "/query/count"),
    ],
)
def test_a_question_without_an_answer_names_its_parameter(wire: Wire, images: Made, query: str, pointer: str) -> None:
    assert pointer in wire.pointers("GET", f"{images.path}/samples?{query}")


def test_more_than_is_held_is_refused_with_what_is_held(wire: Wire, images: Made) -> None:
    for path in ("samples?seed=1&ipc=4", "samples?seed=1&count=7", "download?ipc=4"):
        problem = wire.problem(422, "GET", f"{images.path}/{path}")
        assert "3" in problem["errors"][0]["detail"], path


def test_formats_hold_the_same_images(wire: Wire, images: Made) -> None:
    batch = sample(wire, images, "ipc=2&seed=1")
    path = f"{images.path}/samples?ipc=2&seed=1&format="
    with np.load(io.BytesIO(wire.ok("GET", f"{path}npz").content)) as arrays:
        # A set in grey has no axis for channels in MedMNIST's convention.
        assert arrays["train_images"].reshape(batch["images"].shape).tolist() == batch["images"].tolist()
        assert arrays["train_labels"].reshape(-1).tolist() == batch["labels"].tolist()
    told = wire.ok("GET", f"{path}json").json()
    assert told["images"] == batch["images"].tolist()
    assert told["labels"] == batch["labels"].tolist()
    with zipfile.ZipFile(io.BytesIO(wire.ok("GET", f"{path}png").content)) as folder:
        assert sum(name.endswith(".png") for name in folder.namelist()) == 4


def test_mixtures_are_drawn_row_by_row(wire: Wire, generator: Made) -> None:
    rows = [{"mix": {"tabby cat": 0.7, "dog": 0.3}, "count": 3}, {"mix": {"1": 2}, "count": 1}]
    path = f"{generator.path}/samples?seed=3"
    batch = load(wire.ok("POST", path, json=rows).content)
    assert batch["images"].shape == (4, SIDE, SIDE, 1)
    assert batch["soft_labels"] == pytest.approx(np.array([[0.7, 0.3]] * 3 + [[0, 1]]), abs=1e-6)
    assert wire.ok("POST", path, json=rows).content == wire.ok("POST", path, json=rows).content
    drawn = wire.ok("POST", f"{generator.path}/samples", json=rows)
    assert (
        wire.ok("POST", f"{generator.path}/samples?seed={drawn.headers['x-seed']}", json=rows).content == drawn.content
    )


@pytest.mark.parametrize(
    ("rows", "pointer"),
    [
        ([{"mix": {"cow": 1}, "count": 1}], "/0/mix"),
        ([{"mix": {"dog": 0}, "count": 1}], "/0/mix"),
        ([{"mix": {"dog": -1}, "count": 1}], "/0/mix/dog"),
        ([{"mix": {"dog": 1}, "count": 0}], "/0/count"),
        ([{"mix": {"dog": 1}}], "/0/count"),
        ([{"mix": {"dog": 1}, "count": 1}, {"mix": {}, "count": 1}], "/1/mix"),
        ([{"mix": {"dog": 1}, "count": 1, "seed": 1}], "/0/seed"),
        ([], ""),
    ],
)
def test_a_mixture_that_is_none_names_its_row(
    wire: Wire, generator: Made, rows: list[dict[str, Any]], pointer: str
) -> None:
    assert pointer in wire.pointers("POST", f"{generator.path}/samples", json=rows)


def test_finished_images_cannot_be_mixed(wire: Wire, images: Made) -> None:
    rows = [{"mix": {"dog": 1, "0": 1}, "count": 1}]
    assert wire.pointers("POST", f"{images.path}/samples", json=rows) == ["/0/mix"]
