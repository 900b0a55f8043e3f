"""Every parser of what strangers send, each with the one kind of refusal that it may give. All else is a finding."""

import base64
import gzip
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from starlette.requests import Request

from app.artifacts.content import Content, respond
from app.datasets.resumable import filename_of
from app.errors import AppError
from app.inference.questions import question
from app.inference.wire import inflated, read_request
from distilled import files, npz
from distilled.errors import ArtifactError, UploadError
from distilled.kinds import HEAD_BYTES, Kind, kind_of
from distilled.report import Report
from registry import paging
from registry.errors import InvalidCursor
from tests.fuzz.mutating import JSON, NUMBERS, folders, harmed, npzs, safetensors
from tests.unit.app import test_generators
from tests.unit.app.conftest import artifact_file, memory_file
from tests.unit.intake.sets import folder, png, tarred, zipped
from workers.intake import Limits, make
from workers.intake.pictures import FORMATS, UnreadableImage, decode, header

#: Small, so that what is within them is quick.
LIMITS = Limits(unpacked_bytes=2**25, ratio_from_bytes=2**22, pixels=2**20, file_bytes=2**20, seconds=5)
#: In `make test`: the same inputs each time, and few.
SEEDED = settings(
    max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
#: One input that takes longer is a finding, in seconds.
SLOW_SECONDS = 10.0


@dataclass(frozen=True)
class Target:
    """run(input, folder): what the service does with it. refusals: what that may raise."""

    inputs: st.SearchStrategy[Any]
    run: Callable[[Any, Path], Any]
    refusals: tuple[type[Exception], ...]


@dataclass
class Tally:
    """Of one target: what came of its inputs, and the longest of them in seconds."""

    accepted: int = 0
    refused: int = 0
    longest: float = 0.0
    findings: dict[str, str] = field(default_factory=dict)


def attempt(target: Target, given: Any, folder: Path, tally: Tally) -> None:
    """One input. Raises what is no refusal."""
    began = time.monotonic()
    try:
        target.run(given, folder)
        tally.accepted += 1
    except target.refusals:
        tally.refused += 1
    took = time.monotonic() - began
    tally.longest = max(tally.longest, took)
    assert took < SLOW_SECONDS, f"took {took:.1f} s"


def _npz(content: bytes, folder: Path) -> None:
    path = folder / "sent"
    path.write_bytes(content)
    facts, report = npz.examine(path, limits=npz.NpzLimits(unpacked_bytes=2**25))
    report.to_json()
    assert len(npz.read(path, "train_labels")) == sum(facts.train_counts)


def _intake(content: bytes, folder: Path) -> None:
    sent, made = folder / "sent", folder / "made.npz"
    sent.write_bytes(content)
    kind = kind_of(content[:HEAD_BYTES]) or Kind.ZIP
    if kind is Kind.NPZ:
        kind = Kind.ZIP
    report = Report(kind=kind, num_bytes=len(content))
    try:
        make(sent, made, report=report, limits=LIMITS, tick=lambda _: None, npz_limits=npz.NpzLimits())
        npz.inspect(made)
    finally:
        json.dumps(report.to_json()).encode()
        made.unlink(missing_ok=True)
        assert [path.name for path in folder.iterdir()] == ["sent"]


def _image(content: bytes, folder: Path) -> None:
    found = header(content, pixels=LIMITS.pixels)
    assert found.width > 0
    for grey in (True, False):
        pixels, _ = decode(content, size=(6, 4), grey=grey, pixels=LIMITS.pixels)
        assert len(pixels) == 24 * (1 if grey else 3)


def _artifact(content: bytes, folder: Path) -> None:
    files.tensor_table(content)
    files.open_artifact(content)


def _range(given: tuple[int, dict[str, str]], folder: Path) -> None:
    size, headers = given
    content = Content.of(bytes(size), digest="0" * 64, media_type="a/b", filename="f")
    raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    response = respond(Request({"type": "http", "method": "GET", "headers": raw}), content)
    if response.status_code == 206:
        start, _, rest = response.headers["content-range"].removeprefix("bytes ").partition("-")
        last, _, whole = rest.partition("/")
        assert 0 <= int(start) <= int(last) < size == int(whole)
        assert int(response.headers["content-length"]) == int(last) - int(start) + 1
    else:
        assert response.status_code in (200, 304)


def _inference(given: tuple[bytes, str | None, str], folder: Path) -> None:
    body, length, encoding = given
    asked = read_request(inflated(body, encoding=encoding), header_length=length)
    question(asked, num_classes=3)


def _cursor(given: str, folder: Path) -> None:
    position = paging.decode(given, sort="-created")
    assert paging.decode(paging.encode(position), sort="-created") == position


def _table(images: list[Any], labels: list[Any], names: Any) -> bytes:
    metadata = {"huggingface": json.dumps({"info": {"features": {"label": {"names": names}}}})}
    buffer = io.BytesIO()
    try:
        pq.write_table(pa.table({"image": images, "label": labels}).replace_schema_metadata(metadata), buffer)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):  # no such table can be written
        buffer = io.BytesIO()
        pq.write_table(pa.table({"image": [repr(image).encode() for image in images]}), buffer)
    return buffer.getvalue()


@st.composite
def _tables(draw: Any) -> bytes:
    """Parquet with columns of other types, holes, and class names that are none."""
    cell = st.sampled_from(
        (png(), png(1)[:60], b"", None, {"bytes": png(2), "path": "x"}, {"bytes": None, "path": "x"})
    )
    kind = draw(st.sampled_from((cell, cell, st.text(max_size=3), JSON)))
    count = draw(st.integers(0, 6))
    label = draw(st.sampled_from((st.integers(0, 2), st.sampled_from(NUMBERS), st.text(max_size=3), st.none(), JSON)))
    images, labels = ([draw(strategy) for _ in range(count)] for strategy in (kind, label))
    return _table(images, labels, draw(JSON | st.just(["cat", "dog"])))


def _encoded(document: Any) -> bytes:
    return json.dumps(document).encode()


@st.composite
def _questions(draw: Any) -> tuple[bytes, str | None, str]:
    tensor = {
        "name": draw(st.sampled_from(("labels", "mixture", "x"))),
        "shape": draw(st.lists(st.sampled_from((0, 1, 2, 3, -1, 2**40, True)), max_size=3) | JSON),
        "datatype": draw(st.sampled_from(("INT64", "FP32", "UINT8", "BOOL", "BYTES", "x", None))),
        "data": draw(st.lists(st.integers(0, 3), max_size=4) | JSON),
        "parameters": draw(st.sampled_from(({}, {"binary_data_size": 16}, {"binary_data_size": 2**62}, None))),
    }
    kept = {name: value for name, value in tensor.items() if draw(st.integers(0, 5)) or name == "name"}
    document = {"inputs": [kept], "outputs": draw(st.sampled_from(([], [{"name": "images"}], None)) | JSON)}
    document |= {"parameters": draw(st.sampled_from(({}, {"seed": 1}, {"dtype": "float32"})) | JSON)}
    head = _encoded(document)
    body = head + draw(st.sampled_from((b"", bytes(16), b"\xff" * 16)))
    body = draw(st.just(body) | harmed([body]))
    encoding = draw(st.sampled_from(("", "", "", "gzip", "deflate", "br", "\xff")))
    told = draw(st.sampled_from((None, str(len(head)), str(len(body)), "-1", "\u0664", "9" * 30, "")))
    if not draw(st.integers(0, 3)):
        good = {"name": "labels", "shape": [2], "datatype": "INT64", "data": [0, draw(st.integers(0, 3))]}
        body, told = _encoded({"inputs": [good], "parameters": draw(st.sampled_from(({}, {"seed": 1})))}), None
        encoding = draw(st.sampled_from(("", "gzip")))
    return (gzip.compress(body) if encoding == "gzip" else body), told, encoding


def _headers() -> st.SearchStrategy[tuple[int, dict[str, str]]]:
    number = st.sampled_from(("", "0", "1", "9", "10", "-1", "+1", "\u0664", "9" * 40, " ", "x"))
    ranged = st.builds(
        "{}={}-{}{}".format,
        st.sampled_from(("bytes", "bytes", "bytes", "BYTES ", "rows", "")),
        number,
        number,
        st.sampled_from(("", ",0-1", ",")),
    )
    tag = st.sampled_from((f'"{"0" * 64}"', f'W/"{"0" * 64}"', "*", "", '"x"', "Thu, 01 Jan 1970 00:00:00 GMT"))
    names = {"if-range": tag, "if-none-match": tag}
    return st.tuples(st.integers(0, 12), st.fixed_dictionaries({"range": ranged}, optional=names))


def _metadata() -> st.SearchStrategy[str]:
    value = st.binary(max_size=12).map(lambda raw: base64.b64encode(raw).decode()) | st.text(max_size=12)
    pair = st.builds(
        "{}{}{}".format, st.sampled_from(("filename", "", "a b", "FILENAME")), st.sampled_from((" ", "  ", "")), value
    )
    return st.lists(pair, max_size=4).map(",".join) | st.text(max_size=40)


def _cursors() -> st.SearchStrategy[str]:
    art = "art_" + "0" * 32
    position = st.tuples(
        st.sampled_from(("-created", "x", 1)),
        st.sampled_from((None, 1, 1.5, True, 1e308, 2**70)),
        st.sampled_from((art, "", 1)),
    )
    good = (position | JSON).map(
        lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
    )
    return good | st.text(max_size=40)


@cache
def targets() -> dict[str, Target]:
    """All of them, by name."""
    images = [
        png(3, form=form, mode=mode)
        for form in FORMATS
        for mode in ("RGB", "L", "P", "1", "RGBA")
        if _writes(form, mode)
    ]
    sets = [zipped(folder()), tarred(folder()), tarred(folder(), packed=True)]
    tables = [_table([{"bytes": png(n), "path": "x"} for n in range(6)], [0, 1] * 3, ["cat", "dog"])]
    artifacts = [artifact_file()[0], artifact_file(labels="soft")[0], memory_file()[0], test_generators.file()[0]]
    arrays = io.BytesIO()
    split = {"images": np.zeros((4, 4, 4), np.uint8), "labels": np.array([0, 1, 0, 1])}
    np.savez(arrays, **{f"{name}_{key}": value for name in ("train", "test") for key, value in split.items()})
    upload = (UploadError,)
    return {
        "npz": Target(npzs() | harmed([arrays.getvalue()]), _npz, upload),
        "archive": Target(folders([png(1), png(2), *images[:3]]) | harmed(sets), _intake, upload),
        "parquet": Target(_tables() | harmed(tables), _intake, upload),
        "image": Target(harmed(images), _image, (UnreadableImage,)),
        "artifact": Target(safetensors(artifacts) | harmed(artifacts), _artifact, (ArtifactError,)),
        "range": Target(_headers(), _range, (AppError,)),
        "inference": Target(_questions(), _inference, (AppError,)),
        "cursor": Target(_cursors(), _cursor, (InvalidCursor,)),
        "upload metadata": Target(_metadata(), lambda told, _: filename_of(told), (AppError,)),
    }


def _writes(form: str, mode: str) -> bool:
    try:
        png(3, form=form, mode=mode)
    except OSError:
        return False
    return True
