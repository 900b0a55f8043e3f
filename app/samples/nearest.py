"""Which real image lies nearest to a synthetic one: squared Euclidean distance over bytes, exact."""
# Shapes: M synthetic images, N real ones of a piece, D values of an image.

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """For each of M images: index of the nearest real one, their squared distance, and its bytes [M, H, W, C].

    An index of -1: there was no real image.
    """

    index_M: NDArray[np.int64]
    distance_M: NDArray[np.int64]
    bytes_MHWC: NDArray[np.uint8]


def nearest(bytes_MHWC: NDArray[np.uint8], pieces: Iterable[NDArray[np.uint8]]) -> Nearest:
    """The nearest of the real images that come in pieces, uint8 [N, H, W, C]; of two as near the earlier one.

    |a - b|² = |a|² + |b|² - 2ab in float64, in which sums of bytes' products are whole numbers, so nothing is rounded.
    """
    synthetic_MD = bytes_MHWC.reshape(len(bytes_MHWC), -1).astype(np.float64)
    own_M = (synthetic_MD * synthetic_MD).sum(1)
    index_M = np.full(len(synthetic_MD), -1, dtype=np.int64)
    distance_M = np.full(len(synthetic_MD), np.iinfo(np.int64).max, dtype=np.int64)
    found_MHWC = np.zeros_like(bytes_MHWC)
    first = 0
    for bytes_NHWC in pieces:
        if not len(bytes_NHWC):
            continue
        real_ND = bytes_NHWC.reshape(len(bytes_NHWC), -1).astype(np.float64)
        squared_MN = own_M[:, None] + (real_ND * real_ND).sum(1)[None] - 2 * (synthetic_MD @ real_ND.T)
        best_M = squared_MN.argmin(1)
        least_M = np.take_along_axis(squared_MN, best_M[:, None], 1)[:, 0].astype(np.int64)
        nearer_M = least_M < distance_M
        index_M[nearer_M] = first + best_M[nearer_M]
        distance_M[nearer_M] = least_M[nearer_M]
        found_MHWC[nearer_M] = bytes_NHWC[best_M[nearer_M]]
        first += len(bytes_NHWC)
    return Nearest(index_M=index_M, distance_M=distance_M, bytes_MHWC=found_MHWC)
