"""docs/generators.md names each knob and layer, and its sizes are those of the budget."""

import re
from dataclasses import fields

from distilled.budget import holding
from distilled.parametrizations.generator import Generator
from distilled.parametrizations.layers import layers
from tests.contracts.pages import page, quoted

PAGE = page("generators.md")
CIFAR = {"name": "cifar10", "classes": list("0123456789"), "train_counts": [4500] * 10, "shape": [3, 32, 32]}


def test_each_knob_and_each_layer_is_named() -> None:
    assert {item.name for item in fields(Generator.Config)} <= set(quoted(PAGE))
    assert {layer.name for layer in layers(shape=(3, 32, 32), width=196, latent=100)} <= set(quoted(PAGE))


def test_the_sizes_are_those_of_the_files() -> None:
    rows = re.findall(r"^\| `(float32|float16|uint8)` \| ([\d,]+) \| (\d+) \|$", PAGE, flags=re.MULTILINE)
    assert len(rows) == 3
    for storage, size, images in rows:
        knobs = {"kind": "generator", "width": 196, "latent": 100, "storage": storage, "labels": "hard"}
        held = holding({"ipc": 1, "parametrization": knobs}, CIFAR)
        assert held.bytes == int(size.replace(",", ""))
        assert held.bytes // 10 // (3 * 32 * 32 + 1) == int(images)
