"""The query over artifacts: filters that can be combined, three sorts, pages by key."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypedDict, Unpack

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, and_, func, or_, select
from sqlalchemy.orm import Session

from registry import paging
from registry.models import Alias, Artifact, ArtifactClass, Evaluation, Job, State
from registry.paging import Page, Position


class Sort(StrEnum):
    """What a list of artifacts is ordered by; `-` is falling. Those never evaluated come last either way."""

    CREATED = "created"
    CREATED_FALLING = "-created"
    ACCURACY = "accuracy"
    ACCURACY_FALLING = "-accuracy"
    BYTES = "bytes"
    BYTES_FALLING = "-bytes"


class Filters(TypedDict, total=False):
    """What artifacts are chosen by; None chooses nothing. All that are given must hold.

    `words` are looked for in any case, each in the data set's name, the preset, the kind, the aliases, the names of
    classes, or as an id. `class_` is a class's name or index. `ratio` finds what a recipe with that ratio makes: its
    images per class are round(ratio × training images / classes), at least 1. With `network`, only artifacts evaluated
    on it are found, and `min_accuracy` (0..1) and the sort look at that network. `max_bytes` is the size of the file.
    `deleted` finds those that were deleted and can be restored, in place of the others.
    """

    words: str | None
    dataset: str | None
    kind: str | None
    method: str | None
    class_: str | None
    ipc: int | None
    ratio: float | None
    network: str | None
    min_accuracy: float | None
    max_bytes: int | None
    alias: str | None
    job: str | None
    deleted: bool


#: What `facets` counts by.
FACETS = (Artifact.dataset, Artifact.method, Artifact.kind, Artifact.ipc)
#: A value of a facet and how many artifacts have it.
Counted = tuple[str | int | None, int]


@dataclass(frozen=True, kw_only=True)
class Facets:
    """total: how many artifacts pass all filters. counts: of each facet, the most frequent value first."""

    total: int
    counts: dict[str, list[Counted]]


def find(
    session: Session,
    *,
    sort: Sort = Sort.CREATED_FALLING,
    limit: int = 50,
    cursor: str | None = None,
    **filters: Unpack[Filters],
) -> Page[Artifact]:
    """A page of the artifacts that pass every filter given. Raises InvalidCursor, InvalidQuery."""
    paging.checked_limit(limit)
    accuracy = _accuracy(filters)
    query = select(Artifact, accuracy.label("shown_accuracy")).where(*_conditions(filters))
    return _page(session, query, accuracy, sort=sort, limit=limit, cursor=cursor)


def facets(session: Session, **filters: Unpack[Filters]) -> Facets:
    """How many artifacts there are of each data set, preset, kind and number of images per class.

    Each is counted among those that pass all *other* filters: so many would be found if it were chosen instead.
    """
    names = [column.key for column in FACETS]
    chosen = [filters.get(name) for name in names]
    chosen[0] = None if filters.get("dataset") is None else str(filters.get("dataset")).lower()
    others: Any = {name: value for name, value in filters.items() if name not in names}
    query = select(*FACETS, func.count()).where(*_conditions(others)).group_by(*FACETS)
    counts: dict[str, dict[str | int | None, int]] = {name: {} for name in names}
    total = 0
    for *values, number in session.execute(query):
        fits = [asked is None or asked == value for asked, value in zip(chosen, values, strict=True)]
        total += number if all(fits) else 0
        for i, (name, value) in enumerate(zip(names, values, strict=True)):
            if all(fits[:i] + fits[i + 1 :]):
                counts[name][value] = counts[name].get(value, 0) + number
    ordered = {name: sorted(found.items(), key=_most_first) for name, found in counts.items()}
    return Facets(total=total, counts=ordered)


def _most_first(counted: Counted) -> tuple[int, bool, int, str]:
    value, number = counted
    return (-number, value is None, value if isinstance(value, int) else 0, str(value))


def _accuracy(filters: Filters) -> SQLColumnExpression[float | None]:
    network = filters.get("network")
    return Artifact.accuracy if network is None else _accuracy_on(network)


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    asked, accuracy = filters.get, _accuracy(filters)
    conditions: list[tuple[ColumnElement[bool], object]] = [
        (Artifact.dataset == (asked("dataset") or "").lower(), asked("dataset")),
        (Artifact.kind == asked("kind"), asked("kind")),
        (Artifact.method == asked("method"), asked("method")),
        (Artifact.ipc == asked("ipc"), asked("ipc")),
        (Artifact.content_bytes <= (asked("max_bytes") or 0), asked("max_bytes")),
        (accuracy.is_not(None), asked("network")),
        (accuracy >= (asked("min_accuracy") or 0.0), asked("min_accuracy")),
        (_holds(asked("class_") or ""), asked("class_")),
        (_made_by_ratio(asked("ratio") or 0.0), asked("ratio")),
        (Artifact.id.in_(select(Alias.artifact_id).where(Alias.name == asked("alias"))), asked("alias")),
        (Artifact.id.in_(select(Job.artifact_id).where(Job.id == asked("job"))), asked("job")),
    ]
    there = Artifact.deleted_at.is_not(None) if asked("deleted") else Artifact.deleted_at.is_(None)
    words = dict.fromkeys((asked("words") or "").split())
    return [there, *(condition for condition, given in conditions if given is not None), *map(_tells_of, words)]


def _tells_of(word: str) -> ColumnElement[bool]:
    """Whether a word is found with an artifact, in any case as far as the database knows of cases."""
    has = {"other": word, "autoescape": True}
    return or_(
        Artifact.id == word,
        *(column.icontains(**has) for column in (Artifact.dataset, Artifact.method, Artifact.kind)),
        Artifact.id.in_(select(Alias.artifact_id).where(Alias.name.icontains(**has))),
        Artifact.id.in_(select(ArtifactClass.artifact_id).where(ArtifactClass.name.icontains(**has))),
    )


def _accuracy_on(network: str) -> ColumnElement[float | None]:
    # The first that was asked for: the best of several trainings would be chosen by the test images.
    first = select(Evaluation.accuracy).where(
        Evaluation.artifact_id == Artifact.id, Evaluation.network == network, Evaluation.state == State.SUCCEEDED
    )
    return first.order_by(Evaluation.id).limit(1).correlate(Artifact).scalar_subquery()


def _holds(class_: str) -> ColumnElement[bool]:
    # At most nine digits: an index beyond every data set must not overflow the database's integers.
    is_index = class_.isascii() and class_.isdecimal() and len(class_) < 10
    same = ArtifactClass.name == class_
    if is_index:
        same = or_(same, ArtifactClass.index == int(class_))
    return Artifact.id.in_(select(ArtifactClass.artifact_id).where(same))


def _made_by_ratio(ratio: float) -> ColumnElement[bool]:
    wanted = ratio * Artifact.train_images / Artifact.num_classes
    return or_(func.abs(Artifact.ipc - wanted) <= 0.5, and_(Artifact.ipc == 1, wanted < 1))


def _page(
    session: Session,
    query: Select[Artifact, float | None],
    accuracy: SQLColumnExpression[float | None],
    *,
    sort: Sort,
    limit: int,
    cursor: str | None,
) -> Page[Artifact]:
    falling = sort.startswith("-")
    field = sort.lstrip("-")
    by: SQLColumnExpression[Any] | None = {"accuracy": accuracy, "bytes": Artifact.content_bytes}.get(field)
    if cursor is not None:
        query = query.where(_after(paging.decode(cursor, sort=sort), by, falling=falling))
    if by is not None:
        query = query.order_by((by.desc() if falling else by.asc()).nulls_last())
    query = query.order_by(Artifact.id.desc() if falling else Artifact.id)
    rows = session.execute(query.limit(limit + 1)).all()
    items = [row[0] for row in rows[:limit]]
    if len(rows) <= limit:
        return Page(items=items, next_cursor=None)
    last, shown = rows[limit - 1]
    value = {"accuracy": shown, "bytes": last.content_bytes}.get(field)
    return Page(items=items, next_cursor=paging.encode(Position(sort=sort, value=value, row_id=last.id)))


def _after(position: Position, by: SQLColumnExpression[Any] | None, *, falling: bool) -> ColumnElement[bool]:
    beyond = Artifact.id < position.row_id if falling else Artifact.id > position.row_id
    if by is None:
        return beyond
    if position.value is None:  # in the tail of those without a value
        return and_(by.is_(None), beyond)
    further = by < position.value if falling else by > position.value
    return or_(further, and_(by == position.value, beyond), by.is_(None))
