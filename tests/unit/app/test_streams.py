"""Streams of batches: the same batches by number wherever a stream begins, no faster than the client reads."""

import io
import json
import tarfile
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import numpy as np
import pyarrow as pa
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image
from safetensors.numpy import load

from app.samples.choosing import MAX_IMAGES, Deal
from app.samples.places import Streams
from app.services import Services
from tests.unit.app.conftest import Published, artifact_file, memory_file, pointers, problem, publish
from tests.unit.app.test_generators import file as generator_file
from tests.unit.app.wire import SlowReader, asking, eventually

KINDS: dict[str, Callable[[], Any]] = {"images": artifact_file, "memory": memory_file, "generator": generator_file}


def stream(client: TestClient, made: Published, query: str) -> bytes:
    response = client.get(f"/v1/artifacts/{made.id}/stream?{query}")
    assert response.status_code == 200, response.text
    return response.content


def arrow_batches(content: bytes) -> list[Any]:
    return list(pa.ipc.open_stream(content))


def images_of(batch: Any) -> Any:
    return batch["image"].to_numpy_ndarray()


def tar_samples(content: bytes) -> Iterator[tuple[str, Any, int]]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    for key in sorted({name.partition(".")[0] for name in files}):
        yield key, np.asarray(Image.open(io.BytesIO(files[f"{key}.png"]))), int(files[f"{key}.cls"])


@pytest.mark.parametrize("kind", KINDS)
def test_batch_i_is_the_sample_of_that_index(client: TestClient, services: Services, kind: str) -> None:
    made = publish(services, file=KINDS[kind]())
    batches = arrow_batches(stream(client, made, "batch_size=7&batches=6&seed=5&format=arrow"))
    samples = list(tar_samples(stream(client, made, "batch_size=7&batches=6&seed=5")))
    assert [len(batch) for batch in batches] == [7] * 6
    assert [key for key, _, _ in samples] == [f"{number:012d}" for number in range(42)]
    for index, batch in enumerate(batches):
        url = f"/v1/artifacts/{made.id}/samples?count=7&seed=5&index={index}"
        truth = load(client.get(url).content)
        of_tar = samples[7 * index : 7 * index + 7]
        np.testing.assert_array_equal(images_of(batch), truth["images"])
        np.testing.assert_array_equal(np.stack([image for _, image, _ in of_tar]), truth["images"])
        assert batch["label"].to_pylist() == [label for _, _, label in of_tar] == truth["labels"].tolist()


@pytest.mark.parametrize("format", ["webdataset", "arrow"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_is_picked_up_goes_on_with_the_same_bytes(
    client: TestClient, services: Services, kind: str, format: str
) -> None:
    made = publish(services, file=KINDS[kind]())
    query = f"batch_size=5&seed=1&format={format}"
    whole = stream(client, made, f"{query}&batches=8")
    short = stream(client, made, f"{query}&batches=3")
    rest = stream(client, made, f"{query}&start=3&batches=5")
    end = b"\xff\xff\xff\xff\0\0\0\0" if format == "arrow" else bytes(1024)
    read = short.removesuffix(end)
    assert whole.startswith(read)
    beginning = len(rest) - (len(whole) - len(read))  # what every stream begins with: a schema, the names of classes
    assert rest[:beginning] == whole[:beginning]
    assert rest[beginning:] == whole[len(read) :]


@pytest.mark.parametrize("kind", ["images", "memory"])
@pytest.mark.parametrize("size", [1, 4, 9, 40])
def test_a_fixed_set_is_dealt_whole_before_an_image_comes_again(
    client: TestClient, services: Services, kind: str, size: int
) -> None:
    made = publish(services, file=KINDS[kind]())
    held = len(load(client.get(f"/v1/artifacts/{made.id}/download").content)["images"])
    batches = arrow_batches(
        stream(client, made, f"batch_size={size}&batches={-(-2 * held // size)}&seed=0&format=arrow")
    )
    dealt = [image.tobytes() for batch in batches for image in images_of(batch)]
    by_class = [label for batch in batches for label in batch["label"].to_pylist()]
    if size == 1:
        assert len(set(dealt[:held])) == held
        assert Counter(dealt[: 2 * held]) == dict.fromkeys(dealt[:held], 2)
        assert dealt[:held] != dealt[held : 2 * held], "another epoch has another order"
    assert max(Counter(dealt).values()) - min(Counter(dealt).values()) <= 1 + size // held
    assert max(Counter(by_class).values()) - min(Counter(by_class).values()) <= 1


def test_a_generator_makes_new_images_each_time(client: TestClient, services: Services) -> None:
    made = publish(services, file=generator_file())
    batches = arrow_batches(stream(client, made, "batch_size=6&batches=5&seed=0&format=arrow"))
    assert len({image.tobytes() for batch in batches for image in images_of(batch)}) == 30


def test_other_seeds_have_other_batches_and_a_drawn_one_is_told(client: TestClient, published: Published) -> None:
    url = f"/v1/artifacts/{published.id}/stream?batches=3&batch_size=6"
    drawn = client.get(url)
    assert drawn.headers["cache-control"] == "no-store"
    assert client.get(f"{url}&seed={drawn.headers['x-seed']}").content == drawn.content
    assert client.get(f"{url}&seed=1").content != client.get(f"{url}&seed=2").content


def test_only_the_classes_asked_for(client: TestClient, published: Published) -> None:
    (batch,) = arrow_batches(stream(client, published, "batch_size=8&batches=1&classes=2,cat&seed=1&format=arrow"))
    assert batch["label"].to_pylist() == [2] * 4 + [0] * 4


@pytest.mark.parametrize("format", ["webdataset", "arrow"])
def test_soft_labels_and_names_travel_in_streams(client: TestClient, services: Services, format: str) -> None:
    made = publish(services, labels="soft")
    url = f"/v1/artifacts/{made.id}"
    truth = load(client.get(f"{url}/samples?count=5&seed=2").content)["soft_labels"]
    answer = client.get(f"{url}/stream?batch_size=5&batches=1&seed=2&format={format}")
    if format == "arrow":
        assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
        (batch,) = arrow_batches(answer.content)
        found, names = np.array(batch["soft_label"].to_pylist(), dtype="f4"), batch.schema.metadata[b"classes"]
    else:
        assert answer.headers["content-type"] == "application/x-tar"
        with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
            files = [archive.extractfile(name).read() for name in archive.getnames() if name.endswith(".soft.npy")]  # type: ignore[union-attr]
            names = json.dumps(json.loads(archive.pax_headers["comment"])["classes"])
        found = np.stack([np.load(io.BytesIO(content), allow_pickle=False) for content in files])
    np.testing.assert_array_equal(found, truth)
    assert json.loads(names) == ["cat", "dog", "a,b"]


def test_no_class_falls_behind() -> None:
    deals = [Deal(images=4, classes=10, index=index) for index in range(5)]
    assert [deal.numbers for deal in deals[:3]] == [
        [1, 1, 1, 1, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0, 1, 1],
    ]
    assert np.sum([deal.numbers for deal in deals], axis=0).tolist() == [2] * 10


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("batch_size=0", "/query/batch_size"),
        (f"batch_size={MAX_IMAGES + 1}", "/query/batch_size"),
        ("batch_size=x", "/query/batch_size"),
        ("batches=0", "/query/batches"),
        (f"batches={2**31}", "/query/batches"),
        ("start=-1", "/query/start"),
        (f"start={2**31}", "/query/start"),
        ("seed=-1", "/query/seed"),
        ("classes=bird", "/query/classes"),
        ("classes=cat,0", "/query/classes"),
        ("format=parquet", "/query/format"),
        ("format=", "/query/format"),
        ("dtype=float32", "/query/dtype"),
        ("count=3", "/query/count"),
        ("ipc=1", "/query/ipc"),
    ],
)
def test_a_wrong_stream_names_its_parameter(
    client: TestClient, services: Services, published: Published, query: str, pointer: str
) -> None:
    assert pointer in pointers(client.get(f"/v1/artifacts/{published.id}/stream?{query}"))
    assert services.streams.active == 0


@pytest.mark.parametrize(("query", "pointer"), [("index=-1", "/query/index"), (f"index={2**31}", "/query/index")])
def test_a_wrong_index_names_its_parameter(client: TestClient, published: Published, query: str, pointer: str) -> None:
    assert pointers(client.get(f"/v1/artifacts/{published.id}/samples?count=2&{query}")) == [pointer]


def test_nothing_streams_from_what_is_not_there(client: TestClient) -> None:
    problem(client.get("/v1/artifacts/nobody/stream?batches=1"), 404)


def test_what_is_wrong_with_the_first_batch_is_an_answer(
    client: TestClient, services: Services, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.store, "get", lambda digest: (_ for _ in ()).throw(FileNotFoundError))
    services.sampler._open.clear()
    response = client.get(f"/v1/artifacts/{published.id}/stream?batches=1")
    assert problem(response, 500)["type"] == "/problems/internal-error"
    assert services.streams.active == 0


# --- pace --------------------------------------------------------------------------------------------------------


@pytest.fixture
def drawn(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The indices of the batches that were drawn so far."""
    indices: list[int] = []
    draw = services.sampler.draw

    def counted(*args: Any, **options: Any) -> Any:
        indices.append(options["index"])
        return draw(*args, **options)

    monkeypatch.setattr(services.sampler, "draw", counted)
    return indices


def test_nothing_is_drawn_while_nobody_reads(
    app: FastAPI, client: TestClient, services: Services, published: Published, drawn: list[int]
) -> None:
    async def scene() -> None:
        reader = SlowReader(reads=2)
        async with asking(app, f"/v1/artifacts/{published.id}/stream?batch_size=6&seed=1&format=arrow", reader):
            await eventually(lambda: len(drawn) >= 3, seconds=10)
            await anyio.sleep(0.3)
            assert (reader.taken, drawn) == (2, [0, 1, 2]), "one batch waits to be sent, and no other was made"
            assert services.streams.active == 1
            assert services.database._engine.pool.checkedout() == 0, "no session waits with it"
            reader.read_on(1)
            await eventually(lambda: len(drawn) == 4, seconds=10)
            reader.leave()
            with anyio.fail_after(1):
                await reader.ended.wait()
            assert services.streams.active == 0
            assert drawn == [0, 1, 2, 3]

    anyio.run(scene)


def test_there_are_so_many_streams_at_a_time(
    app: FastAPI, client: TestClient, services: Services, published: Published
) -> None:
    services.streams = Streams(most=2, stopping=services.stopping)
    url = f"/v1/artifacts/{published.id}/stream?batch_size=6"

    async def scene() -> None:
        held, late = [SlowReader(reads=0) for _ in range(2)], SlowReader()
        async with asking(app, url, *held):
            await eventually(lambda: services.streams.active == 2, seconds=10)
            async with asking(app, url, late):
                await late.ended.wait()
            assert (late.status, late.headers["retry-after"]) == (429, "10")
            assert json.loads(b"".join(late.parts))["type"] == "/problems/too-many-streams"
        assert services.streams.active == 0

    anyio.run(scene)
    assert client.get(f"{url}&batches=1").status_code == 200


def test_memory_does_not_grow_with_the_length(
    app: FastAPI, client: TestClient, services: Services, published: Published, drawn: list[int]
) -> None:
    async def scene() -> int:
        reader = SlowReader(reads=10, keep=False)
        async with asking(app, f"/v1/artifacts/{published.id}/stream?batch_size=500&format=arrow", reader):
            await eventually(lambda: len(drawn) == 11, seconds=30)
            tracemalloc.start()
            reader.read_on(30)
            await eventually(lambda: len(drawn) == 41, seconds=30)
            return tracemalloc.get_traced_memory()[0]

    try:
        grown = anyio.run(scene)
    finally:
        tracemalloc.stop()
    assert grown < 8 * 500 * (4 * 4 * 3 + 8), "thirty batches later hardly more is held than the one in hand"


def test_a_stream_that_the_end_of_the_service_cuts_is_no_whole_one(
    app: FastAPI, client: TestClient, services: Services, published: Published
) -> None:
    async def scene() -> None:
        reader = SlowReader(reads=1)
        async with asking(app, f"/v1/artifacts/{published.id}/stream?batch_size=6&batches=5", reader):
            await eventually(lambda: reader.taken == 1, seconds=10)
            services.stopping.set()
            reader.read_on()
            with anyio.fail_after(1):
                await reader.ended.wait()
            assert not reader.complete
            assert reader.taken < 6

    anyio.run(scene)
