"""From a query to labels: which classes, and how many images of each."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from app.errors import InvalidRequest
from app.problems import pointer
from distilled import classes
from distilled.dealing import Deal
from distilled.errors import InvalidInput
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
    """Indices of classes by `distilled.classes`; all of them where none is asked for. Raises InvalidRequest."""
    with _at(where):
        return classes.class_indices(asked or None, names=names)


def per_class(amount: Amount, artifact: Artifact, *, classes: int, held: int | None, index: int = 0) -> Deal:
    """How many images of each of the chosen classes the index-th batch has.

    `ratio` is of the real training images: max(1, round(ratio * train / classes)) a class. `count` is dealt to the
    classes in turn. Raises InvalidRequest where none is given and the artifact is no fixed set, where several are, or
    where a fixed set holds fewer than asked for.
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
        with _at(where):
            places = [classes.class_index(name, names=names) for name in mix]
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


@contextmanager
def _at(where: str) -> Generator[None]:
    """Turns what is wrong with a class into an InvalidRequest that points at `where`."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidRequest.at(where, error.problems[0].detail) from error
