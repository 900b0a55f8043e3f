"""/docs: Swagger UI on our OpenAPI document, from this service alone. It works where there is no way out, too.

The files are those that the package `fastapi-offline` ships; nothing else of it is used.
"""

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from app.artifacts.content import Content, respond
from app.keys.scopes import READ
from app.middleware.headers import page_policy
from registry import errors

router = APIRouter(prefix="/docs", include_in_schema=False, dependencies=[READ])

#: Starts it; a file of its own, because no script in a page runs. `validatorUrl`: the page would otherwise send the
#: document's address to a validator on the internet.
START = b"""SwaggerUIBundle({url: "/openapi.json", dom_id: "#ui", deepLinking: true, validatorUrl: null});
"""
#: File -> media type. A literal table: no other file of the package can be asked for.
FILES = {
    "start.js": "text/javascript; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon.png": "image/png",
}
#: Swagger UI sets styles in its elements; scripts come from files of this service alone.
POLICY = page_policy(script="'self'", style="'self' 'unsafe-inline'", connect="'self'")
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>distilled: the API</title>
<link rel="icon" href="/docs/favicon.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<noscript>This page needs JavaScript; <a href="/openapi.json">the document</a> that it shows does not.</noscript>
<div id="ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""


@router.get("", response_class=HTMLResponse)
def index() -> HTMLResponse:
    """The API, to read and to try."""
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})


@router.head("/{file}", response_class=Response)
@router.get("/{file}", response_class=Response)
def asset(request: Request, file: str) -> Response:
    """A file of Swagger UI. Raises NotFound."""
    if file not in FILES:
        raise errors.NotFound
    # Asked after again on each load: the file behind the name changes with the package.
    return respond(request, _content(file), disposition="inline", cache="no-cache")


@cache
def _content(file: str) -> Content:
    content = START if file == "start.js" else (_folder() / file).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return Content.of(content, digest=digest, media_type=FILES[file], filename=file)


def _folder() -> Path:
    """Where the package keeps the files; found without importing it."""
    found = find_spec("fastapi_offline")
    if found is None or found.origin is None:
        raise FileNotFoundError("the package fastapi-offline is not installed; install the extra `service`")
    return Path(found.origin).parent / "static"
