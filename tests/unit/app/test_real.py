"""Real images for the pages: the same that training sees, from wherever the front end has them."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.datasets.places import find
from app.datasets.real import real_images, samples
from app.errors import DataNotHere
from app.services import CATALOG, Services
from registry import datasets, errors, shared
from tests.unit.app.test_datasets import npz, upload
from tests.unit.distill_data.npzs import saved
from workers.distill.data import RealData, from_npz, load

SPLITS = ("train", "val", "test")


@pytest.fixture(autouse=True)
def real_catalog(services: Services) -> None:
    """The one that the laboratory generates: its shapes and counts are those of the files."""
    services.catalog = json.loads(CATALOG.read_text())


def same_as(services: Services, name: str, real: RealData) -> None:
    """Every image of every class of every split is what the laboratory sees, in its order."""
    for split in SPLITS:
        bytes_NHWC, labels_N = getattr(real, f"{split}_bytes_NHWC"), getattr(real, f"{split}_labels_N")
        for k in range(real.space.num_classes):
            shown = real_images(services, name, class_index=k, split=split)
            np.testing.assert_array_equal(shown, bytes_NHWC[labels_N == k].numpy())


def test_digits_are_those_that_the_laboratory_sees(services: Services) -> None:
    same_as(services, "Digits", load("digits", data_dir=services.settings.data_dir, download=False))


@pytest.mark.parametrize("val", [False, True])
def test_an_upload_is_split_as_the_laboratory_splits_it(
    client: TestClient, services: Services, tmp_path: Path, val: bool
) -> None:
    rng = np.random.default_rng(1)
    more = {"train_images": rng.integers(0, 256, (60, 8, 8), dtype=np.uint8), "train_labels": np.arange(60) % 2}
    if val:
        more |= {"val_images": more["train_images"][:7], "val_labels": more["train_labels"][:7]}
    content = npz(**more)
    upload(client, "mine", content)
    (tmp_path / "mine.npz").write_bytes(content)
    same_as(services, "MINE", from_npz(tmp_path / "mine.npz", "mine"))


def test_a_built_in_set_is_found_in_the_data_folder_or_where_a_worker_put_it(services: Services) -> None:
    folder = services.settings.data_dir
    with pytest.raises(DataNotHere, match=r"cifar10\.npz"):
        find(services, "CIFAR10")
    folder.mkdir(parents=True)
    pictures = {"train_images": np.full((12, 32, 32, 3), 7, np.uint8), "test_images": np.ones((6, 32, 32, 3), np.uint8)}
    path = saved(folder / "other.npz", **pictures)
    blob = services.store.put_file(path)
    with services.writing() as session:
        shared.share(session, name="cifar10", digest="d" * 64, blob_digest=blob, num_bytes=path.stat().st_size)
    assert real_images(services, "CIFAR10", class_index=1).shape == (4, 32, 32, 3)
    path.rename(folder / "CIFAR-10.npz")  # comes first, as for workers
    services.store.delete(blob)
    assert real_images(services, "cifar10", class_index=0).max() == 7
    saved(folder / "CIFAR-10.npz")  # of another size
    with pytest.raises(DataNotHere, match="size"):
        real_images(services, "cifar10", class_index=0)
    (folder / "CIFAR-10.npz").write_bytes(b"PK")
    with pytest.raises(DataNotHere, match="damaged"):
        real_images(services, "cifar10", class_index=0)


def test_what_torchvision_left_of_mnist_is_read_where_it_lies(services: Services) -> None:
    folder = services.settings.data_dir / "MNIST" / "raw"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", 50), ("t10k", 20)):
        pixels, labels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8), np.arange(count, dtype=np.uint8) % 10
        head = struct.pack(">4I", 0x803, count, 28, 28)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + labels.tobytes())
    same_as(services, "mnist", load("mnist", data_dir=services.settings.data_dir, download=False))
    (folder / "t10k-images-idx3-ubyte").write_bytes(b"no image at all")
    with pytest.raises(DataNotHere, match="t10k-images"):
        real_images(services, "mnist", class_index=0, split="test")


def test_a_part_of_a_class_is_asked_for_and_a_class_is_read_once(client: TestClient, services: Services) -> None:
    upload(client)
    every = real_images(services, "mine", class_index=1)
    assert (every.dtype, every.shape) == (np.uint8, (9, 8, 8, 1))
    with services.database.read() as session:
        blob = datasets.get(session, "mine").blob_digest
    assert blob is not None
    services.store.delete(blob)
    (services.settings.home / "cache" / "data" / blob).unlink()
    np.testing.assert_array_equal(real_images(services, "mine", class_index=1, start=2, limit=3), every[2:5])
    assert len(real_images(services, "mine", class_index=1, start=100)) == 0
    with pytest.raises(DataNotHere, match="upload it again"):
        real_images(services, "mine", class_index=0)


def test_what_cannot_be_is_refused(client: TestClient, services: Services) -> None:
    upload(client)
    for wrong in ({"class_index": 2}, {"class_index": -1}, {"class_index": 0, "split": "all"}):
        with pytest.raises(ValueError, match="mine has no class"):
            real_images(services, "mine", **wrong)
    with pytest.raises(errors.NotFound):
        real_images(services, "yours", class_index=0)
    services.settings = services.settings.model_copy(update={"data_cache_bytes": 100})
    with pytest.raises(DataNotHere, match="DISTILLED_DATA_CACHE_BYTES"):
        real_images(services, "mine", class_index=0)


def test_samples_of_all_classes_come_from_one_pass(client: TestClient, services: Services) -> None:
    upload(client)
    place = find(services, "mine")
    rows = samples(place, classes=[1, 0], columns=3, start=2)
    for k, row in zip([1, 0], rows, strict=True):
        np.testing.assert_array_equal(row, real_images(services, "mine", class_index=k, start=2, limit=3))
    drawn = samples(place, classes=[0, 1], columns=4, seed=7)
    again = samples(place, classes=[1], columns=4, seed=7)
    np.testing.assert_array_equal(drawn[1], again[0])
    assert not np.array_equal(drawn[1], samples(place, classes=[1], columns=4, seed=8)[0])
    assert [len(row) for row in samples(place, classes=[0], columns=4, start=99)] == [0]
