"""Each thing that the doctor looks at is broken once, and its mend is seen."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from distilled import __version__
from registry import schema, tracing, workers
from registry.clock import database_now
from registry.models import Job
from registry.session import Database
from registry.store import Store
from tests.unit.registry.making import claim, submit
from workers import checking
from workers.settings import WorkerSettings


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISTILLED_HOST", "DISTILLED_API_KEY", *tracing.ENDPOINTS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISTILLED_URL", "none")


@pytest.fixture
def settings(tmp_path: Path) -> WorkerSettings:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    schema.upgrade(f"sqlite:///{home}/registry.db")
    return WorkerSettings(home=home, device="cpu")


@pytest.fixture
def database(settings: WorkerSettings) -> Iterator[Database]:
    database = Database(settings.database_url)
    yield database
    database.close()


def seen(check: Any, settings: WorkerSettings) -> tuple[str, str]:
    finding = check(settings)
    assert bool(finding.mend) == (finding.state != "ok"), finding
    return finding.state, f"{finding.detail} -> {finding.mend}"


def test_a_store_that_forgets_or_lives_in_another_time(
    settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert seen(checking.store, settings)[0] == "ok"
    assert list(Store.open(settings.store_url).named("doctor")) == []
    with monkeypatch.context() as patch:
        patch.setattr(Store, "get_named", lambda *_: b"other")
        assert seen(checking.store, settings)[0] == "fault"
    now = time.time()
    monkeypatch.setattr(checking.time, "time", lambda: now + 100)
    state, told = seen(checking.store, settings)
    assert state == "warning"
    assert "behind" in told
    assert "NTP" in told


def test_a_clock_that_differs_from_the_databases(settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen(checking.clock, settings)[0] == "ok"
    now = time.time()
    monkeypatch.setattr(checking.time, "time", lambda: now - 100)
    assert "ahead of" in seen(checking.clock, settings)[1]


def test_a_home_that_others_may_read_and_a_folder_that_cannot_be_written(
    settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert seen(checking.folders, settings)[0] == "ok"
    settings.home.chmod(0o755)
    assert "chmod 700" in seen(checking.folders, settings)[1]
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != settings.data_dir.parent)
    assert seen(checking.folders, settings)[0] == "fault"


def test_an_api_that_is_open_to_others_without_a_key(settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen(checking.keys, settings)[0] == "ok"
    monkeypatch.setenv("DISTILLED_HOST", "0.0.0.0")  # noqa: S104 -- never bound
    state, told = seen(checking.keys, settings)
    assert state == "fault"
    assert "DISTILLED_API_KEY" in told
    monkeypatch.setenv("DISTILLED_API_KEY", "sesame")
    assert seen(checking.keys, settings)[0] == "ok"


def test_leases_that_nobody_sweeps(settings: WorkerSettings, database: Database) -> None:
    job = submit(database)
    claim(database, job.id)
    assert seen(checking.leases, settings)[0] == "ok"
    with database.write() as session:
        session.execute(update(Job).values(lease_until=database_now() - 1000))
    state, told = seen(checking.leases, settings)
    assert state == "warning"
    assert "1 held" in told


def test_versions_that_differ(settings: WorkerSettings, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.write() as session:
        workers.beat_worker(session, worker="w", device="cpu", hostname="h", pid=1, version=__version__)
    assert seen(checking.code, settings)[0] == "ok"
    with api("0.0.9") as url:
        monkeypatch.setenv("DISTILLED_URL", url)
        assert "API: 0.0.9" in seen(checking.code, settings)[1]
    with database.write() as session:
        workers.beat_worker(session, worker="old", device="cpu", hostname="h", pid=2)
    assert "worker old: unknown" in seen(checking.code, settings)[1]


@contextmanager
def api(version: str) -> Iterator[str]:
    class Document(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"info": {"version": version}}).encode())

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Document)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_traces_that_are_asked_for_and_cannot_be_sent(
    settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert seen(checking.traces, settings)[0] == "ok"
    wanted = settings.model_copy(update={"tracing": True})
    assert seen(checking.traces, wanted)[0] == "ok"
    monkeypatch.setattr(tracing, "NEEDED", ("opentelemetry.missing.sdk",))
    assert "pip install" in seen(checking.traces, wanted)[1]


def test_an_embedded_service_has_no_settings_of_servers(settings: WorkerSettings) -> None:
    assert seen(checking.database_settings, settings)[0] == seen(checking.broker_settings, settings)[0] == "ok"
