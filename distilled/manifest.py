"""The header of an artifact file: what it is and how it was made, with no clock and no job in it.

The header is part of the bytes that the digest names, so it holds only what follows from recipe, data, seed, code and
kind of device. What is learnt later (accuracy, aliases, the job) stands in the registry's manifest around it.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from distilled.errors import ArtifactError

FORMAT = 1
#: The keys that every header has, with their JSON types.
KEYS: dict[str, type | tuple[type, ...]] = {
    "format": int,
    "kind": str,  # parametrization: images, memory, generator
    "config": dict,  # its options
    "space": dict,  # shape [C, H, W], mean and std per channel
    "classes": list,
    "dataset": dict,  # name, digest, licence
    "ipc": int,  # images per class of the budget that was asked for
    "budget": dict,  # bytes, floats and distinct images of what is stored
    "recipe": dict,  # fully expanded
    "seed": int,
    "steps": int,
    "images_seen": int,  # synthetic images drawn while distilling
    "code_version": str,
    "device_kind": str,  # cpu, cuda
}
#: Keys that a header may have.
OPTIONAL: dict[str, type] = {
    "base": dict,  # of a continued memory: the digest of the file it continues, and the data sets it was made from
}


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_json(value: Any) -> str:
    """sha256 of the canonical JSON, hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def check_header(header: Mapping[str, Any]) -> dict[str, Any]:
    """The header, if every key is there in its type. Raises ArtifactError naming the first that is not."""
    if not isinstance(header, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] -- it comes from a file
        raise ArtifactError("the header is no JSON object")
    if header.get("format") != FORMAT:
        raise ArtifactError(f"format {header.get('format')!r} is not {FORMAT}, the one this version reads; update it")
    for key, kind in KEYS.items():
        if not isinstance(header.get(key), kind):
            raise ArtifactError(f"the header's {key!r} is missing or of another type")
    for key, kind in OPTIONAL.items():
        if key in header and not isinstance(header[key], kind):
            raise ArtifactError(f"the header's {key!r} is of another type")
    return dict(header)
