"""The laboratory's shelf in the registry's store: what one job made, such as experts, the next one finds.

Resources are named objects, which no sweep of blobs looks at. Two workers that make the same one write the same bytes.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from hashlib import sha256

from torch import Tensor

from distilled.cache import Cache
from registry import logs
from registry.errors import BlobMissing, StoreError
from registry.models import State
from registry.portions import Wanted
from registry.store import Store
from workers.bench import Bench
from workers.distill import shelf
from workers.sharing import Sharing
from workers.writing import surely


class StoreShelf:
    """A shelf that all workers on one store share. cache: for copies, where the store is another machine's."""

    def __init__(self, store: Store, *, cache: Cache | None = None) -> None:
        self._store, self._cache = store, cache

    def load(self, key: str) -> dict[str, Tensor] | None:
        """The tensors under the key, or None. Raises StoreError where the store cannot be asked."""
        try:
            found = self._fetched(_name(key))
        except BlobMissing:
            return None
        if found is None:
            logs.get(__name__).warning("a resource is damaged and is made anew", key=key)
        return found

    def _fetched(self, name: str) -> dict[str, Tensor] | None:
        if self._cache is None:
            return shelf.unpack(self._store.get_named(name))
        # What lies under a key may be written anew, such as a teacher in training: a copy is of one such writing.
        copy = sha256(f"{name} {self._store.version_of_named(name)}".encode()).hexdigest()
        found = self._cache.find(copy, shelf.unpack)
        if found is None:
            content = self._store.get_named(name)
            found = shelf.unpack(content)
            if found is not None:
                self._cache.put(copy, content)
        return found

    def save(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep the tensors. A store that takes nothing costs the next job time, and this one nothing."""
        try:
            self._store.put_named(_name(key), shelf.pack(tensors))
        except StoreError as error:
            logs.get(__name__).warning("a resource was not kept", key=key, error=str(error))


class SharingShelf(StoreShelf):
    """The shelf of a job whose resources other workers make with it."""

    def __init__(self, store: Store, *, cache: Cache | None, sharing: Sharing, bench: Bench) -> None:
        super().__init__(store, cache=cache)
        self._sharing, self._bench = sharing, bench

    def turns(self, keys: Sequence[str]) -> Generator[tuple[int | None, int]]:
        """As of `shelf.SharedShelf`."""
        wanted = [Wanted(key=key, what={"resource": key}) for key in keys]
        if not wanted:
            return
        surely(self._bench.database, lambda session: self._sharing.ensure(session, wanted))
        with closing(self._sharing.turns(wanted)) as mine:
            for claim in mine:
                made = sum(row.state is State.SUCCEEDED for row in self._sharing.rows.values())
                self._sharing.judge(made / len(keys))
                yield (keys.index(claim.key) if claim else None), made
                if claim:
                    self._sharing.finish(claim, None)


def sharing_shelf_of(bench: Bench, *, job_id: str, request_id: str) -> SharingShelf:
    """The shelf of a job that a worker has in hand."""
    sharing = Sharing(bench, owner_id=job_id, request_id=request_id)
    return SharingShelf(bench.store, cache=_cache_of(bench), sharing=sharing, bench=bench)


def shelf_of(bench: Bench) -> StoreShelf:
    """The shelf of a worker."""
    return StoreShelf(bench.store, cache=_cache_of(bench))


def _cache_of(bench: Bench) -> Cache | None:
    """None where the store is a folder, which is as near as a copy would be."""
    return None if bench.settings.store_url.startswith("file:") else bench.cache


def _name(key: str) -> str:
    return f"resources/{key}.safetensors"
