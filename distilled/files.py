"""Artifact files: one safetensors file, whose only metadata key `manifest` is the header as canonical JSON.

One key, because several would be written in no fixed order and the same artifact would get two digests.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distilled.errors import ArtifactError, RecipeError
from distilled.extras import require_torch
from distilled.manifest import canonical_json, check_header

if TYPE_CHECKING:
    from distilled.parametrizations.base import Parametrization

#: A safetensors header longer than this is refused before it is parsed, in bytes.
MAX_HEADER_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """An opened artifact: its header, what to draw from, and the sha256 (hex) of its file."""

    header: Mapping[str, Any]
    parametrization: "Parametrization"
    digest: str


def pack(parametrization: "Parametrization", header: Mapping[str, Any]) -> bytes:
    """The artifact file's bytes: the same parametrization and header give the same bytes."""
    from safetensors.torch import save  # noqa: PLC0415 -- torch is optional for readers of headers

    return save(parametrization.stored(), metadata={"manifest": canonical_json(check_header(header))})


def read_header(source: bytes | Path) -> dict[str, Any]:
    """The header of an artifact file or of its first bytes, without torch. Raises ArtifactError."""
    return _parse(source)[0]


def tensor_table(source: bytes | Path) -> dict[str, dict[str, Any]]:
    """name -> {"dtype", "shape", "bytes"} of the stored tensors, without torch. Raises ArtifactError."""
    try:
        return {
            name: {
                "dtype": entry["dtype"],
                "shape": entry["shape"],
                "bytes": entry["data_offsets"][1] - entry["data_offsets"][0],
            }
            for name, entry in _parse(source)[1].items()
        }
    except (LookupError, TypeError) as error:
        raise ArtifactError("the file's table of tensors is damaged; fetch it again") from error


def _parse(source: bytes | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        if isinstance(source, Path):
            with source.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                raw = file.read(length) if length <= MAX_HEADER_BYTES else b""
        else:
            (length,) = struct.unpack("<Q", source[:8])
            raw = source[8 : 8 + length] if length <= MAX_HEADER_BYTES else b""
        table = json.loads(raw)
        header = check_header(json.loads(table.pop("__metadata__")["manifest"]))
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactError("this is no artifact file: its safetensors header holds no manifest") from error
    return header, table


def open_artifact(source: bytes | Path | str) -> Artifact:
    """Open an artifact file (a path or its bytes). Raises ArtifactError if it is none, MissingExtra without PyTorch."""
    require_torch("opening an artifact")
    from safetensors import SafetensorError  # noqa: PLC0415 -- torch is optional for readers of headers
    from safetensors.torch import load  # noqa: PLC0415

    from distilled import knobs  # noqa: PLC0415
    from distilled.parametrizations.base import ImageSpace, parametrization_class  # noqa: PLC0415

    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    header = read_header(content)
    kind = parametrization_class(header["kind"])
    space = ImageSpace.from_json(header["space"], classes=header["classes"])
    try:
        config = knobs.build(kind.Config, header["config"])
    except RecipeError as error:
        raise ArtifactError(f"the header's config does not fit its kind: {error}") from error
    try:
        made = kind.from_stored(config, space=space, tensors=load(content))
    except (SafetensorError, LookupError, ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        # Whatever a tensor of another shape or type than its header says comes to.
        raise ArtifactError("the file's tensors do not fit its header; fetch it again") from error
    made.requires_grad_(False)
    return Artifact(header=header, parametrization=made, digest=hashlib.sha256(content).hexdigest())
