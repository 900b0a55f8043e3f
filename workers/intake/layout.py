"""ImageFolder layout: which folder is a split, which a class, and which only wraps the rest."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from workers.intake.entries import SPLITS, Arranged, is_hidden, is_image
from workers.intake.limits import refused

Parts = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """So many folders wrap everything; below them splits, or classes at once where `splits` is false."""

    wrapped: int
    splits: bool

    def place(self, parts: Parts) -> tuple[str, str] | None:
        """(split, class) of a folder or of a file in one; None for what is in no class."""
        inner = parts[self.wrapped :]
        if not self.splits:
            return ("train", inner[0]) if inner else None
        split = SPLITS.get(inner[0].lower()) if inner else None
        return (split, inner[1]) if split and len(inner) > 1 else None


def layout_of(images: Collection[Parts]) -> Layout:
    """The layout of these images' paths. Raises UploadError where there are splits, but not train."""
    wrapped = 0
    while all(len(parts) > wrapped + 2 and parts[wrapped] == _first(images)[wrapped] for parts in images):
        if _first(images)[wrapped].lower() in SPLITS:
            break
        wrapped += 1
    tops = {SPLITS.get(parts[wrapped].lower()) for parts in images if len(parts) > wrapped + 1}
    if "train" not in tops and tops - {None}:
        raise refused("", "has no folder train/; put the images to learn from into train/<class>/")
    return Layout(wrapped=wrapped, splits="train" in tops)


def arrange(paths: Sequence[Parts], folders: Iterable[Parts]) -> Arranged:
    """Splits and classes of images by their paths. A folder of a class that is empty makes a class too: it was meant.

    Raises UploadError.
    """
    images = [parts for parts in paths if is_image(parts)]
    if not images:
        raise refused("", "holds no image; put images into train/<class>/ and test/<class>/")
    layout = layout_of(images)
    placed = [layout.place(parts[:-1]) if is_image(parts) else None for parts in paths]
    there = {place for place in placed if place is not None}
    if not there:
        raise refused("", "has no image in a folder of a class; put images into train/<class>/ and test/<class>/")
    depth = layout.wrapped + 1 + layout.splits
    empty = {layout.place(parts) for parts in folders if len(parts) == depth and not is_hidden(parts)}
    classes = sorted({name for _, name in there} | {place[1] for place in empty if place is not None})
    index = {name: k for k, name in enumerate(classes)}
    wanted = "is no image in a folder of a class, such as train/<class>/"
    return Arranged(
        classes=classes,
        places=[wanted if place is None else (place[0], index[place[1]]) for place in placed],
        named=True,
    )


def _first(images: Collection[Parts]) -> Parts:
    return next(iter(images))
