"""Some of each class, the same for ever. Without torch: who looks at an upload in a process of its own has none."""
# Here rather than in the laboratory, because the pages show the same images of the same split.

from collections.abc import Sequence
from hashlib import sha256

#: Names of the fixed splits. A new name is a new split, and a new digest of everything made from it.
DIGITS_SPLIT = "distilled/digits/test/1"
VALIDATION_SPLIT = "distilled/validation/1"


def pick(labels: Sequence[int], counts: Sequence[int], *, name: str) -> list[bool]:
    """For each of N labels whether it is one of the `counts[k]` that are picked of its class k.

    The order of a class is that of sha256(name, position), so that neither a run's seed nor a library's version can
    move an image from one side to the other.
    """
    places: list[list[int]] = [[] for _ in counts]
    for place, k in enumerate(labels):
        places[k].append(place)
    picked = [False] * len(labels)
    for held, count in zip(places, counts, strict=True):
        for place in sorted(held, key=lambda place: sha256(f"{name}/{place}".encode()).digest())[:count]:
            picked[place] = True
    return picked
