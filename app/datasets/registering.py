"""From what was sent to a registered data set: ready at once where it is arrays, or waiting for a worker's look.

Arrays are checked by their headers and counted as they are read, in little memory and without a decoder. Images and
tables are opened by workers only.
"""

import re
from dataclasses import dataclass

from app.datasets import uploads
from app.datasets.known import resembles_built_in
from app.datasets.receiving import SentFile, SentName
from app.datasets.resumable import filename_of
from app.errors import InvalidRequest
from app.problems import below
from app.services import Services
from distilled import npz
from distilled.errors import Problem, UploadError
from distilled.kinds import HEAD_BYTES, WANTED, Kind, kind_of
from registry import audit, datasets, errors, quotas
from registry import uploads as uploading
from registry.audit import Who
from registry.models import Dataset

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Registered:
    """The data set, and the id of the validation that a worker is to be woken for, if it needs one."""

    dataset: Dataset
    validation_id: str | None


def from_file(services: Services, sent: SentFile, *, who: Who) -> Registered:
    """Register the file of a form. Raises InvalidRequest, UploadError, NameTaken, StoreFull."""
    _check_name(services, sent.name, pointer="/form/name")
    with sent.path.open("rb") as file:
        kind = _known_kind(file.read(HEAD_BYTES), sent.filename, pointer="/form/file")
    if kind is Kind.NPZ:
        return Registered(dataset=_from_arrays(services, sent, who), validation_id=None)
    upload_id = uploads.keep(services, sent.path, who=who)
    try:
        return _waiting(services, SentName(name=sent.name, upload=upload_id, licence=sent.licence), kind, who)
    except errors.RegistryUnavailable:
        raise  # it may have been registered, and only the answer was lost: what was sent expires if it was not
    except errors.RegistryError:
        uploads.drop(services, upload_id)
        raise


def from_upload(services: Services, sent: SentName, *, who: Who) -> Registered:
    """Register an upload that is whole. Raises InvalidRequest, UploadError, NotFound, OffsetMoved, InUse, NameTaken."""
    _check_name(services, sent.name, pointer="/name")
    with services.database.read() as session:
        upload = uploading.get(session, sent.upload)
    kind = _known_kind(uploads.head(services, upload, HEAD_BYTES), filename_of(upload.told), pointer="/upload")
    return _waiting(services, sent, kind, who)


def _check_name(services: Services, name: str, *, pointer: str) -> None:
    if not NAME.fullmatch(name):
        detail = "must be 1 to 64 of the characters a-z 0-9 . _ - and begin with a letter or a digit; choose another"
        raise InvalidRequest.at(pointer, detail)
    if resembles_built_in(services.catalog, name):
        raise errors.NameTaken(f"{name!r} is the name of a built-in data set; choose another name")
    with services.database.read() as session:
        # Looked up before the work, and again by the constraint when it is recorded.
        datasets.check_free(session, name)


def _known_kind(head: bytes, filename: str, *, pointer: str) -> Kind:
    kind = kind_of(head, filename=filename)
    if kind is None:
        raise UploadError([Problem(pointer=pointer, detail=WANTED)])
    return kind


def _from_arrays(services: Services, sent: SentFile, who: Who) -> Dataset:
    try:
        facts, report = npz.examine(sent.path)
    except UploadError as error:
        raise UploadError(below("/form/file", error.problems)) from error
    blob = services.store.put_file(sent.path)
    with services.writing() as session:
        quotas.check(session, who.key_id, services.settings.quotas, num_bytes=report.num_bytes)
        dataset = datasets.register(
            session,
            name=sent.name,
            digest=facts.digest,
            blob_digest=blob,
            num_bytes=report.num_bytes,
            facts={**facts.to_json(), "licence": sent.licence},
            report=report.to_json(),
            key_id=who.key_id,
        )
        audit.note(session, who, dataset.name)
        if not services.store.exists(blob):
            services.store.put_file(sent.path)  # a sweep took the same bytes of a deleted data set (registry.blobs)
        return dataset


def _waiting(services: Services, sent: SentName, kind: Kind, who: Who) -> Registered:
    with services.writing() as session:
        dataset, validation_id = datasets.await_validation(
            session,
            name=sent.name,
            kind=kind,
            upload_id=sent.upload,
            licence=sent.licence,
            request_id=who.request_id,
            key_id=who.key_id,
        )
        audit.note(session, who, dataset.name)
    return Registered(dataset=dataset, validation_id=validation_id)
