"""What can be asked of an artifact's images."""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from app.problems import responses
from app.samples.choosing import MAX_IMAGES

MAX_SEED = 2**63 - 1
#: Batches of a seed that can be asked for by number.
MAX_INDEX = 2**31 - 1

BINARY = {"type": "string", "format": "binary"}
#: What a route that answers with a file may answer, beside it.
PARTIAL: dict[int | str, dict[str, Any]] = {
    206: {"description": "the part that Range asked for"},
    304: {"description": "the caller has it already"},
    **responses(404, 416, 422),
}


def files(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entry of an answer that is a file of one of these kinds."""
    content = {kind: {"schema": BINARY} for kind in media_types}
    return {200: {"description": "the file", "content": content}}


class Format(StrEnum):
    """A file format for a batch."""

    SAFETENSORS = "safetensors"  #: arrays `images`, `labels`, `soft_labels`
    NPZ = "npz"  #: MedMNIST's keys
    PNG = "png"  #: a zip in ImageFolder layout
    JSON = "json"  #: nested lists


class DownloadFormat(StrEnum):
    """A file format for a whole synthetic set."""

    SAFETENSORS = "safetensors"  #: arrays `images`, `labels`, `soft_labels`
    NPZ = "npz"  #: MedMNIST's keys
    PNG = "png"  #: a zip in ImageFolder layout
    PARQUET = "parquet"  #: the Hugging Face convention: `image`, `label`, `soft_label`
    WEBDATASET = "webdataset"  #: a tar of `.png`, `.cls` and `.soft.npy`
    ARROW = "arrow"  #: an IPC stream of `image`, `label`, `soft_label`


class StreamFormat(StrEnum):
    """A format that can be written without an end."""

    WEBDATASET = "webdataset"  #: a tar of `.png`, `.cls` and `.soft.npy`
    ARROW = "arrow"  #: an IPC stream, a record batch for each batch


class Dtype(StrEnum):
    """How images are given."""

    UINT8 = "uint8"  #: bytes, N x H x W x C
    FLOAT32 = "float32"  #: normalised, N x C x H x W


class MixRow(BaseModel):
    """Images of a mixture of classes."""

    model_config = ConfigDict(extra="forbid")

    mix: dict[str, Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]] = Field(
        min_length=1, max_length=1000, description="weight of each class, by name or index; they need not add up to 1"
    )
    count: int = Field(ge=1, le=MAX_IMAGES, description="how many such images")


Classes = Annotated[
    list[str] | None,
    Query(description="classes by name or index, repeated or separated by commas; all of them without it"),
]
Ipc = Annotated[int | None, Query(ge=1, le=MAX_IMAGES, description="images of each class")]
Ratio = Annotated[
    float | None,
    Query(gt=0, le=1, allow_inf_nan=False, description="synthetic images over real training images"),
]
Count = Annotated[int | None, Query(ge=1, le=MAX_IMAGES, description="images in all, spread evenly over the classes")]
Index = Annotated[
    int,
    Query(ge=0, le=MAX_INDEX, description="number of the batch among those of the seed, from 0; as in a stream"),
]
Seed = Annotated[
    int | None,
    Query(ge=0, le=MAX_SEED, description="the same seed gives the same bytes; without one it is drawn: see X-Seed"),
]
