"""Where a job's real data come from: the laboratory's built-in sets, or an upload that the store keeps."""

import hashlib
import os
import tempfile
from pathlib import Path

from distilled.errors import DigestMismatch
from registry import artifacts, datasets
from registry.errors import NotFound
from registry.models import DatasetState
from registry.session import Database
from registry.store import Store
from workers.distill import data
from workers.distill.data import RealData
from workers.distill.errors import BaseUnavailable, DatasetUnavailable


def resolve(name: str, *, database: Database, store: Store, data_dir: Path, download: bool) -> RealData:
    """The data set of this name, in memory. Raises DatasetUnavailable, UploadError, StoreError."""
    if data.canonical(name) in data.FACTS:
        return data.load(name, data_dir=data_dir, download=download)
    try:
        with database.read() as session:
            registered = datasets.get(session, name)
    except NotFound as error:
        raise DatasetUnavailable(f"the data set {name!r} is not registered any more; upload it again") from error
    if registered.state is not DatasetState.READY or registered.blob_digest is None:
        raise DatasetUnavailable(f"the data set {name!r} is {registered.state}, not ready; upload it again")
    path = fetch(registered.blob_digest, store=store, folder=data_dir / "uploads")
    return data.from_npz(path, registered.key, licence=registered.facts.get("licence") or "")


def base(artifact_id: str | None, *, database: Database, store: Store) -> bytes | None:
    """The file of the artifact that a job continues, if it does. Raises BaseUnavailable, StoreError."""
    if artifact_id is None:
        return None
    try:
        with database.read() as session:
            digest = artifacts.get(session, artifact_id).digest
    except NotFound as error:
        raise BaseUnavailable from error
    return store.get(digest)


def fetch(blob_digest: str, *, store: Store, folder: Path) -> Path:
    """A data set's npz as a local file, named by its digest and written at once: what is there is whole."""
    path = folder / f"{blob_digest}.npz"
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, suffix=".part")
    partial = Path(name)
    try:
        digest = hashlib.sha256()
        with os.fdopen(handle, "wb") as file:
            for chunk in store.stream(blob_digest):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != blob_digest:
            raise DigestMismatch
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path
