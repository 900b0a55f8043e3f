"""The laboratory's shelf in the registry's store: what one job made, such as experts, the next one finds.

Resources are named objects, which no sweep of blobs looks at. Two workers that make the same one write the same bytes.
"""

from collections.abc import Mapping

from torch import Tensor

from registry.errors import BlobMissing, StoreError
from registry.store import Store
from workers import logs
from workers.distill import shelf


class StoreShelf:
    """A shelf that all workers on one store share."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self, key: str) -> dict[str, Tensor] | None:
        """The tensors under the key, or None. Raises StoreError where the store cannot be asked."""
        try:
            found = shelf.unpack(self._store.get_named(_name(key)))
        except BlobMissing:
            return None
        if found is None:
            logs.get(__name__).warning("a resource is damaged and is made anew", key=key)
        return found

    def save(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep the tensors. A store that takes nothing costs the next job time, and this one nothing."""
        try:
            self._store.put_named(_name(key), shelf.pack(tensors))
        except StoreError as error:
            logs.get(__name__).warning("a resource was not kept", key=key, error=str(error))


def _name(key: str) -> str:
    return f"resources/{key}.safetensors"
