"""Strategies for hypothesis: valid files with harm done to them, and files whose parts are well-formed and lie."""

import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]
#: Where counts overflow, signs change and buffers end.
NUMBERS = (
    0,
    1,
    2,
    7,
    127,
    128,
    255,
    256,
    32767,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**62,
    2**63 - 1,
    2**64 - 1,
)
NAMES = (
    "train/cat/0.png",
    "train/dog/0.png",
    "test/cat/0.png",
    "../0.png",
    "/etc/passwd",
    "C:\\x.png",
    "train/cat/../../x.png",
    "train//cat/./0.png",
    "train/c\u00e4t/0.png",
    "train/ca\u0308t/0.png",
    "train/cat/\u202e.png",
    "train/cat/" + "x" * 300 + ".png",
    "/".join("abcdefghijklmnopqrstuvwxyz") + "/0.png",
    "",
    ".",
    "train/",
    "train/cat\x00/0.png",
    "train_images.npy",
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


def _at(draw: Draw, content: bytearray) -> int:
    return draw(st.integers(0, max(0, len(content) - 1)))


def _flip(draw: Draw, content: bytearray, seeds: Sequence[bytes]) -> None:
    if content:
        content[_at(draw, content)] ^= 1 << draw(st.integers(0, 7))


def _number(draw: Draw, content: bytearray, seeds: Sequence[bytes]) -> None:
    width, order = draw(st.sampled_from((1, 2, 4, 8))), draw(st.sampled_from(("little", "big")))
    at = _at(draw, content)
    content[at : at + width] = (draw(st.sampled_from(NUMBERS)) % 256**width).to_bytes(width, order)


def _cut(draw: Draw, content: bytearray, seeds: Sequence[bytes]) -> None:
    del content[_at(draw, content) :]


def _remove(draw: Draw, content: bytearray, seeds: Sequence[bytes]) -> None:
    at = _at(draw, content)
    del content[at : at + draw(st.integers(1, 64))]


def _double(draw: Draw, content: bytearray, seeds: Sequence[bytes]) -> None:
    at, of = _at(draw, content), _at(draw, content)
    content[at:at] = content[of : of + draw(st.integers(1, 512))]


def _splice(draw: Draw, content: bytearray, seeds: Sequence[bytes]) -> None:
    other = draw(st.sampled_from(seeds))
    content[_at(draw, content) :] = other[draw(st.integers(0, len(other))) :]


def _write(draw: Draw, content: bytearray, seeds: Sequence[bytes]) -> None:
    at, text = _at(draw, content), draw(st.binary(max_size=12))
    content[at : at + len(text)] = text


_HARM = (_flip, _flip, _number, _number, _cut, _remove, _double, _splice, _write)


@st.composite
def harmed(draw: Draw, seeds: Sequence[bytes]) -> bytes:
    """One of these files with a few of its bytes changed, lost, doubled or taken from another one."""
    content = bytearray(draw(st.sampled_from(list(seeds))))
    for harm in draw(st.lists(st.sampled_from(_HARM), max_size=6)):
        harm(draw, content, seeds)
    return bytes(content)


@st.composite
def npys(draw: Draw) -> bytes:
    """One array as .npy: its header says what it likes."""
    descr = draw(st.sampled_from(("|u1", "<i8", "<U3", "|O", "<f8", "|V8", ">i4", "|u1" * 3, [("a", "|u1")], None, 7)))
    side = st.sampled_from((0, 1, 2, 4, 8, -1, 2**31, 2**63, 1.5, True, None))
    shape = draw(st.lists(side, max_size=5).map(tuple) | st.sampled_from(((4, 4, 4), (4,), 4, "4", None)))
    head: Any = {"descr": descr, "fortran_order": draw(st.sampled_from((False, True, 0, None))), "shape": shape}
    text = draw(st.sampled_from((repr(head), repr({**head, "more": 1}), "(" * 3000, "{", "__import__('os')"))).encode()
    version = draw(st.sampled_from((1, 2, 3, 0, 255)))
    length = draw(st.just(len(text)) | st.sampled_from(NUMBERS))
    counter = struct.pack("<H", length % 2**16) if version == 1 else struct.pack("<I", length % 2**32)
    data = draw(st.sampled_from((bytes(64), bytes(4), b"", bytes(range(256)))))
    return b"\x93NUMPY" + bytes((version, 0)) + counter + text + data


def npy(array: Any) -> bytes:
    """A good one."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array))
    return buffer.getvalue()


@st.composite
def npzs(draw: Draw) -> bytes:
    """A data set's arrays, some of which lie."""
    good = {
        "train_images": npy(np.zeros((4, 4, 4), np.uint8)),
        "test_images": npy(np.zeros((2, 4, 4), np.uint8)),
        "train_labels": npy([0, 1, 0, 1]),
        "test_labels": npy([0, 1]),
        "classes": npy(["cat", "dog"]),
    }
    lying = draw(st.lists(st.sampled_from((*good, "val_images", "val_labels", "other")), max_size=3, unique=True))
    arrays = good | {key: draw(npys() | harmed(list(good.values()))) for key in lying}
    return zips([(f"{key}.npy", content) for key, content in arrays.items()])


def zips(members: Sequence[tuple[str, bytes]], *, packed: bool = True) -> bytes:
    """A zip of these; a name may come twice."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name or "x")
            info.filename = name
            info.compress_type = archive.compression
            archive.NameToInfo.pop(name, None)  # or it warns of the second one
            archive.writestr(info, content)
    return buffer.getvalue()


@st.composite
def folders(draw: Draw, images: Sequence[bytes]) -> bytes:
    """An ImageFolder as zip, tar or tar.gz, under odd names, with odd members."""
    content = harmed(images) | st.sampled_from(list(images))
    good = [
        (f"{split}/{kind}/{i}.png", images[i % len(images)])
        for split in ("train", "test")
        for kind in "ab"
        for i in (0, 1)
    ]
    members = good + draw(st.lists(st.tuples(st.sampled_from(NAMES), content), max_size=4))
    if draw(st.booleans()):
        return zips(members, packed=draw(st.booleans()))
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=draw(st.sampled_from((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)))
    ) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name.replace("\0", ""))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for kind in draw(
            st.lists(st.sampled_from((b"1", b"2", b"3", b"4", b"6", b"S", b"L", b"x", b"g", b"Z")), max_size=1)
        ):
            odd = tarfile.TarInfo(draw(st.sampled_from(NAMES)).replace("\0", ""))
            odd.type, odd.linkname = kind, "/etc/passwd"
            buffer.write(odd.tobuf(tarfile.GNU_FORMAT, errors="replace"))
    packed = buffer.getvalue()
    return zlib.compress(packed, wbits=31) if draw(st.booleans()) else packed


@st.composite
def safetensors(draw: Draw, seeds: Sequence[bytes]) -> bytes:
    """An artifact whose header was rewritten: the table of tensors, or the manifest in it."""
    content = draw(st.sampled_from(list(seeds)))
    (length,) = struct.unpack("<Q", content[:8])
    table: dict[str, Any] = json.loads(content[8 : 8 + length])
    manifest = json.loads(table["__metadata__"]["manifest"])
    for holder in draw(st.lists(st.sampled_from((manifest, manifest["space"], manifest["config"], table)), max_size=3)):
        key = draw(st.sampled_from(sorted(holder)))
        if key == "__metadata__":
            continue
        if holder is table and isinstance(table[key], dict):
            field = draw(st.sampled_from(("dtype", "shape", "data_offsets")))
            table[key] = {**table[key], field: draw(JSON | st.sampled_from(("F64", [0, 2**40], [1, 0], [-1])))}
        else:
            holder[key] = draw(JSON)
    table["__metadata__"]["manifest"] = json.dumps(manifest)
    head = json.dumps(table).encode()
    told = draw(st.just(len(head)) | st.sampled_from(NUMBERS))
    return struct.pack("<Q", told) + head + content[8 + length :]
