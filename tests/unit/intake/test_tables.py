"""Parquet in the Hugging Face image-classification convention."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distilled.errors import UploadError
from distilled.kinds import Kind
from distilled.report import Report
from tests.unit.intake.sets import look, look_into, png

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def images(count: int, *, path: str | None = None) -> list[dict[str, Any]]:
    return [{"bytes": png(i), "path": path} for i in range(count)]


def parquet(columns: dict[str, Any], *, names: list[str] | None = None) -> bytes:
    table = pa.table(columns)
    if names is not None:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def plain(labels: Any, **columns: Any) -> bytes:
    return parquet({"image": pa.array(images(len(labels)), IMAGE), "label": labels, **columns})


def test_class_labels_bring_their_names(tmp_path: Path) -> None:
    content = parquet(
        {"image": pa.array(images(8), IMAGE), "label": pa.array([0, 1] * 4, pa.int64())}, names=["cat", "dog"]
    )
    facts, report = look(tmp_path, content)
    assert (facts.classes, facts.shape) == (("cat", "dog"), (3, 8, 8))
    assert (facts.train_counts, facts.test_counts) == ((3, 3), (1, 1))
    assert "of each class" in report.split


def test_what_datasets_writes_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    made = datasets.Dataset.from_dict({"image": images(6), "label": [0, 1] * 3}, features=features)
    made.to_parquet(tmp_path / "theirs.parquet")
    facts, _ = look(tmp_path, (tmp_path / "theirs.parquet").read_bytes())
    assert facts.classes == ("a", "b")


def test_words_bytes_and_splits(tmp_path: Path) -> None:
    content = parquet(
        {
            "img": [png(i) for i in range(6)],
            "labels": ["dog", "cat"] * 3,
            "split": ["train"] * 4 + ["test", "validation"],
        }
    )
    facts, _ = look(tmp_path, content)
    assert (facts.classes, facts.train_counts) == (("cat", "dog"), (2, 2))
    assert (facts.test_counts, facts.val_counts) == ((0, 1), (1, 0))


def test_rows_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    rows = [*images(4), {"bytes": None, "path": "far/away.png"}, {"bytes": b"text", "path": None}, None]
    facts, report = look(tmp_path, parquet({"image": pa.array(rows, IMAGE), "label": [0, 1, 0, 1, 0, 1, 0]}))
    assert sum(facts.train_counts) + sum(facts.test_counts) == 4
    assert [file["name"] for file in report.unreadable.first] == ["row 4 (far/away.png)", "row 5", "row 6"]
    assert "only a path" in report.unreadable.first[0]["detail"]


@pytest.mark.parametrize(
    ("content", "pointer", "said"),
    [
        (parquet({"picture": [b""], "label": [0]}), "/image", "picture"),
        (parquet({"image": pa.array(images(1), IMAGE)}), "/label", "is missing"),
        (parquet({"image": ["a.png"], "label": [0]}), "/image", "holds no images"),
        (plain([0.5, 1.5]), "/label", "whole numbers or text"),
        (plain([0, None]), "/label", "row 1"),
        (plain([0, -1]), "/label", "-1"),
        (plain([0, 0, 2, 2]), "/train", "'1'"),
        (plain([0, 1], split=["train", "elsewhere"]), "/split", "elsewhere"),
        (plain([0, 1], split=["train", None]), "/split", "row 1"),
        (parquet({"image": pa.array(images(2), IMAGE), "label": [0, 7]}, names=["a", "b"]), "/label", "2 classes"),
        (plain(pa.array([], pa.int64())), "", "no image"),
        (plain([0, 10**6]), "/label", "10000"),
    ],
)
def test_a_table_that_is_no_data_set_names_its_column(tmp_path: Path, content: bytes, pointer: str, said: str) -> None:
    with pytest.raises(UploadError) as caught:
        look(tmp_path, content)
    (found,) = caught.value.problems
    assert found.pointer == pointer
    assert said in found.detail


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.floats(0.0, 0.99), flips=st.lists(st.integers(0, 2**16), max_size=4))
def test_a_damaged_table_is_refused_or_read_never_worse(tmp_path: Path, cut: float, flips: list[int]) -> None:
    whole = plain([0, 1] * 3)
    content = bytearray(whole[: 4 + int((len(whole) - 4) * cut)] if not flips else whole)
    for at in flips:
        content[at % len(content)] ^= 0x5A
    report = Report(kind=Kind.PARQUET, num_bytes=len(content))
    try:
        look_into(tmp_path, bytes(content), report)
    except UploadError as error:
        assert str(error)  # noqa: PT017 -- either way is right, as long as it is one of them
