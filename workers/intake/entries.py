"""One image of an upload, whatever it came in, and the names that it may have."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from workers.intake.limits import Budget, refused

#: How the splits may be called.
SPLITS: Mapping[str, str] = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
LONGEST_NAME = 1024
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file or a row. fault: why there is no content. split, label: where a row says so. fraction: of the way."""

    name: str
    content: bytes | None
    fault: str = ""
    fraction: float
    split: str | None = None
    label: str | int | None = None


@dataclass(frozen=True, kw_only=True)
class Arranged:
    """Where each entry belongs: (split, index of its class), or why nowhere. named: order by name, or as they are."""

    classes: Sequence[str]
    places: Sequence[tuple[str, int] | str]
    named: bool


class Source(Protocol):
    """A file of images. It is gone through more than once, and gives the same entries in the same order each time."""

    def entries(self, budget: Budget) -> Iterator[Entry]:
        """Every image. Raises UploadError where the file cannot be taken at all."""
        ...

    def arrange(self, entries: Sequence[tuple[str, str | None, str | int | None]]) -> Arranged:
        """Splits and classes of all (name, split, label), in the order of `entries`. Raises UploadError."""
        ...


def parts_of(name: str, *, depth: int) -> tuple[str, ...]:
    """The folders and the file of a name in an archive, in Unicode's NFC. Raises UploadError for hostile ones."""
    shown = name.encode("utf-8", "replace").decode()[:200]
    why = _hostile(name)
    parts = tuple(part for part in unicodedata.normalize("NFC", name).split("/") if part not in ("", "."))
    if not why and len(parts) > depth:
        why = f"lies more than {depth} folders deep"
    if why:
        raise refused(f"/{shown}", f"{why}; pack the folder that holds train/ again, with plain names")
    return parts


def is_hidden(parts: Sequence[str]) -> bool:
    """Whether a file is one that systems leave behind, such as .DS_Store, ._cat.png and __MACOSX/cat.png."""
    return any(part.startswith(".") or part == "__MACOSX" for part in parts) or parts[-1].lower() == "thumbs.db"


def is_image(parts: Sequence[str]) -> bool:
    """Whether a file is called like an image."""
    return parts[-1].lower().endswith(SUFFIXES)


def _hostile(name: str) -> str:
    if len(name) > LONGEST_NAME:
        return f"has a name of more than {LONGEST_NAME} characters"
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        return "has a name that is not UTF-8"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        return "has control characters in its name"
    if name.startswith("/"):
        return "has an absolute path"
    if _DRIVE.match(name):
        return "names a drive"
    if "\\" in name:
        return "has a backslash in its name"
    return "leads out of its folder by `..`" if ".." in name.split("/") else ""
