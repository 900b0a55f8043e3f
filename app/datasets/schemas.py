"""Data sets as they are shown."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from app.datasets.known import Availability, Source
from app.problems import FieldProblem
from registry.models import DatasetState


class NamedFile(BaseModel):
    """A file of an upload, and what is the matter with it."""

    name: str
    detail: str


class NamedFiles(BaseModel):
    """How many files, and the first of them by name."""

    count: int
    first: list[NamedFile]


class Repetition(BaseModel):
    """An image that is there before."""

    name: str
    same_as: str


class Duplicates(BaseModel):
    """Images that are there more than once."""

    within: dict[str, int] = Field(description="of each split: images that came before in it")
    across: int = Field(description="distinct images that stand in more than one split")
    conflicting: int = Field(description="distinct images that stand under more than one class")
    first: list[Repetition] = Field(description="some of them by name")


class ImageSize(BaseModel):
    """How many of the images sent had this size, in pixels."""

    width: int
    height: int
    images: int


class ReportRead(BaseModel):
    """What was found in an upload. Where it ended early, what had been found by then."""

    format: str | None = Field(None, description="npz, zip, tar or parquet")
    bytes: int | None = Field(None, description="size of the file that was sent")
    classes: list[dict[str, Any]] = Field([], description="each class: its `name`, and its images by split")
    images: dict[str, int] = Field({}, description="by split")
    sizes: list[ImageSize] = Field([], description="of the images as sent, the most common first, 20 at most")
    distinct_sizes: int = Field(0, description="how many sizes there are")
    modes: dict[str, int] = Field({}, description="images by Pillow's mode as sent, such as L, RGB, RGBA")
    resized: int = Field(0, description="images that were brought to the one size")
    converted: int = Field(0, description="images whose mode was changed to grey or RGB")
    turned: int = Field(0, description="images that were turned upright, as their EXIF data ask")
    duplicates: Duplicates | None = None
    unreadable: NamedFiles = Field(NamedFiles(count=0, first=[]), description="images that were left out")
    skipped: NamedFiles = Field(NamedFiles(count=0, first=[]), description="files that are no images of a class")
    split: str | None = Field(None, description="where the test split comes from")
    problems: list[FieldProblem] = Field([], description="of a refused one: what is wrong, and what to do about it")
    error: dict[str, str] | None = Field(None, description="where looking at it failed: `code`, `title`, `detail`")


class DatasetRead(BaseModel):
    """Real data that can be distilled. Until an uploaded one is ready, what is not known yet is null."""

    name: str
    id: str | None = Field(description="of an uploaded one; the built-in ones go by their names")
    source: Source
    state: DatasetState = Field(description="`ready`; or `validating`, `refused` of an uploaded one")
    progress: float | None = Field(description="0..1 while it is validated")
    available: Availability
    reason: str | None = Field(description="why it is not on disk")
    shape: list[int] | None = Field(description="[C, H, W]")
    classes: list[str] | None
    train: int | None = Field(description="images to learn from, the held-out ones not among them")
    val: int | None = Field(description="images held out of the train split, or its own, to choose by")
    test: int | None = Field(description="images to be judged by")
    train_counts: list[int] | None = Field(
        description="images of each class to learn from: the smallest is the largest ipc"
    )
    mean: list[float] | None = Field(description="per channel, of pixels in [0, 1]")
    std: list[float] | None
    licence: str | None
    homepage: str | None
    digest: str | None = Field(description="of an uploaded one's images and labels")
    bytes: int | None = Field(description="size of an uploaded one's file")
    report: ReportRead | None = Field(description="what was found in an uploaded one")
    created_at: datetime | None
