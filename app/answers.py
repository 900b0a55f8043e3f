"""What the OpenAPI document says of all answers: refusals that stand in front, headers, and what can be done next."""

from typing import Any

from app.middleware.guard import OPEN
from app.problems import responses

#: What may be answered before a route is reached, or in place of any: by the server, the guard, the walls, a lost part.
ANYWHERE = (400, 401, 403, 408, 421, 429, 503)
#: header -> (what it says, the JSON Schema of its value).
_HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "X-Request-ID": ("the caller's, or a new one", {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"}),
    "X-Content-Type-Options": ("`nosniff`", {"type": "string", "const": "nosniff"}),
    "WWW-Authenticate": ("how to send the key", {"type": "string"}),
    "Retry-After": ("seconds to wait before the same request", {"type": "string", "pattern": "^[0-9]+$"}),
    "Location": ("where it is", {"type": "string", "pattern": "^/"}),
    "ETag": ("names these bytes", {"type": "string", "pattern": '^"[^"]+"$'}),
    "Accept-Ranges": ("parts can be asked for", {"type": "string", "const": "bytes"}),
    "Content-Range": (
        "which part, and of how many bytes",
        {"type": "string", "pattern": "^bytes (\\*|[0-9]+-[0-9]+)/"},
    ),
    "Upload-Offset": ("how much has arrived, in bytes", {"type": "string", "pattern": "^[0-9]+$"}),
    "Tus-Resumable": ("the version of tus", {"type": "string", "const": "1.0.0"}),
}
_ALWAYS = ("X-Request-ID", "X-Content-Type-Options")
#: Headers that a status always comes with.
_WITH = {"401": ("WWW-Authenticate",), "206": ("Content-Range", "ETag"), "304": ("ETag",), "416": ("Content-Range",)}
#: Operations whose success creates something that `Location` names.
_CREATING = {
    ("/v1/jobs", "post", "202"),
    ("/v1/uploads", "post", "201"),
    ("/v1/keys", "post", "201"),
    ("/v1/keys/{key_id}/rotate", "post", "201"),
}
_UPLOADS = "/v1/uploads"
#: (path, method, status) -> {name: (path, method, {parameter: where its value stands})}: what can be done next.
_LINKS: dict[tuple[str, str, str], dict[str, tuple[str, str, dict[str, str]]]] = {
    ("/v1/jobs", "post", "202"): {
        "look": ("/v1/jobs/{job_id}", "get", {"job_id": "$response.body#/id"}),
        "follow": ("/v1/jobs/{job_id}/events", "get", {"job_id": "$response.body#/id"}),
        "cancel": ("/v1/jobs/{job_id}/cancel", "post", {"job_id": "$response.body#/id"}),
    },
    ("/v1/jobs/{job_id}/cancel", "post", "200"): {
        "retry": ("/v1/jobs/{job_id}/retry", "post", {"job_id": "$response.body#/id"}),
    },
    ("/v1/jobs", "get", "200"): {
        "next page": ("/v1/jobs", "get", {"cursor": "$response.body#/next_cursor"}),
        "first": ("/v1/jobs/{job_id}", "get", {"job_id": "$response.body#/items/0/id"}),
    },
    ("/v1/artifacts", "get", "200"): {
        "next page": ("/v1/artifacts", "get", {"cursor": "$response.body#/next_cursor"}),
        "first": ("/v1/artifacts/{artifact}", "get", {"artifact": "$response.body#/items/0/id"}),
    },
    ("/v1/datasets", "get", "200"): {
        "next page": ("/v1/datasets", "get", {"cursor": "$response.body#/next_cursor"}),
        "first": ("/v1/datasets/{name}", "get", {"name": "$response.body#/items/0/name"}),
    },
    ("/v1/aliases/{name}", "put", "201"): {
        "read": ("/v1/aliases/{name}", "get", {"name": "$request.path.name"}),
        "follow": ("/v1/artifacts/{artifact}", "get", {"artifact": "$request.path.name"}),
        "remove": ("/v1/aliases/{name}", "delete", {"name": "$request.path.name"}),
    },
}


def complete(document: dict[str, Any]) -> None:
    """Add to each operation what stands in front of it may answer, and the headers that its answers come with."""
    document["components"]["headers"] = {
        name: {"description": said, "required": True, "schema": schema} for name, (said, schema) in _HEADERS.items()
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _add_refusals(path, operation)
            for status, answer in operation["responses"].items():
                names = [*_ALWAYS, *_WITH.get(status, ())]
                names += ["Location"] if (path, method, status) in _CREATING else []
                names += ["Tus-Resumable"] if path.startswith(_UPLOADS) else []
                names += ["ETag", "Accept-Ranges"] if status == "200" and "206" in operation["responses"] else []
                answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
            _require_version(operation)
    for (path, method, status), links in _LINKS.items():
        document["paths"][path][method]["responses"][status]["links"] = {
            name: {"operationRef": f"#/paths/{then.replace('/', '~1')}/{verb}", "parameters": parameters}
            for name, (then, verb, parameters) in links.items()
        }


def _add_refusals(path: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    if "4XX" in answers:  # the Open Inference Protocol, whose errors have another shape
        answers["5XX"] = dict(answers["4XX"])
        return
    statuses = {*ANYWHERE, 413} if "requestBody" in operation else set(ANYWHERE)
    if path in OPEN:
        statuses.remove(401)
    for status, answer in responses(*sorted(statuses)).items():
        answers.setdefault(str(status), answer)


def _require_version(operation: dict[str, Any]) -> None:
    """Of tus: the header must be there, and is optional in the code only because its absence is a 412, not a 422."""
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == "tus-resumable":
            parameter |= {"required": True, "schema": {"type": "string", "const": "1.0.0"}}
