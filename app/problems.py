"""Problem details (RFC 9457): the one shape in which this service says that something is wrong.

A pointer is a JSON pointer. It starts at the root of the body (`/objective/width`); what is not in the body is named
by where it stands: `/query/limit`, `/header/idempotency-key`, and `/form/name` in an upload.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from distilled.errors import Problem

MEDIA_TYPE = "application/problem+json"
#: What a caller sent is quoted back, but not without end.
MAX_DETAIL, MAX_POINTER, MAX_ERRORS = 2000, 300, 100


class FieldProblem(BaseModel):
    """One fault in a request: the field, and what to do about it."""

    pointer: str = Field(description="JSON pointer into the body, or /query/…, /header/…, /form/…")
    detail: str


class ProblemDetails(BaseModel):
    """What every error of this service looks like."""

    type: str = Field(description="stable name of the kind of problem", examples=["/problems/not-found"])
    title: str = Field(description="the kind of problem in words")
    status: int = Field(description="the HTTP status, once more")
    detail: str = Field(description="what is wrong this time, and what to do about it")
    errors: list[FieldProblem] = Field(default=[], description="of a 422: each field that is wrong; else absent")


def problem(
    *,
    kind: str,
    title: str,
    status: int,
    detail: str,
    errors: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A problem+json response. `kind` is its stable slug."""
    body: dict[str, Any] = {"type": f"/problems/{kind}", "title": title, "status": status}
    body["detail"] = _quotable(detail, MAX_DETAIL)
    if errors:
        body["errors"] = [
            {"pointer": _quotable(found.pointer, MAX_POINTER), "detail": _quotable(found.detail, MAX_DETAIL)}
            for found in errors[:MAX_ERRORS]
        ]
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def pointer(parts: Iterable[object]) -> str:
    """A JSON pointer from its parts, escaped as RFC 6901 asks."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def below(prefix: str, found: Iterable[Problem]) -> list[Problem]:
    """Problems of a part of a request, pointing from the root of the whole."""
    return [Problem(pointer=prefix + item.pointer, detail=item.detail) for item in found]


def _quotable(text: str, limit: int) -> str:
    """Text that can be written as UTF-8 and read by a person."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return short.encode("utf-8", "replace").decode("utf-8")


_SAID = {
    400: "The request cannot be read",
    401: "The key is missing or wrong",
    403: "The request is not allowed",
    404: "Nothing is here under this name",
    408: "The request took too long to arrive",
    409: "The state of what is there does not allow this",
    412: "It has changed since it was read",
    413: "The body is larger than this service takes",
    415: "This is not taken here in this form",
    416: "The range lies outside the content",
    421: "The service is not called so; without a key it answers to this machine's own names",
    422: "Fields are wrong; each is named with its fix",
    429: "Too much is asked for at a time; Retry-After says when to ask again",
    500: "The service failed",
    503: "A part of the service is not ready",
    507: "The disk is full",
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries of the problems that a route may answer with."""
    return {
        status: {
            "description": _SAID[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
        }
        for status in statuses
    }
