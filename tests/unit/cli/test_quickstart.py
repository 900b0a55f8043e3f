"""The quickstart, but for the service that it starts."""

import json
import socket
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from distilled.cli.exits import Exit
from distilled.cli.main import build
from distilled.cli.quickstart import distil, recipe, wait_until_ready
from distilled.cli.screen import Screen
from distilled.cli.session import Session
from distilled.errors import Unavailable
from tests.unit.cli.runner import ENVIRONMENT
from tests.unit.cli.test_commands import house
from tests.unit.client.service import SCORES, FakeService, artifact, evaluation, job


class Ended:
    """A process that is gone."""

    def poll(self) -> int:
        return 3


def served(**centroid: float) -> FakeService:
    scores: dict[str, Any] = deepcopy(SCORES)
    scores["centroid"] |= centroid
    service = house().on("GET /v1/artifacts/art_1", artifact(evaluation(result=scores)))
    return service.on("GET /v1/artifacts/art_1/preview.png", httpx2.Response(200, content=b"\x89PNG"))


def test_it_submits_the_recipe_and_saves_the_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service = served()
    code = distil(Session(screen=Screen(as_json=False), client=service.client()), tmp_path)
    assert code is Exit.OK
    assert json.loads(service.asked("POST /v1/jobs")[0].content) == recipe()
    assert (tmp_path / "quickstart.png").read_bytes() == b"\x89PNG"
    shown = capsys.readouterr().out
    assert "quickstart.png" in shown.replace("\n", "")
    assert "k-means centroids" in shown


def test_to_beat_nothing_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = Session(screen=Screen(as_json=False), client=served(mean=0.899).client())
    assert distil(session, tmp_path) is Exit.FAILED
    assert "did not beat" in capsys.readouterr().err


def test_a_job_that_fails_fails_the_quickstart(tmp_path: Path) -> None:
    service = served().on("GET /v1/jobs/job_1", job("failed", error={"code": "c", "title": "t", "detail": "d"}))
    assert distil(Session(screen=Screen(as_json=True), client=service.client()), tmp_path) is Exit.FAILED
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_names_the_flag(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        arguments = ["quickstart", "--home", str(tmp_path / "home"), "--port", str(taken.getsockname()[1])]
        result = CliRunner(env=ENVIRONMENT).invoke(build(), arguments)
    assert result.exit_code == 1
    assert "--port" in result.stderr
    assert not (tmp_path / "home").exists()


def test_a_service_that_ends_early_is_quoted(tmp_path: Path) -> None:
    log = tmp_path / "up.log"
    log.write_text("one\nthe database could not be migrated\n")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(Unavailable, match=r"ended(.|\n)*could not be migrated"):
            wait_until_ready(Ended(), port=port, log=log)  # type: ignore[arg-type] - a poll is all that is asked
