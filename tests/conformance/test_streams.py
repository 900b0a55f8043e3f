"""`stream`: batches as they are made, without end, to be picked up at any of them."""

import io
import json
import tarfile
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import load

from tests.conformance.conftest import Made
from tests.conformance.making import CLASSES
from tests.conformance.pictures import pixels
from tests.conformance.wire import Wire

MEDIA_TYPES = {"webdataset": "application/x-tar", "arrow": "application/vnd.apache.arrow.stream"}


def bounded(wire: Wire, made: Made, query: str) -> bytes:
    """A stream that ends."""
    return wire.ok("GET", f"{made.path}/stream?{query}").content


def tar(content: bytes) -> tuple[list[Any], list[int], list[str]]:
    """Images, labels and keys of a WebDataset."""
    found: dict[str, dict[str, bytes]] = {}
    with tarfile.open(fileobj=io.BytesIO(content), mode="r|") as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            key, _, kind = member.name.partition(".")
            found.setdefault(key, {})[kind] = file.read()
    samples = list(found.values())
    return [pixels(one["png"]).tolist() for one in samples], [int(one["cls"]) for one in samples], list(found)


def arrow(content: bytes) -> list[tuple[list[Any], list[int]]]:
    """Images and labels of each record batch."""
    with pa.ipc.open_stream(content) as reader:
        assert json.loads(reader.schema.metadata[b"classes"]) == CLASSES
        return [(batch.column(0).to_numpy_ndarray().tolist(), batch.column(1).to_pylist()) for batch in reader]


def batch(wire: Wire, made: Made, query: str) -> tuple[list[Any], list[int]]:
    found = load(wire.ok("GET", f"{made.path}/samples?{query}").content)
    return found["images"].tolist(), found["labels"].tolist()


@pytest.mark.parametrize("name", ["images", "generator"])
def test_each_batch_is_the_one_that_samples_gives_by_its_number(
    request: pytest.FixtureRequest, wire: Wire, name: str
) -> None:
    made: Made = request.getfixturevalue(name)
    expected = [batch(wire, made, f"count=4&seed=9&index={index}") for index in range(3)]
    assert arrow(bounded(wire, made, "batch_size=4&batches=3&seed=9&format=arrow")) == expected
    images, labels, keys = tar(bounded(wire, made, "batch_size=4&batches=3&seed=9&format=webdataset"))
    assert (images, labels) == (
        [image for one in expected for image in one[0]],
        [y for one in expected for y in one[1]],
    )
    assert len(set(keys)) == 12
    assert keys == sorted(keys)


def test_a_batch_of_another_number_is_another_batch(wire: Wire, generator: Made) -> None:
    batches = [batch(wire, generator, f"count=4&seed=9&index={index}")[0] for index in (0, 1, 2**31 - 1)]
    assert all(one != other for one, other in zip(batches, [*batches[1:], batches[0]], strict=True))
    assert batch(wire, generator, "count=4&seed=9") == batch(wire, generator, "count=4&seed=9&index=0")


@pytest.mark.parametrize("format", MEDIA_TYPES)
def test_a_stream_is_picked_up_where_it_was_left(wire: Wire, generator: Made, format: str) -> None:
    query = f"batch_size=3&seed=2&format={format}"
    whole = bounded(wire, generator, f"{query}&batches=4")
    rest = bounded(wire, generator, f"{query}&batches=2&start=2")
    if format == "arrow":
        assert arrow(rest) == arrow(whole)[2:]
    else:
        assert [one[6:] for one in tar(whole)] == list(tar(rest))
    # What is behind the head is the same bytes, however it was reached.
    assert whole.endswith(rest[-len(rest) // 3 :])


def test_a_fixed_set_is_dealt_whole_before_any_image_comes_again(wire: Wire, images: Made) -> None:
    held = load(wire.ok("GET", f"{images.path}/download").content)["images"]
    batches = arrow(bounded(wire, images, "batch_size=2&batches=6&seed=1&format=arrow"))
    for epoch in (batches[:3], batches[3:]):
        dealt = sorted(np.array(image, np.uint8).tobytes() for one, _ in epoch for image in one)
        assert dealt == sorted(image.tobytes() for image in held)


@pytest.mark.parametrize(("format", "media_type"), MEDIA_TYPES.items())
def test_a_stream_has_no_end_unless_it_is_asked_for(wire: Wire, images: Made, format: str, media_type: str) -> None:
    read = 0
    with wire.stream("GET", f"{images.path}/stream?batch_size=64&format={format}") as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == media_type
        assert "content-length" not in answer.headers
        assert "no-store" in answer.headers["cache-control"]
        assert int(answer.headers["x-seed"]) >= 0
        for chunk in answer.iter_raw():
            read += len(chunk)
            if read > 300_000:
                break
    assert read > 300_000


def test_a_seed_that_is_not_given_is_told(wire: Wire, generator: Made) -> None:
    path = f"{generator.path}/stream?batch_size=2&batches=1&format=arrow"
    drawn = wire.ok("GET", path)
    assert arrow(wire.ok("GET", f"{path}&seed={drawn.headers['x-seed']}").content) == arrow(drawn.content)


def test_classes_can_be_chosen(wire: Wire, generator: Made) -> None:
    assert [
        y for _, y in arrow(bounded(wire, generator, "batch_size=3&batches=2&seed=1&classes=dog&format=arrow"))
    ] == [
        [1, 1, 1],
        [1, 1, 1],
    ]


def test_soft_labels_stream_too(wire: Wire, soft: Made) -> None:
    with pa.ipc.open_stream(bounded(wire, soft, "batch_size=2&batches=1&seed=1&format=arrow")) as reader:
        (first,) = list(reader)
    assert np.array(first.column("soft_label").to_pylist()).sum(axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "query",
    [
        "batch_size=0",
        "batch_size=100000000",
        "batches=0",
        "start=-1",
        "seed=-1",
        "format=avi",
        "classes=cow",
        "dtype=uint8",
    ],
)
def test_a_stream_that_cannot_be_is_refused_before_it_begins(wire: Wire, generator: Made, query: str) -> None:
    assert wire.pointers("GET", f"{generator.path}/stream?{query}") == [f"/query/{query.partition('=')[0]}"]
