"""Class names as file names: whatever a dataset calls its classes, a folder name is safe and its own.

A class may be called `../../etc`, `CON`, `a/b`, "" or the same as its neighbour but for the case; an archive is
unpacked on file systems of every kind.
"""

import re
import unicodedata
from collections.abc import Sequence

_MAX_BYTES = 100
_UNSAFE = re.compile(r"[^\w .()+,=&'-]")  # \w is Unicode's: names need not be English
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})


def folder_names(classes: Sequence[str]) -> list[str]:
    """A folder name for each class, in order; no two equal, not even where case or Unicode form is ignored."""
    taken: set[str] = set()
    folders: list[str] = []
    for name in classes:
        safe = _safe(name)
        folder, n = safe, 1
        while _key(folder) in taken:
            n += 1
            folder = f"{safe}-{n}"
        taken.add(_key(folder))
        folders.append(folder)
    return folders


def _safe(name: str) -> str:
    text = _UNSAFE.sub("_", unicodedata.normalize("NFC", name))
    text = text.encode()[:_MAX_BYTES].decode(errors="ignore")  # a cut inside a character drops the character
    text = text.strip(" .")  # leading dots hide a folder, trailing dots and spaces vanish on Windows
    if text.startswith("-"):
        text = "_" + text[1:]  # not to be read as an option by a shell tool
    if not text or _key(text).split(".")[0] in _DEVICES:
        text = f"_{text}"
    return text


def _key(folder: str) -> str:
    return unicodedata.normalize("NFKC", folder).casefold()
