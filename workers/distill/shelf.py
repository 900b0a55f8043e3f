"""Resources that are costly to make and that other runs can use again, such as expert trajectories.

A resource is named after a digest of everything that it follows from, so whoever finds one under a key may take it for
their own. It carries a digest of its tensors: what was damaged on the way is as good as not there, and is made anew.
"""

import hashlib
import json
import os
import struct
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor


class Shelf(Protocol):
    """Where resources are kept. Keys are sha256 in hex."""

    def load(self, key: str) -> dict[str, Tensor] | None:
        """The tensors under the key, on the CPU; None where there are none, or none that are whole."""
        ...

    def save(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep the tensors under the key, in place of what was there."""
        ...


@runtime_checkable
class SharedShelf(Shelf, Protocol):
    """A shelf whose resources others make as well, at the same time."""

    def turns(self, keys: Sequence[str]) -> Generator[tuple[int | None, int]]:
        """Which of these is to be made here now, until all are made, and how many are; None: others are at the rest.

        Whoever makes one saves it before asking for the next, and closes this where it cannot be made.
        """
        ...


def turns(shelf: Shelf, keys: Sequence[str]) -> Generator[tuple[int | None, int]]:
    """Which of the resources under these keys, none of which is there, to make next: see `SharedShelf.turns`."""
    if isinstance(shelf, SharedShelf):
        yield from shelf.turns(keys)
    else:
        yield from ((i, i) for i in range(len(keys)))


class MemoryShelf:
    """A shelf for as long as the process lives."""

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}

    def load(self, key: str) -> dict[str, Tensor] | None:
        return unpack(self._held[key]) if key in self._held else None

    def save(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        self._held[key] = pack(tensors)


class FolderShelf:
    """A shelf in a folder (made when first needed), a file a resource. A reader finds the whole file or none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, key: str) -> dict[str, Tensor] | None:
        try:
            return unpack(self._path(key).read_bytes())
        except FileNotFoundError:
            return None

    def save(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        # Named after the process: two that make the same resource must not write into one file.
        part = self._path(f"{key}.{os.getpid()}.part")
        part.write_bytes(pack(tensors))
        part.replace(self._path(key))

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.safetensors"


def pack(tensors: Mapping[str, Tensor]) -> bytes:
    """A resource as bytes: a safetensors file whose metadata is the digest of its tensors."""
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(held, metadata={"digest": _digest(held)})


def unpack(content: bytes) -> dict[str, Tensor] | None:
    """The inverse of `pack`; None where the bytes are not the ones that were packed."""
    try:
        (length,) = struct.unpack("<Q", content[:8])
        digest = json.loads(content[8 : 8 + length])["__metadata__"]["digest"]
        tensors = load(content)
    except (struct.error, ValueError, KeyError, TypeError, SafetensorError):
        return None
    return tensors if _digest(tensors) == digest else None


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """sha256 (hex) over names, types, shapes and values."""
    out = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        out.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        out.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return out.hexdigest()
