"""`download`: a finished synthetic set in every format, with the same images and labels in all of them."""

import io
import json
import tarfile
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load

from tests.conformance.conftest import Made
from tests.conformance.making import CLASSES, SIDE
from tests.conformance.pictures import pixels
from tests.conformance.wire import Wire


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a file holds: uint8 [N, H, W, C], class indices [N], and probabilities [N, K] where there are any."""

    images: NDArray[np.uint8]
    labels: list[int]
    soft: NDArray[np.float32] | None = None


def download(wire: Wire, made: Made, format: str, query: str = "") -> bytes:
    return wire.ok("GET", f"{made.path}/download?format={format}{query}").content


def safetensors(content: bytes) -> Held:
    found = load(content)
    labels = found["labels"] if "labels" in found else found["soft_labels"].argmax(axis=1)
    return Held(images=found["images"], labels=labels.tolist(), soft=found.get("soft_labels"))


def npz(content: bytes) -> Held:
    with np.load(io.BytesIO(content)) as found:
        assert found["classes"].tolist() == CLASSES
        images = found["train_images"].reshape(-1, SIDE, SIDE, 1)
        soft = found.get("train_soft_labels", found.get("soft_labels"))
        return Held(images=images, labels=found["train_labels"].reshape(-1).tolist(), soft=soft)


def parquet(content: bytes) -> Held:
    table = pq.read_table(io.BytesIO(content))
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"]["_type"] == "Image"
    assert features["label"]["names"] == CLASSES
    rows = table.to_pylist()
    assert all(set(row["image"]) == {"bytes", "path"} for row in rows)
    images = np.stack([pixels(row["image"]["bytes"]) for row in rows])
    soft = np.array([row["soft_label"] for row in rows], np.float32) if "soft_label" in table.column_names else None
    return Held(images=images, labels=[row["label"] for row in rows], soft=soft)


def webdataset(content: bytes) -> Held:
    samples: dict[str, dict[str, bytes]] = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            assert member.isfile()
            key, _, kind = member.name.partition(".")
            file = archive.extractfile(member)
            assert file is not None
            samples.setdefault(key, {})[kind] = file.read()
    assert list(samples) == sorted(samples)
    images = np.stack([pixels(sample["png"]) for sample in samples.values()])
    labels = [int(sample["cls"]) for sample in samples.values()]
    soft = [np.load(io.BytesIO(sample["soft.npy"])) for sample in samples.values() if "soft.npy" in sample]
    return Held(images=images, labels=labels, soft=np.stack(soft) if soft else None)


def arrow(content: bytes) -> Held:
    table = pa.ipc.open_stream(content).read_all()
    assert json.loads(table.schema.metadata[b"classes"]) == CLASSES
    images = table.column("image").combine_chunks().to_numpy_ndarray()
    soft = table.column("soft_label").to_pylist() if "soft_label" in table.column_names else None
    labels = table.column("label").to_pylist()
    return Held(images=images, labels=labels, soft=None if soft is None else np.array(soft, np.float32))


def png(content: bytes) -> Held:
    """ImageFolder's layout. Its readers number folders by the alphabet; `classes.json` tells the true order."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        about: dict[str, Any] = json.loads(archive.read("classes.json"))
        assert about["classes"] == CLASSES
        folders = {f"train/{folder}": label for label, folder in enumerate(about["folders"])}
        names = [name for name in archive.namelist() if name.endswith(".png")]
        names.sort(key=lambda name: (folders[name.rpartition("/")[0]], name))
        images = np.stack([pixels(archive.read(name)) for name in names])
    labels = [folders[name.rpartition("/")[0]] for name in names]
    rows = about.get("soft_labels")
    return Held(
        images=images, labels=labels, soft=np.array([rows[name] for name in names], np.float32) if rows else None
    )


READERS = {
    "safetensors": safetensors,
    "npz": npz,
    "parquet": parquet,
    "webdataset": webdataset,
    "arrow": arrow,
    "png": png,
}


@pytest.mark.parametrize("format", READERS)
def test_every_format_holds_the_same_images_and_labels(wire: Wire, images: Made, format: str) -> None:
    expected = safetensors(download(wire, images, "safetensors"))
    found = READERS[format](download(wire, images, format))
    assert found.images.dtype == np.uint8
    assert found.images.tolist() == expected.images.tolist()
    assert found.labels == expected.labels == [0, 0, 0, 1, 1, 1]
    assert found.soft is None


@pytest.mark.parametrize("format", READERS)
def test_soft_labels_travel_in_every_format(wire: Wire, soft: Made, format: str) -> None:
    expected = safetensors(download(wire, soft, "safetensors"))
    found = READERS[format](download(wire, soft, format))
    assert expected.soft is not None
    assert found.soft is not None
    assert found.soft.shape == (4, len(CLASSES))
    assert found.soft == pytest.approx(expected.soft, abs=1e-6)
    assert found.images.tolist() == expected.images.tolist()


def test_a_smaller_set_is_the_beginning_of_a_larger_one(wire: Wire, images: Made, generator: Made) -> None:
    for made, sizes in ((images, (1, 3)), (generator, (2, 5))):
        small, large = (safetensors(download(wire, made, "safetensors", f"&ipc={ipc}")) for ipc in sizes)
        for label in range(len(CLASSES)):
            first, whole = (one.images[np.array(one.labels) == label] for one in (small, large))
            assert whole[: len(first)].tolist() == first.tolist()
            assert (len(first), len(whole)) == sizes


def test_classes_can_be_chosen(wire: Wire, images: Made) -> None:
    whole = safetensors(download(wire, images, "safetensors"))
    dogs = safetensors(download(wire, images, "safetensors", "&classes=dog"))
    assert dogs.labels == [1, 1, 1]
    assert dogs.images.tolist() == whole.images[3:].tolist()


def test_what_is_downloaded_is_what_was_made(wire: Wire, images: Made) -> None:
    drawn = load(wire.ok("GET", f"{images.path}/samples?ipc=3&seed=5").content)
    held = safetensors(download(wire, images, "safetensors"))
    assert sorted(image.tobytes() for image in drawn["images"]) == sorted(image.tobytes() for image in held.images)


@pytest.mark.parametrize("query", ["format=bmp", "ipc=0", "ipc=x", "classes=cow", "classes=dog,dog"])
def test_a_set_that_cannot_be_made_names_its_parameter(wire: Wire, images: Made, query: str) -> None:
    assert wire.pointers("GET", f"{images.path}/download?{query}") == [f"/query/{query.partition('=')[0]}"]
