"""An opened artifact: pinned, trained on from its own file or batch by batch from the service."""

import io
import json
import multiprocessing
import pickle
from itertools import islice
from pathlib import Path

import httpx2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from app.samples.choosing import MAX_IMAGES
from app.services import Services
from distilled import Client, bars, errors
from distilled.cache import Cache
from distilled.client import Artifact, Backoff
from distilled.client.opened import OpenedArtifact
from distilled.files import pack
from tests.unit.app.conftest import (  # noqa: F401 - fixtures
    Published,
    logs,
    publish,
    published,
    services,
    settings,
    template,
)
from tests.unit.client.service import FakeService, artifact, job, problem
from tests.unit.client.test_against_the_app import connect, remote  # noqa: F401 - fixtures
from tests.unit.client.test_client import DONE, EVENTS, RUNNING, STEP, stream
from tests.unit.reading.generators import generator, header

LINE = (4, "log", {"message": "a line"})


@pytest.fixture
def made(services: Services) -> Published:  # noqa: F811
    """A generator: any number of 1 x 8 x 8 images of 2 classes."""
    model = generator()
    about = header(model)
    return publish(services, file=(pack(model, about), about))


def test_an_alias_is_looked_up_once(remote: Client, services: Services, published: Published) -> None:  # noqa: F811
    remote.alias("best", published.id)
    opened = remote.open("best")
    remote.alias("best", publish(services, seed=1).id)
    assert opened.manifest.digest == published.digest
    assert opened.dataset().digest == published.digest
    assert opened.held == 3


def test_a_set_is_that_of_a_download(remote: Client, published: Published, tmp_path: Path) -> None:  # noqa: F811
    opened = remote.open(published.id)
    path = opened.download(tmp_path / "set.npz", format="npz", ipc=2, classes=["a,b", 0])
    dataset = opened.dataset(ipc=2, classes=["a,b", 0], dtype="uint8")
    with np.load(path) as arrays:
        np.testing.assert_array_equal(arrays["train_images"], dataset.images_NCHW.permute(0, 2, 3, 1).numpy())
        assert arrays["train_labels"][:, 0].tolist() == dataset.targets.tolist()


def test_a_ratio_is_of_the_real_images_and_the_service_knows_how_many(
    remote: Client,  # noqa: F811
    published: Published,  # noqa: F811
) -> None:
    opened = remote.open(published.id)
    assert opened.dataset(ratio=0.2).ipc == 2  # of 30 real images in 3 classes
    assert len({int(label) for _, labels in islice(opened.stream(ratio=0.1, batch_size=3), 4) for label in labels}) == 3
    with pytest.raises(errors.Invalid, match="holds 3"):
        opened.dataset(ratio=0.9)
    with pytest.raises(errors.Invalid, match="give one of"):
        opened.dataset(ratio=0.1, ipc=1)


def test_a_fixed_set_is_fetched_once_and_dealt_without_the_service(
    remote: Client,  # noqa: F811
    published: Published,  # noqa: F811
    tmp_path: Path,
) -> None:
    remote.cache = Cache(folder=tmp_path / "cache")
    opened = remote.open(published.id)
    opened.dataset()
    assert [path.name for path in remote.cache.folder.iterdir()] == [published.digest]
    endless = opened.stream(batch_size=256, seed=1)
    remote.close()
    for images, labels in islice(DataLoader(endless), 3):
        assert (images.shape, images.dtype, labels.shape) == ((256, 3, 4, 4), torch.float32, (256,))
    first = next(iter(endless))
    torch.testing.assert_close(next(iter(opened.stream(batch_size=256, seed=1))).images, first.images)


@pytest.mark.parametrize("classes", [None, ["a,b", "cat"]])
def test_a_fixed_sets_batches_are_those_that_the_service_would_send(
    remote: Client,  # noqa: F811
    published: Published,  # noqa: F811
    classes: list[str] | None,
) -> None:
    opened = remote.open(published.id)
    dealt = list(islice(opened.stream(batch_size=5, seed=4, classes=classes), 4))
    for index, (images, labels) in enumerate(dealt):
        drawn = opened.sample(count=5, seed=4, index=index, classes=classes, dtype="float32")
        np.testing.assert_array_equal(images.numpy(), drawn.images)
        np.testing.assert_array_equal(labels.numpy(), drawn.labels)


def test_a_generators_batches_are_those_of_the_service_and_never_the_same_images(
    remote: Client,  # noqa: F811
    made: Published,
) -> None:
    opened = remote.open(made.id)
    assert opened.held is None
    batches = list(islice(DataLoader(opened.stream(batch_size=6, seed=4, prefetch=0)), 3))
    for index, (images, labels) in enumerate(batches):
        drawn = opened.sample(count=6, seed=4, index=index, dtype="float32")
        np.testing.assert_array_equal(images.numpy(), drawn.images)
        np.testing.assert_array_equal(labels.numpy(), drawn.labels)
    assert not torch.equal(batches[0][0], batches[1][0])
    ((pixels, _),) = opened.stream(batch_size=2, classes="dog", dtype="uint8", batches=1)
    assert (pixels.shape, pixels.dtype) == ((2, 1, 8, 8), torch.uint8)
    # At a ratio, or with so many of a class, it is a set that is dealt: the same images again.
    fixed = opened.stream(ipc=2, batch_size=8, batches=2)
    assert len(torch.cat([images for images, _ in fixed]).unique(dim=0)) == 4


def test_what_a_generators_stream_cannot_have_is_refused(remote: Client, made: Published) -> None:  # noqa: F811
    opened = remote.open(made.id)
    for options, named in [({"dtype": "int8"}, "/dtype"), ({"classes": "bird"}, "/classes"), ({"soft": True}, "/soft")]:
        with pytest.raises(errors.InvalidInput, match=named):
            next(iter(opened.stream(batches=1, **options)))
    with pytest.raises(errors.Invalid, match="count"):
        next(iter(opened.stream(batch_size=MAX_IMAGES + 1)))


def test_a_class_that_is_called_by_a_number_goes_by_its_name() -> None:
    manifest = artifact(classes=["1", "0"], budget={"images_per_class": None})
    content = {"images": np.zeros((1, 2, 2, 1), np.uint8), "labels": np.zeros(1, np.int64)}
    body = _safetensors(content)
    service = FakeService().on("GET /v1/artifacts/art_1", manifest)
    service.on("GET /v1/artifacts/art_1/samples", lambda _: httpx2.Response(200, content=body))
    next(iter(service.client().open("art_1").stream(classes=["1"], batch_size=1, batches=1, dtype="uint8")))
    asked = dict(service.requests[-1].url.params)
    assert asked == {"count": "1", "classes": "1", "seed": "0", "dtype": "uint8", "index": "0", "format": "safetensors"}


def test_a_batch_that_did_not_come_is_asked_for_again() -> None:
    manifest = artifact(budget={"images_per_class": None})
    body = _safetensors({"images": np.zeros((1, 1, 2, 2), np.float32), "labels": np.zeros(1, np.int64)})
    service = FakeService().on("GET /v1/artifacts/art_1", manifest)
    answers = [problem(503), httpx2.ReadError("cut"), lambda _: httpx2.Response(200, content=body)]
    service.on("GET /v1/artifacts/art_1/samples", *answers)
    ((images, _),) = service.client().open("art_1").stream(batch_size=1, batches=1, prefetch=1)
    assert images.shape == (1, 1, 2, 2)
    assert len(service.slept) == 2


def test_a_client_goes_to_other_processes_without_its_connections() -> None:
    client = Client("http://127.0.0.1:9", "key", backoff=Backoff(retries=1), cache=Cache(folder=Path("/x")))
    again = pickle.loads(pickle.dumps(client))  # noqa: S301 - our own bytes
    assert (again.url, again.cache, again._wire.backoff) == (client.url, client.cache, client._wire.backoff)
    assert again._wire.http.headers["Authorization"] == "Bearer key"
    opened = OpenedArtifact(client, Artifact.from_json(artifact(budget={"images_per_class": None})))
    sent = pickle.loads(pickle.dumps(opened.stream(batch_size=4, seed=2)))  # noqa: S301 - a worker that is spawned
    assert sent.state_dict() == opened.stream(batch_size=4, seed=2).state_dict()
    here = client._wire.http
    context = multiprocessing.get_context("fork")
    answer = context.SimpleQueue()
    child = context.Process(target=lambda: answer.put(client._wire.http is here))
    child.start()
    assert answer.get() is False
    child.join()
    assert client._wire.http is here
    with pytest.raises(TypeError, match="transport"):
        pickle.dumps(FakeService().client())


@pytest.mark.parametrize("asked", [None, True, False])
def test_a_bar_is_drawn_where_it_is_asked_for_or_somebody_looks(
    asked: bool | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drawn = io.StringIO()
    monkeypatch.setattr("sys.stderr", drawn)
    if asked:
        monkeypatch.setenv("FORCE_COLOR", "1")  # as rich takes a terminal for one; elsewhere it draws at the end only
    service = FakeService().on(EVENTS, stream(RUNNING, STEP, LINE, DONE)).on("GET /v1/jobs/job_1", job("succeeded"))
    service.on("POST /v1/datasets", {"name": "mine"})
    (tmp_path / "mine.npz").write_bytes(b"x" * 100)
    client = service.client()
    assert client.wait("job_1", progress=asked).state == "succeeded"
    client.upload(tmp_path / "mine.npz", name="mine", progress=asked)
    assert ("succeeded" in drawn.getvalue()) == bool(asked)
    assert ("a line" in drawn.getvalue()) == bool(asked)
    assert ("mine.npz" in drawn.getvalue()) == bool(asked)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert bars.watched(None)


def _safetensors(arrays: dict[str, np.ndarray]) -> bytes:
    from safetensors.numpy import save  # noqa: PLC0415 - one helper

    return save(arrays, metadata={"classes": json.dumps(["1", "0"])})
