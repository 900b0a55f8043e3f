"""Each operation of the store and each transaction of the registry goes wrong once, in every way that it can.

Not a sample: a life without a fault is counted, and then lived again for each operation of it and each way to fail.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi import FastAPI

from app.main import create_app
from app.services import Services
from app.settings import AppSettings
from registry.models import Base
from registry.testing import Countdown, FaultyDatabase, FaultyStore, MemoryQueue, migrated_template
from tests.faults.bench import TURNS, Place, put_in_place
from tests.unit.app.catalog import CATALOG
from tests.unit.app.conftest import artifact_file
from tests.unit.intake.sets import folder, zipped

RECIPE: dict[str, Any] = {"dataset": "digits", "method": "dm", "ipc": 1, "seed": 3, "evaluation": {"networks": ["mlp"]}}
ARCHIVE = zipped(folder())
#: Whether the operation is done all the same, and whether the worker's process dies of it.
WAYS = {
    "refused": (False, False),
    "unanswered": (True, False),
    "died before": (False, True),
    "died after": (True, True),
}

Life = Callable[[Place, bool], None]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated_template(tmp_path_factory.mktemp("template"))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A thousand faults are a thousand tracebacks, which take longer to print than to have."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, template: Path) -> FastAPI:
    settings = AppSettings(home=tmp_path_factory.mktemp("app"), reads_per_minute=0, writes_per_minute=0)
    database = FaultyDatabase(f"sqlite:///{template}")
    parts = {"database": database, "store": FaultyStore(), "queue": MemoryQueue(), "catalog": CATALOG}
    return create_app(settings, services=Services(settings=settings, **parts))


def distil(place: Place, deadly: bool) -> None:
    """A job is posted, made, measured, fetched and called by a name; another is called off; all is swept."""
    key = {"Idempotency-Key": "once"}
    posted = place.insist(lambda: place.client.post("/v1/jobs", json=RECIPE, headers=key), 202).json()
    for _ in range(TURNS):
        place.work(deadly=deadly)
        job = place.client.get(f"/v1/jobs/{posted['id']}").json()
        path = f"/v1/artifacts/{job['artifact_id']}"
        if job["state"] == "succeeded" and place.client.get(path).json()["accuracy"] is not None:
            break
    assert job["state"] == "succeeded", job["error"]
    content = place.insist(lambda: place.client.get(f"{path}/content"), 200).content
    assert content == artifact_file(seed=3)[0]
    artifact = place.client.get(path).json()
    assert (artifact["accuracy"], [one["state"] for one in artifact["evaluations"]]) == (0.9, ["succeeded"])
    other = place.insist(lambda: place.client.post("/v1/jobs", json={**RECIPE, "seed": 4}), 202).json()
    place.insist(lambda: place.client.post(f"/v1/jobs/{other['id']}/cancel"), 200)
    # Of the post without a key a second one may be there: its caller was told that it had failed.
    place.work(deadly=deadly)
    for _ in range(TURNS):
        if not any(one["state"] in ("queued", "running") for one in place.client.get("/v1/jobs").json()["items"]):
            break
        place.work(deadly=deadly)
    place.free()


def upload(place: Place, deadly: bool) -> None:
    """An archive is sent, validated and deleted; all is swept."""

    def send() -> Any:
        return place.client.post("/v1/datasets", data={"name": "mine"}, files={"file": ("data.zip", ARCHIVE)})

    place.insist(send, 201, 409)
    for _ in range(TURNS):
        place.work(deadly=deadly)
        found = place.insist(lambda: place.client.get("/v1/datasets/mine"), 200).json()
        if found["state"] != "validating":
            break
    assert found["state"] == "ready", found
    place.insist(lambda: place.client.delete("/v1/datasets/mine"), 204, 404)
    place.free()


LIVES: dict[str, Life] = {"distil": distil, "upload": upload}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[FaultyDatabase]:
    """One for all lives, emptied for each: an engine learns its SQL anew, which takes longer than a life."""
    made = FaultyDatabase(f"sqlite:///{shutil.copy(template, tmp_path_factory.mktemp('lives'))}")
    yield made
    made.close()


@contextmanager
def opened(folder: Path, app: FastAPI, database: FaultyDatabase) -> Iterator[Place]:
    """A place of its own for one life."""
    database.faults.start()
    with database.write() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(table.delete())
    place = Place(home=folder, app=app, database=database)
    try:
        yield place
    finally:
        place.close()


@pytest.mark.parametrize("life", sorted(LIVES))
@pytest.mark.parametrize("part", ["store", "database"])
def test_whatever_goes_wrong_once_is_made_good(
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    app: FastAPI,
    database: FaultyDatabase,
    tmp_path: Path,
    part: str,
    life: str,
) -> None:
    """Each operation in one of the ways, taken in turn; with --long, in all of them."""
    put_in_place(monkeypatch)

    def lived(*, at: int = 0, done: bool = False, deadly: bool = False) -> int:
        """How many operations a life had, one of which went wrong unless `at` is 0."""
        with opened(Path(tempfile.mkdtemp(dir=tmp_path)), app, database) as place:
            faults: Countdown = getattr(place, part).faults
            faults.start(at=at, done=done)
            LIVES[life](place, deadly)
            assert faults.struck == (at > 0)
            operations = faults.counted
            faults.start()
            place.check()
            return operations

    operations = lived()
    assert operations > 10
    wrong: dict[str, str] = {}
    for turn, (way, (done, deadly)) in enumerate(WAYS.items()):
        for at in range(1, operations + 1):
            if at % len(WAYS) != turn and not request.config.getoption("--long"):
                continue
            try:
                lived(at=at, done=done, deadly=deadly)
            except Exception as error:
                wrong[f"{way} at {at} of {operations}"] = repr(error).splitlines()[0]
    assert not wrong, "\n".join(f"{where}: {what}" for where, what in wrong.items())
