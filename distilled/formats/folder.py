"""Sets as pictures: a zip in torchvision's ImageFolder layout.

Folders are named after the classes, and ImageFolder numbers them in alphabetical order; `classes.json` beside them
holds the true order, and the soft labels, which a folder cannot say.
"""

import io
import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from distilled.errors import Problem
from distilled.formats.archives import stored_zip
from distilled.formats.names import folder_names
from distilled.formats.sets import SyntheticSet, UnsuitableSet


def png_zip(synthetic: SyntheticSet) -> bytes:
    """`classes.json`, then `train/<class>/<index>.png`; the index counts within the class, from 0."""
    if synthetic.images.dtype != np.uint8:
        detail = "png holds uint8 images; ask for dtype=uint8, or for another format"
        raise UnsuitableSet([Problem(pointer="/dtype", detail=detail)])
    return stored_zip(_members(synthetic))


def _members(synthetic: SyntheticSet) -> Iterator[tuple[str, bytes]]:
    folders = folder_names(synthetic.classes)
    seen = [0] * len(folders)
    paths: list[str] = []
    for label in synthetic.labels_N.tolist():
        paths.append(f"train/{folders[label]}/{seen[label]:05d}.png")
        seen[label] += 1
    about: dict[str, object] = {"classes": list(synthetic.classes), "folders": folders}
    if synthetic.soft_labels is not None:
        about["soft_labels"] = dict(zip(paths, synthetic.soft_labels.tolist(), strict=True))
    yield "classes.json", json.dumps(about, ensure_ascii=True, indent=1).encode()
    for path, image in zip(paths, synthetic.images, strict=True):
        yield path, png(np.asarray(image, dtype=np.uint8))


def png(bytes_HWC: NDArray[np.uint8]) -> bytes:
    """One picture: grey, or red-green-blue. Raises UnsuitableSet for other numbers of channels."""
    channels = bytes_HWC.shape[2]
    if channels not in (1, 3):
        detail = f"png holds 1 or 3 channels and these images have {channels}; ask for another format"
        raise UnsuitableSet([Problem(pointer="/format", detail=detail)])
    picture = Image.fromarray(bytes_HWC[..., 0] if channels == 1 else np.ascontiguousarray(bytes_HWC))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()
