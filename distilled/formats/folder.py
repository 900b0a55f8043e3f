"""Sets as pictures: a zip in torchvision's ImageFolder layout.

Folders are named after the classes, and ImageFolder numbers them in alphabetical order; `classes.json` beside them
holds the true order, and the soft labels, which a folder cannot say.
"""

import json
from collections.abc import Iterator

from distilled.formats.archives import stored_zip
from distilled.formats.names import folder_names
from distilled.formats.pictures import pictures
from distilled.formats.sets import SyntheticSet


def png_zip(synthetic: SyntheticSet) -> bytes:
    """`classes.json`, then `train/<class>/<index>.png`; the index counts within the class, from 0."""
    return stored_zip(_members(synthetic))


def _members(synthetic: SyntheticSet) -> Iterator[tuple[str, bytes]]:
    images = pictures(synthetic, format="png")
    folders = folder_names(synthetic.classes)
    seen = [0] * len(folders)
    paths: list[str] = []
    for label in synthetic.labels_N.tolist():
        paths.append(f"train/{folders[label]}/{seen[label]:05d}.png")
        seen[label] += 1
    about: dict[str, object] = {"classes": list(synthetic.classes), "folders": folders}
    if synthetic.soft_labels is not None:
        about["soft_labels"] = dict(zip(paths, synthetic.soft_labels.tolist(), strict=True))
    yield "classes.json", json.dumps(about, ensure_ascii=True, indent=1).encode()
    yield from zip(paths, images, strict=True)
