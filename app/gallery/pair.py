"""/artifacts/{name}/compare: two artifacts side by side, and the choice of the other one."""

from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from app.artifacts.comparing import compare
from app.artifacts.comparison import DifferenceRead
from app.artifacts.schemas import Manifest
from app.deps import ArtifactName, Reading
from app.gallery.artifact import geometry, known, reference, title
from app.gallery.frame import PageRoute, page
from app.keys.scopes import READ
from distilled.formats.sets import PICTURE_CHANNELS
from registry import aliases, artifacts

router = APIRouter(
    prefix="/artifacts/{name}/compare", include_in_schema=False, dependencies=[READ], route_class=PageRoute
)

#: Artifacts to choose from, images of a class beside one another, and classes on a page.
CHOICES, COLUMNS, ROWS = 100, 5, 10
#: What is set side by side.
FACTS: Mapping[str, Callable[[Manifest], str]] = {
    "data set": lambda side: side.dataset,
    "method": lambda side: _said(side.method),
    "kind": lambda side: side.kind,
    "images per class of the budget": lambda side: _said(side.ipc),
    "images per class that it holds": lambda side: str(side.budget.images_per_class or "any number"),
    "labels": lambda side: side.config.get("labels", "hard"),
    "storage": lambda side: _said(side.config.get("storage")),
    "channels × height × width": lambda side: " × ".join(map(str, side.shape)),
    "classes": lambda side: str(len(side.classes)),
    "seed": lambda side: _said(side.lineage.seed),
    "device": lambda side: _said(side.lineage.device),
    "code version": lambda side: side.lineage.code_version or "–",
}
Kept = Annotated[str | None, Query(max_length=96)]


@router.get("")
def choose(request: Request, name: ArtifactName, session: Reading, other: Kept = None) -> Response:
    """The artifacts that this one can be set against; with `other`, an id or an alias, on to the comparison."""
    found = artifacts.get(session, name)
    if other:
        artifacts.get(session, other)
        return RedirectResponse(f"/artifacts/{name}/compare/{other}", status_code=303)
    same = artifacts.find(session, dataset=found.dataset, limit=CHOICES).items
    rest = artifacts.find(session, limit=CHOICES).items
    listed = {one.id: one for one in (*same, *rest) if one.id != found.id}
    about = known(session, found)
    return page(
        request,
        "compare_choose.html",
        about=about,
        name=name,
        title=title(about),
        choices=list(listed.values())[:CHOICES],
        aliases=aliases.of_artifacts(session, list(listed)),
    )


@router.get("/{other}")
def show(
    request: Request,
    name: ArtifactName,
    other: ArtifactName,
    session: Reading,
    first: Annotated[int, Query(ge=0, le=100_000, description="of the shared classes, the first on the page")] = 0,
) -> Response:
    """Both, what differs first."""
    told = compare(name, other, session)
    sides = {"a": known(session, artifacts.get(session, name)), "b": known(session, artifacts.get(session, other))}
    columns = min([COLUMNS, *(side.budget.images_per_class or COLUMNS for side in sides.values())])
    return page(
        request,
        "compare.html",
        told=told,
        names={"a": name, "b": other},
        sides=sides,
        titles={key: title(side) for key, side in sides.items()},
        facts=_facts(sides["a"], sides["b"]),
        recipe=[_line(one) for one in told.recipe],
        lineage=[_line(one) for one in told.lineage],
        columns=columns,
        sheets={key: geometry(side, columns=columns) for key, side in sides.items()},
        rows=[
            (called, *(reference(side.classes.index(called), side.classes) for side in sides.values()))
            for called in told.classes.shared[first : first + ROWS]
        ],
        first=first,
        rows_a_page=ROWS,
        pictures=all(side.shape[0] in PICTURE_CHANNELS for side in sides.values()),
    )


def _facts(a: Manifest, b: Manifest) -> list[tuple[str, str, str, bool]]:
    """(what, of a, of b, whether they differ), those that differ first."""
    rows = [(what, told(a), told(b)) for what, told in FACTS.items()]
    return sorted(((what, x, y, x != y) for what, x, y in rows), key=lambda row: not row[3])


def _line(found: DifferenceRead) -> tuple[str, str, str]:
    """A value that differs, in words: its path without slashes, a dash for what is not there."""
    return found.pointer.strip("/").replace("/", " › "), _said(found.a), _said(found.b)


def _said(value: object) -> str:
    return "–" if value is None else str(value)
