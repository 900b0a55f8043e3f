"""A dataset on the command line: sent, waited for, shown with what was found, or refused with the reason."""

from pathlib import Path
from typing import Any

import pytest

from distilled.errors import Problem
from distilled.kinds import Kind
from distilled.report import Report
from tests.unit.cli.runner import document, run
from tests.unit.client.service import FakeService


def shown(state: str, **found: Any) -> dict[str, Any]:
    report = Report(kind=Kind.ZIP, num_bytes=10, **found)
    report.unreadable.add("train/[cat]/bad.png", "is no image")
    return {"name": "birds", "state": state, "reason": None, "report": report.to_json()}


READY = shown(
    "ready",
    classes=["cat", "dog"],
    counts={"train": [8, 7], "test": [2, 1]},
    resized=3,
    duplicates={
        "within": {"train": 1, "test": 0},
        "across": 0,
        "conflicting": 0,
        "first": [{"name": "a", "same_as": "b"}],
    },
)
REFUSED = shown("refused", problems=[Problem(pointer="/train", detail="has no image of class 'dog'")])
WAITING = {"name": "birds", "state": "validating", "report": None}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "birds.tar.gz"
    path.write_bytes(b"content")
    return path


def test_an_upload_is_waited_for_and_shown(path: Path) -> None:
    service = FakeService().on("POST /v1/datasets", WAITING).on("GET /v1/datasets/birds", WAITING, READY)
    result = run(service, "upload", str(path), "--wait", "--licence", "CC0")
    assert result.exit_code == 0, result.output
    for said in ("birds is ready", "train/[cat]/bad.png: is no image", "1 in train", "resized: 3", "dog", "submit"):
        assert said in result.output
    assert b"CC0" in service.requests[0].content
    assert b"birds.tar.gz" in service.requests[0].content


def test_without_waiting_it_says_where_to_look(path: Path) -> None:
    result = run(FakeService().on("POST /v1/datasets", WAITING), "upload", str(path))
    assert result.exit_code == 0
    assert "distilled dataset birds" in result.output


def test_a_refused_one_says_why_and_fails(path: Path) -> None:
    service = FakeService().on("POST /v1/datasets", WAITING).on("GET /v1/datasets/birds", REFUSED)
    result = run(service, "upload", str(path), "--wait")
    assert result.exit_code == 2
    assert "/train: has no image of class 'dog'" in result.output
    assert document(run(service, "dataset", "birds", "--json")) == REFUSED
