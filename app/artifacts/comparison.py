"""Two artifacts side by side, as they are shown."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from app.artifacts.intervals import Method
from app.artifacts.schemas import Budget, Lineage


class SideRead(BaseModel):
    """One of the two."""

    id: str
    digest: str
    kind: str
    dataset: str
    method: str | None
    aliases: list[str]
    created_at: datetime
    bytes: int = Field(description="size of its file")
    budget: Budget
    lineage: Lineage


class BytesRead(BaseModel):
    """What the second takes beside the first, in stored tensors: what budgets are compared by."""

    a: int
    b: int
    difference: int = Field(description="b - a")
    ratio: float | None = Field(description="b / a; null where a stores nothing")


class ClassesRead(BaseModel):
    """Which classes they hold, by name."""

    shared: list[str]
    only_a: list[str]
    only_b: list[str]


class DifferenceRead(BaseModel):
    """One value that differs. Null also stands for what one of them does not have."""

    pointer: str = Field(description="JSON pointer into the recipe or the lineage")
    a: Any
    b: Any


class MeanRead(BaseModel):
    """An accuracy in 0..1 over repeats."""

    mean: float
    std: float | None
    repeats: int


class AccuracyRead(BaseModel):
    """Both measured in one way: how far they are apart."""

    network: str
    config: dict[str, Any] = Field(description="how the network is trained, the same for both")
    labels: str = Field(description="`hard` or `soft`; `fresh`, `fresh_soft`: with new images of a generator each step")
    ipc: dict[str, int | None] = Field(description="images of each class that `a` and `b` drew; null: all they hold")
    a: MeanRead
    b: MeanRead
    seen: dict[str, bool] = Field(description="whether the distillation of `a` and of `b` used this network")
    difference: float = Field(description="b - a")
    interval: list[float] | None = Field(
        description="95 % interval of the difference over repeats of the evaluation, [low, high]; it says nothing of "
        "other distillation seeds. Null where one side has fewer than two values"
    )
    method: Method | None = Field(
        description="`paired`: repeats began with the same network and order; `welch`: they did not"
    )


class BaselineRead(BaseModel):
    """What both have to beat, each at its own number of bytes, measured as they were."""

    network: str
    config: dict[str, Any]
    name: str = Field(description="`random`, `centroid` or `full`")
    a: MeanRead | None
    b: MeanRead | None


class UnmatchedRead(BaseModel):
    """An evaluation that the other has no counterpart of: same network, same training, same test classes."""

    network: str
    config: dict[str, Any]


class ComparisonRead(BaseModel):
    """Two artifacts side by side. All differences are b - a."""

    a: SideRead
    b: SideRead
    same: bool = Field(description="they are one and the same artifact")
    bytes: BytesRead
    classes: ClassesRead
    recipe: list[DifferenceRead] = Field(description="where their expanded recipes differ")
    lineage: list[DifferenceRead] = Field(description="where they come from different places")
    comparable: bool = Field(description="their accuracies are of one test: same data set, same classes")
    reason: str | None = Field(description="why they are not comparable")
    accuracies: list[AccuracyRead] = Field(description="of what was measured alike, hard and soft labels apart")
    baselines: list[BaselineRead]
    unmatched: dict[str, list[UnmatchedRead]] = Field(description="what only `a`, or only `b`, was measured on")
