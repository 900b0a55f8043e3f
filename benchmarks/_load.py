"""A service under load: how long a question takes while others listen and download, and an hour's cost in memory."""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SPEED = 1_000_000  # bytes a second of each download
#: Requests that are sent before memory is looked at: what is made once and kept is no growth.
WARM_UP = 200
#: A job that runs for as long as it is let.
ENDLESS: dict[str, Any] = {
    "dataset": "digits",
    "method": "kip",
    "ipc": 1,
    "seed": 0,
    "steps": 1_000_000,
    "objective": {"real_batch": 32},
    "evaluation": {"networks": []},
}
SHORT = ENDLESS | {"steps": 20}


@dataclass(frozen=True, kw_only=True)
class Target:
    """A service under load. pid: of the front end, where it runs here."""

    url: str
    job: str
    large: str  # an artifact whose file takes a while to download
    small: str  # an artifact that samples are drawn from
    pid: int | None = None


@dataclass(kw_only=True)
class Figures:
    """What came of it. seconds: of each question, as its client saw it; memory: bytes after each quarter."""

    clients: dict[str, Any] = field(default_factory=dict[str, Any])
    seconds: list[float] = field(default_factory=list[float])
    processor_share: float = 0.0  # of one core, that the front end took under load
    memory: list[int] = field(default_factory=list[int])
    replayed_per_second: float = 0.0
    errors: list[str] = field(default_factory=list[str])

    def percentile(self, share: float) -> float:
        """The time in seconds that so large a share of the questions took at most."""
        return sorted(self.seconds)[max(0, round(share * len(self.seconds)) - 1)]

    @property
    def growth(self) -> float:
        """Memory after the last quarter over that after the first one."""
        return self.memory[-1] / self.memory[0]


class Line:
    """A connection that stays, and notes what is refused."""

    def __init__(self, url: str, errors: list[str]) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        self._errors = errors

    def ask(self, method: str, path: str, body: Any = None) -> bytes:
        """The answer's body."""
        sent = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, sent, {"Content-Type": "application/json"} if sent else {})
            answer = self._connection.getresponse()
            content = answer.read()
            if answer.status >= 400:
                raise ValueError(f"{answer.status} {content[:200]!r}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._errors.append(f"{method} {path}: {error!r}")
            self._connection.close()
            return b""
        return content

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


# -- under load --------------------------------------------------------------------------------------------------------


def bear(target: Target, *, listeners: int, downloads: int, seconds: float, asked: float, lines: int = 4) -> Figures:
    """The time of `GET /v1/jobs/{id}` while others listen and download. asked: questions a second, over all lines."""
    figures = Figures()
    with _clients(target, listeners=listeners, downloads=downloads) as clients:
        over, before = time.monotonic() + seconds, _processor_seconds(target.pid)
        threads = [
            threading.Thread(target=_question, args=(target, figures, over, lines / asked)) for _ in range(lines)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        figures.processor_share = (_processor_seconds(target.pid) - before) / (time.monotonic() - over + seconds)
    figures.clients = clients
    figures.errors += clients["errors"]
    return figures


def _question(target: Target, figures: Figures, over: float, every: float) -> None:
    with closing(Line(target.url, figures.errors)) as line:
        line.ask("GET", "/healthz")  # connected, before time is taken
        while (began := time.monotonic()) < over:
            line.ask("GET", f"/v1/jobs/{target.job}")
            took = time.monotonic() - began
            figures.seconds.append(took)
            time.sleep(max(0.0, every - took))


@contextmanager
def _clients(target: Target, *, listeners: int, downloads: int) -> Generator[dict[str, Any]]:
    """All the others, in a process of their own; what they have seen is in the dictionary after the block."""
    command = [sys.executable, "-m", "benchmarks._clients", target.url, target.job, target.large]
    command += ["--listeners", str(listeners), "--downloads", str(downloads), "--speed", str(SPEED)]
    seen: dict[str, Any] = {}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        try:
            assert ready == "ready\n", "the clients did not start"
            yield seen
        finally:
            told, _ = process.communicate()  # closes their standard input
            seen |= json.loads(told)


# -- an hour ----------------------------------------------------------------------------------------------------------


def replay(target: Target, figures: Figures, *, requests: int, lines: int = 4) -> None:
    """That many requests as fast as they go, and the front end's memory after each quarter."""
    _send(target, figures, range(WARM_UP), lines=lines)
    began = time.monotonic()
    for quarter in range(4):
        _send(target, figures, range(quarter * requests // 4, (quarter + 1) * requests // 4), lines=lines)
        figures.memory.append(_resident_bytes(target.pid))
    figures.replayed_per_second = requests / (time.monotonic() - began)


def _send(target: Target, figures: Figures, numbers: range, *, lines: int) -> None:
    def some(first: int) -> None:
        with closing(Line(target.url, figures.errors)) as line:
            for number in numbers[first::lines]:
                line.ask(*_request(target, number))

    threads = [threading.Thread(target=some, args=(first,)) for first in range(lines)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _request(target: Target, number: int) -> tuple[Any, ...]:
    """What the request of this number asks: mostly how a job is, as clients do that wait, and some of all the rest."""
    one, job = f"/v1/artifacts/{target.small}", f"/v1/jobs/{target.job}"
    format = ("npz", "png", "parquet", "safetensors")[number // 20 % 4]
    rest: tuple[tuple[Any, ...], ...] = (
        ("GET", f"{one}/samples?ipc=1&seed={number}"),
        ("GET", f"{one}/samples?ipc=1&seed={number}&format=npz"),
        ("GET", f"{one}/download?ipc=1&format={format}"),
        ("GET", f"{one}/preview.png"),
        ("GET", one),
        ("GET", f"/v1/artifacts?dataset=digits&limit={1 + number % 50}"),
        ("GET", "/v1/jobs?limit=50"),
        ("GET", f"{job}/metrics?limit=100"),
        ("POST", "/v1/jobs?dry_run=true", {**SHORT, "seed": number}),
        ("PUT", "/v1/aliases/of-the-hour", {"artifact_id": target.small}),
        ("GET", f"/hf/api/datasets/distilled/{target.small}"),
    )
    turn = number % 20
    return rest[turn] if turn < len(rest) else ("GET", job)


def _processor_seconds(pid: int | None) -> float:
    words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _resident_bytes(pid: int | None) -> int:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in text.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024
