"""Sets as Parquet, in the Hugging Face convention for image classification; needs pyarrow and Pillow.

`datasets` reads from the schema's metadata key `huggingface` that `image` is a picture and which names the labels have;
any other reader of Parquet finds PNG files, integers and floats.
"""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from distilled.formats.pictures import pictures
from distilled.formats.sets import SyntheticSet

#: Rows that a reader of one row has to load; viewers of image data sets run out of memory above this.
ROW_GROUP = 100
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def parquet_file(synthetic: SyntheticSet) -> bytes:
    """Columns `image` {bytes: a PNG, path: its name}, `label` int64, and `soft_label` list of float32 where held.

    Not compressed: pictures are already, and what a compressor writes differs between its versions.
    """
    files = [
        {"bytes": content, "path": f"{row:05d}.png"}
        for row, content in enumerate(pictures(synthetic, format="parquet"))
    ]
    columns = {"image": pa.array(files, type=IMAGE), "label": pa.array(synthetic.labels_N)}
    if synthetic.soft_labels is not None:
        columns["soft_label"] = pa.array(synthetic.soft_labels.tolist(), type=pa.list_(pa.float32()))
    about = json.dumps({"info": {"features": features(synthetic)}})
    table = pa.table(columns).replace_schema_metadata({"huggingface": about})
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        row_group_size=ROW_GROUP,
        compression="none",
        use_dictionary=False,
        write_statistics=False,  # of a picture the least and the greatest bytes say nothing
    )
    return buffer.getvalue()


def features(synthetic: SyntheticSet) -> dict[str, Any]:
    """The columns' types as `datasets` writes them down, in a schema or on a data card."""
    out: dict[str, Any] = {
        "image": {"_type": "Image"},
        "label": {"names": list(synthetic.classes), "_type": "ClassLabel"},
    }
    if synthetic.soft_labels is not None:
        out["soft_label"] = {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "List"}
    return out
