"""A real service for a benchmark: `distilled up` in a folder of its own, on a free port, stopped at the end."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import distilled
from distilled.cli import readiness

_READY_SECONDS = 240.0  # a shared machine may be ten times too busy


@contextmanager
def service(
    *, environment: dict[str, str] | None = None, home: Path | None = None, port: int | None = None
) -> Generator[distilled.Client]:
    """A client of a fresh service. home: a folder to be made; None: a temporary one. Its log is shown if it fails."""
    with tempfile.TemporaryDirectory(prefix="distilled-benchmark-") as folder:
        port = port or free_port()
        command = [sys.executable, "-m", "distilled", "up", "--home", str(home or folder), "--port", str(port)]
        log = Path(folder) / "up.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, env=os.environ | (environment or {})
            )
            try:
                _wait(process, port, log)
                with distilled.Client(f"http://127.0.0.1:{port}") as client:
                    yield client
            finally:
                process.terminate()
                process.wait(timeout=60)


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until = time.monotonic() + _READY_SECONDS
    while not readiness.ask("127.0.0.1", port).ready:
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"the service did not come up:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.2)
