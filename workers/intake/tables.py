"""Images in a Parquet file, in the Hugging Face convention: `image` as struct{bytes, path} or bytes, and `label`."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workers.intake.entries import SPLITS, Arranged, Entry
from workers.intake.limits import Budget, Limits, refused

IMAGES, LABELS = ("image", "img"), ("label", "labels")
MAX_CLASSES = 10_000
#: Rows in memory at a time: an image takes at most Limits.file_bytes of what is kept.
_ROWS = 64
_SEND_WHOLE = "the file is cut off or damaged; write it again and send it whole"


class ParquetSource:
    """Images in a table. Its schema is read at once; raises UploadError where that is another one."""

    def __init__(self, path: Path, *, limits: Limits) -> None:
        self.path = path
        self.limits = limits
        try:
            with pq.ParquetFile(path) as file:
                schema: Any = file.schema_arrow
                self._rows: int = file.metadata.num_rows
        except (pa.ArrowException, OSError, ValueError) as error:
            raise refused("", _SEND_WHOLE) from error
        self._image = _column(schema, IMAGES)
        self._label = _column(schema, LABELS)
        self._split = "split" if "split" in schema.names else None
        self._names = _class_names(schema, self._label)
        if not _is_image(schema.field(self._image).type):
            raise refused(
                f"/{self._image}", "holds no images; it must be struct<bytes: binary, path: string> or binary"
            )
        kind: Any = schema.field(self._label).type
        self._words = _is_text(kind.value_type if pa.types.is_dictionary(kind) else kind)
        if not (self._words or pa.types.is_integer(kind)):
            raise refused(f"/{self._label}", "holds no labels; they must be whole numbers or text")

    def entries(self, budget: Budget) -> Iterator[Entry]:
        """Every row."""
        columns = [name for name in (self._image, self._label, self._split) if name is not None]
        row = 0
        for batch in self._batches(columns):
            images, labels = batch[self._image], batch[self._label]
            splits = batch[self._split] if self._split else [None] * len(images)
            for image, label, split in zip(images, labels, splits, strict=True):
                budget.file()
                entry = self._entry(row, image, label=label, split=split)
                budget.unpacked(len(entry.content or b""))
                yield entry
                row += 1

    def _batches(self, columns: Sequence[str]) -> Iterator[dict[str, list[Any]]]:
        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(batch_size=_ROWS, columns=list(columns), use_threads=False):
                    yield {name: batch.column(name).to_pylist() for name in columns}
        except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: text that is not UTF-8 too
            raise refused("", _SEND_WHOLE) from error

    def _entry(self, row: int, image: Any, *, label: Any, split: Any) -> Entry:
        path = image.get("path") if isinstance(image, dict) else None
        content = image.get("bytes") if isinstance(image, dict) else image
        fault = ""
        if content is None:
            fault = "has no bytes, only a path" if path else "has no image"
        elif len(content) > self.limits.file_bytes:
            content, fault = None, f"is larger than {self.limits.file_bytes} bytes"
        shown = f" ({path[:160]})" if isinstance(path, str) and path.isprintable() else ""
        return Entry(
            name=f"row {row}{shown}",
            content=content,
            fault=fault,
            fraction=row / max(1, self._rows),
            split="" if split is None and self._split else split,
            label=label,
        )

    def arrange(self, entries: Sequence[tuple[str, str | None, str | int | None]]) -> Arranged:
        """Splits and classes by the columns."""
        labels = [label for _, _, label in entries]
        if None in labels:
            raise refused(f"/{self._label}", f"has no label in {entries[labels.index(None)][0]}; label every row")
        splits = [self._split_of(name, split) for name, split, _ in entries]
        if self._words:
            classes = sorted({str(label) for label in labels})
            index = {name: k for k, name in enumerate(classes)}
            numbers = [index[str(label)] for label in labels]
        else:
            numbers = [int(label) for label in labels if label is not None]
            low, high = min(numbers, default=0), max(numbers, default=0)
            if low < 0 or high >= (len(self._names) if self._names else MAX_CLASSES):
                most = f"{len(self._names)} classes are named" if self._names else f"{MAX_CLASSES} classes are taken"
                raise refused(f"/{self._label}", f"goes from {low} to {high}; {most}, and labels go from 0")
            classes = self._names or [str(k) for k in range(high + 1)]
        return Arranged(classes=classes, places=list(zip(splits, numbers, strict=True)), named=False)

    def _split_of(self, name: str, split: str | None) -> str:
        if split is None:
            return "train"
        known = SPLITS.get(str(split).lower())
        if known is None:
            raise refused("/split", f"is {str(split)[:40]!r} in {name}; it must be train, val or test")
        return known


def _column(schema: Any, known: Sequence[str]) -> str:
    found = [name for name in known if schema.names.count(name) == 1]
    if not found:
        there = ", ".join(name[:40] for name in schema.names[:20])
        raise refused(f"/{known[0]}", f"is missing; the file needs a column {' or '.join(known)}, and has {there}")
    return found[0]


def _class_names(schema: Any, label: str) -> list[str]:
    """The names of a ClassLabel, as `datasets` writes them into the file's metadata; empty where there are none."""
    try:
        told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = told["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def _is_image(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _is_bytes(kind.field("bytes").type)
    return _is_bytes(kind)


def _is_bytes(kind: Any) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_text(kind: Any) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
