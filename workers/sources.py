"""Where a job's data come from: the laboratory's built-in sets, or an npz that the store keeps.

A built-in set that one worker has is put into the store as an npz, so that the others need neither its files nor a way
to where they come from. What is taken from the store is kept in the worker's cache.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from registry import artifacts, datasets, logs, shared
from registry.errors import BlobMissing, NotFound, RegistryError
from registry.models import DatasetState
from workers.bench import Bench
from workers.distill import data
from workers.distill.data import RealData
from workers.distill.errors import BaseUnavailable, DatasetUnavailable
from workers.intake.writing import write_npz
from workers.spool import PREFIX, spool_folder


def resolve(name: str, *, bench: Bench) -> RealData:
    """The data set of this name, in memory. Raises DatasetUnavailable, UploadError, StoreError."""
    if data.canonical(name) in data.FACTS:
        return _built_in(data.canonical(name), bench)
    try:
        with bench.database.read() as session:
            registered = datasets.get(session, name)
    except NotFound as error:
        raise DatasetUnavailable(f"the data set {name!r} is not registered any more; upload it again") from error
    if registered.state is not DatasetState.READY or registered.blob_digest is None:
        raise DatasetUnavailable(f"the data set {name!r} is {registered.state}, not ready; upload it again")
    with _held(registered.blob_digest, bench) as path:
        return data.from_npz(path, registered.key, licence=registered.facts.get("licence") or "")


def content(digest: str, *, bench: Bench) -> bytes:
    """The bytes of an artifact's file. Raises BlobMissing, BlobCorrupt, StoreError."""

    def fetch(path: Path) -> Path:
        path.write_bytes(bench.store.get(digest))
        return path

    return bench.cache.read_or(digest, fetch)


def base(artifact_id: str | None, *, bench: Bench) -> bytes | None:
    """The file of the artifact that a job continues, if it does. Raises BaseUnavailable, StoreError."""
    if artifact_id is None:
        return None
    try:
        with bench.database.read() as session:
            digest = artifacts.get(session, artifact_id).digest
    except NotFound as error:
        raise BaseUnavailable from error
    return content(digest, bench=bench)


def _built_in(name: str, bench: Bench) -> RealData:
    """From this machine's data folder, else from the store, else from where it is published."""
    settings = bench.settings
    try:
        real = data.load(name, data_dir=settings.data_dir, download=False)
    except DatasetUnavailable:
        if data.find_npz(name, data_dir=settings.data_dir) is not None:
            raise  # there is one, and it cannot be read
        real = _shared(name, bench)
        if real is not None:
            return real
        if not settings.download:
            raise
        real = data.load(name, data_dir=settings.data_dir, download=True)
    # Where the registry is a file there is one machine, and all its workers have its data folder.
    if data.FACTS[name].torchvision is not None and not settings.database_url.startswith("sqlite:"):
        share(name, real, bench=bench)
    return real


def _shared(name: str, bench: Bench) -> RealData | None:
    """A built-in set that another worker has put into the store; None where none has."""
    with bench.database.read() as session:
        found = shared.find(session, name)
    if found is None:
        return None
    try:
        with _held(found.blob_digest, bench) as path:
            return data.from_own_npz(path, name)
    except BlobMissing:
        logs.get(__name__).warning("a shared data set is gone from the store", dataset=name)
        return None


def share(name: str, real: RealData, *, bench: Bench) -> None:
    """Put a built-in set into the store, unless it is there. What goes wrong costs the other workers a download."""
    log = logs.get(__name__)
    try:
        with bench.database.read() as session:
            known = shared.find(session, name)
        if known is not None and bench.store.exists(known.blob_digest):
            if known.digest != real.digest:
                log.warning("another worker's data set has this name", dataset=name, digest=known.digest)
            return
        with TemporaryDirectory(dir=spool_folder(bench.settings.home), prefix=PREFIX) as folder:
            path = _as_npz(name, Path(folder), data_dir=bench.settings.data_dir)
            blob_digest, num_bytes = bench.store.put_file(path), path.stat().st_size
            with bench.database.write() as session:
                shared.share(session, name=name, digest=real.digest, blob_digest=blob_digest, num_bytes=num_bytes)
                if not bench.store.exists(blob_digest):
                    bench.store.put_file(path)  # a sweep took the same bytes (registry.blobs)
        log.info("shared a data set", dataset=name, bytes=num_bytes)
    except (RegistryError, OSError) as error:
        log.warning("a data set was not shared", dataset=name, error=str(error))


def _as_npz(name: str, folder: Path, *, data_dir: Path) -> Path:
    """A built-in set of this machine as an npz with the same digest: the one that lies there, or one made now."""
    there = data.find_npz(name, data_dir=data_dir)
    if there is not None:
        return there
    path, splits = folder / f"{name}.npz", data.published(name, data_dir=data_dir)
    images = torch.cat([bytes_NHWC for bytes_NHWC, _ in splits.values()])
    orders: dict[str, tuple[range, np.ndarray[Any, Any]]] = {}
    first = 0
    for split, (_, labels_N) in splits.items():
        orders[split] = range(first, first + len(labels_N)), labels_N.numpy()
        first += len(labels_N)
    *side, channels = images.shape[1:]
    side += [channels] if channels > 1 else []
    write_npz(path, images.flatten(1).numpy(), orders, data.FACTS[name].classes, side=side)
    return path


@contextmanager
def _held(blob_digest: str, bench: Bench) -> Generator[Path]:
    """A data set's npz as a file, for as long as the block lasts. Raises BlobMissing, DigestMismatch, StoreError."""

    def fetch(path: Path) -> None:
        with path.open("wb") as file:
            file.writelines(bench.store.stream(blob_digest))

    with bench.cache.held(blob_digest, fetch) as path:
        yield path
