"""Requests and answers of the Open Inference Protocol v2 as bytes: JSON, and the binary tensor data extension.

With the extension a body is a JSON document, whose length is in the header `Inference-Header-Content-Length`, followed
by the tensors' bytes in the order of the document: little-endian, row-major. Both directions may use it.
Sources: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol and
…/v2-protocol/binary-tensor-data-extension.
"""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from numpy.typing import NDArray

from app.bodies import is_text
from app.errors import InvalidRequest, Unreadable
from app.inference.tensors import DATATYPES, Path, known, parameters_of, read_tensor
from app.middleware.limits import JSON_BYTES
from app.problems import pointer

HEADER_LENGTH = "Inference-Header-Content-Length"
#: zlib's code for "gzip or zlib, whichever the data are".
ANY_DEFLATE = 32 + zlib.MAX_WBITS
#: An `id` has at most so many characters, a length so many digits, a request so many tensors.
MAX_ID, MAX_DIGITS, MAX_TENSORS = 256, 18, 8


@dataclass(frozen=True, kw_only=True)
class RequestedOutput:
    """A tensor that the caller wants, and how."""

    name: str
    binary: bool
    parameters: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class InferRequest:
    """What an inference request says, its tensors read. `outputs` is None where all are wanted."""

    id: str | None
    parameters: dict[str, Any]
    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, RequestedOutput] | None
    binary: bool  # whether tensors are wanted as bytes where nothing else is said


def inflated(body: bytes, *, encoding: str) -> bytes:
    """The body without its Content-Encoding. Raises InvalidRequest for one that is unknown, damaged or too large."""
    if encoding in ("", "identity"):
        return body
    where = "/header/content-encoding"
    if encoding not in ("gzip", "deflate"):
        raise InvalidRequest.at(where, "must be gzip or deflate, or left out")
    unpacking = zlib.decompressobj(wbits=ANY_DEFLATE)
    try:
        out = unpacking.decompress(body, JSON_BYTES + 1)
    except zlib.error as error:
        raise InvalidRequest.at(where, f"says {encoding}, and the body is not; send it uncompressed") from error
    if len(out) > JSON_BYTES:
        raise InvalidRequest.at(where, f"hides a body of more than {JSON_BYTES} bytes; send less")
    if not unpacking.eof:
        raise Unreadable
    return out


def read_request(body: bytes, *, header_length: str | None) -> InferRequest:
    """The request in a body. Raises InvalidRequest naming what does not fit the protocol."""
    document, rest = _split(body, header_length)
    known(document, ("id", "parameters", "inputs", "outputs"), path=())
    known_as = document.get("id")
    if known_as is not None and not (isinstance(known_as, str) and len(known_as) <= MAX_ID and is_text(known_as)):
        raise InvalidRequest.at("/id", f"must be text of at most {MAX_ID} characters")
    parameters = parameters_of(document, path=())
    binary = _flag(parameters.pop("binary_data_output", False), ("parameters", "binary_data_output"))
    return InferRequest(
        id=known_as,
        parameters=parameters,
        inputs=_inputs(document, rest),
        outputs=_outputs(document, binary=binary) if document.get("outputs") else None,
        binary=binary,
    )


def encode(
    document: Mapping[str, Any], tensors: Sequence[tuple[str, NDArray[Any], bool]]
) -> tuple[bytes, dict[str, str]]:
    """The body of an answer and its headers. tensors: each with its name, and whether it goes as bytes."""
    outputs: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for name, array, binary in tensors:
        datatype = next(known for known, dtype in DATATYPES.items() if dtype == array.dtype)
        described: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(array.shape)}
        if binary:
            parts.append(array.astype(DATATYPES[datatype], order="C", copy=False).tobytes())
            described["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            described["data"] = array.ravel().tolist()
        outputs.append(described)
    head = json.dumps({**document, "outputs": outputs}, separators=(",", ":"), allow_nan=False).encode()
    if not parts:
        return head, {"Content-Type": "application/json"}
    return b"".join([head, *parts]), {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}


def _split(body: bytes, header_length: str | None) -> tuple[dict[str, Any], bytes]:
    """The JSON document, and the bytes behind it."""
    length = len(body)
    if header_length is not None:
        digits = header_length.isascii() and header_length.isdecimal() and len(header_length) <= MAX_DIGITS
        if not digits or int(header_length) > len(body):
            where = f"/header/{HEADER_LENGTH.lower()}"
            raise InvalidRequest.at(where, f"must be the number of bytes of the JSON document, at most {len(body)}")
        length = int(header_length)
    try:
        document = json.loads(body[:length], parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        said = f"; is {HEADER_LENGTH} its length?" if header_length is not None else ""
        raise InvalidRequest.at("", f"must be a JSON document in UTF-8{said}") from error
    if not isinstance(document, dict):
        raise InvalidRequest.at("", 'must be a JSON object such as {"inputs": [{"name": "labels", …}]}')
    return document, body[length:]


def _inputs(document: Mapping[str, Any], rest: bytes) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    used = 0
    for path, tensor in _named(document, "inputs"):
        array, size = read_tensor(tensor, rest[used:], path=path)
        used += size
        if tensor["name"] in found:
            raise InvalidRequest.at(pointer([*path, "name"]), "is given twice; name each input once")
        found[tensor["name"]] = array
    if used < len(rest):
        detail = f"{len(rest) - used} bytes are left behind the last tensor; give each its binary_data_size"
        raise InvalidRequest.at("/inputs", detail)
    return found


def _outputs(document: Mapping[str, Any], *, binary: bool) -> dict[str, RequestedOutput]:
    found: dict[str, RequestedOutput] = {}
    for path, wanted in _named(document, "outputs"):
        known(wanted, ("name", "parameters"), path=path)
        if wanted["name"] in found:
            raise InvalidRequest.at(pointer([*path, "name"]), "is wanted twice; name each output once")
        parameters = parameters_of(wanted, path=path)
        as_bytes = _flag(parameters.pop("binary_data", binary), (*path, "parameters", "binary_data"))
        found[wanted["name"]] = RequestedOutput(name=wanted["name"], binary=as_bytes, parameters=parameters)
    return found


def _named(document: Mapping[str, Any], field: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The objects of a list, each with its path and a name that is text."""
    items = document.get(field, [])
    if not isinstance(items, list) or len(items) > MAX_TENSORS:
        raise InvalidRequest.at(pointer([field]), f"must be a list of at most {MAX_TENSORS} tensors")
    for i, item in enumerate(items):
        if not isinstance(item, dict):
            raise InvalidRequest.at(pointer([field, i]), "must be an object")
        if not isinstance(item.get("name"), str):
            raise InvalidRequest.at(pointer([field, i, "name"]), "is required, as text")
        yield (field, i), item


def _flag(value: object, path: Path) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest.at(pointer(path), "must be true or false")
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
