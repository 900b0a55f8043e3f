"""Where real data come from: a `.npz` beside the others, scikit-learn, or torchvision's own download."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from torch import Tensor

from distilled import npz
from distilled.budget import held_out
from distilled.errors import UploadError
from distilled.parametrizations.base import ImageSpace
from distilled.picking import DIGITS_SPLIT, VALIDATION_SPLIT, pick
from workers.distill.data.facts import FACTS, DatasetFacts, canonical
from workers.distill.data.real import RealData
from workers.distill.errors import DatasetUnavailable

_DIGITS = "sklearn/datasets/data/digits.csv.gz"
#: What torchvision raises where files are absent, damaged or out of reach (URLError is an OSError).
_UNREADABLE = (RuntimeError, OSError, EOFError, ValueError, AssertionError)


def load(name: str, *, data_dir: Path, download: bool) -> RealData:
    """A built-in data set, from the first of: `<name>.npz` in `data_dir`, the library it ships with, torchvision.

    torchvision reads what it finds under `data_dir` and, with `download`, fetches what is missing. Raises
    DatasetUnavailable, in words a user can act on.
    """
    known = FACTS.get(canonical(name))
    if known is None:
        raise DatasetUnavailable(f"no built-in data set is named {name!r}; known are: {', '.join(FACTS)}")
    path = find_npz(canonical(name), data_dir=data_dir)
    if path is not None:
        return from_own_npz(path, canonical(name))
    train, test = _digits() if known.torchvision is None else _torchvision(known, data_dir, download=download)
    return _assembled(canonical(name), known, train=train, test=test)


def from_npz(path: Path, name: str, *, licence: str = "") -> RealData:
    """An uploaded data set in MedMNIST's keys. Raises UploadError naming key and fix."""
    facts = npz.inspect(path)
    arrays = {
        key: torch.from_numpy(np.ascontiguousarray(npz.read(path, key)))
        for split in ("train", "test", *(("val",) if facts.val_counts else ()))
        for key in (f"{split}_images", f"{split}_labels")
    }
    train = (arrays["train_images"], arrays["train_labels"])
    val = (arrays["val_images"], arrays["val_labels"]) if facts.val_counts else None
    if val is None:
        train, val = hold_out(*train, num_classes=len(facts.classes))
    return RealData(
        name=name,
        space=ImageSpace(shape=facts.shape, mean=facts.mean, std=facts.std, classes=facts.classes),
        train_bytes_NHWC=train[0],
        train_labels_N=train[1],
        val_bytes_NHWC=val[0],
        val_labels_N=val[1],
        test_bytes_NHWC=arrays["test_images"],
        test_labels_N=arrays["test_labels"],
        digest=facts.digest,
        licence=licence,
    )


def find_npz(name: str, *, data_dir: Path) -> Path | None:
    """The `.npz` in `data_dir` whose name is this one but for case, `_` and `-`."""
    if not data_dir.is_dir():
        return None
    return next((p for p in sorted(data_dir.glob("*.npz")) if canonical(p.stem) == canonical(name)), None)


def hold_out(
    bytes_NHWC: Tensor, labels_N: Tensor, *, num_classes: int
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """(train, val): a fixed tenth of each class goes to `val`, whatever the seed of a run."""
    counts = torch.bincount(labels_N, minlength=num_classes).tolist()
    val_N = torch.tensor(pick(labels_N.tolist(), held_out(counts), name=VALIDATION_SPLIT))
    return (bytes_NHWC[~val_N], labels_N[~val_N]), (bytes_NHWC[val_N], labels_N[val_N])


def published(name: str, *, data_dir: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """The published splits, train and test, of a set that torchvision has on this disk: bytes_NHWC and labels_N.

    Raises DatasetUnavailable.
    """
    train, test = _torchvision(FACTS[canonical(name)], data_dir, download=False)
    return {"train": train, "test": test}


def from_own_npz(path: Path, name: str) -> RealData:
    """A built-in set that someone has put there as `.npz`: with the published classes and normalisation.

    Raises DatasetUnavailable.
    """
    known = FACTS[name]
    try:
        real = from_npz(path, name, licence=known.licence)
    except UploadError as error:
        raise DatasetUnavailable(f"{path.name} in the data folder cannot be read as {known.name}: {error}") from error
    if real.space.shape != known.shape or real.space.num_classes != len(known.classes):
        raise DatasetUnavailable(
            f"{path.name} in the data folder holds images of (C, H, W) {real.space.shape} in "
            f"{real.space.num_classes} classes, which is not {known.name}; rename it, or upload it under another name"
        )
    return replace(real, space=_space(known))


def _space(known: DatasetFacts) -> ImageSpace:
    return ImageSpace(shape=known.shape, mean=known.mean, std=known.std, classes=known.classes)


def _assembled(
    name: str, known: DatasetFacts, *, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]
) -> RealData:
    digest = npz.content_digest(
        classes=known.classes,
        shape=known.shape,
        splits=[(split, y.numpy(), [x.numpy().tobytes()]) for split, (x, y) in (("train", train), ("test", test))],
    )
    (train_bytes, train_labels), (val_bytes, val_labels) = hold_out(*train, num_classes=len(known.classes))
    return RealData(
        name=name,
        space=_space(known),
        train_bytes_NHWC=train_bytes,
        train_labels_N=train_labels,
        val_bytes_NHWC=val_bytes,
        val_labels_N=val_labels,
        test_bytes_NHWC=test[0],
        test_labels_N=test[1],
        digest=digest,
        licence=known.licence,
    )


def _digits() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """scikit-learn's digits: values 0..16 to 0..255, a fixed fifth of each class to the test split.

    Read from its file, since importing the library costs seconds of a processor in each process that works on them.
    """
    file = distribution("scikit-learn").locate_file(_DIGITS)
    rows_NP = np.loadtxt(str(file), delimiter=",")  # 64 pixels, and the label
    bytes_NHWC = torch.from_numpy(np.rint(rows_NP[:, :-1] * (255 / 16)).astype(np.uint8)).view(-1, 8, 8, 1)
    labels_N = torch.from_numpy(rows_NP[:, -1].astype(np.int64))
    test_N = torch.tensor(pick(labels_N.tolist(), FACTS["digits"].test_counts, name=DIGITS_SPLIT))
    return (bytes_NHWC[~test_N], labels_N[~test_N]), (bytes_NHWC[test_N], labels_N[test_N])


def _torchvision(
    known: DatasetFacts, data_dir: Path, *, download: bool
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Both splits by torchvision's class: its download code, its mirrors, its checksums."""
    kind = getattr(import_module("torchvision.datasets"), str(known.torchvision))
    where = f"put {' and '.join(known.files[:2])} … or {canonical(known.name)}.npz into the data folder, or upload it"
    try:
        return _read_splits(kind, data_dir, download=False)
    except _UNREADABLE as error:
        if not download:
            raise DatasetUnavailable(f"{known.name} is not on disk, and downloading is off; {where}") from error
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with _alone(data_dir / f".{canonical(known.name)}.lock"):
            return _read_splits(kind, data_dir, download=True)
    except _UNREADABLE as error:
        reason = " ".join(str(error.reason if isinstance(error, URLError) else error).split())[:300]
        raise DatasetUnavailable(
            f"{known.name} is not on disk and could not be downloaded ({reason}); {where}"
        ) from error


def _read_splits(kind: Any, root: Path, *, download: bool) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    if kind.__name__ == "SVHN":
        sets = [kind(root, split=split, download=download) for split in ("train", "test")]
    else:
        sets = [kind(root, train=train, download=download) for train in (True, False)]
    train, test = ((_nhwc(kind, one.data), _labels(one)) for one in sets)
    return train, test


def _nhwc(kind: Any, data: Any) -> Tensor:
    """torchvision keeps MNIST's kin as [N, H, W], CIFAR as [N, H, W, C] and SVHN as [N, C, H, W]."""
    bytes_N = torch.as_tensor(np.ascontiguousarray(data)).to(torch.uint8)
    if bytes_N.ndim == 3:
        return bytes_N[..., None].contiguous()
    return bytes_N.permute(0, 2, 3, 1).contiguous() if kind.__name__ == "SVHN" else bytes_N


def _labels(one: Any) -> Tensor:
    return torch.as_tensor(np.asarray(one.labels if hasattr(one, "labels") else one.targets)).to(torch.int64)


@contextmanager
def _alone(path: Path) -> Generator[None]:
    """Hold a lock file: two workers that share a data folder must not download into the same file."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
