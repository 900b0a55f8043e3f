"""A front end on a migrated registry, with a store in memory and a queue that remembers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
import torch
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.main import create_app
from app.services import Services
from app.settings import AppSettings
from distilled.files import pack
from distilled.parametrizations.base import ImageSpace
from distilled.parametrizations.images import Images
from distilled.parametrizations.memory import Memory
from registry import evaluations, jobs
from registry.session import Database
from registry.testing import MemoryQueue, memory_store, migrated_template, temporary_database
from tests.unit.app.catalog import CATALOG

CLASSES = ("cat", "dog", "a,b")
HELD = 3
MAX_UPLOAD = 2_000_000


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated_template(tmp_path_factory.mktemp("template"))


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    """The log's lines, in place of standard output."""
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        yield lines


@pytest.fixture
def settings(tmp_path: Path) -> AppSettings:
    return AppSettings(home=tmp_path / "home", event_poll_seconds=0.02, sweep_seconds=3600, max_upload_bytes=MAX_UPLOAD)


@pytest.fixture
def services(settings: AppSettings, tmp_path: Path, template: Path) -> Iterator[Services]:
    database = temporary_database(tmp_path, template=template)
    yield Services(settings=settings, database=database, store=memory_store(), queue=MemoryQueue(), catalog=CATALOG)
    database.close()


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory, template: Path) -> FastAPI:
    """One application for all tests, because its routes take a while to build; its parts are each test's own."""
    unlimited = {"reads_per_minute": 0, "writes_per_minute": 0, "wrong_keys_per_minute": 0}
    settings = AppSettings(home=tmp_path_factory.mktemp("app"), max_upload_bytes=MAX_UPLOAD, **unlimited)
    parts = Services(
        settings=settings,
        database=Database(f"sqlite:///{template}"),
        store=memory_store(),
        queue=MemoryQueue(),
        catalog=CATALOG,
    )
    return create_app(settings, services=parts)


@pytest.fixture
def client(app: FastAPI, services: Services) -> TestClient:
    app.state.services = services
    return TestClient(app, base_url="http://localhost")


@dataclass(frozen=True, kw_only=True)
class Published:
    """An artifact that is in the registry, and the bytes of its file."""

    id: str
    job_id: str
    digest: str
    content: bytes


def artifact_file(
    *, classes: tuple[str, ...] = CLASSES, held: int = HELD, labels: str = "hard", seed: int = 0
) -> tuple[bytes, dict[str, Any]]:
    """A small `images` artifact: 3 x 4 x 4, `held` images of each class."""
    space = ImageSpace(shape=(3, 4, 4), mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2), classes=classes)
    pixels = torch.rand(len(classes) * held, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (space.mean, space.std))
    made = Images(Images.Config(labels=labels), space=space, images_NCHW=(pixels - mean) / std)
    header = {
        "format": 1,
        "kind": "images",
        "config": {"storage": "uint8", "labels": labels},
        "space": space.to_json(),
        "classes": list(classes),
        "dataset": {"name": "digits", "digest": "d" * 64, "licence": "CC BY 4.0"},
        "ipc": held,
        "budget": {"bytes": made.num_bytes(), "floats": made.num_floats(), "images": len(pixels)},
        "recipe": {
            "dataset": "digits",
            "ipc": held,
            "objective": {"kind": "distribution", "network": "convnet3"},
            "evaluation": {"networks": ["convnet3"], "repeats": 2},
        },
        "seed": seed,
        "steps": 1,
        "images_seen": 1,
        "code_version": "0",
        "device_kind": "cpu",
    }
    return pack(made, header), header


def memory_file(*, classes: tuple[str, ...] = CLASSES, rows: int = 5) -> tuple[bytes, dict[str, Any]]:
    """A small `memory` artifact: `rows` images of each class, recalled from 2 bases of 3 x 2 x 2."""
    _, header = artifact_file(classes=classes)
    space, rng = ImageSpace.from_json(header["space"], classes=list(classes)), torch.Generator().manual_seed(0)
    made = Memory(
        Memory.Config(bases=2, downsample=2, storage="float32"),
        space=space,
        bases_MChw=torch.randn(2, 3, 2, 2, generator=rng),
        addresses_KRM=torch.randn(len(classes), rows, 2, generator=rng),
    )
    header |= {"kind": "memory", "config": {"bases": 2, "downsample": 2, "storage": "float32", "start": "xavier"}}
    budget = {"bytes": made.num_bytes(), "floats": made.num_floats(), "images": rows * len(classes)}
    return pack(made, header | {"budget": budget}), header | {"budget": budget}


def publish(services: Services, *, file: tuple[bytes, dict[str, Any]] | None = None, **options: Any) -> Published:
    """Run a job by hand to its end."""
    content, header = file or artifact_file(**options)
    digest = services.store.put(content)
    with services.database.write() as session:
        recipe = {"dataset": "digits", "method": "dm", "ipc": 3, "evaluation": {"networks": ["convnet3"], "repeats": 2}}
        job = jobs.submit(session, recipe=recipe, digest="e" * 64, request_id="r")
        claim = jobs.claim(session, job.id, worker="w", device="cpu", lease_seconds=60)
        assert claim is not None
        publication = jobs.Publication(
            digest=digest,
            content_bytes=len(content),
            payload_bytes=header["budget"]["bytes"],
            kind=header["kind"],
            header=header,
            train_images=30,
        )
        artifact = jobs.finish(session, job.id, attempt=claim.attempt, publication=publication)
        assert artifact is not None
        return Published(id=artifact.id, job_id=job.id, digest=digest, content=content)


def evaluate(services: Services, artifact_id: str, *, accuracy: float, also: dict[str, Any] | None = None) -> None:
    """Give an artifact's evaluation a result, with more modes where they are given."""
    score = {"mean": accuracy, "std": 0.01, "values": [accuracy]}
    with services.database.write() as session:
        row = evaluations.of_artifact(session, artifact_id)[0]
        claim = evaluations.claim(session, row.id, worker="w", device="cpu", lease_seconds=60)
        assert claim is not None
        evaluations.finish(
            session,
            row.id,
            attempt=claim.attempt,
            result={"distilled": {"hard": score, **(also or {})}, "random": score},
        )


@pytest.fixture
def published(services: Services) -> Published:
    return publish(services)


def problem(response: Any, status: int) -> dict[str, Any]:
    """The problem+json of a response, checked for its shape."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert body["type"].startswith("/problems/")
    assert body["title"]
    assert body["detail"]
    assert "Traceback" not in response.text
    return body


def pointers(response: Any) -> list[str]:
    """Where a 422 points."""
    return [found["pointer"] for found in problem(response, 422)["errors"]]
