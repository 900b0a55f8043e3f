"""What a job's images looked like on the way: contact sheets, made while it runs."""

import hashlib
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field

from app.artifacts.content import Content, respond
from app.deps import JobId, Reading, Service
from app.keys.scopes import READ
from app.paging import PageRead
from app.problems import responses
from app.samples.schemas import PARTIAL, files
from registry import errors, jobs
from registry.models import JobPicture

router = APIRouter(prefix="/v1/jobs/{job_id}/pictures", tags=["jobs"], dependencies=[READ])

PICTURE = files("image/png") | PARTIAL
Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="the picture's number")]


class PictureRead(BaseModel):
    """The first images of the first classes after a step: a class a row, ten of ten at most, a pixel for a pixel."""

    number: int = Field(description="of the event `picture` that told of it")
    step: int = Field(description="0: what it starts from")
    attempt: int
    bytes: int
    created_at: datetime
    url: str = Field(description="of the PNG")

    @classmethod
    def of(cls, picture: JobPicture) -> "PictureRead":
        return cls(
            number=picture.number,
            step=picture.step,
            attempt=picture.attempt,
            bytes=picture.num_bytes,
            created_at=picture.created_at,
            url=f"/v1/jobs/{picture.job_id}/pictures/{picture.number}.png",
        )


@router.get("", responses=responses(404, 422))
def list_pictures(job_id: JobId, session: Reading) -> PageRead[PictureRead]:
    """A job's pictures in the order in which they were made, on one page: at most sixty, spread over its time.

    They are freed with the rest of a job that ended longer ago than the grace.
    """
    jobs.get(session, job_id)
    return PageRead(items=[PictureRead.of(one) for one in jobs.pictures(session, job_id)], next_cursor=None)


@router.head("/{number}.png", response_class=Response, responses=PICTURE)
@router.get("/{number}.png", response_class=Response, responses=PICTURE)
def get_picture(job_id: JobId, number: Number, request: Request, session: Reading, service: Service) -> Response:
    """One picture. It never changes."""
    jobs.get(session, job_id)
    key = jobs.picture(session, job_id, number).key
    try:
        content = service.store.get_named(key)
    except errors.BlobMissing as error:
        raise errors.NotFound(f"Picture {number} of job {job_id} was freed just now.") from error
    digest = hashlib.sha256(content).hexdigest()
    made = Content.of(content, digest=digest, media_type="image/png", filename=f"{job_id}-{number}.png")
    return respond(request, made, disposition="inline")
