"""Images that a data set holds more than once, found by a digest of each image's bytes."""
# Shapes: N images.

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

#: So many of them are named.
NAMED = 10


def digest_of(image: bytes) -> int:
    """64 bits that tell two images apart: of five million different ones, two agree once in a million data sets."""
    return int.from_bytes(hashlib.blake2b(image, digest_size=8).digest())


def found(
    digests: "Mapping[str, np.ndarray[Any, Any]]",
    labels: "Mapping[str, np.ndarray[Any, Any]]",
    *,
    name: Callable[[str, int], str],
) -> dict[str, Any]:
    """How often images are repeated, of {split: uint64 [N]} and {split: int [N]}.

    `within` a split: images that came before in it. `across` splits and `conflicting`: distinct images that stand in
    more than one split, or under more than one class. `first`: some repetitions, by the `name` of (split, position).
    """
    splits = list(digests)
    digests_N = np.concatenate([digests[split] for split in splits])
    labels_N = np.concatenate([labels[split] for split in splits])
    splits_N = np.repeat(np.arange(len(splits)), [len(digests[split]) for split in splits])
    _, first_U, which_N = np.unique(digests_N, return_index=True, return_inverse=True)
    again = np.flatnonzero(first_U[which_N] != np.arange(len(digests_N)))[:NAMED]

    def called(place: int) -> str:
        split = int(splits_N[place])
        return name(splits[split], place - int(np.searchsorted(splits_N, split)))

    return {
        "within": {split: int(len(digests[split]) - len(np.unique(digests[split]))) for split in splits},
        "across": _in_several(which_N, splits_N),
        "conflicting": _in_several(which_N, labels_N),
        "first": [{"name": called(int(n)), "same_as": called(int(first_U[which_N[n]]))} for n in again],
    }


def _in_several(which_N: "np.ndarray[Any, Any]", group_N: "np.ndarray[Any, Any]") -> int:
    """How many distinct images belong to more than one group."""
    pairs = np.unique(np.stack([which_N, group_N.astype(np.int64)]), axis=1)
    return int((np.bincount(pairs[0]) > 1).sum())
