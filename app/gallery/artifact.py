"""/artifacts/{name}: an artifact to look at, and what can be done with it."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from app.artifacts.manifest import manifest
from app.artifacts.schemas import EvaluationRead, Manifest
from app.deps import ArtifactName, Reading, Service
from app.gallery.frame import PageRoute, page
from app.gallery.markdown import rendered
from app.gallery.using import Snippet, key_header, snippets
from app.hub.repositories import NAMESPACE, at
from app.keys.caller import LOCAL, Asking
from app.keys.scopes import READ
from app.samples.choosing import MAX_IMAGES, class_indices
from app.samples.schemas import MAX_SEED, Classes, DownloadFormat
from app.services import Catalog
from distilled import continuing, transfer
from distilled.formats.sets import PICTURE_CHANNELS
from distilled.formats.sheet import GAP
from registry import aliases, artifacts, evaluations
from registry.models import LIVING, Artifact

router = APIRouter(prefix="/artifacts", include_in_schema=False, dependencies=[READ], route_class=PageRoute)

#: Images of a class on the page: at first, and at most of a set that serves any number.
COLUMNS, MOST_COLUMNS = 10, 100
#: Classes on one page.
ROWS = 50
#: Width that an image is enlarged to, in pixels: by a whole number of times.
IMAGE_WIDTH = 56

Columns = Annotated[int | None, Query(ge=1, le=MOST_COLUMNS, description="images of each class")]
First = Annotated[int, Query(ge=0, le=100_000, description="of the chosen classes, the first on the page")]
#: What scripts keep in the address. The page itself is the same whatever it says.
Kept = Annotated[str | None, Query(max_length=400)]
Number = Annotated[int | None, Query(ge=1, le=MAX_IMAGES)]


@router.get("/{name}")
def show(  # noqa: PLR0917 -- a part of the address each; FastAPI passes them by name
    request: Request,
    name: ArtifactName,
    session: Reading,
    service: Service,
    who: Asking,
    ipc: Columns = None,
    classes: Classes = None,
    first: First = 0,
    image: Kept = None,
    seed: Annotated[int | None, Query(ge=0, le=MAX_SEED)] = None,
    per_class: Number = None,
    count: Number = None,
    ratio: Annotated[float | None, Query(gt=0, le=1, allow_inf_nan=False)] = None,
    mix: Kept = None,
) -> Response:
    """All that is known of an artifact. name: its id or an alias. A deleted one says so."""
    found = artifacts.get(session, name, deleted=True)
    about = known(session, found)
    if found.deleted_at is not None:
        return page(request, "artifact_deleted.html", about=about)
    asked = [one for one in classes or () if one]
    chosen = class_indices(asked or None, names=about.classes)
    most = min(about.budget.images_per_class or MOST_COLUMNS, MOST_COLUMNS)
    shown = min(ipc or min(COLUMNS, about.budget.images_per_class or about.ipc or COLUMNS), most)
    base, keyed = str(request.base_url).rstrip("/"), who is not LOCAL
    return page(
        request,
        "artifact.html",
        about=about,
        name=name,
        title=title(about),
        rows=[(k, about.classes[k], reference(k, about.classes)) for k in chosen[first : first + ROWS]],
        chosen=len(chosen),
        first=first,
        rows_a_page=ROWS,
        asked=",".join(asked),
        ipc=shown,
        most=most,
        pictures=about.shape[0] in PICTURE_CHANNELS,
        sheet=geometry(about, columns=shown),
        scores=scores(about),
        measured=[(row, transfer.rows_of(row.result or {})) for row in about.evaluations],
        means=means(about),
        seen={row.network for row in about.evaluations if transfer.is_seen(row.network, about.seen_networks)},
        networks=_examples(service.catalog),
        parts=continuing.parts(found.header),
        base_id=None if about.lineage.base is None else artifacts.id_of(session, about.lineage.base.digest),
        formats=list(DownloadFormat),
        snippets=_snippets(about, name, base=base, keyed=keyed),
        curl=f"curl -fOJ{key_header(keyed)} '{base}/v1/artifacts/{name}",
        card=rendered(_card(session, found)),
        facts=_facts(about, name),
    )


def known(session: Session, found: Artifact) -> Manifest:
    """The manifest, as the API has it."""
    names = aliases.of_artifacts(session, [found.id]).get(found.id, [])
    return manifest(found, evaluations=evaluations.of_artifact(session, found.id), aliases=names)


def title(about: Manifest) -> str:
    """An artifact in a few words: what of, and how."""
    budget = "" if about.ipc is None else f", IPC {about.ipc}"
    return f"{about.dataset} → {about.method or 'a recipe of its own'}{budget}"


def reference(k: int, names: Sequence[str]) -> str:
    """How to ask for a class so that no other is meant: by its index, unless that is another one's name."""
    return names[k] if str(k) in names else str(k)


def primary(about: Manifest) -> EvaluationRead | None:
    """The evaluation whose accuracy stands for the artifact."""
    return next((row for row in about.evaluations if row.network == about.network and row.result), None)


def scores(about: Manifest) -> list[tuple[str, dict[str, float | None], dict[str, int | None]]]:
    """What a network makes of the artifact and of each baseline: (name, score, size)."""
    row = primary(about)
    found = transfer.rows_of({} if row is None else row.result or {})
    return [(name, dict(score), dict(size)) for name, score, size in found]


def means(about: Manifest) -> list[tuple[str, list[str], list[tuple[str, object, object]]]]:
    """Means over networks that were trained alike, seen and unseen apart: (group, networks, rows)."""
    return [
        (group, found.networks, list(transfer.rows_of(found.model_dump())))
        for summary in about.summary
        for group, found in (("seen", summary.seen), ("unseen", summary.unseen), ("all", summary.all))
        if found is not None and len(summary.all.networks) > 1
    ]


def geometry(about: Manifest, *, columns: int) -> dict[str, int]:
    """A row's sheet as the page shows it: times that it is enlarged, width and height in pixels."""
    _, height, width = about.shape
    times = max(1, round(IMAGE_WIDTH / width))
    return {
        "times": times,
        "width": times * (columns * (width + GAP) + GAP),
        "height": times * (height + 2 * GAP),
        "gap": GAP,
    }


def _card(session: Session, found: Artifact) -> str:
    """The data card without its YAML."""
    text = at(session, NAMESPACE, found.id).small["README.md"].decode()
    return text.partition("\n---\n")[2]


def _snippets(about: Manifest, name: str, *, base: str, keyed: bool) -> list[Snippet]:
    own = about.budget.images_per_class or about.ipc or 1
    pictures = about.shape[0] in PICTURE_CHANNELS
    return snippets(base, name, ipc=own, soft=about.config.get("labels") == "soft", keyed=keyed, pictures=pictures)


def _examples(catalog: Catalog) -> list[str]:
    """Names of networks to choose from; others follow the same patterns."""
    return [family["example"] for family in catalog["networks"].values()]


def _facts(about: Manifest, name: str) -> dict[str, object]:
    """What the page's scripts go by."""
    return {
        "id": about.id,
        "name": name,
        "kind": about.kind,
        "classes": about.classes,
        "shape": about.shape,
        "mean": about.normalisation.mean,
        "std": about.normalisation.std,
        "held": about.budget.images_per_class,
        "soft": about.config.get("labels") == "soft",
        "gap": GAP,
        "measuring": any(row.state in LIVING for row in about.evaluations),
    }
