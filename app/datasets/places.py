"""Where the front end finds the images of a data set: in the store, in the data folder, or in scikit-learn's files."""
# Shapes: N images, C channels, H height, W width.

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app.datasets.known import Facts, built_in, find_npz, not_ready
from app.errors import DataNotHere
from app.services import Services
from distilled import npz
from distilled.cache import Cache
from distilled.errors import DigestMismatch, UploadError
from distilled.picking import DIGITS_SPLIT, pick
from registry import datasets, shared
from registry.errors import BlobMissing

#: MNIST and its kin: a header of four (images) or two (labels) numbers of 4 bytes, then bytes. LeCun, 1998.
_IDX_IMAGES, _IDX_LABELS = (0x803, 16), (0x801, 8)
_IDX_PARTS = {"train": "train", "test": "t10k"}


class Arrays(Protocol):
    """A data set that is open."""

    @property
    def splits(self) -> Sequence[str]:
        """Those that its files have."""
        ...

    def labels(self, split: str) -> NDArray[np.int64]:
        """The class of each image of a split."""
        ...

    def rows(self, split: str, places: Sequence[int]) -> NDArray[np.uint8]:
        """bytes_NHWC of the images at these places of a split, in rising order."""
        ...


@dataclass(frozen=True, kw_only=True)
class Place:
    """Data that are here. key: another one for other data. shape: (C, H, W). open: for the time of a `with`."""

    key: str
    shape: tuple[int, int, int]
    classes: Sequence[str]
    open: Callable[[], AbstractContextManager[Arrays]]


def find(services: Services, name: str) -> Place:
    """Where the data set of this name is, in any case. Nothing is read yet. Raises NotFound, DataNotHere."""
    entry = built_in(services.catalog, name)
    return _registered(services, name) if entry is None else _built_in(services, name.lower(), entry)


def _registered(services: Services, name: str) -> Place:
    with services.database.read() as session:
        found = datasets.get(session, name)
    reason = not_ready(found)
    if reason is not None or found.blob_digest is None:
        raise DataNotHere(f"the data set {found.name!r} {reason or 'has no file'}")
    return _stored(services, found.blob_digest, found.num_bytes, found.facts)


def _built_in(services: Services, name: str, entry: Facts) -> Place:
    """In the order in which workers look for it."""
    data_dir = services.settings.data_dir
    path = find_npz(name, data_dir=data_dir)
    if path is not None:
        return _place(_version(path), entry, partial(_npz, path, entry["shape"]))
    if entry["torchvision"] is None:
        table = _digits_table()
        if table is None:
            detail = f"{entry['name']} comes with scikit-learn, which the front end has not; its pictures are not shown"
            raise DataNotHere(detail)
        return _place(f"built-in {name}", entry, lambda: nullcontext(_Digits(table, entry)))
    files = [data_dir / file for file in entry["files"]]
    if all(file.name.endswith("-ubyte") and file.is_file() for file in files):
        folder = files[0].parent
        return _place(" ".join(map(_version, files)), entry, lambda: nullcontext(_Idx(folder, entry)))
    with services.database.read() as session:
        known = shared.find(session, name)
    if known is not None and services.store.exists(known.blob_digest):
        return _stored(services, known.blob_digest, known.num_bytes, entry)
    raise DataNotHere(
        f"the images of {entry['name']} are not where the front end can read them: put {name}.npz (MedMNIST's keys) "
        "into the data folder, or let a worker of a service with a database server distil from it once"
    )


def _place(key: str, facts: Facts, opened: Callable[[], AbstractContextManager[Arrays]]) -> Place:
    channels, height, width = facts["shape"]
    return Place(key=key, shape=(channels, height, width), classes=facts["classes"], open=opened)


def _version(path: Path) -> str:
    """A word that a file has for as long as nobody changes it."""
    about = path.stat()
    return f"{path.name} {about.st_size} {about.st_mtime_ns}"


def _stored(services: Services, blob_digest: str, num_bytes: int, facts: Facts) -> Place:
    most = services.settings.data_cache_bytes
    if num_bytes > most:
        raise DataNotHere(
            f"its file has {num_bytes} bytes, and the front end takes at most {most} from the store to show images; "
            "raise DISTILLED_DATA_CACHE_BYTES"
        )
    return _place(blob_digest, facts, partial(_held, services, blob_digest, facts["shape"]))


@contextmanager
def _held(services: Services, blob_digest: str, shape: Sequence[int]) -> Generator[Arrays]:
    """A data set's npz as a file of this machine, for as long as the block lasts."""

    def fetch(path: Path) -> None:
        with path.open("wb") as file:
            file.writelines(services.store.stream(blob_digest))

    folder = services.settings.home.expanduser().absolute() / "cache" / "data"
    cache = Cache(folder=folder, max_bytes=services.settings.data_cache_bytes)
    try:
        with cache.held(blob_digest, fetch) as path, _npz(path, shape) as arrays:
            yield arrays
    except (BlobMissing, DigestMismatch) as error:
        detail = "its file is no longer in the store as it was; delete the data set and upload it again"
        raise DataNotHere(detail) from error


@contextmanager
def _npz(path: Path, shape: Sequence[int]) -> Generator[Arrays]:
    try:
        yield _Npz(path, shape)
    except UploadError as error:
        raise DataNotHere(f"{path.name} cannot be read: {error}") from error


class _Npz:
    def __init__(self, path: Path, shape: Sequence[int]) -> None:
        self._path = path
        there, self.splits = npz.declared(path)
        if there != tuple(shape):
            raise DataNotHere(f"{path.name} in the data folder holds images of another size than its name says")

    def labels(self, split: str) -> NDArray[np.int64]:
        return npz.read(self._path, f"{split}_labels")

    def rows(self, split: str, places: Sequence[int]) -> NDArray[np.uint8]:
        return npz.read_rows(self._path, f"{split}_images", places)


class _Idx:
    splits = ("train", "test")

    def __init__(self, folder: Path, entry: Facts) -> None:
        self._folder, self._entry = folder, entry

    def labels(self, split: str) -> NDArray[np.int64]:
        return np.array(self._read(f"{_IDX_PARTS[split]}-labels-idx1-ubyte", *_IDX_LABELS), dtype=np.int64)

    def rows(self, split: str, places: Sequence[int]) -> NDArray[np.uint8]:
        _, height, width = self._entry["shape"]
        pixels = self._read(f"{_IDX_PARTS[split]}-images-idx3-ubyte", *_IDX_IMAGES)
        return np.array(pixels.reshape(-1, height, width, 1)[np.asarray(places, dtype=np.int64)])

    def _read(self, file: str, magic: int, header_bytes: int) -> NDArray[np.uint8]:
        values = np.memmap(self._folder / file, dtype=np.uint8, mode="r")
        if int.from_bytes(values[:4].tobytes()) != magic:
            raise DataNotHere(f"{file} in the data folder is not what its name says; let a worker fetch it again")
        return values[header_bytes:]


class _Digits:
    """scikit-learn's digits with the laboratory's fixed fifth of each class as the test split."""

    splits = ("train", "test")

    def __init__(self, table: Path, entry: Facts) -> None:
        values: NDArray[Any] = np.loadtxt(table, delimiter=",")  # 64 pixels of 0..16 and a label a line
        self._images_NHWC = np.rint(values[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
        self._labels_N = values[:, -1].astype(np.int64)
        self._test_N = np.array(pick(self._labels_N.tolist(), entry["test_counts"], name=DIGITS_SPLIT))

    def labels(self, split: str) -> NDArray[np.int64]:
        return self._labels_N[self._test_N == (split == "test")]

    def rows(self, split: str, places: Sequence[int]) -> NDArray[np.uint8]:
        return self._images_NHWC[self._test_N == (split == "test")][np.asarray(places, dtype=np.int64)]


def _digits_table() -> Path | None:
    """The file that scikit-learn ships, found without importing it, which takes a second and much memory."""
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
    return path if path.is_file() else None
