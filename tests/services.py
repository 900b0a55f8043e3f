"""Throw-away services for tests: a real PostgreSQL, a real Redis and an S3 endpoint, on free loopback ports.

Each is a context manager that starts it and stops it again; where a binary is missing the test is skipped and says so.
`tests/integration/registry/conftest.py` makes fixtures of them.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

START_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class S3Endpoint:
    """An S3-compatible service. `store_url` names its bucket as DISTILLED_STORE_URL wants it, credentials included."""

    url: str
    bucket: str

    @property
    def store_url(self) -> str:
        """The bucket's address for `Store.open`."""
        keys = "access_key_id=testing&secret_access_key=testing"
        return f"s3://{self.bucket}/blobs?endpoint={self.url}&region=us-east-1&{keys}"


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def postgresql() -> Generator[str]:
    """A fresh PostgreSQL cluster; yields the URL of its superuser's database. It never survives the test run."""
    bin_dir = _postgresql_bin()
    folder = Path(tempfile.mkdtemp(prefix="distilled-pg-"))
    port = free_port()
    as_user = _as_other_user(folder)
    data = folder / "data"
    try:
        made = ["--auth=trust", "--username=tester", "--encoding=UTF8", "--locale=C", "--no-sync"]
        _run([*as_user, str(bin_dir / "initdb"), "-D", str(data), *made])
        # No fsync: this cluster need not survive a power cut. Enough connections for tests that run side by side.
        settings = f"-p {port} -k {folder} -h 127.0.0.1 -F -c synchronous_commit=off -c full_page_writes=off"
        control = [*as_user, str(bin_dir / "pg_ctl"), "-D", str(data), "-w"]
        _run([*control, "-l", str(folder / "log"), "-t", str(START_SECONDS), "-o", settings, "start"])
        try:
            yield f"postgresql://tester@127.0.0.1:{port}/postgres"
        finally:
            _run([*control, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def redis() -> Generator[str]:
    """A fresh Redis that keeps nothing on disk; yields its URL."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        pytest.skip("needs the redis-server binary (Debian: apt-get install redis-server)")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="distilled-redis-") as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder]
        process = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_for_port(port, process)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait(timeout=START_SECONDS)


@contextmanager
def s3() -> Generator[S3Endpoint]:
    """An S3 endpoint in this process with one empty bucket."""
    server = pytest.importorskip("moto.server", reason="needs moto[server]")
    endpoint = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    endpoint.start()
    try:
        host, port = endpoint.get_host_and_port()
        bucket = "distilled-tests"
        made = S3Endpoint(url=f"http://{host}:{port}", bucket=bucket)
        _put_bucket(port, bucket)
        yield made
    finally:
        endpoint.stop()


def _put_bucket(port: int, bucket: str) -> None:
    import http.client  # noqa: PLC0415 - only here: moto takes an unsigned request, so no AWS library is needed

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("PUT", f"/{bucket}", headers={"Host": f"127.0.0.1:{port}"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 200, f"moto refused to make the bucket: {answer.status}"


def _postgresql_bin() -> Path:
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if not installed:
        pytest.skip("needs PostgreSQL's initdb (Debian: apt-get install postgresql)")
    return installed[-1].parent


def _as_other_user(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root: what to put before its commands, and the folder made over to that user."""
    if os.geteuid() != 0:
        return []
    runuser = shutil.which("runuser")
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if runuser is not None:
            os.chown(folder, entry.pw_uid, entry.pw_gid)
            return [runuser, "-u", name, "--"]
    pytest.skip("PostgreSQL does not run as root, and there is no runuser or no user postgres to run it as")


def _run(command: list[str]) -> None:
    # Output to a file, not a pipe: the server inherits it from pg_ctl and would hold a pipe open for ever.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=2 * START_SECONDS,
            cwd="/",
            check=False,
        )
        output.seek(0)
        assert done.returncode == 0, f"{command}: {output.read()}"


def _wait_for_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the service ended at once with status {process.returncode}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"nothing listened on port {port} within {START_SECONDS} s")
