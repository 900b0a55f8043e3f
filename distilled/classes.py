"""Which classes are meant: by name or by index, the same wherever they are asked for."""

from collections.abc import Sequence

from distilled.errors import InvalidInput, Problem

_SHOWN = 20


def class_indices(asked: Sequence[str | int] | str | None, *, names: Sequence[str]) -> list[int]:
    """Indices of classes in the order asked for; all of them with None. One text may hold several, with commas between.

    A name counts before an index, and before its commas. Raises InvalidInput at `/classes`.
    """
    if asked is None:
        return list(range(len(names)))
    texts = [asked] if isinstance(asked, str) else [str(one) for one in asked]
    wanted = [part for text in texts for part in ([text] if text in names else text.split(","))]
    found = [class_index(part.strip(), names=names) for part in wanted]
    if not found or len(set(found)) < len(found):
        said = "names a class twice; name each class once" if found else "name at least one class"
        raise InvalidInput([Problem(pointer="/classes", detail=said)])
    return found


def class_index(part: str, *, names: Sequence[str]) -> int:
    """The index of one class by its name, else by its number. Raises InvalidInput at `/classes`."""
    if part in names:
        return list(names).index(part)
    if part.isascii() and part.isdecimal() and len(part) < 10 and int(part) < len(names):
        return int(part)
    shown = ", ".join(names[:_SHOWN]) + (f", … ({len(names)} in all)" if len(names) > _SHOWN else "")
    detail = f"there is no class {part[:64]!r}; known are {shown}, or 0..{len(names) - 1}"
    raise InvalidInput([Problem(pointer="/classes", detail=detail)])
