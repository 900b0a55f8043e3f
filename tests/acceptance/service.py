"""The real service, started as a user starts it, on a home and a port of its own; and the means to do it harm."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx2

T = TypeVar("T")

#: Everything that is waited for in minutes in the world is waited for in seconds here.
QUICK = {
    "DISTILLED_LEASE_SECONDS": "6",
    "DISTILLED_HEARTBEAT_SECONDS": "1",
    "DISTILLED_CANCEL_POLL_SECONDS": "0.3",
    "DISTILLED_SWEEP_SECONDS": "1",
    "DISTILLED_REWAKE_SECONDS": "4",
    "DISTILLED_SNAPSHOT_SECONDS": "0.2",
    "DISTILLED_TORCH_THREADS": "1",
    "DISTILLED_NICE": "0",  # the tests are what else runs here, and they wait for it
    "DISTILLED_DEVICE": "cpu",
    "DISTILLED_MAX_ATTEMPTS": "20",
}
#: A kernel on 8×8 pixels: real, and a few milliseconds a step.
TINY: dict[str, Any] = {
    "dataset": "digits",
    "method": "kip",
    "ipc": 1,
    "seed": 0,
    "steps": 60,
    "objective": {"real_batch": 32},
    "evaluation": {"networks": ["mlp-w16"], "steps": 20, "epochs": 1, "repeats": 2},
}


class Service:
    """`distilled up` as a process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None

    # -- the whole of it ------------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DISTILLED_")}
        return {**kept, **QUICK}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "distilled", *arguments]

    def start(self) -> None:
        """Start it and wait until it is ready."""
        command = self.command("up", "--home", str(self.home), "--port", str(self.port))
        with (self.home.parent / "up.out").open("a") as out:
            self.process = subprocess.Popen(command, env=self.environment(), stdout=out, stderr=out, text=True)
        self.until_ready()

    def ensure_up(self) -> None:
        """Start it unless it runs, and wait until it is ready: the test before may have done it harm."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        self.until_ready()

    def until_ready(self) -> None:
        until(lambda: self._get_or_none("/readyz"), what="the service is ready", seconds=60)

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def end(self) -> None:
        """Whatever the test left: nothing stays."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def process_ids(self) -> dict[int, str]:
        """Every process that was started for this home, by its command line."""
        mark = f"DISTILLED_HOME={self.home}".encode()
        found: dict[int, str] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found

    def pid_of(self, mark: str) -> int:
        """The one process whose command line has this in it."""
        (pid,) = [pid for pid, line in self.process_ids().items() if mark in line]
        return pid

    def child_at_work(self, job_id: str) -> int:
        """The process of the worker's pool that has the job in hand."""
        (worker,) = [one for one in self.get("/v1/workers")["items"] if job_id in one["in_hand"]]
        (child,) = [pid for pid in self.process_ids() if self._is_child(pid, worker["pid"])]
        return child

    def _is_child(self, pid: int, main: int) -> bool:
        """Whether a process is of this worker's pool."""
        return parent_of(pid) == main and is_pool_child(pid)

    # -- its API --------------------------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        answer = httpx2.get(f"{self.url}{path}", timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def submit(self, **recipe: Any) -> str:
        answer = httpx2.post(f"{self.url}/v1/jobs", json={**TINY, **recipe}, timeout=10)
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    def job(self, job_id: str) -> dict[str, Any]:
        return self.get(f"/v1/jobs/{job_id}")

    def until_state(self, job_id: str, *states: str, seconds: float = 90) -> dict[str, Any]:
        """The job once it is in one of these states; a failed one ends the wait with its error."""

        def look() -> dict[str, Any] | None:
            job = self._get_or_none(f"/v1/jobs/{job_id}") or {}
            assert job.get("state") != "failed" or "failed" in states, job["error"]
            return job if job.get("state") in states else None

        return until(look, what=f"{job_id} is {' or '.join(states)}", seconds=seconds)

    def until_snapshot(self, job_id: str, *, after: int = 0, seconds: float = 60) -> int:
        """Until a later attempt at the job is under way and has something to go back to; that attempt's number."""
        folder = self.home / "store" / "named" / "snapshots" / job_id

        def look() -> int | None:
            attempts = [int(path.name.partition("-")[0]) for path in folder.glob("*.safetensors")]
            return next((attempt for attempt in attempts if attempt > after), None)

        return until(look, what=f"an attempt at {job_id} after number {after} has a snapshot", seconds=seconds)

    def until_evaluated(self, artifact_id: str, *, seconds: float = 120) -> list[dict[str, Any]]:
        """The artifact's evaluations, once all of them have ended."""

        def look() -> list[dict[str, Any]] | None:
            rows = self.get(f"/v1/artifacts/{artifact_id}/evaluations")["items"]
            return rows if all(row["state"] in ("succeeded", "failed") for row in rows) else None

        return until(look, what=f"the evaluations of {artifact_id} have ended", seconds=seconds)

    def _get_or_none(self, path: str) -> Any:
        try:
            answer = httpx2.get(f"{self.url}{path}", timeout=5)
        except httpx2.TransportError:
            return None
        return answer.json() if answer.status_code == 200 else None


def until(look: Callable[[], T | None], *, what: str, seconds: float, each: float = 0.1) -> T:
    """What `look` finds, as soon as it finds something; it looks every `each` seconds."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(each)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def is_pool_child(pid: int) -> bool:
    with open(f"/proc/{pid}/cmdline") as file:
        return "spawn_main" in file.read()
