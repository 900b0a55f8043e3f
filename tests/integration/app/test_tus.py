"""Resumable uploads on a real wire, by tus's own Python client and by ours: broken lines, and a killed service."""

import signal
import socket
import time
from pathlib import Path

import httpx2
import pytest
from tusclient import client as tus

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


def send_and_break_off(port: int, path: str, content: bytes, *, announced: int) -> None:
    """A PATCH whose line breaks in the middle."""
    lines = f"PATCH {path} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
    lines += f"Content-Type: application/offset+octet-stream\r\nContent-Length: {announced}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as wire:
        wire.sendall(lines.encode() + content)


def test_tuspy_sends_is_interrupted_and_goes_on_after_the_service_was_killed(
    serve: Serve,  # noqa: F811 -- a fixture by its name
    tmp_path: Path,
) -> None:
    content = zipped(folder() | {"notes.txt": bytes(range(256)) * 40_000})
    path = tmp_path / "set.zip"
    path.write_bytes(content)
    served = serve()
    uploader = tus.TusClient(f"{served.url}/v1/uploads").uploader(
        str(path), chunk_size=3_000_000, metadata={"filename": "set.zip"}
    )
    uploader.upload_chunk()
    assert offset(uploader.url) == 3_000_000
    served.stop(signal.SIGKILL)

    again = serve()
    where = uploader.url.replace(str(served.port), str(again.port))
    resumed = tus.TusClient(f"{again.url}/v1/uploads").uploader(str(path), url=where, chunk_size=3_000_000)
    assert resumed.offset == 3_000_000
    resumed.upload()
    assert offset(where) == len(content)
    upload_id = where.rpartition("/")[2]
    made = httpx2.post(f"{again.url}/v1/datasets", json={"name": "mine", "upload": upload_id})
    assert (made.status_code, made.json()["state"], made.json()["bytes"]) == (201, "validating", len(content))

    # What arrived before a line broke is kept, though it was no whole piece.
    begun = httpx2.post(f"{again.url}/v1/uploads", headers={**HEADERS, "Upload-Length": "1000"})
    url = begun.headers["Location"]
    send_and_break_off(again.port, httpx2.URL(url).path, b"x" * 600, announced=1000)
    assert until_offset(url, 600) == 600

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
