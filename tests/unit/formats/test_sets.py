"""Sets as files: what goes in comes out, and the bytes are a function of the set."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load

from distilled.errors import InvalidInput
from distilled.formats.sets import FORMATS, MEDIA_TYPES, SUFFIXES, SyntheticSet, encode


def make_set(*, channels: int = 3, soft: bool = False, hard: bool = True, dtype: str = "uint8") -> SyntheticSet:
    rng = np.random.default_rng(7)
    shape = (6, 5, 4, channels) if dtype == "uint8" else (6, channels, 5, 4)
    images = rng.integers(0, 256, shape, dtype=np.uint8) if dtype == "uint8" else rng.normal(size=shape).astype("f4")
    probabilities = rng.dirichlet([1.0, 1.0, 1.0], size=6).astype(np.float32)
    return SyntheticSet(
        images=images,
        classes=("cat", "dog", "größe/../x"),
        labels=np.array([0, 1, 2, 0, 1, 2]) if hard else None,
        soft_labels=probabilities if soft else None,
    )


def test_every_format_has_a_media_type_and_a_suffix() -> None:
    assert set(FORMATS) == set(MEDIA_TYPES) == set(SUFFIXES)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_safetensors_gives_the_arrays_back(dtype: str) -> None:
    given = make_set(dtype=dtype, soft=True)
    content = encode(given, format="safetensors")
    arrays = load(content)
    assert arrays["images"].dtype == np.dtype(dtype)
    np.testing.assert_array_equal(arrays["images"], given.images)
    np.testing.assert_array_equal(arrays["labels"], given.labels)
    np.testing.assert_array_equal(arrays["soft_labels"], given.soft_labels)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["classes"]) == list(given.classes)


def test_a_set_of_soft_labels_alone_holds_no_hard_ones() -> None:
    assert set(load(encode(make_set(soft=True, hard=False), format="safetensors"))) == {"images", "soft_labels"}


def test_npz_is_what_medmnist_reads() -> None:
    given = make_set(channels=1, soft=True)
    with np.load(io.BytesIO(encode(given, format="npz")), allow_pickle=False) as arrays:
        assert arrays["train_images"].shape == (6, 5, 4)  # Pillow takes no channel axis of 1
        np.testing.assert_array_equal(arrays["train_images"], given.images[..., 0])
        assert arrays["train_labels"].shape == (6, 1)  # its writers iterate over each label
        np.testing.assert_array_equal(arrays["train_labels"][:, 0], given.labels)
        np.testing.assert_array_equal(arrays["train_soft_labels"], given.soft_labels)
        assert arrays["classes"].tolist() == list(given.classes)
        assert all(arrays[name].dtype != object for name in arrays.files)


def test_npz_takes_the_most_probable_class_where_labels_are_soft() -> None:
    given = make_set(soft=True, hard=False)
    with np.load(io.BytesIO(encode(given, format="npz")), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["train_labels"][:, 0], given.soft_labels.argmax(axis=1))


@pytest.mark.parametrize("channels", [1, 3])
def test_png_zip_holds_every_image_in_its_folder(channels: int) -> None:
    given = make_set(channels=channels, soft=True)
    with zipfile.ZipFile(io.BytesIO(encode(given, format="png"))) as archive:
        assert {item.compress_type for item in archive.infolist()} == {zipfile.ZIP_STORED}
        about = json.loads(archive.read("classes.json"))
        assert about["classes"] == list(given.classes)
        seen = dict.fromkeys(range(3), 0)
        for image, label, soft in zip(given.images, given.labels.tolist(), given.soft_labels.tolist(), strict=True):
            path = f"train/{about['folders'][label]}/{seen[label]:05d}.png"
            seen[label] += 1
            with Image.open(io.BytesIO(archive.read(path))) as picture:
                np.testing.assert_array_equal(np.asarray(picture).reshape(image.shape), image)
            assert about["soft_labels"][path] == soft
        assert len(archive.namelist()) == 1 + len(given.images)


def test_json_gives_the_arrays_back() -> None:
    given = make_set(soft=True)
    document = json.loads(encode(given, format="json"))
    np.testing.assert_array_equal(np.array(document["images"], dtype=document["dtype"]), given.images)
    assert (document["shape"], document["classes"]) == (list(given.images.shape), list(given.classes))
    assert document["labels"] == given.labels.tolist()
    np.testing.assert_allclose(document["soft_labels"], given.soft_labels, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("given", "format", "pointer"),
    [
        (make_set(dtype="float32"), "png", "/dtype"),
        (make_set(channels=4), "png", "/format"),
        (make_set(dtype="float32"), "parquet", "/dtype"),
        (make_set(channels=2), "parquet", "/format"),
        (make_set(dtype="float32"), "webdataset", "/dtype"),
        (make_set(channels=4), "webdataset", "/format"),
        (make_set(), "jpeg", "/format"),
        (make_set(), "../x", "/format"),
    ],
)
def test_what_a_format_cannot_hold_is_named(given: SyntheticSet, format: str, pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        encode(given, format=format)
    assert [problem.pointer for problem in caught.value.problems] == [pointer]


@pytest.mark.parametrize(
    "changes",
    [
        {"images": np.zeros((6, 5, 4), dtype=np.uint8)},
        {"images": np.zeros((6, 5, 4, 3), dtype=np.float64)},
        {"labels": None},
        {"labels": np.array([0, 1, 2, 3, 0, 0])},
        {"labels": np.array([0, 1, 2, -1, 0, 0])},
        {"labels": np.array([0, 1])},
        {"soft_labels": np.zeros((6, 2), dtype=np.float32)},
    ],
)
def test_a_set_that_does_not_hang_together_is_refused(changes: dict[str, object]) -> None:
    parts = {"images": np.zeros((6, 5, 4, 3), dtype=np.uint8), "labels": np.zeros(6, dtype=np.int64)}
    with pytest.raises(ValueError, match=r"images|labels"):
        SyntheticSet(**({**parts, "classes": ("a", "b", "c")} | changes))


_DIGESTS = """
import hashlib
from distilled.formats.sets import FORMATS, encode
from tests.unit.formats.test_sets import make_set
for name in sorted(FORMATS):
    print(name, hashlib.sha256(encode(make_set(soft=True), format=name)).hexdigest())
"""


def test_bytes_are_the_same_in_another_process_on_another_day() -> None:
    here = "".join(
        f"{name} {hashlib.sha256(encode(make_set(soft=True), format=name)).hexdigest()}\n" for name in sorted(FORMATS)
    )
    for hash_seed, zone in (("1", "UTC"), ("4242", "Asia/Tokyo")):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "TZ": zone}
        done = subprocess.run(
            [sys.executable, "-c", _DIGESTS], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout == here
