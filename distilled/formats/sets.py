"""A synthetic set as a file: one value in, the same bytes out, whatever the machine, the clock or the hash seed.

Each format is one function `SyntheticSet -> bytes`, loaded when it is asked for, so that a reader of safetensors needs
neither Pillow nor pyarrow.
"""
# Shapes: N images, H height, W width, C channels, K classes.

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from distilled.errors import InvalidInput, Problem

# name -> where its encoder lives; a new format is a line here, one in MEDIA_TYPES and one in SUFFIXES.
FORMATS = {
    "safetensors": "distilled.formats.arrays:safetensors_file",
    "npz": "distilled.formats.arrays:npz_file",
    "png": "distilled.formats.folder:png_zip",
    "json": "distilled.formats.arrays:json_file",
    "parquet": "distilled.formats.parquet:parquet_file",
    "webdataset": "distilled.formats.webdataset:webdataset_tar",
    "arrow": "distilled.formats.arrow:arrow_stream",
}

MEDIA_TYPES = {
    "safetensors": "application/octet-stream",
    "npz": "application/x-npz",
    "png": "application/zip",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
    "webdataset": "application/x-tar",
    "arrow": "application/vnd.apache.arrow.stream",
}

SUFFIXES = {
    "safetensors": ".safetensors",
    "npz": ".npz",
    "png": ".zip",
    "json": ".json",
    "parquet": ".parquet",
    "webdataset": ".tar",
    "arrow": ".arrows",
}


#: A picture is grey or red-green-blue: images with other numbers of channels fit no format that holds pictures.
PICTURE_CHANNELS = (1, 3)


class UnsuitableSet(InvalidInput):
    """The set cannot be written in this format; the problem names the parameter to change."""


@dataclass(frozen=True, kw_only=True)
class SyntheticSet:
    """N images with their labels.

    images: uint8 [N, H, W, C], or float32 [N, C, H, W] standardised.
    labels: class indices [N], or None where only soft labels are held.
    soft_labels: float32 [N, K] probabilities, or None.
    classes: the K names, in index order.
    """

    images: NDArray[np.uint8] | NDArray[np.float32]
    classes: tuple[str, ...]
    labels: NDArray[np.int64] | None = None
    soft_labels: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype not in (np.dtype(np.uint8), np.dtype(np.float32)):
            raise ValueError("images must be uint8 [N, H, W, C] or float32 [N, C, H, W]")
        if self.labels is None and self.soft_labels is None:
            raise ValueError("a set needs labels, soft_labels or both")
        count, num_classes = len(self.images), len(self.classes)
        if self.labels is not None:
            if self.labels.shape != (count,):
                raise ValueError(f"labels must have the shape [{count}], one for each image")
            if count and (self.labels.min() < 0 or self.labels.max() >= num_classes):
                raise ValueError(f"labels must lie in 0..{num_classes - 1}, the indices of the classes")
        if self.soft_labels is not None and self.soft_labels.shape != (count, num_classes):
            raise ValueError(f"soft_labels must have the shape [{count}, {num_classes}]")

    @property
    def labels_N(self) -> NDArray[np.int64]:
        """The class of each image; the most probable one where only soft labels are held."""
        if self.labels is None and self.soft_labels is not None:
            return self.soft_labels.argmax(axis=1).astype(np.int64, copy=False)
        return np.asarray(self.labels, dtype=np.int64)


def encode(synthetic: SyntheticSet, *, format: str) -> bytes:
    """The set as a file of one of `FORMATS`. Raises UnsuitableSet for another name, or a set that it cannot hold."""
    target = FORMATS.get(format)
    if target is None:
        detail = f"there is no format {format!r}; choose one of {', '.join(FORMATS)}"
        raise UnsuitableSet([Problem(pointer="/format", detail=detail)])
    module, _, function = target.partition(":")
    encoder = cast(Callable[[SyntheticSet], bytes], getattr(importlib.import_module(module), function))
    return encoder(synthetic)
