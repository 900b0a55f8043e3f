"""Which data sets there are: the catalog's built-in ones and those that were registered."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from app.services import Catalog, Services
from distilled.errors import Problem, RecipeError
from registry import datasets, errors
from registry.models import Dataset, DatasetState


class Availability(StrEnum):
    """Whether a data set can be distilled from."""

    ON_DISK = "on_disk"  #: its files are here
    DOWNLOADABLE = "downloadable"  #: a worker fetches it when it is first used
    MISSING = "missing"  #: its files are gone


class Source(StrEnum):
    """Where a data set comes from."""

    BUILT_IN = "built-in"  #: of the catalog
    REGISTERED = "registered"  #: uploaded


Facts = Mapping[str, Any]


def built_in(catalog: Catalog, name: str) -> Facts | None:
    """The catalog's entry of this name, whatever the case."""
    return catalog["datasets"].get(name.lower())


def facts(session: Session, catalog: Catalog, name: str) -> Facts:
    """What a budget is checked against: name, classes, train_counts (what training sees), shape, digest.

    Raises RecipeError naming `/dataset`: where there is none, the data sets that there are; else why it is not ready.
    """
    entry = built_in(catalog, name)
    if entry is not None:
        # A built-in set is one and the same everywhere: its name is as good as a digest.
        return {**entry, "digest": entry.get("digest") or f"built-in:{name.lower()}"}
    try:
        found = datasets.get(session, name)
    except errors.NotFound as error:
        known = ", ".join(sorted(catalog["datasets"]))
        detail = f"there is no data set {name[:64]!r}; built in are {known}; GET /v1/datasets lists the uploaded ones"
        raise RecipeError([Problem(pointer="/dataset", detail=detail)]) from error
    reason = not_ready(found)
    if reason is not None:
        raise RecipeError([Problem(pointer="/dataset", detail=f"the data set {found.name!r} {reason}")])
    return {**found.facts, "name": found.name, "digest": found.digest}


def not_ready(found: Dataset) -> str | None:
    """Why an uploaded data set cannot be used, and what to do about it; None: it can."""
    where = f"GET /v1/datasets/{found.name}"
    if found.state is DatasetState.VALIDATING:
        return f"is being validated; wait until {where} says that it is ready"
    if found.state is DatasetState.REFUSED:
        report = found.report or {}
        said = [problem["detail"] for problem in report.get("problems") or ()]
        said += [report["error"]["detail"]] if report.get("error") else []
        return f"was refused: {said[0] if said else 'its report says why'}; the report in {where} tells all of it"
    return None


def resembles_built_in(catalog: Catalog, name: str) -> bool:
    """Whether a name differs from a built-in one by case, `_` and `-` alone: workers take it for that one."""
    return _canonical(name) in {_canonical(known) for known in catalog["datasets"]}


def built_in_availability(entry: Facts, *, data_dir: Path, shared: bool) -> tuple[Availability, str | None]:
    """Where a built-in data set is, and why it is not here. shared: a worker has put it into the store."""
    if shared:
        return Availability.ON_DISK, None
    if entry["torchvision"] is None and not entry["files"]:
        return Availability.ON_DISK, None  # comes with a library
    if entry["files"] and all((data_dir / file).exists() for file in entry["files"]):
        return Availability.ON_DISK, None
    if find_npz(entry["name"], data_dir=data_dir) is not None:
        return Availability.ON_DISK, None
    if entry["torchvision"] is not None:
        return Availability.DOWNLOADABLE, "not on disk yet; a worker downloads it when a job first needs it"
    return Availability.MISSING, "its files are not in the data folder; put them there"


def find_npz(name: str, *, data_dir: Path) -> Path | None:
    """The `.npz` in the data folder whose name is this one but for case, `_` and `-`, as workers find it."""
    return next((path for path in sorted(data_dir.glob("*.npz")) if _canonical(path.stem) == _canonical(name)), None)


def _canonical(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def registered_availability(services: Services, found: Dataset) -> tuple[Availability, str | None]:
    """Whether an uploaded data set's file is in the store."""
    reason = not_ready(found)
    if reason is not None:
        return Availability.MISSING, reason
    if found.blob_digest is not None and services.store.exists(found.blob_digest):
        return Availability.ON_DISK, None
    return Availability.MISSING, "its file is no longer in the store; delete the data set and upload it again"
