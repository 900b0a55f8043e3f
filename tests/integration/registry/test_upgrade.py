"""What every older version left is opened by this one: its rows, its blobs, and what clients were told of them."""

import base64
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from alembic import command
from fastapi.testclient import TestClient
from safetensors.numpy import load
from sqlalchemy import MetaData, create_engine, func, select

from app.main import create_app
from app.services import Services
from app.settings import AppSettings
from registry import jobs, schema, uploads, webhooks
from registry.models import Evaluation, Job, MessageState, State, Upload, Validation
from tests.fixtures.upgrade import restore
from tests.integration.registry.conftest import NUMBERS, make_database

pytestmark = pytest.mark.services

KINDS = {"of-images": "images", "of-a-memory": "memory", "of-a-generator": "generator"}


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An older version's service, opened by this one. before: rows by table then, after: the same tables now."""

    told: dict[str, Any]
    before: dict[str, int]
    after: dict[str, int]
    services: Services
    client: TestClient

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer


def counted(url: str) -> dict[str, int]:
    """How many rows each table has that is there."""
    engine, tables = create_engine(url), MetaData()
    with engine.connect() as connection:
        tables.reflect(connection)
        counts = {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in tables.sorted_tables
        }
    engine.dispose()
    return counts


@pytest.fixture(
    scope="module", params=[f"{one.name} on {on}" for one in restore.VERSIONS for on in ("SQLite", "PostgreSQL")]
)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    name, on = request.param.split(" on ")
    version = restore.HERE / name
    home = tmp_path_factory.mktemp("upgrade")
    url = f"sqlite:///{home}/registry.db"
    if on == "PostgreSQL":
        url = make_database(request.getfixturevalue("server"), f"upgrade_{next(NUMBERS)}")
    restore.database(version, url)
    restore.store(version, home / "store")
    before = counted(url)
    schema.upgrade(url)
    command.downgrade(schema.config(url), restore.revision(version))
    assert counted(url) == before, "down again, nothing of then is lost"
    schema.upgrade(url)
    after = counted(url)
    app = create_app(AppSettings(home=home, database_url=url))
    services: Services = app.state.services
    yield Opened(
        told=restore.told(version),
        before=before,
        after={table: after[table] for table in before},
        services=services,
        client=TestClient(app, base_url="http://localhost"),
    )
    services.close()


def test_the_tables_are_those_of_this_version_and_have_all_rows(opened: Opened) -> None:
    assert opened.services.database.is_at_head()
    assert opened.after == opened.before
    assert all(rows for table, rows in opened.before.items()), "the fixture has something of everything"


@pytest.mark.parametrize("alias", KINDS)
def test_an_artifact_is_told_of_as_it_was(opened: Opened, alias: str) -> None:
    then, now = opened.told[alias]["manifest"], opened.get(f"/v1/artifacts/{alias}").json()
    evaluated = {one["id"]: one for one in now["evaluations"]}
    for one in then.pop("evaluations"):
        assert one.items() <= evaluated[one["id"]].items()
    assert then["kind"] == KINDS[alias]
    assert {name: now[name] for name in then} == then


@pytest.mark.parametrize("alias", KINDS)
def test_its_file_has_the_bytes_that_it_had(opened: Opened, alias: str) -> None:
    then = opened.told[alias]
    whole = opened.get(f"/v1/artifacts/{alias}/content")
    digest = hashlib.sha256(whole.content).hexdigest()
    assert digest == then["content_sha256"] == then["manifest"]["digest"]
    assert whole.headers["etag"] == f'"{digest}"'


@pytest.mark.parametrize("alias", KINDS)
def test_the_same_question_has_the_same_answer(opened: Opened, alias: str) -> None:
    for question, encoded in opened.told[alias]["answers"].items():
        then, now = base64.b64decode(encoded), opened.get(f"/v1/artifacts/{alias}{question}").content
        if KINDS[alias] == "images":
            assert now == then, question
            continue
        # Recalled by floating-point arithmetic, which is not the same to the last bit on every processor.
        for name, array in load(then).items():
            np.testing.assert_allclose(load(now)[name].astype(float), array.astype(float), atol=1.01, err_msg=question)


@pytest.mark.parametrize("alias", KINDS)
def test_clients_of_the_hub_find_the_same_files(opened: Opened, alias: str) -> None:
    repository = f"/hf/datasets/distilled/{alias}/resolve/main"
    listed = opened.get(f"/hf/api/datasets/distilled/{alias}/tree/main?recursive=true").json()
    assert {one["path"] for one in listed if one["type"] == "file"} >= set(opened.told[alias]["hub_files"])
    for path in opened.told[alias]["hub_files"]:
        content = opened.get(f"{repository}/{path}").content
        if path == "artifact.safetensors":
            assert hashlib.sha256(content).hexdigest() == opened.told[alias]["content_sha256"]
        if path.startswith("ipc1/"):
            assert sorted(pq.read_table(io.BytesIO(content))["label"].to_pylist()) == list(range(10))


def test_names_and_their_history_are_kept(opened: Opened) -> None:
    ids = {alias: opened.told[alias]["manifest"]["id"] for alias in KINDS}
    for name, artifact_id in (ids | {"newest": ids["of-a-generator"]}).items():
        assert opened.get(f"/v1/aliases/{name}").json()["artifact_id"] == artifact_id
    assert opened.client.get("/v1/aliases/taken-away").status_code == 404
    moves = opened.get("/v1/aliases/newest/history").json()["items"]
    assert [move["to_artifact_id"] for move in moves] == list(ids.values())[::-1]
    assert opened.get("/v1/aliases/taken-away/history").json()["items"][0]["to_artifact_id"] is None


def test_what_was_deleted_can_be_restored(opened: Opened) -> None:
    path = f"/v1/artifacts/{opened.told['deleted']['id']}"
    assert opened.client.get(path).status_code == 404
    restored = opened.client.post(f"{path}/restore")
    assert restored.status_code == 200, restored.text
    assert opened.get(f"{path}/content").content
    assert opened.client.delete(path).status_code == 204


def test_jobs_of_every_state_have_their_stories(opened: Opened) -> None:
    states = set()
    for job in opened.get("/v1/jobs?limit=200").json()["items"]:
        shown = opened.get(f"/v1/jobs/{job['id']}").json()
        states.add(shown["state"])
        with opened.services.database.read() as session:
            events = jobs.events(session, job["id"])
        assert [event.number for event in events] == list(range(1, len(events) + 1))
        if shown["ended_at"]:
            story = opened.get(f"/v1/jobs/{job['id']}/events").text
            assert story.count("\nid: ") == len(events)
            assert opened.get(f"/v1/jobs/{job['id']}/metrics").json()
    assert states == {str(state) for state in State}


def test_data_sets_of_every_state_are_told_of(opened: Opened) -> None:
    for name, state in (("arrays", "ready"), ("pictures", "ready"), ("nothing", "refused"), ("waiting", "validating")):
        assert opened.get(f"/v1/datasets/{name}").json()["state"] == state
    recipe = {"dataset": "pictures", "method": "kip", "ipc": 1}
    planned = opened.client.post("/v1/jobs?dry_run=true", json=recipe)
    assert planned.status_code == 200, planned.text


def test_messages_of_every_state_are_told_of(opened: Opened) -> None:
    with opened.services.database.read() as session:
        found = [m for job in session.scalars(select(Job.id)).all() for m in webhooks.of_job(session, job)]
    assert {message.state for message in found} == set(MessageState)
    for message in found:
        shown = opened.get(f"/v1/jobs/{message.job_id}/webhooks").json()["items"]
        assert message.id in [one["id"] for one in shown]


def test_pieces_of_an_upload_are_still_there(opened: Opened) -> None:
    with opened.services.database.read() as session:
        for upload in session.scalars(select(Upload)).all():
            pieces = uploads.parts(session, upload.id)
            assert upload.offset == sum(len(opened.services.store.get_named(piece.key)) for piece in pieces)


def test_work_that_was_under_way_is_taken_up(opened: Opened) -> None:
    """Last in its file's order or not: it changes only what no other test here looks at."""
    with opened.services.database.read() as session:
        (running,) = session.scalars(select(Job).where(Job.state == State.RUNNING)).all()
    with opened.services.database.write() as session:
        swept = jobs.sweep(session, max_attempts=3, rewake_seconds=30)
        assert swept.requeued == [running.id]
        claim = jobs.claim(session, running.id, worker="w", device="cpu", lease_seconds=60)
        assert claim is not None
        assert claim.attempt == running.attempt + 1
        assert claim.snapshot is not None
        assert opened.services.store.get_named(claim.snapshot["key"])
        for kind in (Evaluation, Validation):
            assert session.scalars(select(kind).where(kind.state == State.QUEUED)).all()
