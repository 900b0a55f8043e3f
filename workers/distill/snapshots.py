"""Snapshots as bytes: a safetensors file with its JSON state as metadata."""

import json
import struct
from collections.abc import Mapping

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save
from torch import Tensor

from distilled.manifest import canonical_json
from workers.distill.errors import LabError
from workers.distill.events import Snapshot


class SnapshotUnreadable(LabError):
    """The snapshot's bytes are damaged; the job starts afresh without it."""


def dump(snapshot: Snapshot) -> bytes:
    """The snapshot as bytes: the same snapshot gives the same bytes."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in snapshot.tensors.items()}
    return save(tensors, metadata={"snapshot": canonical_json({"step": snapshot.step, "state": snapshot.state})})


def load(content: bytes) -> Snapshot:
    """The inverse of `dump`. Raises SnapshotUnreadable."""
    try:
        (length,) = struct.unpack("<Q", content[:8])
        about = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["snapshot"])
        return Snapshot(step=about["step"], tensors=load_tensors(content), state=about["state"])
    except (struct.error, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise SnapshotUnreadable from error


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with the prefix, under the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
