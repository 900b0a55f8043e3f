"""Sets as an Arrow IPC stream, a record batch for each batch of images; needs pyarrow.

Columns: `image`, Arrow's type for tensors of one shape (uint8 [H, W, C], or float32 [C, H, W] standardised), `label`
int64, and `soft_label` float32 [K] where held. The schema's metadata key `classes` has the names as JSON.
"""
# Shapes: N images, H height, W width, C channels, K classes.

import json
from typing import Any

import numpy as np
import pyarrow as pa

from distilled.formats.sets import SyntheticSet

#: An empty message, which ends a stream.
END = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def arrow_stream(synthetic: SyntheticSet) -> bytes:
    """The whole set as one batch of one stream."""
    return head(synthetic) + body(synthetic, first=0) + tail()


def head(synthetic: SyntheticSet) -> bytes:
    """The schema, which a stream begins with, wherever it begins."""
    return _batch(synthetic).schema.serialize().to_pybytes()


def body(synthetic: SyntheticSet, *, first: int) -> bytes:
    """One batch, whatever its number."""
    return _batch(synthetic).serialize().to_pybytes()


def tail() -> bytes:
    """What a stream ends with."""
    return END


def _batch(synthetic: SyntheticSet) -> Any:
    axes = ("H", "W", "C") if synthetic.images.dtype == np.uint8 else ("C", "H", "W")
    # numpy leaves any stride on an axis of size 1, and pyarrow takes the order of the axes from strides.
    images = synthetic.images.reshape(-1).reshape(synthetic.images.shape)
    columns: dict[str, Any] = {
        "image": pa.FixedShapeTensorArray.from_numpy_ndarray(images, dim_names=axes),
        "label": pa.array(synthetic.labels_N),
    }
    if synthetic.soft_labels is not None:
        flat = pa.array(np.ascontiguousarray(synthetic.soft_labels).reshape(-1))
        columns["soft_label"] = pa.FixedSizeListArray.from_arrays(flat, len(synthetic.classes))
    batch = pa.record_batch(columns)
    return batch.replace_schema_metadata({"classes": json.dumps(synthetic.classes)})
