"""Which artifacts: the filters that lists and facets share, and the facets."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from app.deps import DatasetQuery, MethodQuery, Reading
from app.errors import InvalidRequest
from app.keys.scopes import READ
from app.problems import responses
from registry import artifacts
from registry.artifacts import Facets, Filters

router = APIRouter(prefix="/v1/facets", tags=["artifacts"], dependencies=[READ])


#: Words of one search: each is looked for in every place.
MAX_WORDS = 8


def filters(  # noqa: PLR0917 -- a filter each; FastAPI passes them by name
    q: Annotated[
        str | None,
        Query(max_length=200, description="words in any case, each part of a data set, preset, kind, alias or class"),
    ] = None,
    dataset: DatasetQuery = None,
    kind: Annotated[str | None, Query(max_length=32, description="images, memory or generator")] = None,
    method: MethodQuery = None,
    class_: Annotated[str | None, Query(alias="class", max_length=255, description="a class's name or index")] = None,
    ipc: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="images per class")] = None,
    ratio: Annotated[
        float | None, Query(gt=0, le=1, allow_inf_nan=False, description="what a recipe with this ratio makes")
    ] = None,
    network: Annotated[str | None, Query(max_length=64, description="only those evaluated on this network")] = None,
    min_accuracy: Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False, description="0..1")] = None,
    max_bytes: Annotated[int | None, Query(ge=0, le=2**63 - 1, description="size of the file, at most")] = None,
    alias: Annotated[str | None, Query(max_length=96, description="the one with this name")] = None,
    job: Annotated[str | None, Query(max_length=40, description="the one that this job made")] = None,
    deleted: Annotated[bool, Query(description="those that were deleted and can be restored")] = False,
) -> Filters:
    """What a request chooses artifacts by. Raises InvalidRequest."""
    return Filters(
        words=checked_words(q),
        dataset=dataset,
        kind=kind,
        method=method,
        class_=class_,
        ipc=ipc,
        ratio=ratio,
        network=network,
        min_accuracy=min_accuracy,
        max_bytes=max_bytes,
        alias=alias,
        job=job,
        deleted=deleted,
    )


def checked_words(q: str | None) -> str | None:
    """A search as it was asked for, if it has not too many words. Raises InvalidRequest."""
    number = len((q or "").split())
    if number > MAX_WORDS:
        raise InvalidRequest.at("/query/q", f"holds {number} words; search for at most {MAX_WORDS} at a time")
    return q


Chosen = Annotated[Filters, Depends(filters)]


class CountRead(BaseModel):
    """A value, and how many artifacts have it."""

    value: str | int | None = Field(description="null: none, as of a recipe put together without a preset")
    count: int


class FacetsRead(BaseModel):
    """How many artifacts there are of what. Each facet is counted among those that pass the filters on the others."""

    total: int = Field(description="how many artifacts pass all filters")
    dataset: list[CountRead]
    method: list[CountRead]
    kind: list[CountRead]
    ipc: list[CountRead]

    @classmethod
    def of(cls, found: Facets, *, most: int) -> "FacetsRead":
        """With so many values of each facet, the most frequent first."""
        counts = {name: values[:most] for name, values in found.counts.items()}
        told = {name: [CountRead(value=value, count=count) for value, count in held] for name, held in counts.items()}
        return cls(total=found.total, **told)


@router.get("", responses=responses(422))
def count_artifacts(
    session: Reading,
    chosen: Chosen,
    most: Annotated[int, Query(ge=1, le=200, description="values of each facet, the most frequent first")] = 50,
) -> FacetsRead:
    """How many artifacts there are of each data set, preset, kind and number of images per class."""
    return FacetsRead.of(artifacts.facets(session, **chosen), most=most)
