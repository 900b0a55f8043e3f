"""Where real data come from, and what is said when they do not come."""

import re
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from distilled import npz
from distilled.budget import held_out
from tests.unit.distill_data.npzs import arrays, saved
from workers.distill.data import DATASETS, FACTS, find_npz, from_npz, load
from workers.distill.errors import DatasetUnavailable

#: Any change of the fixed split shows here, and changes every artifact made from digits.
DIGITS_DIGEST = "6d1e5c99a0c36f15e2946fe7ba8aa4a78109b700aaacd4c6282b14aa8ebcd3ef"


def test_digits_are_split_the_same_for_ever(tmp_path):
    real = load("Digits", data_dir=tmp_path, download=False)
    assert real.digest == DIGITS_DIGEST
    assert real.train_bytes_NHWC.shape[1:] == (8, 8, 1)
    assert real.train_bytes_NHWC.dtype == torch.uint8
    assert int(real.train_bytes_NHWC.max()) == 255
    counts = torch.bincount(real.train_labels_N) + torch.bincount(real.val_labels_N)
    assert tuple(counts.tolist()) == FACTS["digits"].train_counts
    assert tuple(torch.bincount(real.test_labels_N).tolist()) == FACTS["digits"].test_counts
    assert real.train_images_NCHW().mean().item() == pytest.approx(0, abs=0.01)
    assert real.train_images_NCHW().std().item() == pytest.approx(1, abs=0.01)


def test_no_image_is_on_two_sides(tmp_path):
    real = load("digits", data_dir=tmp_path, download=False)
    parts = (real.train_bytes_NHWC, real.val_bytes_NHWC, real.test_bytes_NHWC)
    rows = [{bytes(row) for row in part.flatten(1).numpy()} for part in parts]
    assert sum(map(len, parts)) == 1797
    assert len(rows[0] | rows[1] | rows[2]) == sum(map(len, rows))


def test_a_tenth_of_each_class_is_held_out_whatever_the_labels_order(tmp_path):
    content = arrays(classes=2, train=50)
    real = from_npz(saved(tmp_path / "a.npz", **content), "a")
    assert held_out((25, 25, 9)) == (2, 2, 0)
    assert torch.bincount(real.val_labels_N).tolist() == [2, 2]
    assert real.train_counts == (23, 23)
    both = torch.cat([real.train_bytes_NHWC, real.val_bytes_NHWC]).flatten(1)
    assert {bytes(row) for row in both.numpy()} == {row.tobytes() for row in content["train_images"]}


def test_an_upload_is_what_its_inspection_said(tmp_path):
    path = saved(tmp_path / "a.npz", classes=np.array(["cat", "dog", "eel"]))
    facts, real = npz.inspect(path), from_npz(path, "pets", licence="CC0-1.0")
    assert (real.name, real.licence, real.digest) == ("pets", "CC0-1.0", facts.digest)
    assert (real.space.shape, real.space.classes) == (facts.shape, facts.classes)
    assert (real.space.mean, real.space.std) == (facts.mean, facts.std)
    np.testing.assert_array_equal(real.test_bytes_NHWC.numpy(), arrays()["test_images"])


def test_an_uploads_own_validation_images_are_used(tmp_path):
    content = arrays(train=30)
    own = {"val_images": content["test_images"], "val_labels": content["test_labels"]}
    real = from_npz(saved(tmp_path / "a.npz", **content, **own), "a")
    assert len(real.train_labels_N) == 30
    np.testing.assert_array_equal(real.val_bytes_NHWC.numpy(), content["test_images"])


def test_an_npz_of_a_built_in_name_is_taken_first_with_the_published_normalisation(tmp_path):
    path = saved(tmp_path / "Fashion-MNIST.npz", **arrays(classes=10, train=40, test=20, shape=(28, 28)))
    assert find_npz("fashion_mnist", data_dir=tmp_path) == path
    real = load("FashionMNIST", data_dir=tmp_path, download=False)
    assert real.name == "fashionmnist"
    assert real.space.classes == FACTS["fashionmnist"].classes
    assert (real.space.mean, real.space.std) == ((0.2861,), (0.3530,))
    assert real.licence == "MIT"
    assert sum(real.train_counts) == 40


def test_an_npz_that_is_something_else_is_not_taken_for_the_built_in_set(tmp_path):
    saved(tmp_path / "cifar10.npz")
    with pytest.raises(DatasetUnavailable, match=r"cifar10\.npz in the data folder .* not CIFAR10"):
        load("cifar10", data_dir=tmp_path, download=False)


def test_a_broken_npz_says_what_is_wrong_with_it(tmp_path):
    (tmp_path / "mnist.npz").write_bytes(b"PK")
    with pytest.raises(DatasetUnavailable, match=r"mnist\.npz .* cut off or damaged"):
        load("mnist", data_dir=tmp_path, download=False)


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(DatasetUnavailable, match="'imagenet'; known are: digits, mnist"):
        load("imagenet", data_dir=tmp_path, download=True)


@pytest.mark.parametrize("name", [name for name in FACTS if name != "digits"])
def test_absent_and_not_to_be_downloaded(tmp_path, name):
    with pytest.raises(DatasetUnavailable, match=f"not on disk, and downloading is off; put .* or {name}.npz"):
        load(name, data_dir=tmp_path / "nowhere", download=False)


@pytest.mark.parametrize("name", [name for name in FACTS if name != "digits"])
def test_a_download_that_fails_gives_the_reason(tmp_path, name, monkeypatch):
    kind = getattr(torchvision.datasets, FACTS[name].torchvision)

    def unreachable(self):
        raise OSError("no route to host")

    monkeypatch.setattr(kind, "download", unreachable)
    with pytest.raises(DatasetUnavailable, match=r"could not be downloaded \(no route to host\); put "):
        load(name, data_dir=tmp_path / "data", download=True)


def idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.mark.parametrize("name", ["mnist", "fashionmnist", "kmnist"])
def test_files_that_torchvision_left_are_read(tmp_path, name):
    content = arrays(classes=10, train=40, test=20, shape=(28, 28))
    for file in DATASETS[name]["files"]:
        split = "train" if "train" in file else "test"
        idx(tmp_path / file, content[f"{split}_{'images' if 'images' in file else 'labels'}"])
    real = load(name, data_dir=tmp_path, download=False)
    assert real.space.shape == (1, 28, 28)
    np.testing.assert_array_equal(real.test_bytes_NHWC[..., 0].numpy(), content["test_images"])
    np.testing.assert_array_equal(real.test_labels_N.numpy(), content["test_labels"])
    again = from_npz(saved(tmp_path / "x.npz", **content, classes=np.array(FACTS[name].classes)), "x")
    assert again.digest == real.digest


def test_torchvisions_other_layouts_end_up_alike(tmp_path, monkeypatch):
    content = arrays(classes=10, train=20, test=20, shape=(32, 32, 3))

    class SVHN:
        def __init__(self, root, *, split, download):
            self.data = content[f"{split}_images"].transpose(0, 3, 1, 2)
            self.labels = content[f"{split}_labels"]

    class CIFAR10:
        def __init__(self, root, *, train, download):
            split = "train" if train else "test"
            self.data, self.targets = content[f"{split}_images"], content[f"{split}_labels"].tolist()

    for kind in (SVHN, CIFAR10):
        monkeypatch.setattr(torchvision.datasets, kind.__name__, kind)
        real = load(kind.__name__, data_dir=tmp_path, download=False)
        np.testing.assert_array_equal(real.test_bytes_NHWC.numpy(), content["test_images"])
        np.testing.assert_array_equal(real.test_labels_N.numpy(), content["test_labels"])


def test_a_download_that_works_is_asked_for_once(tmp_path, monkeypatch):
    content, asked = arrays(classes=10, train=20, test=20, shape=(32, 32, 3)), []

    class CIFAR10:
        def __init__(self, root, *, train, download):
            asked.append(download)
            if not download:
                raise RuntimeError("Dataset not found or corrupted.")
            split = "train" if train else "test"
            self.data, self.targets = content[f"{split}_images"], content[f"{split}_labels"].tolist()

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", CIFAR10)
    real = load("cifar10", data_dir=tmp_path / "new", download=True)
    assert asked == [False, True, True]
    assert len(real.test_labels_N) == 20
    assert re.fullmatch("[0-9a-f]{64}", real.digest)
