"""Two artifacts side by side; only what was measured alike is compared."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path
from sqlalchemy.orm import Session

from app.artifacts.comparison import (
    AccuracyRead,
    BaselineRead,
    BytesRead,
    ClassesRead,
    ComparisonRead,
    DifferenceRead,
    MeanRead,
    SideRead,
    UnmatchedRead,
)
from app.artifacts.intervals import difference
from app.artifacts.manifest import manifest
from app.artifacts.schemas import Manifest
from app.deps import ArtifactName, Reading
from app.keys.scopes import READ
from app.problems import pointer, responses
from registry import aliases, artifacts, evaluations
from registry.models import Evaluation, State

router = APIRouter(prefix="/v1/artifacts/{artifact}/compare", tags=["artifacts"], dependencies=[READ])

Json = dict[str, Any]
OtherName = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$", description="the other artifact's id, or an alias")
]
MODES = ("hard", "soft", "fresh", "fresh_soft")
BASELINES = ("random", "centroid", "full")


@router.get("/{other}", responses=responses(404, 422))
def compare(artifact: ArtifactName, other: OtherName, session: Reading) -> ComparisonRead:
    """The first artifact `a` and the second `b` side by side: size, classes, recipe, lineage, accuracies.

    Accuracies are set against one another where network, training and test are the same, hard and soft labels apart.
    """
    (a, rows_a), (b, rows_b) = (_side(session, name) for name in (artifact, other))
    reason = _incomparable(a, b)
    pairs, lone_a, lone_b = ([], rows_a, rows_b) if reason else _matched(rows_a, rows_b)
    bytes_a, bytes_b = a.budget.bytes, b.budget.bytes
    return ComparisonRead(
        a=_shown(a),
        b=_shown(b),
        same=a.id == b.id,
        bytes=BytesRead(
            a=bytes_a, b=bytes_b, difference=bytes_b - bytes_a, ratio=bytes_b / bytes_a if bytes_a else None
        ),
        classes=ClassesRead(
            shared=[name for name in a.classes if name in b.classes],
            only_a=[name for name in a.classes if name not in b.classes],
            only_b=[name for name in b.classes if name not in a.classes],
        ),
        recipe=list(differences(a.recipe, b.recipe)),
        lineage=list(differences(a.lineage.model_dump(mode="json"), b.lineage.model_dump(mode="json"))),
        comparable=reason is None,
        reason=reason,
        accuracies=[found for x, y in pairs for found in _accuracies(x, y, seen_a=a, seen_b=b)],
        baselines=[found for x, y in pairs for found in _baselines(x, y)],
        unmatched={"a": _unmatched(lone_a), "b": _unmatched(lone_b)},
    )


def differences(a: Any, b: Any, path: tuple[object, ...] = ()) -> Iterator[DifferenceRead]:
    """Where two JSON values differ, in the order of their pointers. What one lacks is null on its side."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for name in sorted({*a, *b}):
            yield from differences(a.get(name), b.get(name), (*path, name))
    elif isinstance(a, list) and isinstance(b, list):
        for i in range(max(len(a), len(b))):
            yield from differences(a[i] if i < len(a) else None, b[i] if i < len(b) else None, (*path, i))
    elif a != b or isinstance(a, bool) != isinstance(b, bool):
        yield DifferenceRead(pointer=pointer(path), a=a, b=b)


def _side(session: Session, name: str) -> tuple[Manifest, list[Evaluation]]:
    found = artifacts.get(session, name)
    rows = evaluations.of_artifact(session, found.id)
    names = aliases.of_artifacts(session, [found.id]).get(found.id, [])
    return manifest(found, evaluations=rows, aliases=names), [row for row in rows if row.state is State.SUCCEEDED]


def _shown(side: Manifest) -> SideRead:
    return SideRead.model_validate(side.model_dump(include=set(SideRead.model_fields)))


def _incomparable(a: Manifest, b: Manifest) -> str | None:
    """Why an accuracy of one says nothing about one of the other; None: they are of one test."""
    if a.lineage.dataset_digest != b.lineage.dataset_digest:
        return "they were made from different data, and so tested on different images"
    if sorted(a.classes) != sorted(b.classes):
        return "they hold different classes, and so were tested on different images"
    return None


def _matched(
    rows_a: Sequence[Evaluation], rows_b: Sequence[Evaluation]
) -> tuple[list[tuple[Evaluation, Evaluation]], list[Evaluation], list[Evaluation]]:
    """Evaluations that were made alike, in pairs, and those of either side that have no counterpart."""
    pairs: list[tuple[Evaluation, Evaluation]] = []
    left = list(rows_b)
    lone: list[Evaluation] = []
    for row in rows_a:
        like = [other for other in left if _measure(other) == _measure(row)]
        # Of several that differ in how many images were drawn, first the one that drew as many.
        like.sort(key=lambda other: other.config != row.config)
        if like:
            left.remove(like[0])
            pairs.append((row, like[0]))
        else:
            lone.append(row)
    return pairs, lone, left


def _measure(row: Evaluation) -> tuple[str, Json, list[str]]:
    """What two evaluations must agree on. How many images are drawn is a property of the set, not of the training."""
    return row.network, _training(row), sorted((row.result or {}).get("absent") or [])


def _training(row: Evaluation) -> Json:
    return {name: value for name, value in row.config.items() if name != "ipc"}


def _accuracies(a: Evaluation, b: Evaluation, *, seen_a: Manifest, seen_b: Manifest) -> Iterator[AccuracyRead]:
    of_a, of_b = ((row.result or {}).get("distilled") or {} for row in (a, b))
    for mode in MODES:
        if not of_a.get(mode) or not of_b.get(mode):
            continue
        values_a, values_b = _values(of_a[mode]), _values(of_b[mode])
        # One seed, one network and one repeat make one start and one order of batches (`workers.distill.evaluate`).
        paired = a.seed == b.seed and len(values_a) == len(values_b)
        apart = difference(values_a, values_b, paired=paired)
        yield AccuracyRead(
            network=a.network,
            config=_training(a),
            labels=mode,
            ipc={"a": of_a.get("ipc"), "b": of_b.get("ipc")},
            a=_mean(of_a[mode]),
            b=_mean(of_b[mode]),
            seen={"a": a.network in seen_a.seen_networks, "b": b.network in seen_b.seen_networks},
            difference=apart.difference,
            interval=None if apart.interval is None else list(apart.interval),
            method=apart.method,
        )


def _baselines(a: Evaluation, b: Evaluation) -> Iterator[BaselineRead]:
    for name in BASELINES:
        scores = [(row.result or {}).get(name) for row in (a, b)]
        if any(scores):
            of_a, of_b = (None if score is None else _mean(score) for score in scores)
            yield BaselineRead(network=a.network, config=_training(a), name=name, a=of_a, b=of_b)


def _values(score: Mapping[str, Any]) -> list[float]:
    """The accuracies of the repeats; of a score without them the mean alone."""
    return list(score.get("values") or [score["mean"]])


def _mean(score: Mapping[str, Any]) -> MeanRead:
    repeats = len(_values(score))
    return MeanRead(mean=score["mean"], std=score.get("std") if repeats > 1 else None, repeats=repeats)


def _unmatched(rows: Sequence[Evaluation]) -> list[UnmatchedRead]:
    return [UnmatchedRead(network=row.network, config=_training(row)) for row in rows]
