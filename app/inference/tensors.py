"""Tensors of an inference request: numbers in JSON or bytes behind it, checked against what is said of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidRequest
from app.problems import pointer

#: Datatypes of the protocol that something here is given in, as little-endian arrays.
DATATYPES = {"UINT8": np.dtype("u1"), "INT64": np.dtype("<i8"), "FP32": np.dtype("<f4")}
#: Kinds of numpy arrays that a JSON list may become for each datatype of an input, before it is cast.
FROM_JSON = {"INT64": "i", "FP32": "iuf"}

Path = tuple[object, ...]


def read_tensor(tensor: Mapping[str, Any], rest: bytes, *, path: Path) -> tuple[NDArray[Any], int]:
    """The array that an input holds, and how many of the bytes behind the document it took.

    path: where the input stands in the document. Raises InvalidRequest.
    """
    known(tensor, ("name", "shape", "datatype", "parameters", "data"), path=path)
    shape, datatype = _shape(tensor, path), _datatype(tensor, path)
    size = _binary_size(tensor, path)
    if size is None:
        return _from_json(tensor, shape, datatype, path), 0
    where, said = pointer([*path, "parameters", "binary_data_size"]), math.prod(shape) * DATATYPES[datatype].itemsize
    if size != said:
        raise InvalidRequest.at(where, f"is {size}; {datatype} of shape {shape} has {said} bytes")
    if size > len(rest):
        raise InvalidRequest.at(where, f"is {size}; {len(rest)} bytes are left behind the JSON document")
    return np.frombuffer(rest[:size], DATATYPES[datatype]).reshape(shape), size


def _binary_size(tensor: Mapping[str, Any], path: Path) -> int | None:
    """How many bytes behind the document are the tensor's; None where its numbers stand in the document."""
    parameters = parameters_of(tensor, path=path)
    where = pointer([*path, "parameters"])
    unknown = [name for name in parameters if name != "binary_data_size"]
    if unknown:
        raise InvalidRequest.at(where, f"knows binary_data_size alone, not {unknown[0][:64]!r}; remove it")
    size = parameters.get("binary_data_size")
    if size is None:
        return None
    if not is_whole(size):
        raise InvalidRequest.at(f"{where}/binary_data_size", "must be a number of bytes")
    if "data" in tensor:
        raise InvalidRequest.at(pointer([*path, "data"]), "does not go with binary_data_size; send one of the two")
    return size


def _shape(tensor: Mapping[str, Any], path: Path) -> list[int]:
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not 1 <= len(shape) <= 8 or not all(is_whole(side) for side in shape):
        raise InvalidRequest.at(pointer([*path, "shape"]), "must be a list of 1 to 8 whole numbers of at least 0")
    return shape


def _datatype(tensor: Mapping[str, Any], path: Path) -> str:
    datatype = tensor.get("datatype")
    if not isinstance(datatype, str) or datatype not in FROM_JSON:
        raise InvalidRequest.at(pointer([*path, "datatype"]), f"must be one of {', '.join(FROM_JSON)}")
    return datatype


def _from_json(tensor: Mapping[str, Any], shape: list[int], datatype: str, path: Path) -> NDArray[Any]:
    """The array of a list of numbers, which the protocol allows to be flat or nested."""
    data, where = tensor.get("data"), pointer([*path, "data"])
    if not isinstance(data, list):
        raise InvalidRequest.at(where, "is required: a list of numbers, or bytes behind the JSON document")
    try:
        array = np.array(data)
    except (ValueError, OverflowError, RecursionError) as error:  # rows of different lengths, or nested too deep
        raise InvalidRequest.at(where, f"must be one flat list, or lists nested as `shape` says: {shape}") from error
    if array.size and array.dtype.kind not in FROM_JSON[datatype]:
        raise InvalidRequest.at(where, f"must hold numbers of {datatype} alone")
    if array.size != math.prod(shape) or (array.ndim > 1 and list(array.shape) != shape):
        raise InvalidRequest.at(where, f"has the shape {list(array.shape)}; `shape` says {shape}")
    with np.errstate(over="ignore"):  # what is too large for the datatype is refused by whoever asks for finite numbers
        return array.astype(DATATYPES[datatype]).reshape(shape)


def is_whole(value: object) -> bool:
    """Whether a JSON value is a whole number in 0..2**63 - 1; true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def parameters_of(holder: Mapping[str, Any], *, path: Path) -> dict[str, Any]:
    """A copy of the `parameters` of a request or a tensor. Raises InvalidRequest."""
    parameters = holder.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise InvalidRequest.at(pointer([*path, "parameters"]), "must be an object")
    return dict(parameters or {})


def known(holder: Mapping[str, Any], names: Sequence[str], *, path: Path) -> None:
    """Raise InvalidRequest where an object has other fields than these."""
    unknown = [name for name in holder if name not in names]
    if unknown:
        detail = f"{unknown[0][:64]!r} is not known here; known are {', '.join(names)}"
        raise InvalidRequest.at(pointer(path), detail)
