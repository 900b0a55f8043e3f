"""Built-in and registered data sets as one list."""

import base64
import binascii
from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.datasets.known import Facts, Source, built_in, built_in_availability, registered_availability
from app.datasets.schemas import DatasetRead, ReportRead
from app.services import Services
from registry import datasets, errors, shared
from registry.models import Dataset, DatasetState


def show_built_in(services: Services, entry: Facts, *, shared: bool) -> DatasetRead:
    """A data set of the catalog. shared: whether a worker has put it into the store."""
    available, reason = built_in_availability(entry, data_dir=services.settings.data_dir, shared=shared)
    fields = ("name", "shape", "classes", "train", "val", "test", "train_counts", "mean", "std")
    return DatasetRead(
        **{field: entry[field] for field in fields},
        id=None,
        source=Source.BUILT_IN,
        state=DatasetState.READY,
        progress=None,
        available=available,
        reason=reason,
        licence=entry.get("licence"),
        homepage=entry.get("homepage"),
        digest=entry.get("digest"),
        bytes=None,
        report=None,
        created_at=None,
    )


def show_registered(services: Services, found: Dataset, *, progress: float | None = None) -> DatasetRead:
    """A data set that was uploaded. progress: of its validation, 0..1."""
    available, reason = registered_availability(services, found)
    fields = ("shape", "classes", "train", "val", "test", "train_counts", "mean", "std")
    return DatasetRead(
        **{field: found.facts.get(field) for field in fields},
        name=found.name,
        id=found.id,
        source=Source.REGISTERED,
        state=found.state,
        progress=progress if found.state is DatasetState.VALIDATING else None,
        available=available,
        reason=reason,
        licence=found.facts.get("licence"),
        homepage=None,
        digest=found.digest,
        bytes=found.num_bytes,
        report=None if found.report is None else ReportRead.model_validate(found.report),
        created_at=found.created_at,
    )


def one(services: Services, session: Session, name: str) -> DatasetRead:
    """The data set of this name in any case. Raises NotFound."""
    entry = built_in(services.catalog, name)
    if entry is not None:
        return show_built_in(services, entry, shared=shared.find(session, name.lower()) is not None)
    found = datasets.get(session, name)
    return show_registered(services, found, progress=datasets.progress(session, [found.id]).get(found.id))


def page(
    services: Services, session: Session, *, limit: int, cursor: str | None
) -> tuple[list[DatasetRead], str | None]:
    """Some data sets by name, and the cursor for those after them. Raises InvalidCursor."""
    after = "" if cursor is None else _decoded(cursor)
    registered = {found.key: found for found in datasets.find(session)}
    names = sorted(name for name in {*services.catalog["datasets"], *registered} if name > after)
    shown = names[:limit]
    progress = datasets.progress(session, [registered[name].id for name in shown if name in registered])

    def show(name: str) -> DatasetRead:
        entry = built_in(services.catalog, name)
        if entry is not None:
            return show_built_in(services, entry, shared=shared.find(session, name) is not None)
        return show_registered(services, registered[name], progress=progress.get(registered[name].id))

    return [show(name) for name in shown], _next(names, shown)


def _next(names: Sequence[str], shown: Sequence[str]) -> str | None:
    if len(names) <= len(shown):
        return None
    return base64.urlsafe_b64encode(shown[-1].encode()).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise errors.InvalidCursor from error
