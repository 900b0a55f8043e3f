"""Artifact files: the same content gives the same bytes, and what is damaged is refused in words."""

import json
import struct

import pytest
import torch

from distilled.errors import ArtifactError, NotHeld
from distilled.files import open_artifact, pack, read_header, tensor_table
from distilled.images import from_bytes, standardise, to_bytes, to_pixels
from distilled.parametrizations.base import ImageSpace
from distilled.parametrizations.images import Images

SPACE = ImageSpace(shape=(1, 4, 4), mean=(0.4,), std=(0.3,), classes=("cat", "dog"))
HEADER = {
    "format": 1,
    "kind": "images",
    "config": {"storage": "uint8", "labels": "hard"},
    "space": SPACE.to_json(),
    "classes": ["cat", "dog"],
    "dataset": {"name": "toy", "digest": "00", "licence": "CC0"},
    "ipc": 3,
    "budget": {},
    "recipe": {},
    "seed": 0,
    "steps": 1,
    "images_seen": 0,
    "code_version": "0",
    "device_kind": "cpu",
}


def images(*, storage="uint8", labels="hard", seed=0):
    drawn_NCHW = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    made = Images(Images.Config(storage=storage, labels=labels), space=SPACE, images_NCHW=drawn_NCHW)
    made.project()
    return made


def header(made):
    return HEADER | {"config": {"storage": made.config.storage, "labels": made.config.labels}}


@pytest.mark.parametrize("storage", ["uint8", "float16", "float32"])
@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_what_is_stored_comes_back(storage, labels):
    made = images(storage=storage, labels=labels)
    content = pack(made, header(made))
    opened = open_artifact(content)
    tolerance = {"uint8": 0.5 / 255 / 0.3 + 1e-6, "float16": 2e-3, "float32": 0}[storage]
    assert (opened.parametrization.whole().images_NCHW - made.whole().images_NCHW).abs().max() <= tolerance
    torch.testing.assert_close(opened.parametrization.whole().targets, made.whole().targets)
    assert pack(opened.parametrization, opened.header) == content, "a second trip changes nothing"
    assert made.num_bytes() == sum(entry["bytes"] for entry in tensor_table(content).values())


def test_the_same_content_gives_the_same_bytes():
    assert pack(images(), HEADER) == pack(images(), dict(reversed(HEADER.items())))


def test_bytes_survive_the_trip_through_standardised_space_exactly():
    bytes_NHWC = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    images_NCHW = standardise(from_bytes(bytes_NHWC), mean=(0.1918,), std=(0.3483,))
    assert torch.equal(to_bytes(to_pixels(images_NCHW, mean=(0.1918,), std=(0.3483,))), bytes_NHWC)


def test_pixels_stay_inside_the_range_that_is_stored():
    made = images()
    pixels_NCHW = to_pixels(made.images_NCHW.detach(), mean=SPACE.mean, std=SPACE.std)
    assert pixels_NCHW.min() >= -1e-6
    assert pixels_NCHW.max() <= 1 + 1e-6


def test_drawing_with_a_generator_gives_every_image_before_any_twice():
    made = images(storage="float32")
    drawn = made.draw(torch.tensor([1, 0, 1, 1]), rng=torch.Generator().manual_seed(1)).images_NCHW
    dogs = {tuple(image.flatten().tolist()) for image in made.images_NCHW[3:]}
    assert {tuple(drawn[i].flatten().tolist()) for i in (0, 2, 3)} == dogs
    assert tuple(drawn[1].flatten().tolist()) not in dogs


def test_more_than_is_held_is_refused_in_stored_order():
    with pytest.raises(NotHeld, match="4 images of class 'cat' were asked for; it holds 3"):
        images().draw(torch.zeros(4, dtype=torch.int64), rng=None)


def _with_header(content, edit):
    (length,) = struct.unpack("<Q", content[:8])
    table = json.loads(content[8 : 8 + length])
    edit(table)
    raw = json.dumps(table).encode()
    return struct.pack("<Q", len(raw)) + raw + content[8 + length :]


def _manifest(**changes):
    def edit(table):
        table["__metadata__"]["manifest"] = json.dumps(HEADER | changes)

    return edit


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: b"", "holds no manifest"),
        (lambda content: content[:100], "holds no manifest"),
        (lambda content: b"PK\x03\x04" + content, "holds no manifest"),
        (lambda content: content[:-3], "do not fit"),
        (lambda content: _with_header(content, lambda table: table.pop("__metadata__")), "holds no manifest"),
        (lambda content: _with_header(content, lambda table: table.pop("images")), "do not fit"),
        (lambda content: _with_header(content, _manifest(format=2)), "format 2 is not 1"),
        (lambda content: _with_header(content, _manifest(kind="hologram")), "unknown kind 'hologram'"),
        (lambda content: _with_header(content, _manifest(classes="cat")), "'classes'"),
        (lambda content: struct.pack("<Q", 2**62) + content[8:], "holds no manifest"),
    ],
)
def test_a_damaged_file_is_refused_in_words(damage, words):
    with pytest.raises(ArtifactError, match=words):
        open_artifact(damage(pack(images(), HEADER)))


def test_the_header_is_read_without_the_tensors():
    content = pack(images(), HEADER)
    (length,) = struct.unpack("<Q", content[:8])
    assert read_header(content[: 8 + length]) == HEADER


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("space", {}),
        ("space", {"shape": None, "mean": [0.5], "std": [0.5]}),
        ("space", {"shape": [1, 8, 0], "mean": [0.5], "std": [0.5]}),
        ("space", {"shape": [1, 8, 2**40], "mean": [0.5], "std": [0.5]}),
        ("space", {"shape": [1, 8, 8], "mean": None, "std": [0.5]}),
        ("space", {"shape": [1, 8, 8], "mean": [0.5], "std": [0.0]}),
        ("space", {"shape": [1, 8, 8], "mean": [0.5, 0.5], "std": [0.5]}),
        ("classes", []),
        ("classes", [1, 2]),
        ("config", {"labels": None}),
        ("config", {"nothing": 1}),
    ],
)
def test_a_header_that_lies_is_an_artifact_error(field, value):
    """Found by the fuzz of tests/fuzz: each of these ended in an error that no reader expects."""
    content = pack(images(), HEADER | {field: value})
    with pytest.raises(ArtifactError):
        open_artifact(content)


@pytest.mark.parametrize("manifest", ["5", "[]", "[" * 100_000, '{"format": 1}'])
def test_a_manifest_that_is_none_is_an_artifact_error(manifest):
    table = json.dumps({"__metadata__": {"manifest": manifest}}).encode()
    with pytest.raises(ArtifactError):
        read_header(struct.pack("<Q", len(table)) + table)
