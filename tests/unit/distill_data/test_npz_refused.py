"""Bad files: each is refused by name of the key, and nothing in them is run or believed."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from distilled import npz
from distilled.errors import UploadError
from distilled.npz import NpzLimits
from tests.unit.distill_data.npzs import arrays, members, npy, saved, zipped

GOOD = arrays()


def problems(path, **limits):
    with pytest.raises(UploadError) as refusal:
        npz.inspect(path, limits=NpzLimits(**limits))
    return {problem.pointer: problem.detail for problem in refusal.value.problems}


@pytest.mark.parametrize(
    ("changed", "pointer", "words"),
    [
        ({"train_images": None}, "/train_images", "is missing"),
        ({"test_labels": None}, "/test_labels", "is missing"),
        ({"val_images": GOOD["test_images"]}, "/val_labels", "is missing"),
        ({"train_images": GOOD["train_images"].astype(np.float32)}, "/train_images", "images are uint8"),
        ({"train_images": GOOD["train_images"][..., :2]}, "/train_images", "1 or 3"),
        ({"train_images": GOOD["train_images"][:, 0, 0]}, "/train_images", "[N, H, W]"),
        ({"train_images": GOOD["train_images"][:, :3]}, "/train_images", "sides go from 4 to 256"),
        ({"train_images": GOOD["train_images"][:0], "train_labels": np.arange(0)}, "/train_images", "holds 0 images"),
        ({"train_images": np.asfortranarray(GOOD["train_images"])}, "/train_images", "ascontiguousarray"),
        ({"test_images": GOOD["test_images"][:, :6]}, "/test_images", "make them alike"),
        ({"train_labels": GOOD["train_labels"][:5]}, "/train_labels", "5 labels for 12 images"),
        ({"train_labels": GOOD["train_labels"] / 2}, "/train_labels", "whole numbers"),
        ({"train_labels": np.eye(12, dtype=int)}, "/train_labels", "one label an image"),
        ({"train_labels": GOOD["train_labels"] * 2}, "/train_labels", "no image of class '1', '3'"),
        ({"train_labels": GOOD["train_labels"] - 1}, "/train_labels", "goes from -1"),
        ({"test_labels": GOOD["test_labels"] + 1}, "/test_labels", "goes from 1 to 3"),
        ({"train_labels": np.full(12, 2**63, dtype=np.uint64)}, "/train_labels", "number the classes from 0"),
        ({"classes": np.array(["a", "b"])}, "/train_labels", "with 2 classes"),
        ({"classes": np.array(["a", "b", "c", "d"])}, "/train_labels", "no image of class 'd'"),
        ({"classes": np.array(["a", "b", "a"])}, "/classes", "more than once"),
        ({"classes": np.array(["a", "", "c"])}, "/classes", "printable"),
        ({"classes": np.array(["a", "b\n", "c"])}, "/classes", "printable"),
        ({"classes": np.array([b"a", b"\xff", b"c"])}, "/classes", "UTF-8"),
        ({"classes": np.array([["a", "b", "c"]])}, "/classes", "list"),
        ({"classes": np.arange(3)}, "/classes", "text"),
    ],
)
def test_content_that_is_no_data_set(tmp_path, changed, pointer, words):
    found = problems(saved(tmp_path / "a.npz", **changed))
    assert words in found[pointer]


def test_all_missing_keys_are_told_at_once(tmp_path):
    found = problems(saved(tmp_path / "a.npz", train_images=None, test_images=None))
    assert set(found) == {"/train_images", "/test_images"}


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("it was unpickled",))


@pytest.mark.parametrize("key", ["train_images", "train_labels", "classes"])
def test_object_arrays_are_refused_and_never_unpickled(tmp_path, key):
    trap = np.empty(12, dtype=object)
    trap[:] = [Trap() for _ in range(12)]
    found = problems(saved(tmp_path / "a.npz", **{key: trap}))
    assert "Python objects" in found[f"/{key}"]


def test_a_pickle_in_a_members_place_is_no_array(tmp_path):
    found = problems(zipped(tmp_path / "a.npz", members(train_images=pickle.dumps(Trap()))))
    assert "no .npy array" in found["/train_images"]


def test_structured_elements_are_refused(tmp_path):
    record = np.zeros(12, dtype=[("a", "u1"), ("b", "O")])
    found = problems(zipped(tmp_path / "a.npz", members(train_images=npy(record, allow_pickle=True))))
    assert "images are uint8" in found["/train_images"]


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.95])
def test_a_file_that_is_cut_off(tmp_path, keep):
    path = saved(tmp_path / "a.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    assert "cut off or damaged" in problems(path)[""]


def test_a_flipped_bit_fails_the_checksum(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **GOOD)
    whole = bytearray(path.read_bytes())
    whole[whole.index(GOOD["train_images"].tobytes()) + 50] ^= 1
    path.write_bytes(whole)
    assert "cut off or damaged" in problems(path)["/train_images"]


def test_a_header_that_declares_more_than_is_there(tmp_path):
    short = npy(GOOD["train_images"])[:-1]
    assert (
        "declares 2304 bytes of data, but holds 2303"
        in problems(zipped(tmp_path / "a.npz", members(train_images=short)))["/train_images"]
    )


@pytest.mark.parametrize("text", ["{'descr': 'u1'}", "[" * 5000, "__import__('os').abort()", "\x00"])
def test_headers_that_are_no_dictionary_of_three(tmp_path, text):
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()
    assert "cut off or damaged" in problems(zipped(tmp_path / "a.npz", members(train_images=content)))["/train_images"]


def test_a_header_length_of_gigabytes_is_not_read(tmp_path):
    content = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1)
    assert "/train_images" in problems(zipped(tmp_path / "a.npz", members(train_images=content)))


def test_a_member_twice(tmp_path):
    path = zipped(tmp_path / "a.npz", members())
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("train_images.npy", npy(GOOD["train_images"]))
    assert "more than once" in problems(path)["/train_images"]


def test_an_encrypted_member(tmp_path):
    path = zipped(tmp_path / "a.npz", members())
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "encrypted" in problems(path)["/train_images"]


def test_a_packing_that_numpy_does_not_use(tmp_path):
    assert (
        "numpy.savez_compressed"
        in problems(zipped(tmp_path / "a.npz", members(), compression=zipfile.ZIP_LZMA))["/train_images"]
    )


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    zeros = npy(np.zeros((1000, 256, 256), dtype=np.uint8))  # 64 MB in 64 kB
    path = zipped(tmp_path / "a.npz", members(train_images=zeros))
    assert path.stat().st_size < 200_000
    assert "times its size" in problems(path, ratio_from_bytes=2**20)[""]
    assert "unpacks to" in problems(path, unpacked_bytes=2**20)[""]


def test_a_bomb_in_a_member_that_is_not_read_counts_as_well(tmp_path):
    path = zipped(tmp_path / "a.npz", members() | {"notes.bin": bytes(2**21)})
    assert "unpacks to" in problems(path, unpacked_bytes=2**20)[""]


def test_a_member_that_unpacks_to_more_than_the_zip_declares(tmp_path):
    path = zipped(tmp_path / "a.npz", members(train_images=npy(GOOD["train_images"]) + bytes(2**20)))
    content = path.read_bytes()
    true = struct.pack("<I", len(npy(GOOD["train_images"])) + 2**20)
    path.write_bytes(content.replace(true, struct.pack("<I", len(npy(GOOD["train_images"])))))
    assert "cut off or damaged" in problems(path)["/train_images"]


def test_too_many_members(tmp_path):
    path = zipped(tmp_path / "a.npz", members() | {f"{i}.npy": b"" for i in range(70)})
    assert "more than 64" in problems(path)[""]


def test_a_directory_of_a_million_entries_is_not_read(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", b"")
    whole = buffer.getvalue()
    start = whole.index(b"PK\x01\x02")
    entry, end = whole[start : whole.index(b"PK\x05\x06")], whole[whole.index(b"PK\x05\x06") :]
    directory = entry * 60_000
    tail = end[:8] + struct.pack("<HHII", 60_000, 60_000, len(directory), start) + end[20:]
    (tmp_path / "a.npz").write_bytes(whole[:start] + directory + tail)
    assert problems(tmp_path / "a.npz")[""]


def test_something_else_entirely(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"hello" * 100)
    assert "cut off or damaged" in problems(tmp_path / "a.npz")[""]


def test_reading_a_key_that_is_not_there_names_it(tmp_path):
    with pytest.raises(UploadError, match="/val_images: is missing"):
        npz.read(saved(tmp_path / "a.npz"), "val_images")
