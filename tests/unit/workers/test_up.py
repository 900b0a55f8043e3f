"""What `distilled up` and its kin say before anything runs."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from distilled.cli import home as homes
from distilled.cli import readiness, server
from distilled.cli.main import build
from distilled.cli.readiness import Readiness
from distilled.cli.screen import Screen
from registry import schema


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


@pytest.mark.parametrize("verb", ["up", "api", "worker", "migrate", "doctor"])
def test_without_the_service_each_verb_says_where_it_is(
    runner: CliRunner, verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(homes, "__file__", str(tmp_path / "site-packages" / "distilled" / "cli" / "home.py"))
    done = runner.invoke(build(), [verb])
    assert done.exit_code == 2
    assert "from a checkout, or in its image" in done.output


def test_a_home_in_use_is_refused_with_the_process_that_holds_it(runner: CliRunner, tmp_path: Path) -> None:
    home = homes.make_home(tmp_path / "home")
    with homes.locked(home):
        done = runner.invoke(build(), ["up", "--home", str(home)])
    assert done.exit_code == 5
    assert "choose another --home" in done.output
    with homes.locked(home):  # free again
        pass


def test_a_port_in_use_is_refused_before_anything_starts(runner: CliRunner, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = runner.invoke(build(), ["up", "--home", str(tmp_path / "home"), "--port", str(port)])
    assert done.exit_code == 1
    assert f"Port {port}" in done.output
    assert "--port" in done.output
    assert not (tmp_path / "home" / "registry.db").exists()


def test_a_home_that_cannot_be_made_is_told(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = runner.invoke(build(), ["up", "--home", str(tmp_path / "file" / "home")])
    assert done.exit_code == 1
    assert "choose another with --home" in done.output


def test_a_migration_that_fails_says_its_last_words(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILLED_DATABASE_URL", f"sqlite:///{tmp_path}")  # a folder is no database
    done = runner.invoke(build(), ["migrate", "--home", str(tmp_path / "home")])
    assert done.exit_code == 1
    assert "could not be migrated" in done.output
    assert "Traceback" not in done.output


def test_a_home_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    home = homes.make_home(tmp_path / "a" / "home")
    assert home.stat().st_mode & 0o777 == 0o700


def test_what_the_caller_has_set_stays_and_the_home_is_added(tmp_path: Path) -> None:
    base = {"DISTILLED_BROKER_URL": "redis://x", "PYTHONPATH": "/mine"}
    environment = homes.service_environment(tmp_path, home=tmp_path / "h", base=base)
    assert environment["DISTILLED_BROKER_URL"] == "redis://x"
    assert environment["DISTILLED_HOME"] == str(tmp_path / "h")
    assert environment["PYTHONPATH"].split(":") == [str(tmp_path), "/mine"]


@pytest.mark.parametrize(("environment", "kept"), [({}, False), ({"DISTILLED_BROKER_URL": "redis://x"}, True)])
def test_only_the_embedded_queue_is_emptied(tmp_path: Path, environment: dict[str, str], kept: bool) -> None:
    (tmp_path / "queue" / "messages").mkdir(parents=True)
    homes.purge_queue(tmp_path, environment=environment)
    assert (tmp_path / "queue").exists() is kept


@pytest.fixture
def readyz() -> Iterator[dict[str, object]]:
    """A server whose answer to /readyz is the dictionary's `status` and `body`; `port` is where it listens."""
    said: dict[str, object] = {"status": 200, "body": {"ready": True}}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(str(said["status"])))
            self.end_headers()
            self.wfile.write(json.dumps(said["body"]).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    said["port"] = http.server_port
    yield said
    http.shutdown()
    thread.join()
    http.server_close()


def test_readiness_names_the_parts_that_are_not_well(readyz: dict[str, object]) -> None:
    port = int(str(readyz["port"]))
    assert readiness.ask("127.0.0.1", port) == Readiness(ready=True)
    checks = {"database": {"state": "ok"}, "workers": {"state": "failed", "detail": "no live worker; start one"}}
    readyz.update(status=503, body={"ready": False, "checks": checks})
    assert readiness.ask("127.0.0.1", port).waiting == ("workers: no live worker; start one",)
    readyz.update(body=["what?"])
    assert readiness.ask("127.0.0.1", port).waiting == ("api: answers 503",)


def test_a_service_that_does_not_answer_is_waited_for() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert readiness.ask("127.0.0.1", port) == Readiness(ready=False, waiting=("api: does not answer yet",))


@pytest.mark.parametrize("as_json", [False, True])
def test_the_announcer_says_ready_once_and_why_not_after_a_while(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    answers = [Readiness(ready=False, waiting=("workers: none",)), Readiness(ready=True), Readiness(ready=True)]
    monkeypatch.setattr(readiness, "ask", lambda *_: answers.pop(0))
    monkeypatch.setattr(server, "ASK_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(server, "PATIENCE_SECONDS", -1.0)
    announcer = server.Announcer(host="0.0.0.0", port=8123, screen=Screen(as_json=as_json))  # noqa: S104 - not bound
    for _ in range(3):
        announcer()
    told = capsys.readouterr().out
    if as_json:
        assert [json.loads(line) for line in told.splitlines()] == [
            {"event": "waiting", "waiting": ["workers: none"]},
            {"event": "ready", "url": "http://127.0.0.1:8123"},
        ]
    else:
        assert "not ready yet: workers: none" in told
        assert told.count("ready at http://127.0.0.1:8123") == 1
    assert len(answers) == 1


@pytest.mark.parametrize("verb", ["up", "api", "worker", "migrate", "doctor"])
def test_a_refusal_is_json_too_where_json_is_asked_for(
    runner: CliRunner, verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(homes, "__file__", str(tmp_path / "site-packages" / "distilled" / "cli" / "home.py"))
    done = runner.invoke(build(), [verb, "--json"])
    assert done.exit_code == 2
    assert json.loads(done.stdout)["error"]["title"] == "NoCheckout"


def test_a_migration_tells_the_database_and_its_revision(runner: CliRunner, tmp_path: Path) -> None:
    done = runner.invoke(build(), ["migrate", "--home", str(tmp_path / "home"), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["event"], told["revision"]) == ("migrated", schema.head())
    assert told["database"].endswith("home/registry.db")


@pytest.mark.parametrize("module", ["app", "workers"])
def test_a_process_of_the_service_tells_when_it_is_ready_and_when_it_has_stopped(module: str, tmp_path: Path) -> None:
    schema.upgrade(f"sqlite:///{tmp_path}/registry.db")
    command = [sys.executable, "-m", module, "--json", *(["--port", "0"] if module == "app" else [])]
    environment = os.environ | {"DISTILLED_HOME": str(tmp_path), "DISTILLED_DEVICE": "cpu"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert ready["event"] == "ready"
    assert ready.get("url", "http://127.0.0.1:").startswith("http://127.0.0.1:")
    assert set(ready) == {"event", "url" if module == "app" else "worker"}
    assert json.loads(rest)["event"] == "stopped"
    assert process.returncode == 0
