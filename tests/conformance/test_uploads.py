"""Folders of images and tables as data sets: sent in one piece or resumed (tus 1.0.0), and looked at by a worker."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.conftest import PIECE, TUS, path_of
from tests.conformance.making import CLASSES, EACH, ENDLESS, SIDE
from tests.conformance.wire import Wire, until


def looked_at(wire: Wire, name: str) -> dict[str, Any]:
    """A data set once a worker has looked at it."""

    def look() -> dict[str, Any] | None:
        found = wire.get(f"/v1/datasets/{name}")
        return None if found["state"] == "validating" else found

    return until(look, what=f"{name} is validated", seconds=wire.patience)


def test_a_zip_that_was_sent_in_pieces_is_a_data_set(wire: Wire, sent: dict[str, str]) -> None:
    found = looked_at(wire, sent["zip"])
    assert found["state"] == "ready", found["report"]
    assert (found["classes"], found["shape"]) == (sorted(CLASSES), [1, SIDE, SIDE])
    assert (found["train"] + found["val"], found["test"]) == (2 * EACH, 2 * EACH)
    assert (found["licence"], found["available"]) == ("CC0 1.0", "on_disk")
    assert found["report"]["unreadable"]["count"] == 0
    recipe = {**ENDLESS, "dataset": sent["zip"]}
    assert wire.ok("POST", "/v1/jobs?dry_run=true", json=recipe).json()["ipc"] == 1


def test_a_tar_without_a_test_split_gets_one_and_a_report_names_what_is_wrong(wire: Wire, sent: dict[str, str]) -> None:
    found = looked_at(wire, sent["tar"])
    report = found["report"]
    assert found["state"] == "ready", report
    assert found["test"] > 0
    assert report["split"]
    assert {item["name"] for item in report["classes"]} == set(CLASSES)
    assert [file["name"] for file in report["unreadable"]["first"]] == ["train/dog/broken.png"]
    assert report["duplicates"]["within"] or report["duplicates"]["across"] or report["duplicates"]["conflicting"]
    assert [(size["width"], size["height"]) for size in report["sizes"]] == [(SIDE, SIDE)]


def test_a_table_in_the_hugging_face_convention_is_a_data_set(wire: Wire, sent: dict[str, str]) -> None:
    found = looked_at(wire, sent["parquet"])
    assert found["state"] == "ready", found["report"]
    assert (found["classes"], found["shape"]) == (CLASSES, [1, SIDE, SIDE])
    assert found["train"] + found["val"] + found["test"] == 4 * EACH


def test_a_file_that_would_leave_its_folder_is_refused_by_name(wire: Wire, sent: dict[str, str]) -> None:
    found = looked_at(wire, sent["spoilt"])
    assert found["state"] == "refused"
    assert "escape.png" in str(found["report"]["problems"])
    wire.call("POST", "/v1/jobs", json={**ENDLESS, "dataset": sent["spoilt"]})
    answer = wire.call("POST", "/v1/jobs?dry_run=true", json={**ENDLESS, "dataset": sent["spoilt"]})
    assert answer.status_code in (409, 422)


def test_what_is_spoken_is_told(wire: Wire) -> None:
    headers = wire.ok("OPTIONS", "/v1/uploads", status=204).headers
    assert "1.0.0" in headers["tus-version"].split(",")
    assert {"creation", "termination"} <= set(headers["tus-extension"].split(","))
    assert int(headers["tus-max-size"]) > 0


@pytest.fixture
def upload(wire: Wire) -> Iterator[str]:
    """The path of an upload of ten bytes that has none yet."""
    location = path_of(wire.ok("POST", "/v1/uploads", status=201, headers={**TUS, "Upload-Length": "10"}))
    yield location
    wire.call("DELETE", location, headers=TUS)


def test_a_piece_goes_where_the_upload_stands_and_nowhere_else(wire: Wire, upload: str) -> None:
    for offset, status in (("5", 409), ("0", 204), ("0", 409), ("x", 422), ("-1", 422)):
        answer = wire.call("PATCH", upload, headers={**PIECE, "Upload-Offset": offset}, content=b"four")
        assert answer.status_code == status, offset
    assert wire.ok("HEAD", upload, headers=TUS).headers["upload-offset"] == "4"


def test_more_than_was_announced_is_refused(wire: Wire, upload: str) -> None:
    wire.problem(413, "PATCH", upload, headers={**PIECE, "Upload-Offset": "0"}, content=b"eleven byte")


def test_another_version_or_kind_is_refused(wire: Wire, upload: str) -> None:
    told = wire.ok("HEAD", upload, status=412, headers={"Tus-Resumable": "0.2.2"})
    assert "1.0.0" in told.headers["tus-version"]
    plain = {**TUS, "Upload-Offset": "0", "Content-Type": "text/plain"}
    wire.problem(415, "PATCH", upload, headers=plain, content=b"four")


def test_an_upload_that_is_too_large_is_refused_before_it_is_sent(wire: Wire) -> None:
    wire.problem(413, "POST", "/v1/uploads", headers={**TUS, "Upload-Length": str(2**62)})


def test_an_upload_is_thrown_away(wire: Wire, upload: str) -> None:
    wire.ok("DELETE", upload, status=204, headers=TUS)
    assert wire.call("HEAD", upload, headers=TUS).status_code in (404, 410)
    assert wire.call("HEAD", f"/v1/uploads/up_{'0' * 32}", headers=TUS).status_code == 404


def test_an_upload_that_is_not_whole_is_no_data_set(wire: Wire, upload: str, prefix: str) -> None:
    body = {"name": f"{prefix}-half", "upload": upload.rpartition("/")[2]}
    assert wire.call("POST", "/v1/datasets", json=body).status_code in (409, 422)
    wire.problem(404, "GET", f"/v1/datasets/{body['name']}")
    body["upload"] = f"up_{'0' * 32}"
    wire.problem(404, "POST", "/v1/datasets", json=body)
