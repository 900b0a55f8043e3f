"""Sets as the libraries read them that users have: pyarrow, polars, datasets, torchvision, webdataset."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import datasets
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset as wds
from numpy.typing import NDArray
from PIL import Image
from torchvision.datasets import ImageFolder

from distilled.formats.sets import FORMATS, SyntheticSet, encode
from distilled.formats.streaming import STREAMS, stream_format
from tests.unit.formats.test_sets import make_set

GIVEN = make_set(soft=True)


def decoded(content: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_parquet_as_pyarrow_reads_it() -> None:
    file = pq.ParquetFile(io.BytesIO(encode(GIVEN, format="parquet")))
    table = file.read()
    rows = table.to_pylist()
    assert [row["label"] for row in rows] == GIVEN.labels.tolist()
    assert table.schema.field("label").type == pa.int64()
    np.testing.assert_array_equal(np.stack([decoded(row["image"]["bytes"]) for row in rows]), GIVEN.images)
    np.testing.assert_array_equal(np.array([row["soft_label"] for row in rows], dtype="f4"), GIVEN.soft_labels)
    assert len({row["image"]["path"] for row in rows}) == len(rows)


def test_parquet_says_what_datasets_says_of_the_same_columns() -> None:
    schema = pq.read_schema(io.BytesIO(encode(GIVEN, format="parquet")))
    columns = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=list(GIVEN.classes)),
            "soft_label": datasets.List(datasets.Value("float32")),
        }
    )
    assert schema.names == columns.arrow_schema.names
    assert json.loads(schema.metadata[b"huggingface"]) == json.loads(columns.arrow_schema.metadata[b"huggingface"])


def test_parquet_of_hard_labels_has_no_column_of_soft_ones() -> None:
    schema = pq.read_schema(io.BytesIO(encode(make_set(), format="parquet")))
    assert schema.names == ["image", "label"]
    assert "soft_label" not in json.loads(schema.metadata[b"huggingface"])["info"]["features"]


def test_rows_of_parquet_can_be_read_a_hundred_at_a_time() -> None:
    many = SyntheticSet(
        images=np.zeros((250, 2, 2, 1), dtype=np.uint8), classes=("a",), labels=np.zeros(250, dtype=np.int64)
    )
    file = pq.ParquetFile(io.BytesIO(encode(many, format="parquet")))
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [100, 100, 50]


def test_parquet_as_polars_reads_it() -> None:
    frame = pl.read_parquet(io.BytesIO(encode(GIVEN, format="parquet")))
    assert frame["label"].to_list() == GIVEN.labels.tolist()
    np.testing.assert_array_equal(decoded(frame["image"][4]["bytes"]), GIVEN.images[4])
    np.testing.assert_array_equal(np.array(frame["soft_label"].to_list(), dtype="f4"), GIVEN.soft_labels)


def test_parquet_as_datasets_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    path.write_bytes(encode(GIVEN, format="parquet"))
    options = {"data_files": str(path), "split": "train", "cache_dir": str(tmp_path / "cache")}
    for streaming in (False, True):
        read = datasets.load_dataset("parquet", streaming=streaming, **options)
        assert read.features["label"].names == list(GIVEN.classes)
        for row, image, label, soft in zip(read, GIVEN.images, GIVEN.labels, GIVEN.soft_labels, strict=True):
            np.testing.assert_array_equal(np.asarray(row["image"]), image)
            assert row["label"] == label
            np.testing.assert_array_equal(np.array(row["soft_label"], dtype="f4"), soft)


def test_a_png_zip_as_torchvision_reads_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(encode(GIVEN, format="png"))) as archive:
        archive.extractall(tmp_path)  # noqa: S202 -- of our own making
    folder = ImageFolder(str(tmp_path / "train"))
    about = json.loads((tmp_path / "classes.json").read_text())
    assert sorted(about["folders"]) == folder.classes
    assert len(folder) == len(GIVEN.images)
    for (picture, found), (path, _) in zip(folder, folder.samples, strict=True):
        label, place = about["folders"].index(folder.classes[found]), int(Path(path).stem)
        row = np.flatnonzero(GIVEN.labels == label)[place]
        np.testing.assert_array_equal(np.asarray(picture), GIVEN.images[row])


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset leaves its file to the collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_tar_as_webdataset_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    path.write_bytes(encode(GIVEN, format="webdataset"))
    samples = list(wds.WebDataset(str(path), shardshuffle=False).decode("rgb8").to_tuple("png", "cls", "soft.npy"))
    np.testing.assert_array_equal(np.stack([image for image, _, _ in samples]), GIVEN.images)
    np.testing.assert_array_equal([label for _, label, _ in samples], GIVEN.labels)
    np.testing.assert_array_equal(np.stack([soft for _, _, soft in samples]), GIVEN.soft_labels)


def test_a_tar_tells_its_classes_and_nothing_of_its_maker() -> None:
    with tarfile.open(fileobj=io.BytesIO(encode(GIVEN, format="webdataset"))) as archive:
        assert json.loads(archive.pax_headers["comment"])["classes"] == list(GIVEN.classes)
        for member in archive:
            assert (member.mtime, member.uid, member.gid, member.uname, member.mode) == (0, 0, 0, "", 0o644)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_an_arrow_stream_as_pyarrow_reads_it(dtype: str) -> None:
    given = make_set(dtype=dtype, soft=True)
    table = pa.ipc.open_stream(encode(given, format="arrow")).read_all()
    np.testing.assert_array_equal(table["image"].combine_chunks().to_numpy_ndarray(), given.images)
    assert table["label"].to_pylist() == given.labels.tolist()
    np.testing.assert_array_equal(np.array(table["soft_label"].to_pylist(), dtype="f4"), given.soft_labels)
    assert json.loads(table.schema.metadata[b"classes"]) == list(given.classes)


def test_an_arrow_stream_as_polars_reads_it() -> None:
    frame = pl.read_ipc_stream(io.BytesIO(encode(GIVEN, format="arrow")))
    np.testing.assert_array_equal(frame["image"].ext.storage().to_numpy().reshape(GIVEN.images.shape), GIVEN.images)
    np.testing.assert_array_equal(frame["soft_label"].to_numpy(), GIVEN.soft_labels)


@pytest.mark.parametrize("name", STREAMS)
def test_a_finished_file_is_a_stream_of_one_batch(name: str) -> None:
    assert name in FORMATS
    writer = stream_format(name)
    whole = writer.head(GIVEN) + writer.body(GIVEN, first=0) + writer.tail()
    assert encode(GIVEN, format=name) == whole
