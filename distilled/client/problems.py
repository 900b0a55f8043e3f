"""The service's problem+json (RFC 9457) as the errors of `distilled.errors`."""

from collections.abc import Mapping
from typing import Any, cast

import httpx2

from distilled import errors
from distilled.errors import Problem, ServiceError

_BY_STATUS: dict[int, type[ServiceError]] = {
    400: errors.Invalid,
    401: errors.NotAllowed,
    403: errors.NotAllowed,
    404: errors.NotFound,
    405: errors.Invalid,
    409: errors.Conflict,
    410: errors.NotFound,
    412: errors.Conflict,
    413: errors.Invalid,
    415: errors.Invalid,
    416: errors.Invalid,
    422: errors.Invalid,
    429: errors.Unavailable,
    502: errors.Unavailable,
    503: errors.Unavailable,
    504: errors.Unavailable,
    507: errors.Unavailable,
}


def error_of(response: httpx2.Response) -> ServiceError:
    """The error that a response of status 400 or more stands for. Its body must have been read."""
    status = response.status_code
    body = _body(response)
    title = str(body.get("title") or response.reason_phrase or f"HTTP {status}")
    detail = str(body.get("detail") or "")
    listed = cast("list[object]", body["errors"]) if isinstance(body.get("errors"), list) else []
    faults = [
        Problem(pointer=str(item.get("pointer", "")), detail=str(item.get("detail", "")))
        for item in (cast("Mapping[str, object]", entry) for entry in listed if isinstance(entry, Mapping))
    ]
    said = [f"{fault.pointer or '/'}: {fault.detail}" for fault in faults]
    message = ": ".join(part for part in (title, "; ".join(said) or detail) if part)
    kind = _BY_STATUS.get(status, ServiceError)
    return kind(message, status=status, title=title, detail=detail, errors=faults)


def unreachable(url: str, cause: Exception) -> errors.Unavailable:
    """No answer at all: nobody listens there, or the connection broke too often."""
    detail = f"{type(cause).__name__}: {cause}".rstrip(": ")
    message = f"no answer from {url} ({detail}); is the service running (`distilled up`), and is this its address?"
    return errors.Unavailable(message, title="The service did not answer", detail=detail)


def _body(response: httpx2.Response) -> Mapping[str, Any]:
    # A proxy in front of the service answers in HTML: its status is all that we can use.
    if "json" not in response.headers.get("content-type", ""):
        return {}
    try:
        body: object = response.json()
    except ValueError:
        return {}
    return cast("Mapping[str, Any]", body) if isinstance(body, Mapping) else {}
