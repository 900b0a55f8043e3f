"""Resumable uploads on a real wire, by tus's own Python client and by ours: broken lines, and a killed service."""

import signal
import socket
import time
from pathlib import Path

import httpx2
import pytest
from tusclient import client as tus

from app.datasets.uploads import PART_BYTES
from distilled.client import Client
from distilled.client import uploads as sending
from tests.integration.app.test_process import Serve, serve  # noqa: F401 -- a fixture
from tests.unit.intake.sets import folder, zipped

HEADERS = {"Tus-Resumable": "1.0.0"}


def offset(url: str) -> int:
    return int(httpx2.head(url, headers=HEADERS).headers["Upload-Offset"])


def until_offset(url: str, least: int) -> int:
    deadline = time.monotonic() + 20
    while (found := offset(url)) < least:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def send_and_break_off(url: httpx2.URL, content: bytes, *, least: int) -> None:
    """A PATCH that announces more than `content` and whose line breaks after it, once `least` bytes are kept."""
    lines = f"PATCH {url.path} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
    lines += f"Content-Type: application/offset+octet-stream\r\nContent-Length: {len(content) + 1}\r\n\r\n"
    with socket.create_connection((url.host, url.port)) as wire:
        wire.sendall(lines.encode() + content)
        until_offset(str(url), least)
        time.sleep(1.0)  # the rest is on its way through the service


def test_tuspy_sends_is_interrupted_and_goes_on_after_the_service_was_killed(
    serve: Serve,  # noqa: F811 -- a fixture by its name
    tmp_path: Path,
) -> None:
    content = zipped(folder() | {"notes.txt": bytes(range(256)) * 40_000})
    path = tmp_path / "set.zip"
    path.write_bytes(content)
    served = serve()
    with path.open("rb") as file:
        begun = tus.TusClient(f"{served.url}/v1/uploads")
        uploader = begun.uploader(file_stream=file, chunk_size=3_000_000, metadata={"filename": "set.zip"})
        uploader.upload_chunk()
        assert offset(uploader.url) == 3_000_000
        served.stop(signal.SIGKILL)

        again = serve()
        where = uploader.url.replace(str(served.port), str(again.port))
        resumed = tus.TusClient(f"{again.url}/v1/uploads").uploader(file_stream=file, url=where, chunk_size=3_000_000)
        assert resumed.offset == 3_000_000
        resumed.upload()
    assert offset(where) == len(content)
    upload_id = where.rpartition("/")[2]
    made = httpx2.post(f"{again.url}/v1/datasets", json={"name": "mine", "upload": upload_id})
    assert (made.status_code, made.json()["state"], made.json()["bytes"]) == (201, "validating", len(content))

    # What arrived before a line broke is kept, though it was no whole piece.
    other = httpx2.post(f"{again.url}/v1/uploads", headers={**HEADERS, "Upload-Length": "9000000"})
    url = f"{again.url}{other.headers['Location']}"
    send_and_break_off(httpx2.URL(url), b"x" * 5_000_000, least=PART_BYTES)
    assert until_offset(url, 5_000_000) == 5_000_000

    # Another client can throw it away.
    assert httpx2.delete(url, headers=HEADERS).status_code == 204
    assert httpx2.head(url, headers=HEADERS).status_code == 404

    # And our own client sends a large file so by itself.
    patch = pytest.MonkeyPatch()
    patch.setattr(sending, "RESUMABLE_BYTES", 1)
    patch.setattr(sending, "PIECE_BYTES", 4_000_000)
    seen: list[tuple[int, int | None]] = []
    with Client(again.url) as ours:
        made = ours.upload(path, name="ours", licence="CC0", progress=lambda *at: seen.append(at))
    patch.undo()
    assert (made["state"], made["licence"]) == ("validating", "CC0")
    assert seen[-1] == (len(content), len(content))
    assert "Traceback" not in (served.home / "api.log").read_text()
