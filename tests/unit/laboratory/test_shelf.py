"""What lies on a shelf is what was put there, or it is not there."""

import pytest
import torch

from workers.distill import shelf
from workers.distill.shelf import FolderShelf, MemoryShelf

KEY = "a" * 64


def tensors():
    return {"b": torch.arange(6.0).view(2, 3), "a/0": torch.tensor(3), "half": torch.ones(4, dtype=torch.bfloat16)}


@pytest.fixture(params=["memory", "folder"])
def made(request, tmp_path):
    return MemoryShelf() if request.param == "memory" else FolderShelf(tmp_path / "not" / "there")


def test_what_was_put_there_is_found_again(made):
    assert made.load(KEY) is None
    made.save(KEY, tensors())
    found = made.load(KEY)
    assert set(found) == set(tensors())
    for name, tensor in tensors().items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    assert made.load("b" * 64) is None
    made.save(KEY, {"b": torch.zeros(1)})
    assert list(made.load(KEY)) == ["b"]


def test_tensors_are_kept_as_they_were_when_they_were_put_there(made):
    mine = tensors()
    made.save(KEY, mine)
    mine["b"].zero_()
    assert torch.equal(made.load(KEY)["b"], tensors()["b"])


def test_any_damaged_bit_of_the_values_is_noticed():
    content = shelf.pack(tensors())
    values = sum(tensor.numel() * tensor.element_size() for tensor in tensors().values())
    for place in range(len(content) - values, len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        assert shelf.unpack(bytes(damaged)) is None


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"\xff" * 8, b"\x02" + b"\x00" * 7 + b"{}"])
def test_what_is_no_resource_is_nothing(content):
    assert shelf.unpack(content) is None
    assert shelf.unpack(shelf.pack(tensors())[:-1]) is None


def test_values_under_other_names_or_shapes_are_others():
    one, two = shelf.pack({"x": torch.zeros(2, 3)}), shelf.pack({"x": torch.zeros(3, 2)})
    length = int.from_bytes(one[:8], "little")
    assert shelf.unpack(two[: 8 + length] + one[8 + length :]) is not None
    relabelled = one[: 8 + length].replace(b"[2,3]", b"[3,2]") + one[8 + length :]
    assert shelf.unpack(relabelled) is None


def test_a_folder_holds_whole_files_only(tmp_path):
    FolderShelf(tmp_path).save(KEY, tensors())
    assert [path.name for path in tmp_path.iterdir()] == [f"{KEY}.safetensors"]
