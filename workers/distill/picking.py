"""Some of each class, the same for ever. Without torch: who looks at an upload in a process of its own has none."""

from collections.abc import Sequence
from hashlib import sha256


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
