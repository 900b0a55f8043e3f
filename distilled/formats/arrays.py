"""Sets as arrays: safetensors, npz and json."""
# Shapes: N images, H height, W width, C channels, K classes.

import io
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from distilled.formats.archives import stored_zip
from distilled.formats.sets import SyntheticSet


def safetensors_file(synthetic: SyntheticSet) -> bytes:
    """Keys `images`, and `labels`, `soft_labels` or both; the class names are JSON under `classes` in the metadata."""
    arrays: dict[str, NDArray[Any]] = {"images": np.ascontiguousarray(synthetic.images)}
    if synthetic.labels is not None:
        arrays["labels"] = np.ascontiguousarray(synthetic.labels, dtype="<i8")
    if synthetic.soft_labels is not None:
        arrays["soft_labels"] = np.ascontiguousarray(synthetic.soft_labels, dtype="<f4")
    # One metadata key only: the writer keeps metadata in a hash map, so two keys would change places between runs.
    return save(arrays, metadata={"classes": json.dumps(synthetic.classes)})


def npz_file(synthetic: SyntheticSet) -> bytes:
    """MedMNIST's convention: `train_images` without the channel axis where grey, `train_labels` int64 [N, 1].

    Its readers hand each image to Pillow, which knows no one-channel axis, and iterate over each label.
    """
    images = synthetic.images
    if images.dtype == np.uint8 and images.shape[3] == 1:
        images = images[..., 0]
    arrays: dict[str, NDArray[Any]] = {
        "train_images": images,
        "train_labels": synthetic.labels_N[:, None],
    }
    if synthetic.soft_labels is not None:
        arrays["train_soft_labels"] = synthetic.soft_labels
    arrays["classes"] = np.array(synthetic.classes, dtype=np.str_)  # Unicode, never objects: no pickle in the file
    return stored_zip((f"{name}.npy", npy(array)) for name, array in arrays.items())


def json_file(synthetic: SyntheticSet) -> bytes:
    """One object: `classes`, `dtype`, `shape`, `images`, and `labels`, `soft_labels` or both, as nested lists."""
    document: dict[str, object] = {
        "classes": list(synthetic.classes),
        "dtype": str(synthetic.images.dtype),
        "shape": list(synthetic.images.shape),
        "images": synthetic.images.tolist(),
    }
    if synthetic.labels is not None:
        document["labels"] = synthetic.labels.tolist()
    if synthetic.soft_labels is not None:
        document["soft_labels"] = synthetic.soft_labels.tolist()
    return json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()


def npy(array: NDArray[Any]) -> bytes:
    """An array as the content of a .npy file; of objects there is none."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()
