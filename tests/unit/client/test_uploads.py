"""Sending in pieces: where the line breaks, the client asks where the upload stands and goes on from there."""

from pathlib import Path

import httpx2
import pytest

from distilled import errors
from distilled.client import uploads
from tests.unit.client.service import FakeService, problem

WHERE = "/v1/uploads/up_1"


class Upload:
    """An upload in the service. breaks: how many more pieces break after so many of their bytes."""

    def __init__(self, *, breaks: int = 0, after: int = 0) -> None:
        self.content = b""
        self.breaks, self.after = breaks, after

    def patch(self, request: httpx2.Request) -> httpx2.Response:
        assert int(request.headers["Upload-Offset"]) == len(self.content)
        if self.breaks:
            self.breaks -= 1
            self.content += request.content[: self.after]
            raise httpx2.ReadError("the line was cut")
        self.content += request.content
        return self.head(request)

    def head(self, request: httpx2.Request) -> httpx2.Response:
        assert request.headers["Tus-Resumable"] == "1.0.0"
        return httpx2.Response(200, headers={"Upload-Offset": str(len(self.content))})


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(uploads, "RESUMABLE_BYTES", 10)
    monkeypatch.setattr(uploads, "PIECE_BYTES", 8)
    path = tmp_path / "set.zip"
    path.write_bytes(bytes(range(50)))
    return path


def service_with(upload: Upload) -> FakeService:
    service = FakeService().on("POST /v1/uploads", httpx2.Response(201, headers={"Location": f"http://proxy{WHERE}"}))
    service.on(f"PATCH {WHERE}", upload.patch).on(f"HEAD {WHERE}", upload.head)
    return service.on("POST /v1/datasets", {"name": "mine", "state": "validating"})


@pytest.mark.parametrize(("breaks", "after"), [(0, 0), (1, 0), (3, 0), (5, 3)])
def test_a_file_arrives_whole_however_often_the_line_breaks(path: Path, breaks: int, after: int) -> None:
    upload = Upload(breaks=breaks, after=after)
    service = service_with(upload)
    seen: list[tuple[int, int | None]] = []
    made = service.client().upload(path, name="mine", licence="CC0", progress=lambda *at: seen.append(at))
    assert made["state"] == "validating"
    assert upload.content == path.read_bytes()
    assert seen[-1] == (50, 50)
    (begun,) = service.asked("POST /v1/uploads")
    assert begun.headers["Upload-Length"] == "50"
    (registered,) = service.asked("POST /v1/datasets")
    assert b'"upload":"up_1"' in registered.content.replace(b" ", b"")
    assert len(service.slept) == breaks


def test_a_line_that_never_holds_is_given_up(path: Path) -> None:
    service = service_with(Upload(breaks=100))
    with pytest.raises(errors.Unavailable):
        service.client().upload(path, name="mine")
    assert service.asked("POST /v1/datasets") == []


def test_what_the_service_refuses_is_said_at_once(path: Path) -> None:
    service = service_with(Upload()).on("POST /v1/uploads", problem(413, title="The body is too large"))
    with pytest.raises(errors.Invalid, match="too large"):
        service.client().upload(path, name="mine")
    assert service.slept == []


def test_waiting_for_a_dataset_ends_with_its_state() -> None:
    states = [{"name": "mine", "state": state} for state in ("validating", "validating", "refused")]
    service = FakeService().on("GET /v1/datasets/mine", *states)
    seen: list[str] = []
    found = service.client().wait_for_dataset("mine", on_change=lambda one: seen.append(one["state"]))
    assert found["state"] == "refused"
    assert seen == ["validating", "validating", "refused"]
