"""Data sets as one `.npz` in MedMNIST's keys, read without trusting the file.

Used by the front end to check an upload, in little memory, and by the laboratory to load it: both get the same facts
and the same digest, because both come from here.
"""
# Shapes: N images, C channels, H height, W width, K classes.

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod, sqrt
from pathlib import Path
from typing import Any

import numpy as np

from distilled import duplicates
from distilled.budget import learnt_and_held_out
from distilled.errors import Problem, UploadError
from distilled.kinds import Kind
from distilled.npy import CHUNK_BYTES, Member, NpzFile, NpzLimits, refused
from distilled.report import Report

__all__ = [
    "NpzFacts",
    "NpzLimits",
    "content_digest",
    "examine",
    "inspect",
    "mean_and_std",
    "read",
    "read_rows",
]

SPLITS = ("train", "test", "val")
_IMAGES, _LABELS, _CLASSES = r"[|<>=]?u1", r"[|<>=]?[iu][1248]", r"[|<>=]?[US][0-9]{1,3}"
KEYS = (
    {f"{split}_images": _IMAGES for split in SPLITS}
    | {f"{split}_labels": _LABELS for split in SPLITS}
    | {"classes": _CLASSES}
)
#: Characters of a class's name.
LONGEST_NAME = 100


@dataclass(frozen=True, kw_only=True)
class NpzFacts:
    """What a data set holds, found by reading all of it once.

    shape: (C, H, W). counts: images per class in the file's splits. mean, std: per channel of the train split's pixels
    in [0, 1]. digest: sha256 (hex) over classes, labels and pixels.
    """

    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    train_counts: tuple[int, ...]
    test_counts: tuple[int, ...]
    val_counts: tuple[int, ...] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    digest: str

    def to_json(self) -> dict[str, Any]:
        """As the registry keeps it: `train` and `train_counts` are what training sees, `val` what is held out."""
        learnt, held = learnt_and_held_out(self.train_counts, self.val_counts)
        return {
            "shape": list(self.shape),
            "classes": list(self.classes),
            "train": sum(learnt),
            "val": sum(held),
            "test": sum(self.test_counts),
            "train_counts": list(learnt),
            "mean": list(self.mean),
            "std": list(self.std),
        }


def inspect(
    path: Path, *, limits: NpzLimits | None = None, watch: Callable[[str, Sequence[int], bytes], None] | None = None
) -> NpzFacts:
    """Read an `.npz` through and say what it holds, in a few MB of memory beside its labels.

    watch: is shown (split, (C, H, W), whole images in a row) on the way. Raises UploadError with every problem that can
    be told at once, each naming its key and its fix.
    """
    limits = limits or NpzLimits()
    with NpzFile(path, known=KEYS, limits=limits) as file:
        shape = _shape(file.members, limits)
        splits = [split for split in SPLITS if f"{split}_images" in file.members]
        labels = {split: _flat(file.array(f"{split}_labels")) for split in splits}
        classes = _classes(file, labels["train"], limits)
        counts = _counts(labels, classes)
        histogram_CV = np.zeros((shape[0], 256), dtype=np.int64)
        row_bytes = shape[0] * shape[1] * shape[2]

        def pixels(split: str) -> Iterable[bytes]:
            for piece in file.chunks(f"{split}_images", multiple_of=row_bytes):
                if split == "train":
                    _count_values(piece, histogram_CV)
                if watch is not None:
                    watch(split, shape, piece)
                yield piece

        digest = content_digest(
            classes=classes, shape=shape, splits=[(split, labels[split], pixels(split)) for split in splits]
        )
    mean, std = mean_and_std(histogram_CV)
    return NpzFacts(
        shape=shape,
        classes=classes,
        train_counts=counts["train"],
        test_counts=counts["test"],
        val_counts=counts.get("val"),
        mean=mean,
        std=std,
        digest=digest,
    )


def examine(path: Path, *, limits: NpzLimits | None = None) -> tuple[NpzFacts, Report]:
    """As `inspect`, with what is told about an upload: all of it from one reading. Raises UploadError."""
    digests: dict[str, array[int]] = {}

    def digest(split: str, shape: Sequence[int], rows: bytes) -> None:
        size = shape[0] * shape[1] * shape[2]
        found = (duplicates.digest_of(rows[at : at + size]) for at in range(0, len(rows), size))
        digests.setdefault(split, array("Q")).extend(found)

    facts = inspect(path, limits=limits, watch=digest)
    counts = {"train": facts.train_counts, "val": facts.val_counts, "test": facts.test_counts}
    there = {split: counted for split, counted in counts.items() if counted is not None}
    channels, height, width = facts.shape
    images = sum(sum(counted) for counted in there.values())
    report = Report(
        kind=Kind.NPZ,
        num_bytes=path.stat().st_size,
        classes=facts.classes,
        counts=there,
        sizes=Counter({(width, height): images}),
        modes=Counter({"L" if channels == 1 else "RGB": images}),
        duplicates=duplicates.found(
            {split: np.frombuffer(digests[split], dtype=np.uint64) for split in there},
            {split: read(path, f"{split}_labels", limits=limits) for split in there},
            name=lambda split, place: f"{split} image {place}",
        ),
    )
    return facts, report


def read(path: Path, key: str, *, limits: NpzLimits | None = None) -> "np.ndarray[Any, Any]":
    """One array of the file: images as uint8 [N, H, W, C], labels as int64 [N]. Raises UploadError."""
    with NpzFile(path, known=KEYS, limits=limits or NpzLimits()) as file:
        if key not in file.members:
            raise refused(key, "is missing; MedMNIST's keys are train_images, train_labels, test_images, test_labels")
        array = file.array(key)
    if key.endswith("_labels"):
        return _flat(array).astype(np.int64)
    return array[..., None] if key.endswith("_images") and array.ndim == 3 else array


def declared(path: Path) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    """What the file's headers say: the (C, H, W) of its images, and its splits. Raises UploadError."""
    limits = NpzLimits()
    with NpzFile(path, known=KEYS, limits=limits) as file:
        return _shape(file.members, limits), tuple(split for split in SPLITS if f"{split}_images" in file.members)


def read_rows(path: Path, key: str, places: Sequence[int]) -> "np.ndarray[Any, Any]":
    """Some of the file's images, uint8 [len(places), H, W, C], in one pass and in little memory beside them.

    places: in rising order, each below the number of images. Raises UploadError.
    """
    with NpzFile(path, known=KEYS, limits=NpzLimits()) as file:
        _, *side = file.members[key].shape
        rows = np.empty((len(places), *side, *([1] if len(side) == 2 else [])), dtype=np.uint8)
        wanted_N, row_bytes, first, done = np.asarray(places, dtype=np.int64), prod(side), 0, 0
        for piece in file.chunks(key, multiple_of=row_bytes):
            if done == len(wanted_N):
                break
            images = np.frombuffer(piece, dtype=np.uint8).reshape(-1, *rows.shape[1:])
            upto = int(np.searchsorted(wanted_N, first + len(images)))
            rows[done:upto] = images[wanted_N[done:upto] - first]
            first, done = first + len(images), upto
    return rows


def content_digest(
    *,
    classes: Sequence[str],
    shape: Sequence[int],
    splits: Sequence[tuple[str, "np.ndarray[Any, Any]", Iterable[bytes]]],
) -> str:
    """sha256 (hex) of a data set's content: (split, labels [N], pixels as uint8 NHWC bytes) for each split in order.

    The file it came from takes no part: packed or not, int64 or uint8 labels, the same content has the same digest.
    """
    told = {"classes": list(classes), "shape": list(shape), "splits": [[name, len(y)] for name, y, _ in splits]}
    hasher = hashlib.sha256(json.dumps(told, sort_keys=True, ensure_ascii=True).encode())
    for _, labels_N, pixels in splits:
        hasher.update(np.ascontiguousarray(labels_N, dtype="<i8").tobytes())
        for piece in pixels:
            hasher.update(piece)
    return hasher.hexdigest()


def mean_and_std(histogram_CV: "np.ndarray[Any, Any]") -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std per channel in [0, 1] from how often each of the 256 values occurs (int64 [C, 256]); exact.

    A std is at least one grey level, so that a channel without contrast can still be divided by it.
    """
    values = list(range(256))
    mean: list[float] = []
    std: list[float] = []
    for row in histogram_CV.tolist():
        total = sum(row)
        first = sum(v * n for v, n in zip(values, row, strict=True))
        second = sum(v * v * n for v, n in zip(values, row, strict=True))
        mean.append(first / total / 255)
        std.append(max(1.0, sqrt(total * second - first * first) / total) / 255)
    return tuple(mean), tuple(std)


def _count_values(piece: bytes, histogram_CV: "np.ndarray[Any, Any]") -> None:
    values = np.frombuffer(piece, dtype=np.uint8)
    channels = len(histogram_CV)
    for start in range(0, len(values), CHUNK_BYTES // 4 * channels):
        part = values[start : start + CHUNK_BYTES // 4 * channels]
        for channel in range(channels):
            histogram_CV[channel] += np.bincount(part[channel::channels], minlength=256)


def _flat(labels: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    return labels.reshape(-1)


def _shape(members: Mapping[str, Member], limits: NpzLimits) -> tuple[int, int, int]:
    """(C, H, W), the same in every split; every array there and as long as its partner."""
    problems: list[Problem] = []
    for split in SPLITS:
        images, labels = members.get(f"{split}_images"), members.get(f"{split}_labels")
        if images is None and labels is None and split == "val":
            continue
        for name, member in ((f"{split}_images", images), (f"{split}_labels", labels)):
            if member is None:
                problems.append(Problem(pointer=f"/{name}", detail="is missing; add it to the file"))
        if images is not None:
            problems += _image_problems(images, limits)
        if labels is not None and not (len(labels.shape) == 1 or (len(labels.shape) == 2 and labels.shape[1] == 1)):
            detail = f"has shape {list(labels.shape)}; give one label an image: [N] or [N, 1]"
            problems.append(Problem(pointer=f"/{split}_labels", detail=detail))
        elif images is not None and labels is not None and images.shape[:1] != labels.shape[:1]:
            detail = f"has {labels.shape[0]} labels for {images.shape[0] if images.shape else 0} images; give one each"
            problems.append(Problem(pointer=f"/{split}_labels", detail=detail))
    if problems:
        raise UploadError(problems)
    shapes = {split: _chw(members[f"{split}_images"]) for split in SPLITS if f"{split}_images" in members}
    for split, shape in shapes.items():
        if shape != shapes["train"]:
            detail = f"has images of (C, H, W) {shape}, train_images of {shapes['train']}; make them alike"
            problems.append(Problem(pointer=f"/{split}_images", detail=detail))
    if problems:
        raise UploadError(problems)
    return shapes["train"]


def _image_problems(images: Member, limits: NpzLimits) -> list[Problem]:
    pointer, shape = f"/{images.key}", images.shape
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)):
        return [Problem(pointer=pointer, detail=f"has shape {list(shape)}; give [N, H, W] or [N, H, W, 1 or 3]")]
    problems: list[Problem] = []
    if not all(limits.min_side <= side <= limits.max_side for side in shape[1:3]):
        detail = f"are {shape[1]} x {shape[2]} pixels; sides go from {limits.min_side} to {limits.max_side}: resize"
        problems.append(Problem(pointer=pointer, detail=detail))
    if not 1 <= shape[0] <= limits.images:
        detail = f"holds {shape[0]} images; a split takes 1 to {limits.images}"
        problems.append(Problem(pointer=pointer, detail=detail))
    return problems


def _chw(images: Member) -> tuple[int, int, int]:
    return (images.shape[3] if len(images.shape) == 4 else 1, images.shape[1], images.shape[2])


def _classes(file: NpzFile, train_labels_N: "np.ndarray[Any, Any]", limits: NpzLimits) -> tuple[str, ...]:
    highest = int(train_labels_N.max())
    if "classes" not in file.members:
        if highest >= limits.classes:
            raise refused("train_labels", f"has a label {highest}; number the classes from 0, below {limits.classes}")
        return tuple(str(k) for k in range(highest + 1))
    shape = file.members["classes"].shape
    if len(shape) != 1 or not 1 <= shape[0] <= limits.classes:
        raise refused("classes", f"has shape {list(shape)}; give a list of 1 to {limits.classes} names")
    try:
        names = [n.decode() if isinstance(n, bytes) else str(n) for n in file.array("classes").tolist()]
    except (UnicodeDecodeError, ValueError) as error:
        raise refused("classes", "holds names that are not UTF-8 text; save them as numpy.array(names)") from error
    for name in names:
        if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
            raise refused("classes", f"has the name {name[:40]!r}; give 1 to {LONGEST_NAME} printable characters")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise refused("classes", f"has the name {twice!r} more than once; name each class once")
    return tuple(names)


def _counts(labels: Mapping[str, "np.ndarray[Any, Any]"], classes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    problems: list[Problem] = []
    counts: dict[str, tuple[int, ...]] = {}
    for split, labels_N in labels.items():
        pointer, low, high = f"/{split}_labels", int(labels_N.min()), int(labels_N.max())
        if low < 0 or high >= len(classes):
            detail = f"goes from {low} to {high}; with {len(classes)} classes labels go from 0 to {len(classes) - 1}"
            problems.append(Problem(pointer=pointer, detail=detail))
            continue
        found = np.bincount(labels_N.astype(np.int64), minlength=len(classes))
        counts[split] = tuple(int(n) for n in found)
        if split == "train" and not found.all():
            empty = ", ".join(repr(classes[k]) for k in np.flatnonzero(found == 0)[:5])
            detail = f"has no image of class {empty}; every class needs at least one: number them without gaps"
            problems.append(Problem(pointer=pointer, detail=detail))
    if problems:
        raise UploadError(problems)
    return counts
