"""Real images for the pages, from wherever the front end has them, in little memory.

What training sees is what is shown: the images that are held out for validation are told apart here as workers do it
(`distilled.picking`). Nothing is downloaded from outside and nothing unpickled: a set whose files are not in a form
that numpy reads is told to be elsewhere.
"""
# Shapes: N images, C channels, H height, W width.

import hashlib
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.datasets.places import Arrays, Place, find
from app.services import Services
from distilled.budget import held_out
from distilled.picking import VALIDATION_SPLIT, pick

SPLITS = ("train", "val", "test")
#: Of a class, at most: its first so many. Enough for 5,000 images of 128 x 128 in colour.
CLASS_BYTES = 256 * 1024**2


def real_images(
    services: Services, name: str, *, class_index: int, split: str = "train", start: int = 0, limit: int | None = None
) -> NDArray[np.uint8]:
    """bytes_NHWC of a class in the order of the data set; none where the class has fewer than `start`.

    split: `train` (what is learnt from), `val` or `test`. limit: how many; None for all, of a very large class the
    first CLASS_BYTES. Kept on disk by class, so that asking again is cheap. Raises NotFound, DataNotHere, and
    ValueError for a class or a split that there cannot be.
    """
    place = find(services, name)
    channels, height, width = place.shape
    if split not in SPLITS or not 0 <= class_index < len(place.classes) or start < 0:
        raise ValueError(f"{name} has no class {class_index} in {split} from {start} on")
    size = prod(place.shape)

    def read() -> bytes:
        with place.open() as arrays:
            member, places_N, labels_N = _split(arrays, split, classes=len(place.classes))
            chosen_N = places_N[labels_N == class_index][: CLASS_BYTES // size]
            return arrays.rows(member, chosen_N.tolist()).tobytes()

    key = hashlib.sha256(f"real images 1/{place.key}/{split}/{class_index}".encode()).hexdigest()
    kept = services.exports.content(key, read, media_type="application/octet-stream", filename=key)
    held = kept.size // size
    first = min(start, held)
    last = held if limit is None else min(held, first + limit)
    content = b"".join(kept.read(first * size, last * size))
    return np.frombuffer(content, dtype=np.uint8).reshape(-1, height, width, channels)


def samples(
    place: Place, *, classes: Sequence[int], columns: int, split: str = "train", start: int = 0, seed: int | None = None
) -> list[NDArray[np.uint8]]:
    """bytes_NHWC of each of the classes, at most `columns` images: those from `start` on, or with a seed drawn by it.

    All from one pass over the data. Raises DataNotHere.
    """
    with place.open() as arrays:
        member, places_N, labels_N = _split(arrays, split, classes=len(place.classes))
        chosen = [places_N[labels_N == k] for k in classes]
        if seed is None:
            chosen = [of_class[start : start + columns] for of_class in chosen]
        else:
            chosen = [_drawn(of_class, columns, seed=seed, k=k) for k, of_class in zip(classes, chosen, strict=True)]
        wanted = np.unique(np.concatenate(chosen))
        rows = arrays.rows(member, wanted.tolist())
        return [rows[np.searchsorted(wanted, of_class)] for of_class in chosen]


def _drawn(places_N: NDArray[np.int64], count: int, *, seed: int, k: int) -> NDArray[np.int64]:
    """A class's own draw, whichever other classes are asked for beside it."""
    return np.random.default_rng([seed, k]).permutation(places_N)[:count]


def _split(arrays: Arrays, split: str, *, classes: int) -> tuple[str, NDArray[np.int64], NDArray[Any]]:
    """The member of the file that holds a split, the places of its images in there, and their labels."""
    if split == "test" or "val" in arrays.splits:
        labels_N = arrays.labels(split)
        return split, np.arange(len(labels_N)), labels_N
    labels_N = arrays.labels("train")
    counts = np.bincount(labels_N, minlength=classes).tolist()
    out_N = np.array(pick(labels_N.tolist(), held_out(counts), name=VALIDATION_SPLIT))
    places_N = np.flatnonzero(out_N == (split == "val"))
    return "train", places_N, labels_N[places_N]
