"""Artifacts as repositories of the Hub: under which names, and at which commits."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import metadata as installed
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from app.artifacts.manifest import manifest
from app.artifacts.schemas import Manifest
from app.errors import RepoNotFound, RevisionNotFound
from app.hub import card
from app.hub.metadata import front, metadata
from distilled import __version__, continuing
from distilled.formats.sets import PICTURE_CHANNELS, SyntheticSet
from distilled.manifest import canonical_json, digest_json
from registry import aliases, artifacts, errors, evaluations
from registry.ids import is_id
from registry.models import Artifact, Evaluation, State
from registry.names import NAME_PATTERN

NAMESPACE = "distilled"
MAIN = "main"
#: The field compares itself at these numbers of images per class, so each that an artifact can give has a config.
FIELD_SIZES = (1, 10, 50)
#: A listing has to make every file that it tells the size of, while its client waits for ten seconds at most: more
#: images than this are listed only where the artifact itself has so many.
LISTED_IMAGES = 10_000
#: Where an alias pointed before is looked for among so many of its last moves.
REMEMBERED_MOVES = 200
#: Of an evaluation what can change, or has no place in a file that follows from its content.
UNSETTLED = {"state", "progress", "attempt", "error", "created_at", "started_at", "ended_at"}


@dataclass(frozen=True, kw_only=True)
class Repository:
    """An artifact at a commit. sizes: images per class of each config; small: the files that are text, by path."""

    artifact: Artifact
    manifest: Manifest
    commit: str
    modified: datetime
    sizes: tuple[int, ...]
    metadata: Mapping[str, Any]
    small: Mapping[str, bytes]


def find(session: Session, namespace: str, name: str) -> Artifact:
    """The artifact of the repository `namespace/name`; its name is an id or an alias. Raises RepoNotFound."""
    try:
        if namespace != NAMESPACE or not NAME_PATTERN.fullmatch(name):
            raise errors.NotFound
        return artifacts.get(session, name)
    except errors.NotFound as error:
        raise RepoNotFound(
            f"there is no dataset {namespace}/{name}; repositories here are called {NAMESPACE}/<alias or id of an "
            "artifact>, and list_datasets() lists them"
        ) from error


def at(session: Session, namespace: str, name: str, revision: str = MAIN) -> Repository:
    """The repository at a revision: `main`, a commit, or the artifact's digest, id or alias.

    An older commit stays one as long as this version of the service would write the same. Where the name is an alias,
    commits and digests of what it pointed to before are revisions, too, so that a pinned one outlives a move. Raises
    RepoNotFound, RevisionNotFound.
    """
    current = find(session, namespace, name)
    for artifact in _named(session, name, current):
        found = _at(session, artifact, revision, current=artifact.id == current.id)
        if found is not None:
            return found
    raise RevisionNotFound(
        f"{namespace}/{name} has no revision {revision[:100]}: ask for {MAIN}, for a commit or digest that it has or "
        "had, or for another alias of the same artifact"
    )


def _named(session: Session, name: str, current: Artifact) -> Iterator[Artifact]:
    """What the name points to, then what it pointed to before."""
    yield current
    if is_id(name, kind="artifact"):
        return
    moves = aliases.history(session, name, limit=REMEMBERED_MOVES).items
    for former in dict.fromkeys(move.to_artifact_id for move in moves):
        if former is None or former == current.id:
            continue
        try:
            yield artifacts.get(session, former)
        except errors.NotFound:
            continue


def _at(session: Session, artifact: Artifact, revision: str, *, current: bool) -> Repository | None:
    versions = _versions(artifact, evaluations.of_artifact(session, artifact.id))
    if revision == artifact.digest or (current and revision == MAIN):
        return next(versions)
    if len(revision) == 40 and not is_id(revision, kind="artifact"):
        found = next((version for version in versions if version.commit == revision), None)
        if found is not None:
            return found
    if not NAME_PATTERN.fullmatch(revision):
        return None
    try:
        same = artifacts.get(session, revision).id == artifact.id
    except errors.NotFound:
        return None
    return next(versions) if same and current else None


def _versions(artifact: Artifact, rows: Sequence[Evaluation]) -> Iterator[Repository]:
    """The repository at its commits, the newest first: the artifact alone, then with each evaluation that succeeded."""
    first = next((row for row in rows if row.network == artifact.primary_network), None)
    done = sorted(
        (row for row in rows if row.state is State.SUCCEEDED), key=lambda row: (row.ended_at or row.updated_at, row.id)
    )
    for count in range(len(done), -1, -1):
        known = set(done[:count])
        about = manifest(artifact, evaluations=[row for row in rows if row in known], aliases=())
        if first not in known:
            about = about.model_copy(update={"network": None, "accuracy": None, "accuracy_std": None})
        ended = done[count - 1].ended_at if count else None
        yield _version(artifact, about, modified=ended or artifact.created_at)


def _version(artifact: Artifact, about: Manifest, *, modified: datetime) -> Repository:
    sizes = offered(about)
    parts = continuing.parts(artifact.header)
    fields = metadata(about, parts=parts, sizes=sizes, features=_features(about))
    hidden = {"aliases": True, "evaluations": {"__all__": UNSETTLED}}
    told = canonical_json(about.model_dump(mode="json", exclude=hidden))
    small = {
        "README.md": f"{front(fields)}\n{card.text(about, parts=parts, sizes=sizes)}".encode(),
        "manifest.json": f"{told}\n".encode(),
    }
    content = {path: hashlib.sha256(text).hexdigest() for path, text in small.items()}
    return Repository(
        artifact=artifact,
        manifest=about,
        commit=digest_json([artifact.digest, content, list(sizes), writers()])[:40],
        modified=modified,
        sizes=sizes,
        metadata=fields,
        small=small,
    )


def offered(about: Manifest) -> tuple[int, ...]:
    """Images per class of each config: the field's sizes that fit, and all that is held or a generator's budget."""
    if about.shape[0] not in PICTURE_CHANNELS:
        return ()
    held = about.budget.images_per_class
    own = held or about.ipc
    field = [size for size in FIELD_SIZES if size * len(about.classes) <= LISTED_IMAGES and size <= (held or size)]
    return tuple(sorted({size for size in [*field, own] if size and size <= about.serves.images_per_class}))


@cache
def writers() -> list[str]:
    """What writes the Parquet files: another version may write other bytes, and other bytes are another commit."""
    return [f"distilled {__version__}", *(f"{name} {installed.version(name)}" for name in ("pyarrow", "pillow"))]


def _features(about: Manifest) -> Mapping[str, Any]:
    """The columns' types of every config."""
    from distilled.formats.parquet import features  # noqa: PLC0415 -- pyarrow is loaded by who asks for it first

    classes = tuple(about.classes)
    soft = np.zeros((0, len(classes)), np.float32) if about.config.get("labels") == "soft" else None
    images, labels = np.zeros((0, 1, 1, 1), np.uint8), np.zeros(0, np.int64)
    return features(SyntheticSet(images=images, classes=classes, labels=labels, soft_labels=soft))
