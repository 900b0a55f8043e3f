"""A batch as arrays."""
# Shapes: N images, H height, W width, C channels, K classes.

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import load

_LENGTH_BYTES = 8  # a safetensors file starts with the length of its JSON header, little-endian


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Images with their labels, as the service drew them.

    images: uint8 [N, H, W, C], or float32 [N, C, H, W] standardised. labels: int64 [N]. soft_labels: float32 [N, K].
    seed: the same query with this seed gives the same bytes; None where the batch was not drawn by chance.
    """

    images: NDArray[Any]
    labels: NDArray[Any] | None
    soft_labels: NDArray[Any] | None
    classes: tuple[str, ...]
    seed: int | None

    @classmethod
    def from_response(cls, content: bytes, *, headers: Mapping[str, str]) -> "Sample":
        arrays = load(content)
        length = int.from_bytes(content[:_LENGTH_BYTES], "little")
        about = json.loads(content[_LENGTH_BYTES : _LENGTH_BYTES + length]).get("__metadata__", {})
        seed = headers.get("X-Seed")
        return cls(
            images=arrays["images"],
            labels=arrays.get("labels"),
            soft_labels=arrays.get("soft_labels"),
            classes=tuple(json.loads(about.get("classes", "[]"))),
            seed=int(seed) if seed else None,
        )

    def __len__(self) -> int:
        return len(self.images)
