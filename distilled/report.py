"""What is told about an uploaded data set after it was looked at, in the same words whoever has looked."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from distilled.errors import Problem
from distilled.kinds import Kind

#: So many files, sizes and modes are named; all are counted.
NAMED = 20
#: A name is told up to so many characters.
LONGEST = 200
AS_SENT = "as it was sent"


@dataclass(kw_only=True)
class Named:
    """Files by name and reason: the first few, and how many there are."""

    count: int = 0
    first: list[dict[str, str]] = field(default_factory=list)

    def add(self, name: str, detail: str) -> None:
        self.count += 1
        if len(self.first) < NAMED:
            self.first.append({"name": name[:LONGEST], "detail": detail})


@dataclass(kw_only=True)
class Report:
    """A look at an upload, as far as it came. Sizes are (width, height) and modes those of Pillow, of images as sent.

    num_bytes: of the file. unreadable: images that cannot be read, and were left out. skipped: files that are no
    images, or in no class. resized, converted, turned: images that were not stored as they came.
    """

    kind: Kind
    num_bytes: int
    classes: Sequence[str] = ()
    counts: Mapping[str, Sequence[int]] = field(default_factory=dict)
    sizes: "Counter[tuple[int, int]]" = field(default_factory=Counter)
    modes: "Counter[str]" = field(default_factory=Counter)
    resized: int = 0
    converted: int = 0
    turned: int = 0
    duplicates: Mapping[str, Any] | None = None
    unreadable: Named = field(default_factory=Named)
    skipped: Named = field(default_factory=Named)
    split: str = AS_SENT
    problems: Sequence[Problem] = ()
    error: Mapping[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """As the registry keeps it and the service shows it."""
        return {
            "format": str(self.kind),
            "bytes": self.num_bytes,
            "classes": [
                {"name": name, **{split: counts[k] for split, counts in self.counts.items()}}
                for k, name in enumerate(self.classes)
            ],
            "images": {split: sum(counts) for split, counts in self.counts.items()},
            "sizes": [
                {"width": width, "height": height, "images": n} for (width, height), n in _common(self.sizes.items())
            ],
            "distinct_sizes": len(self.sizes),
            "modes": dict(_common(self.modes.items())),
            "resized": self.resized,
            "converted": self.converted,
            "turned": self.turned,
            "duplicates": self.duplicates,
            "unreadable": {"count": self.unreadable.count, "first": self.unreadable.first},
            "skipped": {"count": self.skipped.count, "first": self.skipped.first},
            "split": self.split,
            "problems": [{"pointer": found.pointer, "detail": found.detail} for found in self.problems],
            "error": None if self.error is None else dict(self.error),
        }


def _common(counted: Iterable[tuple[Any, int]]) -> list[tuple[Any, int]]:
    """The most common ones, in an order that is the same each time."""
    return sorted(counted, key=lambda item: (-item[1], item[0]))[:NAMED]
