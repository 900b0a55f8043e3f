"""/static: styles, scripts and libraries of the pages, from this service alone.

Its files are public, so that the page that asks for a key looks like the others.
"""

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.artifacts.content import IMMUTABLE, Content, respond
from app.keys.scopes import NO_KEY
from app.packing import takes_gzip
from registry import errors

PREFIX = "/static"
router = APIRouter(prefix=PREFIX, include_in_schema=False, dependencies=[NO_KEY])

FOLDER = Path(__file__).with_name("static")
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    "": "text/plain; charset=utf-8",  # licences
}
VERSION_LENGTH = 16


@router.head("/{file:path}", response_class=Response)
@router.get("/{file:path}", response_class=Response)
def asset(request: Request, file: str, v: Annotated[str | None, Query(max_length=64)] = None) -> Response:
    """A file of the pages. v: the beginning of its digest; with it a browser may keep the file for ever.

    Raises NotFound.
    """
    content = _files().get(file)
    if content is None:
        raise errors.NotFound
    known = v is not None and v == content.digest[:VERSION_LENGTH]
    smaller = _packed(file) if takes_gzip(request) else None
    answer = respond(request, smaller or content, disposition="inline", cache=IMMUTABLE if known else "no-cache")
    answer.headers["Vary"] = "Accept-Encoding"
    if smaller is not None and answer.status_code != 304:
        answer.headers["Content-Encoding"] = "gzip"
    return answer


def address(file: str) -> str:
    """Where a page finds a file. Raises KeyError where there is none."""
    return f"{PREFIX}/{file}?v={_files()[file].digest[:VERSION_LENGTH]}"


@cache
def _files() -> dict[str, Content]:
    """All that there is, by its path below the folder: nothing else can be asked for."""
    return {str(path.relative_to(FOLDER)): _content(path) for path in sorted(FOLDER.rglob("*")) if path.is_file()}


@cache
def _packed(file: str) -> Content | None:
    """A file as a phone's line would rather have it: by gzip, where that makes it smaller. It is a representation of
    its own, with a digest of its own."""
    path = FOLDER / file
    content = gzip.compress(path.read_bytes(), mtime=0)
    return _told(path, content) if len(content) < path.stat().st_size else None


def _content(path: Path) -> Content:
    return _told(path, path.read_bytes())


def _told(path: Path, content: bytes) -> Content:
    digest = hashlib.sha256(content).hexdigest()
    return Content.of(content, digest=digest, media_type=TYPES[path.suffix], filename=path.name)
