"""What the Open Inference Protocol answers, beside inference itself."""

from typing import Any

from pydantic import BaseModel, Field


class ErrorRead(BaseModel):
    """What every error below /v2 looks like."""

    error: str


class ServerMetadata(BaseModel):
    """What the server is, and which extensions of the protocol it speaks."""

    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    """The server answers."""

    live: bool = True


class Ready(BaseModel):
    """Models can be asked."""

    ready: bool = True


class ModelReady(Ready):
    """The model can be asked."""

    name: str


class TensorMetadata(BaseModel):
    """A tensor that a model takes or gives."""

    name: str
    datatype: str
    shape: list[int] = Field(description="-1 where the size is the caller's choice")


class ModelMetadata(BaseModel):
    """A model: its versions, what goes in and what comes out."""

    name: str
    versions: list[str] = Field(description="one: the sha256 of the artifact's file")
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class IndexRequest(BaseModel):
    """Which models to list."""

    ready: bool = Field(default=False, strict=True, description="those alone that are ready, which all are")


class IndexItem(BaseModel):
    """A model in the list of all."""

    name: str
    version: str
    state: str = "READY"
    reason: str = ""


#: OpenAPI's description of an inference request; the body may have tensors' bytes behind it.
INFER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object", "description": "`seed`, `dtype` (uint8 or float32), `binary_data_output`"},
        "inputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "shape", "datatype"],
                "properties": {
                    "name": {"enum": ["labels", "mix", "seed"]},
                    "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
                    "datatype": {"enum": ["INT64", "FP32"]},
                    "parameters": {"type": "object", "description": "`binary_data_size`"},
                    "data": {"type": "array"},
                },
            },
        },
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"enum": ["images", "labels", "soft_labels"]},
                    "parameters": {"type": "object", "description": "`binary_data`; of `images` also `dtype`"},
                },
            },
        },
    },
}
