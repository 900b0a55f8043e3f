"""Throw-away services for tests: a real PostgreSQL, a real Redis and an S3 endpoint, on free loopback ports.

Each is a context manager that starts it and stops it again; where a binary is missing the test is skipped and says so.
`tests/integration/registry/conftest.py` makes fixtures of them.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


class PostgreSQL:
    """A cluster of its own that can be stopped, killed and started again with all that was committed."""

    def __init__(self, folder: Path, bin_dir: Path, as_user: list[str]) -> None:
        self._data, self._log = folder / "data", folder / "log"
        self.port = free_port()
        self.url = f"postgresql://tester@127.0.0.1:{self.port}/postgres"
        made = ["--auth=trust", "--username=tester", "--encoding=UTF8", "--locale=C", "--no-sync"]
        _run([*as_user, str(bin_dir / "initdb"), "-D", str(self._data), *made])
        self._control = [*as_user, str(bin_dir / "pg_ctl"), "-D", str(self._data), "-w"]
        # No fsync: it need not survive a power cut. What was committed survives the death of its processes.
        # Enough connections for tests that run side by side.
        self._settings = f"-p {self.port} -k {folder} -h 127.0.0.1 -F -c full_page_writes=off"

    def start(self) -> None:
        """Start it, or start it again, and wait until it answers."""
        _run([*self._control, "-l", str(self._log), "-t", str(START_SECONDS), "-o", self._settings, "start"])

    def stop(self, mode: str = "immediate") -> None:
        """Stop it. mode: `immediate` is as good as a crash, `fast` rolls back and checkpoints."""
        _run([*self._control, "-m", mode, "stop"])

    def process_ids(self) -> list[int]:
        """The postmaster and all of its children."""
        main = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
        return [main, *_children_of(main)]

    def is_up(self) -> bool:
        """Whether the postmaster's note of itself is there."""
        return (self._data / "postmaster.pid").exists()


@contextmanager
def postgresql_server() -> Generator[PostgreSQL]:
    """A fresh PostgreSQL cluster, started. It never survives the test run."""
    bin_dir = _postgresql_bin()
    folder = Path(tempfile.mkdtemp(prefix="distilled-pg-"))
    try:
        server = PostgreSQL(folder, bin_dir, _as_other_user(folder))
        server.start()
        try:
            yield server
        finally:
            if server.is_up():
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgresql() -> Generator[str]:
    """A fresh PostgreSQL cluster; yields the URL of its superuser's database."""
    with postgresql_server() as server:
        yield server.url


class Redis:
    """A Redis that keeps nothing on disk: killed and started again, it is empty."""

    def __init__(self, binary: str, folder: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", folder]
        self._command += ["--save", "", "--appendonly", "no"]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again, and wait until it answers."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_for_port(self.port, self.process)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it by a signal, and wait for that."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=START_SECONDS)
            self.process = None


@contextmanager
def redis_server() -> Generator[Redis]:
    """A fresh Redis, started."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        pytest.skip("needs the redis-server binary (Debian: apt-get install redis-server)")
    with tempfile.TemporaryDirectory(prefix="distilled-redis-") as folder:
        server = Redis(binary, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def redis() -> Generator[str]:
    """A fresh Redis that keeps nothing on disk; yields its URL."""
    with redis_server() as server:
        yield server.url


class Bucket:
    """An S3 endpoint in this process with one bucket, which can be taken away and given back with what is in it."""

    def __init__(self) -> None:
        self._server = _moto(port=0)
        host, self.port = self._server.get_host_and_port()
        self.endpoint = S3Endpoint(url=f"http://{host}:{self.port}", bucket="distilled-tests")
        _put_bucket(self.port, self.endpoint.bucket)

    def stop(self) -> None:
        """Let nobody reach it."""
        self._server.stop()

    def start(self) -> None:
        """Let it be reached again, where it was."""
        self._server = _moto(port=self.port)


@contextmanager
def s3_server() -> Generator[Bucket]:
    """An S3 endpoint in this process with one empty bucket."""
    pytest.importorskip("moto.server", reason="needs moto[server]")
    made = Bucket()
    try:
        yield made
    finally:
        made.stop()


class RabbitMQ:
    """A RabbitMQ that keeps durable queues on disk: killed and started again, it has what was confirmed."""

    def __init__(self, script: Path, folder: Path) -> None:
        self.port, node = free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        (folder / "plugins").write_text("[].")
        self._script = script
        self._environment = {
            **os.environ,
            "HOME": str(folder),  # where it makes its cookie
            "RABBITMQ_NODENAME": f"distilled-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(node),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
            # One node needs no name server, which would outlive it.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+S 1:1 -start_epmd false -erl_epmd_port {node}",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again, and wait until it answers."""
        self.process = subprocess.Popen(
            [str(self._script)],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        _wait_for_port(self.port, self.process, seconds=10 * START_SECONDS)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it and what it started by a signal, and wait for that."""
        if self.process is not None:
            os.killpg(self.process.pid, number)
            self.process.wait(timeout=START_SECONDS)
            self.process = None


@contextmanager
def rabbitmq_server() -> Generator[RabbitMQ]:
    """A fresh RabbitMQ, started."""
    script = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # what is on the path changes its user
    if not script.exists():
        pytest.skip("needs RabbitMQ (Debian: apt-get install rabbitmq-server)")
    with tempfile.TemporaryDirectory(prefix="distilled-rabbitmq-", ignore_cleanup_errors=True) as folder:
        server = RabbitMQ(script, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def s3() -> Generator[S3Endpoint]:
    """An S3 endpoint in this process with one empty bucket."""
    with s3_server() as made:
        yield made.endpoint


def _moto(*, port: int) -> Any:
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 -- only here: it takes seconds to import

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    return server


def _put_bucket(port: int, bucket: str) -> None:
    import http.client  # noqa: PLC0415 - only here: moto takes an unsigned request, so no AWS library is needed

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("PUT", f"/{bucket}", headers={"Host": f"127.0.0.1:{port}"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 200, f"moto refused to make the bucket: {answer.status}"


def _children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


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


def _wait_for_port(port: int, process: "subprocess.Popen[bytes]", *, seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the service ended at once with status {process.returncode}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"nothing listened on port {port} within {seconds} s")
