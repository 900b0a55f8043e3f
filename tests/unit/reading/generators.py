"""Small generators for tests, with weights from a seed."""

from dataclasses import asdict
from typing import Any

import torch

from distilled.parametrizations.base import ImageSpace
from distilled.parametrizations.generator import Generator, blank
from tests.unit.reading.test_files import HEADER

SPACE = ImageSpace(shape=(1, 8, 8), mean=(0.4,), std=(0.3,), classes=("cat", "dog"))


def generator(
    *, space: ImageSpace = SPACE, width: int = 5, latent: int = 7, seed: int = 0, **options: Any
) -> Generator:
    """As a reader opens it: in evaluation mode."""
    config = Generator.Config(width=width, latent=latent, **options)
    rng = torch.Generator().manual_seed(seed)
    weights = {
        name: torch.randn(value.shape, generator=rng) * (2 / max(8, value[0].numel())) ** 0.5
        for name, value in blank(config, space=space).state_dict().items()
        if value.is_floating_point()
    }
    for name, value in weights.items():
        if name.endswith(("running_var", "norm.weight")):
            value.abs_().add_(0.5)
    return Generator(config, space=space, weights=weights).eval()


def header(made: Generator) -> dict[str, Any]:
    """The header of its file."""
    space = made.space.to_json()
    return HEADER | {
        "kind": "generator",
        "config": asdict(made.config),
        "space": space,
        "classes": list(made.space.classes),
        "budget": {"bytes": made.num_bytes(), "floats": made.num_floats(), "images": None},
    }
