"""Two looks at a file of images: the first finds sizes and classes, the second decodes; then an npz is written."""
# Shapes: N images; the pixels of one are [H, W] (grey) or [H, W, 3].

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from distilled import duplicates, npz
from distilled.kinds import Kind
from distilled.npz import NpzLimits
from distilled.picking import pick
from distilled.report import Report
from workers.intake.archives import TarSource, ZipSource
from workers.intake.entries import Arranged, Source
from workers.intake.limits import Budget, Limits, refused
from workers.intake.pictures import GREY, UnreadableImage, decode, header
from workers.intake.tables import ParquetSource
from workers.intake.writing import write_npz

SOURCES: Mapping[Kind, Callable[..., Source]] = {
    Kind.ZIP: ZipSource,
    Kind.TAR: TarSource,
    Kind.PARQUET: ParquetSource,
}
#: Name of the fixed split. A new name is a new split, and a new digest of everything made from it.
TEST_SPLIT = "distilled/uploads/test/1"
#: One image in so many of each class is taken for the test split where none was sent.
TEST_OUT_OF = 5
SPLITS = ("train", "val", "test")
#: How much of all the work is done after the first look, and after the second.
LOOKED, DECODED = 0.35, 0.9
_NONE_LEFT = "holds no image that can be read; its report names the files and what is wrong with them"


@dataclass(slots=True)
class _Seen:
    """What the first look finds. fault: why it is left out; empty: it is in."""

    name: str
    fault: str
    split: str | None
    label: str | int | None
    width: int = 0
    height: int = 0
    mode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """An image whose pixels lie in the raw file, in the order of these."""

    name: str
    split: str
    label: int
    digest: int
    turned: bool


@dataclass(frozen=True, kw_only=True)
class _Target:
    """What all images are brought to."""

    width: int
    height: int
    grey: bool

    @property
    def side(self) -> tuple[int, ...]:
        return (self.height, self.width) if self.grey else (self.height, self.width, 3)


def make(
    path: Path, out: Path, *, report: Report, limits: Limits, tick: Callable[[float], None], npz_limits: NpzLimits
) -> None:
    """Write the images of `path` to `out` as an npz in MedMNIST's keys, and what was found into `report`.

    tick: is told how far it is, 0..1, and may raise. Raises UploadError; `report` then holds what was found by then.
    Whether the npz can be a data set is for its reader to say (`distilled.npz`).
    """
    started = time.monotonic()
    source = SOURCES[report.kind](path, limits=limits)

    def budget() -> Budget:
        return Budget(limits, packed_bytes=report.num_bytes, deadline=started + limits.seconds)

    seen = _look(source, budget(), limits=limits, tick=tick)
    arranged = source.arrange([(one.name, one.split, one.label) for one in seen])
    _check_classes(arranged.classes, npz_limits)
    target = _target(seen, arranged, report, npz_limits)
    raw = out.with_suffix(".raw")
    try:
        with raw.open("wb") as file:
            kept = _decode(source, budget(), file, seen, arranged, target=target, limits=limits, tick=tick)
        _tell(seen, arranged, kept, report, target=target)
        splits = _split(kept, arranged, report)
        rows = np.memmap(raw, dtype=np.uint8, mode="r", shape=(len(kept), prod(target.side)))
        write_npz(out, rows, splits, arranged.classes, side=target.side)
    finally:
        raw.unlink(missing_ok=True)
    report.duplicates = duplicates.found(
        {split: np.array([kept[n].digest for n in order], dtype=np.uint64) for split, (order, _) in splits.items()},
        {split: labels_N for split, (_, labels_N) in splits.items()},
        name=lambda split, place: kept[splits[split][0][place]].name,
    )


def _look(source: Source, budget: Budget, *, limits: Limits, tick: Callable[[float], None]) -> list[_Seen]:
    """The first look: headers only."""
    seen: list[_Seen] = []
    for entry in source.entries(budget):
        one = _Seen(name=entry.name, fault=entry.fault, split=entry.split, label=entry.label)
        if entry.content is not None:
            try:
                found = header(entry.content, pixels=limits.pixels)
                one.width, one.height, one.mode = found.width, found.height, found.mode
            except UnreadableImage as error:
                one.fault = str(error)
        seen.append(one)
        tick(LOOKED * entry.fraction)
    return seen


def _check_classes(classes: Sequence[str], limits: NpzLimits) -> None:
    """Raises UploadError for more or longer names than an npz may have; what else it asks of them it says itself."""
    if len(classes) > limits.classes:
        raise refused("/classes", f"are {len(classes)}, and the most is {limits.classes}")
    longest = max(classes, key=len, default="")
    if len(longest) > npz.LONGEST_NAME:
        raise refused("/classes", f"has the name {longest[:40]!r}…; the longest has {npz.LONGEST_NAME} characters")


def _target(seen: Sequence[_Seen], arranged: Arranged, report: Report, limits: NpzLimits) -> _Target:
    """The most common size, and colour where any image has some. Raises UploadError."""
    good = _good(seen, arranged)
    if not good:
        _tell_left_out(seen, arranged, report)
        raise refused("", _NONE_LEFT)
    sizes = Counter((one.width, one.height) for one in good)
    width, height = max(sizes, key=lambda size: (sizes[size], size[0] * size[1], size))
    scale = min(1.0, limits.max_side / max(width, height))
    width, height = round(width * scale), round(height * scale)
    if min(width, height) < limits.min_side:
        told = f"has images of {width} x {height} pixels once they are no longer than {limits.max_side}"
        raise refused("", f"{told}; the shorter side must have {limits.min_side}")
    target = _Target(width=width, height=height, grey=all(one.mode in GREY for one in good))
    if prod(target.side) * len(good) > limits.unpacked_bytes:
        told = f"comes to {len(good)} images of {width} x {height} pixels, more than {limits.unpacked_bytes} bytes"
        raise refused("", f"{told}; send fewer or smaller images")
    return target


def _decode(
    source: Source,
    budget: Budget,
    file: IO[bytes],
    seen: Sequence[_Seen],
    arranged: Arranged,
    *,
    target: _Target,
    limits: Limits,
    tick: Callable[[float], None],
) -> list[_Kept]:
    """The second look: pixels, one image after the other into `file`. What cannot be decoded gets its fault."""
    kept: list[_Kept] = []
    size = (target.width, target.height)
    for entry, one, place in zip(source.entries(budget), seen, arranged.places, strict=True):
        if entry.content is not None and not one.fault and not isinstance(place, str):
            try:
                pixels, turned = decode(entry.content, size=size, grey=target.grey, pixels=limits.pixels)
            except UnreadableImage as error:
                one.fault = str(error)
            else:
                file.write(pixels)
                split, label = place
                digest = duplicates.digest_of(pixels)
                kept.append(_Kept(name=one.name, split=split, label=label, digest=digest, turned=turned))
        tick(LOOKED + (DECODED - LOOKED) * entry.fraction)
    return kept


def _good(seen: Sequence[_Seen], arranged: Arranged) -> list[_Seen]:
    """Those that are in a class, and could be read so far."""
    placed = zip(seen, arranged.places, strict=True)
    return [one for one, place in placed if not one.fault and not isinstance(place, str)]


def _tell_left_out(seen: Sequence[_Seen], arranged: Arranged, report: Report) -> None:
    for one, place in zip(seen, arranged.places, strict=True):
        if isinstance(place, str):
            report.skipped.add(one.name, place)
        elif one.fault:
            report.unreadable.add(one.name, one.fault)


def _tell(seen: Sequence[_Seen], arranged: Arranged, kept: Sequence[_Kept], report: Report, *, target: _Target) -> None:
    """Into the report, what the two looks have found. Raises UploadError where nothing is left."""
    _tell_left_out(seen, arranged, report)
    if not kept:
        raise refused("", _NONE_LEFT)
    good = _good(seen, arranged)
    report.sizes = Counter((one.width, one.height) for one in good)
    report.modes = Counter(one.mode for one in good)
    report.resized = len(good) - report.sizes[(target.width, target.height)]
    report.converted = len(good) - report.modes["L" if target.grey else "RGB"]
    report.turned = sum(one.turned for one in kept)


def _split(
    kept: Sequence[_Kept], arranged: Arranged, report: Report
) -> dict[str, tuple[Sequence[int], "np.ndarray[Any, Any]"]]:
    """{split: (rows of the raw file in their order, their labels [N])}. Raises UploadError."""
    order = sorted(range(len(kept)), key=lambda n: (kept[n].label, kept[n].name) if arranged.named else n)
    rows = {split: [n for n in order if kept[n].split == split] for split in SPLITS}
    if not rows["test"]:
        report.split = f"none was sent to test by: one image in {TEST_OUT_OF} of each class is, always the same ones"
        _take_test(rows, kept, arranged)
    labels = {split: np.array([kept[n].label for n in chosen], dtype=np.int64) for split, chosen in rows.items()}
    report.classes = arranged.classes
    report.counts = {
        split: np.bincount(labels[split], minlength=len(arranged.classes)).tolist() for split in SPLITS if rows[split]
    }
    empty = [name for k, name in enumerate(arranged.classes) if not (labels["train"] == k).any()]
    if empty:
        told = f"has no image that can be read of class {_quoted(empty)}"
        raise refused("/train", f"{told}; every class needs one to learn from")
    return {split: (rows[split], labels[split]) for split in SPLITS if rows[split]}


def _take_test(rows: dict[str, list[int]], kept: Sequence[_Kept], arranged: Arranged) -> None:
    """Move a part of each class of `train` to `test`. Raises UploadError where a class has one image."""
    labels = [kept[n].label for n in rows["train"]]
    counts: list[int] = np.bincount(labels, minlength=len(arranged.classes)).tolist()
    few = [name for name, count in zip(arranged.classes, counts, strict=True) if count == 1]
    if few:
        told = f"is missing, and class {_quoted(few)} has one image, which cannot be in both"
        raise refused("/test", f"{told}; send a test split")
    taken = [max(1, count // TEST_OUT_OF) if count else 0 for count in counts]
    test_N = pick(labels, taken, name=TEST_SPLIT)
    train = rows["train"]
    rows["test"] = [n for n, is_test in zip(train, test_N, strict=True) if is_test]
    rows["train"] = [n for n, is_test in zip(train, test_N, strict=True) if not is_test]


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(repr(name[:40]) for name in names[:5])
