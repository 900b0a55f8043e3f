"""A stranger's file is opened in a process of its own, which holds no secret and may take so much and no more.

Decoders of images and of Parquet are where the holes are. The process that runs them (`python -m workers.intake`) has
no torch, no database, no store, none of the service's environment, and limits that the kernel keeps. It is told what
to do in one line of JSON, says how far it is in others, and is killed with whoever started it.
"""

import errno
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from distilled.errors import Problem
from distilled.kinds import Kind
from distilled.npz import NpzLimits
from distilled.report import Report
from workers.intake.limits import Limits

#: All of the environment that goes along.
KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
ROOT = Path(__file__).resolve().parents[2]
#: What it prints at most: a report names ten thousand classes and twenty files.
MOST_SAID = 16 * 1024**2
#: Beyond the deadline it keeps itself, in seconds.
SLACK_SECONDS = 5.0
_POLL_SECONDS = 0.1
_SMALLER = "send fewer or smaller images, or save them in another way"


class LookFailed(Exception):
    """The process that looked at the file failed, by no fault of the file; its worker's log says how."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the process is to do. parent: the process that it must not outlive."""

    sent: str
    made: str
    kind: str
    num_bytes: int
    limits: Limits
    npz_limits: NpzLimits
    parent: int

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Order":
        """As it was written."""
        told = json.loads(text)
        return cls(**told | {"limits": Limits(**told["limits"]), "npz_limits": NpzLimits(**told["npz_limits"])})


def look(
    sent: Path,
    made: Path,
    *,
    kind: Kind,
    limits: Limits,
    npz_limits: NpzLimits,
    tick: Callable[[float], None],
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Make the npz `made` of the file `sent`. Returns the report (`Report.to_json`), whose `problems` refuse the file.

    tick: is told how far it is, 0..1, several times a second, and may raise: the process is killed then. log: is told
    what the process wrote to stderr when it fails. Raises LookFailed, and OSError where the disk is full.
    """
    size = sent.stat().st_size
    order = Order(
        sent=str(sent),
        made=str(made),
        kind=str(kind),
        num_bytes=size,
        limits=limits,
        npz_limits=npz_limits,
        parent=os.getpid(),
    )
    deadline = time.monotonic() + limits.seconds + SLACK_SECONDS
    with _process(order, folder=made.parent) as (process, out, complaints):
        for told in _said(out, deadline=deadline, tick=tick):
            if "report" in told:
                return told["report"]
            if told.get("full"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        status = process.wait() if process.poll() is not None or time.monotonic() < deadline else None
        problem = _ending(status, limits)
        if problem is None:
            complaints.seek(0)
            log(complaints.read(MOST_SAID).decode(errors="replace")[-10_000:])
            raise LookFailed
    return Report(kind=kind, num_bytes=size, problems=[problem]).to_json()


def _ending(status: int | None, limits: Limits) -> Problem | None:
    """What an end without a report says of the file; None where it says nothing. status: None past the deadline."""
    if status is None or status == -signal.SIGXCPU:
        detail = f"takes longer than {limits.seconds:.0f} s to look at; {_SMALLER}"
    elif status in (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT, -signal.SIGILL, -signal.SIGFPE):
        detail = f"breaks the decoder that is to read it; {_SMALLER}"
    else:
        return None
    return Problem(pointer="", detail=detail)


@contextmanager
def _process(order: Order, *, folder: Path) -> Generator[tuple["subprocess.Popen[bytes]", int, IO[bytes]]]:
    """(the process, where it speaks, what it complains of). At the end it is killed and waited for."""
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(folder),
        # Arrow's own pool takes memory in advance, which would count.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }
    with (folder / "stderr").open("w+b") as complaints:
        out, speaking = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "workers.intake", order.to_json()],
                stdin=subprocess.DEVNULL,
                stdout=speaking,
                stderr=complaints,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        finally:
            os.close(speaking)
        try:
            yield process, out, complaints
        finally:
            process.kill()
            process.wait()
            os.close(out)


def _said(out: int, *, deadline: float, tick: Callable[[float], None]) -> Iterator[dict[str, Any]]:
    """What the process says, line by line, until it ends or its time is up. Raises LookFailed where it raves."""
    held, fraction, total = bytearray(), 0.0, 0
    while time.monotonic() < deadline:
        tick(fraction)
        if not select.select([out], [], [], _POLL_SECONDS)[0]:
            continue
        piece = os.read(out, 1 << 16)
        if not piece:
            return
        total += len(piece)
        if total > MOST_SAID:
            raise LookFailed
        held += piece
        if b"\n" not in piece:
            continue
        *lines, held = held.split(b"\n")
        for line in lines:
            told = _understood(line)
            fraction = told.get("fraction", fraction)
            yield told


def _understood(line: bytes | bytearray) -> dict[str, Any]:
    """One line of what it says, held against what it may say: a decoder that was taken over says what it likes."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LookFailed from error
    fraction = told.get("fraction", 0.0) if isinstance(told, dict) else None
    if not isinstance(fraction, float) or not 0 <= fraction <= 1:
        raise LookFailed
    if "report" in told and set(told["report"]) != set(Report(kind=Kind.ZIP, num_bytes=0).to_json()):
        raise LookFailed
    return told
