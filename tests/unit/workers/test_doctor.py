"""The doctor names each fault with its mend, and touches nothing."""

import json
from pathlib import Path

import pytest

from registry import schema, workers
from registry.session import Database
from workers import doctor
from workers.settings import WorkerSettings


def states(settings: WorkerSettings) -> dict[str, str]:
    return {finding.name: finding.state for finding in doctor.examine(settings)}


def test_a_home_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    found = states(WorkerSettings(home=tmp_path / "none", device="cpu"))
    assert found["home"] == "warning"
    assert "database" not in found
    assert not (tmp_path / "none").exists()


def test_a_service_that_was_migrated_and_runs_is_healthy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILLED_DEVICE", "cpu")
    url = f"sqlite:///{tmp_path}/registry.db"
    schema.upgrade(url)
    database = Database(url)
    with database.write() as session:
        workers.beat_worker(session, worker="w", device="cpu", hostname="h", pid=1)
    database.close()
    assert doctor.main(["--json", "--home", str(tmp_path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    assert {check["name"] for check in told["checks"]} >= {
        "python",
        "versions",
        "device",
        "database",
        "store",
        "worker",
    }


def test_faults_carry_their_mends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILLED_DEVICE", "cpu")
    monkeypatch.setenv("DISTILLED_STORE_URL", "ftp://example")
    assert doctor.main(["--home", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert "run `distilled migrate`" in told
    assert "use file://" in told
    assert "none is alive" not in told  # nobody can ask a registry without tables
