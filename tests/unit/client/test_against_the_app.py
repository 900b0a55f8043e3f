"""The client and the command line against the real front end: what one sends is what the other takes."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from app.main import create_app
from app.services import Services
from app.settings import AppSettings
from distilled import errors
from distilled.cli.main import build
from distilled.client import Backoff, Client, JobState
from distilled.files import read_header
from tests.unit.app.conftest import (  # noqa: F401 - fixtures
    Published,
    evaluate,
    logs,
    memory_file,
    publish,
    published,
    services,
    settings,
    template,
)
from tests.unit.cli.runner import ENVIRONMENT

RECIPE = {"dataset": "digits", "method": "dm", "ipc": 1}


Connect = Callable[..., Client]


@pytest.fixture
def connect(settings: AppSettings, services: Services) -> Iterator[Connect]:  # noqa: F811 - a fixture by its name
    with TestClient(create_app(settings, services=services), base_url="http://localhost") as web:
        # The test client's transport calls the application without a socket.
        yield lambda *_: Client("http://localhost", transport=web._transport, backoff=Backoff(retries=0))


@pytest.fixture
def remote(connect: Connect) -> Client:
    return connect()


def test_a_job_from_submission_to_its_end(remote: Client) -> None:
    job = remote.submit(RECIPE)
    assert job.state is JobState.QUEUED
    assert remote.submit(RECIPE, reuse=True).id == job.id
    assert remote.dry_run(RECIPE)["existing_job_id"] == job.id
    assert [found.id for found in remote.jobs(state="queued", dataset="digits")] == [job.id]
    assert remote.cancel(job).state is JobState.CANCELLED
    kinds = [event.kind for event in remote.events(job)]
    assert kinds
    assert set(kinds) == {"state"}
    assert remote.wait(job).state is JobState.CANCELLED
    assert list(remote.metrics(job)) == []
    assert remote.retry(job, fresh=True).state is JobState.QUEUED


def test_one_key_is_one_job(remote: Client) -> None:
    first = remote.submit(RECIPE, idempotency_key="mine")
    assert remote.submit(RECIPE, idempotency_key="mine").id == first.id
    with pytest.raises(errors.ServiceError) as caught:
        remote.submit({**RECIPE, "seed": 1}, idempotency_key="mine")
    assert caught.value.status in (409, 422)


def test_refusals_are_errors_of_their_kind(remote: Client) -> None:
    with pytest.raises(errors.Invalid) as caught:
        remote.submit(dataset="nope", ipc=0)
    assert "/dataset" in [fault.pointer for fault in caught.value.errors]
    with pytest.raises(errors.NotFound):
        remote.job("job_00000000000000000000000000000000")
    with pytest.raises(errors.NotFound):
        remote.artifact("nobody")


def test_an_artifact_is_found_pulled_and_sampled(
    remote: Client,
    services: Services,  # noqa: F811
    published: Published,  # noqa: F811
    tmp_path: Path,
) -> None:
    evaluate(services, published.id, accuracy=0.75)
    assert [found.id for found in remote.find(dataset="digits", class_="dog", min_accuracy=0.7)] == [published.id]
    assert list(remote.find(min_accuracy=0.8)) == []
    remote.alias("best", published.id)
    found = remote.wait_for_evaluations("best")
    assert found.evaluations[0]["result"]["distilled"]["hard"]["mean"] == 0.75

    path = remote.pull("best", tmp_path / "a.safetensors")
    assert path.read_bytes() == published.content
    assert read_header(path)["ipc"] == found.ipc
    (tmp_path / "b.part").write_bytes(published.content[:100])
    assert remote.pull("best", tmp_path / "b").read_bytes() == published.content

    with np.load(remote.download("best", tmp_path / "set.npz", format="npz", ipc=2, classes=["a,b", 0])) as arrays:
        assert arrays["train_labels"][:, 0].tolist() == [2, 2, 0, 0]
    batch = remote.sample("best", count=3, seed=5)
    again = remote.sample("best", count=3, seed=5)
    np.testing.assert_array_equal(batch.images, again.images)
    assert (batch.seed, batch.classes, batch.images.dtype) == (5, ("cat", "dog", "a,b"), np.uint8)
    assert remote.sample("best", ipc=1).seed is not None
    assert remote.preview("best", columns=2, scale=3).startswith(b"\x89PNG")
    remote.delete_alias("best")
    with pytest.raises(errors.Invalid, match="holds 3"):
        remote.sample(published.id, ipc=4)


def test_an_artifact_is_evaluated_on_further_networks(
    remote: Client,
    services: Services,  # noqa: F811
    published: Published,  # noqa: F811
) -> None:
    evaluate(services, published.id, accuracy=0.75)
    (asked,) = remote.evaluate(published.id, "mlp", repeats=1)
    (again,) = remote.evaluate(published.id, ["mlp"], repeats=1)
    assert (asked["network"], asked["state"], asked["config"]) == ("mlp", "queued", {"repeats": 1})
    assert again["id"] == asked["id"]
    assert [one["network"] for one in remote.evaluations(published.id)] == ["convnet3", "mlp"]
    found = remote.artifact(published.id)
    assert (found.seen_networks, found.summary) == (["convnet3"], found.document["summary"])
    assert found.summary[0]["seen"]["distilled"]["hard"]["mean"] == 0.75
    with pytest.raises(errors.Invalid, match="/networks/0"):
        remote.evaluate(published.id, ["nonet"])


def test_a_strip_is_asked_for_by_its_ends(remote: Client, services: Services) -> None:  # noqa: F811
    memory = publish(services, file=memory_file())
    strip = remote.preview(memory.id, mix=("cat", "a,b"), columns=3, rows=2)
    assert strip.startswith(b"\x89PNG")
    assert strip == remote.preview(memory.id, mix=[0, 2], columns=3, rows=2) != remote.preview(memory.id, columns=3)


def test_a_dataset_is_uploaded_listed_and_deleted(remote: Client, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        f"{split}_{kind}": rng.integers(0, 2 if kind == "labels" else 256, (20, 8, 8) if kind == "images" else (20, 1))
        for split in ("train", "test")
        for kind in ("images", "labels")
    }
    np.savez(tmp_path / "mine.npz", **{name: array.astype(np.uint8) for name, array in arrays.items()})
    made = remote.upload(tmp_path / "mine.npz", name="mine")
    assert (made["name"], made["train"], made["val"], made["shape"]) == ("mine", 18, 2, [1, 8, 8])
    assert {"mine", "digits"} <= {found["name"] for found in remote.datasets()}
    assert remote.dataset("MINE")["name"] == "mine"
    with pytest.raises(errors.Conflict):
        remote.upload(tmp_path / "mine.npz", name="mine")
    remote.delete_dataset("mine")
    with pytest.raises(errors.NotFound):
        remote.dataset("mine")
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    with pytest.raises(errors.Invalid, match="/form/file"):
        remote.upload(tmp_path / "bad.npz", name="bad")


@pytest.mark.parametrize(
    "arguments",
    [
        ["methods"],
        ["datasets"],
        ["jobs", "--state", "queued", "--limit", "500"],
        ["artifacts", "--class", "dog", "--sort", "-accuracy", "--limit", "500"],
        ["evaluate", "PUBLISHED", "--network", "mlp"],
        ["submit", "--dataset", "digits", "--method", "dm", "--ipc", "1", "--dry-run"],
    ],
)
def test_the_command_line_speaks_the_same_language(
    connect: Connect,
    published: Published,  # noqa: F811
    arguments: list[str],
) -> None:
    words = [published.id if word == "PUBLISHED" else word for word in arguments]
    for flags in ([], ["--json"]):
        result = CliRunner(env=ENVIRONMENT).invoke(build(), words + flags, obj=connect)
        assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) is not None
