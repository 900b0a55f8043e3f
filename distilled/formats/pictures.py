"""Images as PNG files, for every format that holds pictures rather than arrays."""
# Shapes: N images, H height, W width, C channels.

import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from distilled.errors import Problem
from distilled.formats.sets import PICTURE_CHANNELS, SyntheticSet, UnsuitableSet


def pictures(synthetic: SyntheticSet, *, format: str) -> Iterator[bytes]:
    """The N images in order, a PNG each. Raises UnsuitableSet, in the name of the format, where they are no bytes."""
    if synthetic.images.dtype != np.uint8:
        detail = f"{format} holds uint8 images; ask for dtype=uint8, or for another format"
        raise UnsuitableSet([Problem(pointer="/dtype", detail=detail)])
    images_NHWC = np.asarray(synthetic.images, dtype=np.uint8)
    return (png(bytes_HWC) for bytes_HWC in images_NHWC)


def png(bytes_HWC: NDArray[np.uint8]) -> bytes:
    """One picture: grey, or red-green-blue. Raises UnsuitableSet for other numbers of channels."""
    channels = bytes_HWC.shape[2]
    if channels not in PICTURE_CHANNELS:
        detail = f"png holds 1 or 3 channels and these images have {channels}; ask for another format"
        raise UnsuitableSet([Problem(pointer="/format", detail=detail)])
    picture = Image.fromarray(bytes_HWC[..., 0] if channels == 1 else np.ascontiguousarray(bytes_HWC))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()
