"""Connections that wait for what does not come, on real sockets; and those that are slow with good reason."""

import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator

import httpx2
import pytest

from app.connections import watched
from app.main import create_app
from app.services import Services
from app.settings import AppSettings
from tests.integration.app.live import Live, running
from tests.unit.app.catalog import RECIPE

HEAD_SECONDS, BODY_SECONDS, IDLE_SECONDS, MOST = 0.6, 0.6, 0.8, 40
#: A machine that is ten times too busy still keeps it.
PATIENCE = 20.0
HOST = b"Host: localhost\r\n"


@pytest.fixture
def live(settings: AppSettings, services: Services) -> Iterator[Live]:
    quick = settings.model_copy(update={"body_seconds": BODY_SECONDS, "upload_idle_seconds": IDLE_SECONDS})
    services.settings = quick
    with running(create_app(quick, services=services), protocol=watched(head_seconds=HEAD_SECONDS, most=MOST)) as live:
        yield live


def connect(live: Live) -> socket.socket:
    return socket.create_connection(("127.0.0.1", live.port), timeout=PATIENCE)


def drip(connection: socket.socket, begin: bytes, piece: bytes) -> tuple[bytes, float]:
    """Send without end, a little at a time; what came back until the other side closed, and when that was."""
    began = time.monotonic()
    connection.sendall(begin)
    gone = threading.Event()

    def go_on() -> None:
        try:
            while not gone.wait(0.05):
                connection.sendall(piece)
        except OSError:
            pass

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    answer = until_closed(connection)
    gone.set()
    thread.join()
    return answer, time.monotonic() - began


def until_closed(connection: socket.socket) -> bytes:
    answer = b""
    try:
        while part := connection.recv(65536):
            answer += part
    except ConnectionResetError:
        pass
    return answer


def test_a_head_that_does_not_come_is_not_waited_for(live: Live) -> None:
    with connect(live) as silent, connect(live) as slow:
        answer, seconds = drip(slow, b"GET /healthz HTTP/1.1\r\n" + HOST, b"X-More: 1\r\n")
        assert (answer, until_closed(silent)) == (b"", b"")
        assert HEAD_SECONDS * 0.9 <= seconds < PATIENCE
    assert live.asked == []


def test_many_that_say_nothing_keep_nobody_out(live: Live) -> None:
    crowd = [connect(live) for _ in range(3 * MOST)]
    try:
        for _ in range(5):
            assert httpx2.get(f"{live.url}/healthz", timeout=PATIENCE).status_code == 200
        for one in crowd:
            assert until_closed(one) == b""
    finally:
        for one in crowd:
            one.close()


def test_a_body_that_does_not_come_is_a_408(live: Live) -> None:
    asked = b"POST /v1/jobs HTTP/1.1\r\nContent-Type: application/json\r\n" + HOST
    for head, piece in (
        (b"Content-Length: 100000\r\n\r\n", b" "),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ):
        with connect(live) as connection:
            answer, seconds = drip(connection, asked + head, piece)
        assert answer.startswith(b"HTTP/1.1 408 "), answer
        assert b"/problems/too-slow" in answer
        assert seconds >= BODY_SECONDS * 0.9


@pytest.mark.parametrize("path", [b"/nowhere", b"/healthz"])
def test_a_body_that_nobody_wants_does_not_keep_the_connection(live: Live, path: bytes) -> None:
    head = b"GET " + path + b" HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST + b"\r\n"
    with connect(live) as connection:
        answer, seconds = drip(connection, head, b"1\r\n \r\n")
    assert answer.startswith(b"HTTP/1.1 ")
    assert seconds >= HEAD_SECONDS * 0.9


def begin_upload(live: Live, length: int) -> str:
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(length)}
    headers["Upload-Metadata"] = f"filename {b64encode(b'a.npz').decode()}"
    answer = httpx2.post(f"{live.url}/v1/uploads", headers=headers, timeout=PATIENCE)
    assert answer.status_code == 201
    return answer.headers["location"]


def piece(path: str, length: int) -> bytes:
    headers = f"Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Length: {length}\r\n"
    return f"PATCH {path} HTTP/1.1\r\nContent-Type: application/offset+octet-stream\r\n{headers}".encode() + HOST


def test_an_upload_may_take_longer_as_long_as_it_moves(live: Live) -> None:
    path = begin_upload(live, 8)
    with connect(live) as connection:
        connection.sendall(piece(path, 8) + b"Connection: close\r\n\r\n")
        for _ in range(8):
            time.sleep(2 * max(HEAD_SECONDS, BODY_SECONDS) / 8)
            connection.sendall(b"x")
        assert until_closed(connection).startswith(b"HTTP/1.1 204 ")


def test_an_upload_that_stops_is_cut_off_and_keeps_what_it_has(live: Live) -> None:
    path = begin_upload(live, 100)
    with connect(live) as connection:
        connection.sendall(piece(path, 100) + b"\r\n" + b"x" * 30)
        assert until(lambda: connection.recv(65536), b"\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    told = httpx2.head(f"{live.url}{path}", headers={"Tus-Resumable": "1.0.0"}, timeout=PATIENCE)
    assert told.headers["upload-offset"] == "30"


def test_an_event_stream_is_not_timed(live: Live) -> None:
    job = httpx2.post(f"{live.url}/v1/jobs", json=RECIPE, timeout=PATIENCE).json()["id"]
    with connect(live) as connection:
        connection.sendall(f"GET /v1/jobs/{job}/events HTTP/1.1\r\n".encode() + HOST + b"\r\n")
        heard, closed = listen(connection, seconds=2.5 * (HEAD_SECONDS + BODY_SECONDS))
        assert heard.startswith(b"HTTP/1.1 200 ")
        assert not closed
        httpx2.post(f"{live.url}/v1/jobs/{job}/cancel", timeout=PATIENCE)
        assert b"cancelled" in until(lambda: connection.recv(65536), b"cancelled")


def listen(connection: socket.socket, *, seconds: float) -> tuple[bytes, bool]:
    """What comes within so long, and whether the other side closed."""
    heard, end = b"", time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            part = connection.recv(65536)
        except TimeoutError:
            break
        if not part:
            return heard, True
        heard += part
    connection.settimeout(PATIENCE)
    return heard, False


def until(read: Callable[[], bytes], mark: bytes) -> bytes:
    heard = b""
    while mark not in heard:
        part = read()
        assert part, heard
        heard += part
    return heard


def test_what_no_request_may_say_is_refused_on_the_wire(live: Live) -> None:
    for request, status in (
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n", b"400"),  # which of them would count?
        (b"GET /healthz HTTP/1.1\r\n", b"400"),
        (b"GET /healthz HTTP/1.0\r\n", b"421"),
        (b"GET http://evil.test/healthz HTTP/1.1\r\nHost: localhost\r\n", b"404"),
        (b"GET http://localhost/v1/jobs HTTP/1.1\r\nHost: evil.test\r\n", b"421"),
        (b"GET //evil.test/healthz HTTP/1.1\r\nHost: localhost\r\n", b"404"),
        # It does not end: h11 looks at the length of heads that are not whole yet, however they are cut on the way.
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70000, b"400"),
        (b"CONNECT evil.test:80 HTTP/1.1\r\nHost: localhost\r\n", b"404"),
        (b"TRACE /healthz HTTP/1.1\r\nHost: localhost\r\n", b"405"),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n", b"200"),
    ):
        with connect(live) as connection:
            connection.sendall(request + (b"" if status == b"400" else b"Connection: close\r\n") + b"\r\n")
            answer = until_closed(connection)
        assert answer.split(b" ")[1:2] == [status], (request[:90], answer[:200])
