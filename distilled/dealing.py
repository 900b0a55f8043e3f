"""How a fixed set is dealt into batches without end: the same by a service and by who holds the artifact's file.

Each batch can be found without those before it, and follows from the artifact's digest, the seed, its size and its
number alone.
"""
# Shapes: N images of a batch.

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Deal:
    """The index-th batch of `images` images that are dealt to `classes` classes in turn, batch after batch.

    So a batch has as many of each class, or one more of those whose turn it is, and no class falls behind.
    """

    images: int
    classes: int
    index: int = 0

    @property
    def before(self) -> list[int]:
        """Images that each class had in earlier batches."""
        return self._dealt(self.index)

    @property
    def numbers(self) -> list[int]:
        """Images of each class in this batch."""
        return [after - before for before, after in zip(self.before, self._dealt(self.index + 1), strict=True)]

    def _dealt(self, batches: int) -> list[int]:
        return [(batches * self.images + self.classes - 1 - place) // self.classes for place in range(self.classes)]


def places(
    labels_N: NDArray[np.int64], *, held: int, before: Mapping[int, int], digest: str, seed: int
) -> NDArray[np.int64]:
    """The place 0..held-1 of each image among those of its class, int64 [N]: all are dealt before any comes again.

    before: how many images of each class were dealt earlier. A class has its own orders, whatever others are dealt.
    """
    places_N = np.empty_like(labels_N)
    for k in np.unique(labels_N).tolist():
        asked_N = labels_N == k
        places_N[asked_N] = walk(before[k], int(asked_N.sum()), total=held, key=f"{digest}/{seed}/{k}")
    return places_N


def walk(start: int, count: int, *, total: int, key: str) -> NDArray[np.int64]:
    """Steps start .. start+count-1 of a walk through 0..total-1, every epoch in another order: int64 [count].

    The order sorts raw output of a counter-based generator, which numpy keeps the same in every version, as it does not
    keep its shuffles (NEP 19).
    """
    epochs = range(start // total, (start + count - 1) // total + 1)
    orders = np.concatenate([_order(total, key=f"{key}/{epoch}") for epoch in epochs])
    return orders[start % total :][:count]


def _order(total: int, *, key: str) -> NDArray[np.int64]:
    named = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big")
    return np.random.Philox(key=named).random_raw(total).argsort(kind="stable")
