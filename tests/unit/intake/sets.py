"""Small sets of images in every form that a user may send."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from distilled import npz
from distilled.kinds import HEAD_BYTES, Kind, kind_of
from distilled.npz import NpzFacts, NpzLimits
from distilled.report import Report
from workers.intake import Limits, make


def png(
    seed: int = 0, *, size: tuple[int, int] = (8, 8), mode: str = "RGB", form: str = "PNG", **options: object
) -> bytes:
    """An image of noise. size: (width, height)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def folder(
    *, splits: tuple[str, ...] = ("train/", "test/"), classes: tuple[str, ...] = ("cat", "dog"), each: int = 5
) -> dict[str, bytes]:
    """{name: content} of an ImageFolder; every image is another one."""
    names = [f"{split}{name}/{i}.png" for split in splits for name in classes for i in range(each)]
    return {name: png(seed) for seed, name in enumerate(names)}


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files: Mapping[str, bytes], *members: tarfile.TarInfo, packed: bool = False) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if packed else "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)) if member.isreg() else None)
    return buffer.getvalue()


def look(folder: Path, content: bytes, *, name: str = "", limits: Limits | None = None) -> tuple[NpzFacts, Report]:
    """What a worker makes of these bytes; the npz is `made.npz` in the folder. Raises UploadError."""
    report = Report(kind=told_kind(content, name), num_bytes=len(content))
    return look_into(folder, content, report, limits=limits), report


def look_into(folder: Path, content: bytes, report: Report, *, limits: Limits | None = None) -> NpzFacts:
    """As `look`, into a report of the caller's."""
    sent = folder / "sent"
    sent.write_bytes(content)
    made, npz_limits = folder / "made.npz", NpzLimits()
    make(sent, made, report=report, limits=limits or Limits(), tick=lambda _: None, npz_limits=npz_limits)
    return npz.inspect(made, limits=npz_limits)


def told_kind(content: bytes, name: str = "") -> Kind:
    kind = kind_of(content[:HEAD_BYTES], filename=name)
    assert kind is not None
    return kind
