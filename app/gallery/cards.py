"""Artifacts as cards: what a person wants to know of each before opening it, asked for with a handful of statements."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from distilled.transfer import BASELINES
from registry import aliases, evaluations
from registry.models import Artifact

#: Images in a card's picture, at most, in a rectangle about twice as wide as it is high.
MOST_IMAGES = 50
#: Width that the picture is drawn for, in pixels: more than a card has, so that it stays crisp where pixels are small.
WIDE = 480


@dataclass(frozen=True, kw_only=True)
class Card:
    """An artifact with its aliases, and the baselines of the evaluation that stands for it: name -> mean, 0..1."""

    artifact: Artifact
    names: Sequence[str]
    baselines: dict[str, float]

    @property
    def picture(self) -> str:
        """The address of its images: the first of as many classes as there is room for."""
        return f"/v1/artifacts/{self.artifact.id}/preview.png?{picture_query(self.artifact)}"


def cards(session: Session, artifacts: Sequence[Artifact]) -> list[Card]:
    """A card for each."""
    ids = [artifact.id for artifact in artifacts]
    names, measured = aliases.of_artifacts(session, ids), evaluations.standing(session, ids)
    results = {artifact_id: evaluation.result or {} for artifact_id, evaluation in measured.items()}
    return [
        Card(artifact=one, names=names.get(one.id, ()), baselines=_means(results.get(one.id, {}))) for one in artifacts
    ]


def picture_query(artifact: Artifact) -> str:
    """What `preview.png` is asked for, so that small sets and large ones fill the same place."""
    classes = min(artifact.num_classes, MOST_IMAGES)
    each = max(1, min(MOST_IMAGES // classes, artifact.ipc or 1))
    row = each * min(range(1, classes + 1), key=lambda beside: _unfit(beside, classes, each))
    width = artifact.header["space"]["shape"][2]
    chosen = "" if classes == artifact.num_classes else f"classes={','.join(map(str, range(classes)))}&"
    return f"{chosen}columns={each}&wrap={row}&scale={max(1, min(64, WIDE // (width * row)))}"


def _unfit(beside: int, classes: int, each: int) -> float:
    """How far so many classes side by side are from a full rectangle twice as wide as it is high."""
    rows = math.ceil(classes / beside)
    return abs(math.log(beside * each / rows / 2)) + 4 * (1 - classes / (beside * rows))


def _means(result: dict[str, Any]) -> dict[str, float]:
    scores = {name: result.get(name) or {} for name in BASELINES}
    return {name: score["mean"] for name, score in scores.items() if score.get("mean") is not None}
