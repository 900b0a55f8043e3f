"""The query over artifacts: filters that can be combined, three sorts, pages by key."""

from enum import StrEnum
from typing import Any

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


def find(
    session: Session,
    *,
    dataset: str | None = None,
    kind: str | None = None,
    method: str | None = None,
    class_: str | None = None,
    ipc: int | None = None,
    ratio: float | None = None,
    network: str | None = None,
    min_accuracy: float | None = None,
    max_bytes: int | None = None,
    alias: str | None = None,
    job: str | None = None,
    deleted: bool = False,
    sort: Sort = Sort.CREATED_FALLING,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Artifact]:
    """A page of the artifacts that pass every filter given. Raises InvalidCursor, InvalidQuery.

    deleted: those that were deleted and can be restored, in place of the others.

    `class_` is a class's name or index. `ratio` finds what a recipe with that ratio makes: its images per class are
    round(ratio × training images / classes), at least 1. With `network`, only artifacts evaluated on it are found, and
    `min_accuracy` (0..1) and the sort look at that network. `max_bytes` is the size of the file.
    """
    paging.checked_limit(limit)
    accuracy = _accuracy_on(network) if network is not None else Artifact.accuracy
    there = Artifact.deleted_at.is_not(None) if deleted else Artifact.deleted_at.is_(None)
    query = select(Artifact, accuracy.label("shown_accuracy")).where(there)
    plain: list[tuple[ColumnElement[bool], object]] = [
        (Artifact.dataset == (dataset or "").lower(), dataset),
        (Artifact.kind == kind, kind),
        (Artifact.method == method, method),
        (Artifact.ipc == ipc, ipc),
        (Artifact.content_bytes <= (max_bytes or 0), max_bytes),
        (accuracy.is_not(None), network),
        (accuracy >= (min_accuracy or 0.0), min_accuracy),
        (_holds(class_ or ""), class_),
        (_made_by_ratio(ratio or 0.0), ratio),
        (Artifact.id.in_(select(Alias.artifact_id).where(Alias.name == alias)), alias),
        (Artifact.id.in_(select(Job.artifact_id).where(Job.id == job)), job),
    ]
    for condition, asked in plain:
        if asked is not None:
            query = query.where(condition)
    return _page(session, query, accuracy, sort=sort, limit=limit, cursor=cursor)


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
