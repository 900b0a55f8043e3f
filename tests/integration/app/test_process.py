"""The front end as a process: under many callers, under signals, under hostile bytes on the wire."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from registry import jobs
from registry.schema import upgrade
from registry.session import Database
from tests.unit.app.catalog import RECIPE
from tests.unit.app.test_datasets import npz

START_SECONDS = 120
Serve = Callable[[], "Served"]


class Served:
    """A front end in a process of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {**os.environ, "DISTILLED_HOME": str(home), "DISTILLED_SHUTDOWN_SECONDS": "3"}
        self.log = (home / "api.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.app.serve", "--port", str(self.port)],
            env=environment,
            stdout=self.log,
            stderr=self.log,
        )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                httpx2.get(f"{self.url}/healthz")
            except httpx2.TransportError:
                assert self.process.poll() is None, (self.home / "api.log").read_text()
                time.sleep(0.1)
            else:
                return
        self.stop(signal.SIGKILL)
        pytest.fail("the service did not start")

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        code = self.process.wait(15)
        self.log.close()
        return code


@contextmanager
def serving(home: Path) -> Generator[Serve]:
    """Starts front ends on a home, and ends what is left of them."""
    upgrade(f"sqlite:///{home}/registry.db")
    started: list[Served] = []

    def start() -> Served:
        started.append(Served(home))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.stop(signal.SIGKILL)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with serving(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for the tests that do it no harm."""
    with serving(tmp_path_factory.mktemp("served")) as start:
        yield start()


def raw(port: int, request: bytes) -> bytes:
    """What the service answers to bytes that no well-behaved client would send."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as wire:
        wire.sendall(request)
        answer = b""
        while chunk := wire.recv(65536):
            answer += chunk
        return answer


def test_many_callers_at_once_all_get_their_job(served: Served) -> None:
    def submit(number: int) -> int:
        return httpx2.post(f"{served.url}/v1/jobs", json=RECIPE | {"seed": number}, timeout=60).status_code

    with ThreadPoolExecutor(60) as pool:
        statuses = list(pool.map(submit, range(120)))

    assert statuses == [202] * 120
    database = Database(f"sqlite:///{served.home}/registry.db")
    with database.read() as session:
        assert len(jobs.find(session, limit=200).items) == 120
    database.close()


def test_it_stops_at_once_though_streams_are_open(serve: Serve) -> None:
    served = serve()
    job_id = httpx2.post(f"{served.url}/v1/jobs", json=RECIPE).json()["id"]
    told: list[str] = []
    opened = threading.Event()

    def follow() -> None:
        with httpx2.stream("GET", f"{served.url}/v1/jobs/{job_id}/events", timeout=30) as response:
            for line in response.iter_lines():
                told.append(line)
                opened.set()

    reader = threading.Thread(target=follow)
    reader.start()
    assert opened.wait(10)
    began = time.monotonic()
    code = served.stop(signal.SIGTERM)
    reader.join(10)

    assert code == 0
    assert time.monotonic() - began < 5
    assert not reader.is_alive()
    assert told[0] == "event: state"
    assert "Traceback" not in (served.home / "api.log").read_text()


def test_a_killed_service_keeps_what_it_acknowledged_and_nothing_halfway(serve: Serve) -> None:
    served = serve()
    acknowledged: list[str] = []
    failures = 0

    def keep_submitting() -> None:
        nonlocal failures
        while failures == 0:
            try:
                response = httpx2.post(f"{served.url}/v1/jobs", json=RECIPE)
                acknowledged.append(response.json()["id"])
            except httpx2.TransportError:
                failures += 1

    def upload_slowly() -> None:
        head = b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nmine\r\n--b\r\n'
        head += b'Content-Disposition: form-data; name="file"; filename="a.npz"\r\n\r\n'
        lines = "POST /v1/datasets HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
        lines += "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        with socket.create_connection(("127.0.0.1", served.port)) as wire:
            wire.sendall(lines.encode() + head + npz()[:1000])
            wire.recv(1)  # nothing comes: the service dies first

    threads = [threading.Thread(target=keep_submitting), threading.Thread(target=upload_slowly)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while len(acknowledged) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    served.stop(signal.SIGKILL)
    for thread in threads:
        thread.join(10)

    again = serve()
    assert len(acknowledged) >= 5
    for job_id in acknowledged:
        assert httpx2.get(f"{again.url}/v1/jobs/{job_id}").json()["state"] == "queued"
    assert httpx2.get(f"{again.url}/v1/datasets/mine").status_code == 404
    files = {"file": ("a.npz", npz())}
    assert httpx2.post(f"{again.url}/v1/datasets", data={"name": "mine"}, files=files, timeout=30).status_code == 201


def test_five_gigabytes_are_refused_before_they_are_sent(served: Served) -> None:
    request = b"POST /v1/datasets HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    answer = raw(served.port, request + b"Content-Length: 5368709120\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"application/problem+json" in answer
    assert b"4294967296 bytes" in answer


HOSTILE = (
    b"/v1/artifacts/../../../etc/passwd",
    b"/v1/artifacts/..%2f..%2fetc%2fpasswd/content",
    b"/v1/artifacts/%2e%2e/%2e%2e/content",
    b"//etc/passwd",
    b"/v1/jobs/%00",
    b"/v1/jobs/%ff%fe/events",
    b"/v1/datasets/..\\..\\x",
    b"/v1/aliases/" + b"x" * 20000,
)


def test_hostile_targets_on_the_wire_are_404s(served: Served) -> None:
    for target in HOSTILE:
        answer = raw(served.port, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 404"), (target[:60], answer)
        assert b"application/problem+json" in answer
        assert b"root:" not in answer


def test_it_refuses_to_listen_to_the_world_without_a_key(tmp_path: Path) -> None:
    environment = {**os.environ, "DISTILLED_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.app.serve", "--host", "0.0.0.0"],  # noqa: S104 -- refused
        env=environment,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert done.returncode == 2
    assert "DISTILLED_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr
