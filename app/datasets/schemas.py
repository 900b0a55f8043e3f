"""Data sets as they are shown."""

from datetime import datetime

from pydantic import BaseModel, Field

from app.datasets.known import Availability, Source


class DatasetRead(BaseModel):
    """Real data that can be distilled."""

    name: str
    id: str | None = Field(description="of an uploaded one; the built-in ones go by their names")
    source: Source
    available: Availability
    reason: str | None = Field(description="why it is not on disk")
    shape: list[int] = Field(description="[C, H, W]")
    classes: list[str]
    train: int = Field(description="images to learn from, the held-out ones not among them")
    val: int = Field(description="images held out of the train split, or its own, to choose by")
    test: int = Field(description="images to be judged by")
    train_counts: list[int] = Field(description="images of each class to learn from: the smallest is the largest ipc")
    mean: list[float] = Field(description="per channel, of pixels in [0, 1]")
    std: list[float]
    licence: str | None
    homepage: str | None
    digest: str | None = Field(description="of an uploaded one's images and labels")
    bytes: int | None = Field(description="size of an uploaded one's file")
    created_at: datetime | None
