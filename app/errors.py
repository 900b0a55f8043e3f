"""Failures of the front end, and the one place where any failure becomes HTTP.

* AppError
  - InvalidRequest          carries `Problem`s, each naming a field of the request
  - Unauthorised
  - ScopeMissing            a key that does not open this
  - Misdirected
  - ForeignOrigin
  - TokenMissing
  - HeadTooLarge
  - BodyTooLarge
  - TooSlow
  - RateLimited
  - Unreadable
  - MethodNotAllowed
  - RangeNotSatisfiable
  - TooManyStreams
  - HubNotFound             what a Hugging Face client asks for: RepoNotFound, RevisionNotFound, EntryNotFound
  - PreconditionFailed
  - DataNotHere             real images that the front end cannot read
  - UnsupportedMediaType
  - UnsupportedTusVersion
  - InsecureBinding         at start only
"""

import errno
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from app.problems import pointer, problem
from distilled import errors as distilled_errors
from distilled.errors import Problem
from registry import errors as registry_errors
from registry.scopes import Scope

log = structlog.get_logger(__name__)


class AppError(Exception):
    """The service refused the request."""

    headers: Mapping[str, str] = MappingProxyType({})  # sent beside the problem

    def __init__(self, message: str = "") -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))


class InvalidRequest(AppError):
    """The request has faults; each names its field and its fix."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{found.pointer or '/'}: {found.detail}" for found in self.problems))

    @classmethod
    def at(cls, where: str, detail: str) -> "InvalidRequest":
        """One fault: its pointer, and what to do about it."""
        return cls([Problem(pointer=where, detail=detail)])


class Unauthorised(AppError):
    """This service has a key: send it as `Authorization: Bearer <key>`."""

    headers = MappingProxyType({"WWW-Authenticate": "Bearer"})


class ScopeMissing(AppError):
    """This key does not open what was asked for; use one that has the scope."""

    def __init__(self, *, needed: Scope, held: Collection[Scope]) -> None:
        self.headers = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'}
        has = " ".join(scope for scope in Scope if scope in held) or "none"
        super().__init__(f"this needs a key with the scope `{needed}`; the one that was sent has: {has}")


class Misdirected(AppError):
    """Without a key the service answers to localhost, 127.0.0.1 and [::1] only; use one of them as the host."""


class ForeignOrigin(AppError):
    """A page of another origin may not change anything here; send the request without its Origin header."""


class TokenMissing(AppError):
    """A change that a browser asks for with its cookie also needs our pages' token: reload the page, then try again."""


class HeadTooLarge(AppError):
    """Address and headers together are longer than this service reads; send fewer or shorter ones (32 KiB)."""


class BodyTooLarge(AppError):
    """The body is larger than this service takes; send less."""


class TooSlow(AppError):
    """The body did not arrive in time; send it again, faster or in pieces (/v1/uploads)."""


class RateLimited(AppError):
    """The caller sends more requests than it may in a minute; go on after Retry-After seconds."""

    def __init__(self, message: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        self.headers = dict(headers or {})
        super().__init__(message)


class RangeNotSatisfiable(AppError):
    """The range lies outside the content; ask for a part of it."""

    def __init__(self, *, size: int) -> None:
        self.headers = {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"}
        super().__init__(f"the content has {size} bytes and the range lies outside them; ask for a part of them")


class PreconditionFailed(AppError):
    """What the request was meant for has changed since it was read; read it again, then decide."""


class DataNotHere(AppError):
    """The images of this data set are not where the front end can read them; a worker may have them all the same."""


class HubNotFound(AppError):
    """Nothing is here under this name: told as clients of the Hugging Face Hub know it, by the class's own name.

    commit: of the repository that was found; with it they remember that the file is not there.
    """

    def __init__(self, message: str, *, commit: str | None = None) -> None:
        self.headers = {"X-Error-Code": type(self).__name__, **({"X-Repo-Commit": commit} if commit else {})}
        super().__init__(message)


class RepoNotFound(HubNotFound):
    """There is no such repository."""


class RevisionNotFound(HubNotFound):
    """The repository has no such revision."""


class EntryNotFound(HubNotFound):
    """The revision has no such file or folder."""


class TooManyStreams(AppError):
    """The service sends as many streams as it may at a time; close one, or ask again in a while."""

    headers = MappingProxyType({"Retry-After": "10"})


class Unreadable(AppError):
    """The request cannot be read: it is cut short, or no valid HTTP, UTF-8 or JSON; send it again."""


class MethodNotAllowed(AppError):
    """The path knows other methods; the Allow header and /docs list them."""


class UnsupportedMediaType(AppError):
    """A piece of an upload is sent as `Content-Type: application/offset+octet-stream`."""


class UnsupportedTusVersion(AppError):
    """Uploads here speak version 1.0.0 of the tus protocol: send `Tus-Resumable: 1.0.0`."""

    headers = MappingProxyType({"Tus-Version": "1.0.0"})


class InsecureBinding(AppError):
    """Without a key the service listens on this machine only: set DISTILLED_API_KEY, or use --host 127.0.0.1."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a type of error is to a client: its slug, its title, its status, and where a 422 points."""

    slug: str
    title: str
    status: int
    pointer: str = ""


INTERNAL = Kind(slug="internal-error", title="The service failed", status=500)
INVALID = Kind(slug="invalid-request", title="The request has faults", status=422)
NOT_FOUND = Kind(slug="not-found", title="Nothing is here under this name", status=404)
FULL = Kind(slug="disk-full", title="The disk is full", status=507)
FULL_DETAIL = (
    "the service has no room left to store this, and changed nothing: free space on its disk (old artifacts, data "
    "sets, files) or give it a larger one, then send the request again"
)
BROKEN_DETAIL = "this is the service's fault, not the request's; its log tells the cause under this X-Request-ID"

#: The table. The nearest base class of an error counts.
KINDS: dict[type[Exception], Kind] = {
    InvalidRequest: INVALID,
    Unauthorised: Kind(slug="unauthorised", title="The key is missing or wrong", status=401),
    ScopeMissing: Kind(slug="scope-missing", title="The key does not open this", status=403),
    Misdirected: Kind(slug="misdirected", title="The service is not called so", status=421),
    ForeignOrigin: Kind(slug="foreign-origin", title="A page of another origin asked", status=403),
    TokenMissing: Kind(slug="token-missing", title="The page has no token", status=403),
    PreconditionFailed: Kind(slug="precondition-failed", title="It has changed since it was read", status=412),
    DataNotHere: Kind(slug="data-not-here", title="The real images are not here", status=409),
    HeadTooLarge: Kind(slug="head-too-large", title="The head is too large", status=431),
    BodyTooLarge: Kind(slug="body-too-large", title="The body is too large", status=413),
    TooSlow: Kind(slug="too-slow", title="The request took too long to arrive", status=408),
    RateLimited: Kind(slug="rate-limited", title="Too many requests", status=429),
    Unreadable: Kind(slug="unreadable", title="The request cannot be read", status=400),
    ClientDisconnect: Kind(slug="unreadable", title="The request cannot be read", status=400),
    MethodNotAllowed: Kind(slug="method-not-allowed", title="This is not done here", status=405),
    HubNotFound: NOT_FOUND,
    RangeNotSatisfiable: Kind(slug="range-not-satisfiable", title="The range lies outside the content", status=416),
    TooManyStreams: Kind(slug="too-many-streams", title="Too many streams at a time", status=429),
    distilled_errors.RecipeError: Kind(slug="invalid-recipe", title="The recipe has faults", status=422),
    distilled_errors.UploadError: Kind(slug="invalid-upload", title="The file is no data set we can read", status=422),
    distilled_errors.InvalidInput: INVALID,
    distilled_errors.NotHeld: Kind(
        slug="not-held", title="The artifact holds fewer images", status=422, pointer="/query"
    ),
    registry_errors.NotFound: NOT_FOUND,
    registry_errors.JobFinished: Kind(slug="job-finished", title="The job has ended", status=409),
    registry_errors.JobAlive: Kind(slug="job-alive", title="The job has not ended", status=409),
    UnsupportedMediaType: Kind(slug="unsupported-media-type", title="This is not taken here in this form", status=415),
    UnsupportedTusVersion: Kind(slug="unsupported-tus-version", title="Another version of tus is spoken", status=412),
    registry_errors.QuotaExceeded: Kind(slug="quota-exceeded", title="The key uses as much as it may", status=429),
    registry_errors.TooManyUploads: Kind(slug="too-many-uploads", title="Too many uploads are open", status=429),
    registry_errors.OffsetMoved: Kind(slug="offset-moved", title="The upload goes on elsewhere", status=409),
    registry_errors.NameTaken: Kind(slug="name-taken", title="The name is taken", status=409),
    registry_errors.InUse: Kind(slug="in-use", title="Something still uses it", status=409),
    registry_errors.IdempotencyInFlight: Kind(
        slug="idempotency-in-flight", title="The same request is being worked on", status=409
    ),
    registry_errors.Conflict: Kind(slug="conflict", title="Its state does not allow this", status=409),
    registry_errors.IdempotencyMismatch: Kind(
        slug="idempotency-mismatch",
        title="The key belongs to another request",
        status=422,
        pointer="/header/idempotency-key",
    ),
    registry_errors.InvalidName: Kind(slug="invalid-name", title="This cannot be a name", status=422, pointer="/name"),
    registry_errors.InvalidCursor: Kind(
        slug="invalid-cursor", title="The cursor is not one of ours", status=422, pointer="/query/cursor"
    ),
    registry_errors.InvalidQuery: Kind(
        slug="invalid-query", title="The query has faults", status=422, pointer="/query"
    ),
    registry_errors.RegistryFull: FULL,
    registry_errors.StoreFull: FULL,
    registry_errors.RegistryUnavailable: Kind(
        slug="registry-unavailable", title="The registry cannot be used now", status=503
    ),
    Exception: INTERNAL,
    registry_errors.BlobMissing: Kind(slug="content-missing", title="The content is not in the store", status=500),
    registry_errors.StoreError: Kind(slug="store-unavailable", title="The store cannot be used now", status=503),
}

#: Statuses that the framework itself answers with.
FRAMEWORK = {
    400: KINDS[Unreadable],
    404: NOT_FOUND,
    405: KINDS[MethodNotAllowed],
    408: KINDS[TooSlow],
    413: KINDS[BodyTooLarge],
}
SAID = {
    404: "no path of this service; /docs lists what there is",
    405: str(MethodNotAllowed()),
}


def answer(error: Exception) -> Response:
    """The problem+json response that an error comes to. What is nobody's mistake is logged and told as a bare 500."""
    if isinstance(error, HTTPException):
        return _framework(error)
    if isinstance(error, RequestValidationError):
        return _validation(error)
    kind = kind_of(error)
    if kind.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.exception("request_failed", exc_info=error)
        detail = BROKEN_DETAIL
    else:
        detail = FULL_DETAIL if kind is FULL else str(error)
    return problem(
        kind=kind.slug,
        title=kind.title,
        status=kind.status,
        detail=detail,
        errors=_fields(error, kind),
        headers=_headers(error, kind),
    )


def kind_of(error: Exception) -> Kind:
    """What a failure is to a client; one of the framework's own is known by its status."""
    if isinstance(error, HTTPException):
        status = error.status_code
        return FRAMEWORK.get(status) or Kind(slug=f"http-{status}", title=HTTPStatus(status).phrase, status=status)
    if isinstance(error, RequestValidationError):
        return INVALID
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FULL
    return next(KINDS[base] for base in type(error).__mro__ if base in KINDS)


def install(app: FastAPI, *, routers: Sequence[APIRouter], page: Callable[[Request, Response], Response]) -> None:
    """Let the framework's own two kinds of error look like ours. All others reach the outermost middleware.

    routers: all of the application's. Of a path that several routes share, the framework's `Allow` names the first
    one's methods alone; RFC 9110 asks for those of the resource. page: what a person is shown who was led to where
    nothing is, made of the problem.
    """
    routes = [route for router in routers for route in router.routes if isinstance(route, Route)]

    def handle(request: Request, error: Exception) -> Response:
        answered = answer(error)
        if answered.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            path = request.scope["path"]
            methods = {method for route in routes if route.path_regex.match(path) for method in route.methods or ()}
            answered.headers["Allow"] = ", ".join(sorted(methods))
        lost = answered.status_code == HTTPStatus.NOT_FOUND and isinstance(error, HTTPException)
        return page(request, answered) if lost else answered

    app.add_exception_handler(HTTPException, handle)
    app.add_exception_handler(RequestValidationError, handle)


def _fields(error: Exception, kind: Kind) -> Sequence[Problem]:
    if isinstance(error, InvalidRequest | distilled_errors.InvalidInput):
        return error.problems
    return [Problem(pointer=kind.pointer, detail=str(error))] if kind.status == 422 else ()


def _headers(error: Exception, kind: Kind) -> Mapping[str, str]:
    if isinstance(error, AppError):
        return error.headers
    if isinstance(error, registry_errors.QuotaExceeded):
        return {"Retry-After": str(error.seconds)}
    return {"Retry-After": "5"} if kind.status == 503 or kind.slug == "idempotency-in-flight" else {}


def _framework(error: HTTPException) -> Response:
    kind, status = kind_of(error), error.status_code
    default = error.detail == HTTPStatus(status).phrase
    detail = SAID.get(status, error.detail) if default else error.detail
    return problem(kind=kind.slug, title=kind.title, status=status, detail=detail, headers=error.headers)


def _validation(error: RequestValidationError) -> Response:
    found = [_fault(item) for item in error.errors()]
    if all(item.pointer.startswith("/path/") for item in found):
        # What does not even look like a name cannot be the name of anything.
        return answer(registry_errors.NotFound())
    return answer(InvalidRequest(found))


def _fault(item: Mapping[str, Any]) -> Problem:
    """One of pydantic's findings in our words."""
    where, *path = item["loc"]
    if item["type"] == "json_invalid":
        return Problem(pointer="", detail=f"is not JSON: {item['ctx']['error']} at character {path[0]}")
    spot = pointer(path) if where == "body" else pointer([where, *path])
    ours = {"missing": "is required", "extra_forbidden": "is not known here; remove it"}
    said = ours.get(item["type"]) or str(item["msg"])
    return Problem(pointer=spot, detail=said.removeprefix("Value error, "))
