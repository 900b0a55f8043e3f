"""/docs: Swagger UI on our OpenAPI document, from this service alone. It works where there is no way out, too.

The files are those that the package `fastapi-offline` ships; nothing else of it is used.
"""

import hashlib
from base64 import b64encode
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from app.artifacts.content import Content, respond
from registry import errors

router = APIRouter(prefix="/docs", include_in_schema=False)

#: File -> media type. A literal table: no other file of the package can be asked for.
FILES = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon.png": "image/png",
}
#: `validatorUrl`: the page would otherwise send the document's address to a validator on the internet.
START = """
SwaggerUIBundle({url: "/openapi.json", dom_id: "#ui", deepLinking: true, validatorUrl: null});
"""
PAGE = f"""<!doctype html>
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
<script>{START}</script>
</body>
</html>
"""


@router.get("", response_class=HTMLResponse)
def index() -> HTMLResponse:
    """The API, to read and to try."""
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": policy()})


@router.head("/{file}", response_class=Response)
@router.get("/{file}", response_class=Response)
def asset(request: Request, file: str) -> Response:
    """A file of Swagger UI. Raises NotFound."""
    if file not in FILES:
        raise errors.NotFound
    # Asked after again on each load: the file behind the name changes with the package.
    return respond(request, _content(file), disposition="inline", cache="no-cache")


def policy() -> str:
    """What a browser may load for the page: files of this service, the one script in it, and Swagger UI's styles."""
    digest = b64encode(hashlib.sha256(START.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


@cache
def _content(file: str) -> Content:
    content = (_folder() / file).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return Content.of(content, digest=digest, media_type=FILES[file], filename=file)


def _folder() -> Path:
    """Where the package keeps the files; found without importing it."""
    found = find_spec("fastapi_offline")
    if found is None or found.origin is None:
        raise FileNotFoundError("the package fastapi-offline is not installed; install the extra `service`")
    return Path(found.origin).parent / "static"
