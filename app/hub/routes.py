"""The Hub's read protocol for datasets, below `/hf`: what its clients ask of `HF_ENDPOINT`, and no more.

The contract is the Hub's, not `openapi.json`'s. Writing (`push_to_hub`) is not served.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request, Response

from app.artifacts.content import IMMUTABLE, respond
from app.deps import Reading, Service
from app.errors import RepoNotFound
from app.hub import files
from app.hub.door import PREFIX
from app.hub.metadata import searched_tags
from app.hub.repositories import MAIN, NAMESPACE, Repository, at
from app.keys.caller import LOCAL, Asking
from app.keys.scopes import READ
from app.paging import MAX_LIMIT, Cursor, link_next
from distilled import continuing
from registry import aliases, artifacts
from registry.models import Artifact

router = APIRouter(prefix=PREFIX, include_in_schema=False, dependencies=[READ])

API = "/api/datasets/{namespace}/{name}"
FILE = "/datasets/{namespace}/{name}/resolve/{revision}/{path:path}"
#: What a revision names may become another thing; what a commit names may not.
MOVING = "no-cache"
Expand = Annotated[list[str] | None, Query(description="fields that are wanted; all there are come in any case")]


@router.head(FILE)
@router.get(FILE)
def get_file(
    namespace: str,
    name: str,
    revision: str,
    path: str,
    request: Request,
    session: Reading,
    service: Service,
    download: bool | None = None,
) -> Response:
    """A file at a revision; HEAD tells its size, its digest and the commit."""
    repository = at(session, namespace, name, revision)
    file = files.open_file(service, repository, path)
    cache = IMMUTABLE if revision == repository.commit else MOVING
    response = respond(request, file.content, disposition="attachment" if download else "inline", cache=cache)
    response.headers["X-Repo-Commit"] = repository.commit
    if file.large:
        response.headers["X-Linked-Size"] = str(file.content.size)
        response.headers["X-Linked-Etag"] = f'"{file.content.digest}"'
    return response


@router.get(API)
@router.get(f"{API}/revision/{{revision:path}}")
def get_repository(
    namespace: str,
    name: str,
    session: Reading,
    service: Service,
    asking: Asking,
    revision: str = MAIN,
    blobs: bool = False,
    expand: Expand = None,
) -> dict[str, Any]:
    """A repository at a revision. blobs: its files with sizes and digests, which makes them all."""
    repository = at(session, namespace, name, revision)
    return {
        **_summary(f"{namespace}/{name}", repository.artifact, private=asking is not LOCAL),
        "sha": repository.commit,
        "lastModified": _time(repository.modified),
        "cardData": repository.metadata,
        "siblings": files.siblings(service, repository, blobs=blobs),
    }


@router.get(f"{API}/tree/{{revision}}")
@router.get(f"{API}/tree/{{revision}}/{{path:path}}")
def get_tree(
    namespace: str,
    name: str,
    revision: str,
    session: Reading,
    service: Service,
    path: str = "",
    recursive: bool = False,
    expand: bool = False,
) -> list[dict[str, Any]]:
    """A folder's files and folders. There are too few for pages."""
    repository = at(session, namespace, name, revision)
    found = files.listing(service, repository, path.strip("/"), recursive=recursive)
    return _expanded(found, repository) if expand else found


@router.post(f"{API}/paths-info/{{revision:path}}")
def get_paths(
    namespace: str,
    name: str,
    revision: str,
    session: Reading,
    service: Service,
    paths: Annotated[list[str], Form()],
    expand: Annotated[bool, Form()] = False,
) -> list[dict[str, Any]]:
    """Those of these files and folders that there are."""
    repository = at(session, namespace, name, revision)
    found = files.entries(service, repository, paths)
    return _expanded(found, repository) if expand else found


@router.get(f"{API}/refs")
def get_refs(namespace: str, name: str, session: Reading, include_prs: bool = False) -> dict[str, list[dict[str, str]]]:
    """`main`, and each alias of the artifact as a tag."""
    repository = at(session, namespace, name)
    names = aliases.of_artifacts(session, [repository.artifact.id]).get(repository.artifact.id, [])
    told = {
        "branches": [_ref("heads", MAIN, repository)],
        "tags": [_ref("tags", alias, repository) for alias in names],
        "converts": [],
    }
    return {**told, "pullRequests": []} if include_prs else told


@router.get("/api/datasets")
def list_repositories(
    request: Request,
    response: Response,
    session: Reading,
    asking: Asking,
    search: Annotated[list[str] | None, Query(description="parts of the name, whatever the case")] = None,
    author: str | None = None,
    filter: Annotated[list[str] | None, Query(description="tags that it has, all of them")] = None,
    sort: Annotated[Literal["createdAt"] | None, Query(description="the newest first; there is no other order")] = None,
    limit: Annotated[int, Query(ge=1)] = MAX_LIMIT,
    full: bool = False,
    expand: Expand = None,
    cursor: Cursor = None,
) -> list[dict[str, Any]]:
    """The repositories: each artifact under its aliases, or under its id where it has none. Pages go on by `Link`."""
    if author not in (None, NAMESPACE):
        return []
    page = artifacts.find(session, limit=min(limit, MAX_LIMIT), cursor=cursor)
    link_next(request, response, page.next_cursor)
    names = aliases.of_artifacts(session, [item.id for item in page.items])
    found = [
        _summary(f"{NAMESPACE}/{name}", item, private=asking is not LOCAL)
        for item in page.items
        for name in names.get(item.id, [item.id])
    ]
    wanted, words = set(filter or ()), [word.lower() for word in search or ()]
    return [one for one in found if wanted <= set(one["tags"]) and all(word in one["id"].lower() for word in words)]


@router.get("/api/whoami-v2")
def whoami(asking: Asking) -> dict[str, Any]:
    """Who holds the key. Nobody can write at this door, so every token has the role `read`."""
    token = {"displayName": asking.name, "role": "read"}
    about = {"type": "user", "id": NAMESPACE, "name": NAMESPACE, "fullname": NAMESPACE, "isPro": False, "orgs": []}
    return {**about, "auth": {"type": "access_token", "accessToken": token}}


@router.head("/{path:path}/resolve/{rest:path}")
@router.get("/{path:path}/resolve/{rest:path}")
@router.get("/api/datasets/{rest:path}")
@router.get("/api/models/{rest:path}")
@router.get("/api/spaces/{rest:path}")
def get_nothing(rest: str, path: str = "") -> None:
    """Any other repository, such as a model: there are none. Raises RepoNotFound."""
    raise RepoNotFound(f"here are only datasets called {NAMESPACE}/<alias or id>; ask with repo_type='dataset'")


def _summary(name: str, artifact: Artifact, *, private: bool) -> dict[str, Any]:
    return {
        "_id": artifact.id,
        "id": name,
        "author": NAMESPACE,
        "private": private,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": searched_tags(artifact.kind, artifact.method, parts=continuing.parts(artifact.header)),
        "createdAt": _time(artifact.created_at),
    }


def _expanded(found: list[dict[str, Any]], repository: Repository) -> list[dict[str, Any]]:
    """Entries with the commit they are of."""
    commit = {"id": repository.commit, "title": "What the service knows now", "date": _time(repository.modified)}
    return [entry | {"lastCommit": commit} for entry in found]


def _ref(kind: str, name: str, repository: Repository) -> dict[str, str]:
    return {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": repository.commit}


def _time(moment: datetime) -> str:
    """A time as the Hub writes it, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
