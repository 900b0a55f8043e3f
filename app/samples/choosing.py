"""From a query to labels: which classes, and how many images of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.errors import InvalidRequest
from app.problems import pointer
from registry.models import Artifact

#: Images in one answer, so that one request cannot fill the memory.
MAX_IMAGES = 100_000


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How many images are asked for: at most one of the three, None of them for all that a fixed set holds."""

    ipc: int | None = None
    ratio: float | None = None
    count: int | None = None

    @property
    def field(self) -> str:
        """The parameter that was given."""
        return next((name for name in ("ipc", "ratio", "count") if getattr(self, name) is not None), "ipc")


def class_indices(asked: Sequence[str] | None, *, names: Sequence[str], where: str = "/query/classes") -> list[int]:
    """Indices of classes by name or index, in the order asked for; all of them where none is.

    A value may hold several, separated by commas. A name counts before an index. Raises InvalidRequest.
    """
    if not asked:
        return list(range(len(names)))
    wanted = [part for text in asked for part in ([text] if text in names else text.split(","))]
    found = [_index(part.strip(), names=names, where=where) for part in wanted]
    if len(set(found)) < len(found):
        raise InvalidRequest.at(where, "names a class twice; name each class once")
    return found


@dataclass(frozen=True, kw_only=True)
class Deal:
    """The index-th batch of `images` images that are dealt to `classes` classes in turn, batch after batch.

    So a batch has as many of each class, or one more of those whose turn it is, and no class falls behind.
    """

    images: int
    classes: int
    index: int = 0

    @property
    def before(self) -> list[int]:
        """Images that each class had in earlier batches."""
        return self._dealt(self.index)

    @property
    def numbers(self) -> list[int]:
        """Images of each class in this batch."""
        return [after - before for before, after in zip(self.before, self._dealt(self.index + 1), strict=True)]

    def _dealt(self, batches: int) -> list[int]:
        return [(batches * self.images + self.classes - 1 - place) // self.classes for place in range(self.classes)]


def per_class(amount: Amount, artifact: Artifact, *, classes: int, held: int | None, index: int = 0) -> Deal:
    """How many images of each of the chosen classes the index-th batch has.

    `ratio` is of the real training images: max(1, round(ratio * train / classes)) a class. `count` is dealt to the
    classes in turn. Raises InvalidRequest where none is given and the
    artifact is no fixed set, where several are, or where a fixed set holds fewer than asked for.
    """
    given = [name for name in ("ipc", "ratio", "count") if getattr(amount, name) is not None]
    if len(given) > 1:
        raise InvalidRequest.at(f"/query/{given[-1]}", f"give one of ipc, ratio and count, not {len(given)} of them")
    deal = Deal(images=_images(amount, artifact, classes=classes, held=held), classes=classes, index=index)
    where, most = f"/query/{amount.field}", -(-deal.images // classes)
    if held is not None and most > held:
        detail = f"comes to {most} images of a class; the artifact holds {held} of each: ask for at most {held}"
        raise InvalidRequest.at(where, detail)
    if deal.images > MAX_IMAGES:
        raise InvalidRequest.at(where, f"comes to {deal.images} images; one answer holds at most {MAX_IMAGES}")
    return deal


def _images(amount: Amount, artifact: Artifact, *, classes: int, held: int | None) -> int:
    """Images in all."""
    if amount.ipc is not None:
        return amount.ipc * classes
    if amount.count is not None:
        return amount.count
    if amount.ratio is not None:
        if artifact.train_images is None:
            raise InvalidRequest.at("/query/ratio", "the size of the real set is not known; ask by ipc or count")
        return max(1, round(amount.ratio * artifact.train_images / artifact.num_classes)) * classes
    if held is None:
        raise InvalidRequest.at("/query/ipc", "give one of ipc, ratio and count: this artifact serves any number")
    return held * classes


def mixtures(
    rows: Sequence[tuple[Mapping[str, float], int]], *, names: Sequence[str], held: int | None
) -> list[list[float]]:
    """Weights of every class, summing to 1, of each (mix, count).

    Classes are given by name or index; a name counts before an index. Raises InvalidRequest for a class that is unknown
    or named twice, weights that are all 0, more images of a mixture than are held of a class, or too many in all.
    """
    out: list[list[float]] = []
    for i, (mix, count) in enumerate(rows):
        where = pointer([i, "mix"])
        weights = [0.0] * len(names)
        places = [_index(name, names=names, where=where) for name in mix]
        if len(set(places)) < len(places):
            raise InvalidRequest.at(where, "names a class twice, by name and by index; name each class once")
        total = sum(mix.values())
        if total <= 0:
            raise InvalidRequest.at(where, "weighs nothing; give at least one class a weight above 0")
        for place, weight in zip(places, mix.values(), strict=True):
            weights[place] = weight / total
        if held is not None and count > held:
            detail = f"the artifact holds {held} images of one mixture; ask for at most {held}"
            raise InvalidRequest.at(pointer([i, "count"]), detail)
        out.append(weights)
    images = sum(count for _, count in rows)
    if images > MAX_IMAGES:
        detail = f"brings the images to {images}; one answer holds at most {MAX_IMAGES}"
        raise InvalidRequest.at(pointer([len(rows) - 1, "count"]), detail)
    return out


def _index(part: str, *, names: Sequence[str], where: str) -> int:
    if part in names:
        return names.index(part)
    if part.isascii() and part.isdecimal() and len(part) < 10 and int(part) < len(names):
        return int(part)
    shown = ", ".join(names[:20]) + (f", … ({len(names)} in all)" if len(names) > 20 else "")
    raise InvalidRequest.at(where, f"there is no class {part[:64]!r}; known are {shown}, or 0..{len(names) - 1}")
