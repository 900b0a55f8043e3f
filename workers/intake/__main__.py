"""`python -m workers.intake`: the process that opens a stranger's file. `workers.intake.apart` says what it may."""

import errno
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from distilled.cli.leash import tie_to_parent
from distilled.errors import Problem, UploadError
from distilled.kinds import Kind
from distilled.report import Report
from workers.intake import make
from workers.intake.apart import Order
from workers.intake.limits import Limits

#: Beyond what comes out of the file: the zip around it.
_ROOM_BYTES = 64 * 1024**2
_OPEN_FILES = 64
#: How often it says how far it is, in seconds.
_SAY_SECONDS = 0.2


def main() -> int:
    """Do what the one argument says, and tell on stdout."""
    order = Order.from_json(sys.argv[1])
    if not tie_to_parent(order.parent):
        return 1
    confine(order.limits, written_bytes=order.npz_limits.unpacked_bytes + _ROOM_BYTES)
    report = Report(kind=Kind(order.kind), num_bytes=order.num_bytes)
    said = 0.0

    def tick(fraction: float) -> None:
        nonlocal said
        if time.monotonic() - said > _SAY_SECONDS:
            said = time.monotonic()
            _say(fraction=float(fraction))

    try:
        make(
            Path(order.sent),
            Path(order.made),
            report=report,
            limits=order.limits,
            tick=tick,
            npz_limits=order.npz_limits,
        )
    except UploadError as error:
        report.problems = error.problems
    except MemoryError:
        most = f"takes more than {order.limits.memory_bytes} bytes of memory to open"
        report.problems = [Problem(pointer="", detail=f"{most}; send smaller images, or fewer rows in a row group")]
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _say(full=True)
            return 0
        if error.errno != errno.EFBIG:
            raise
        report.problems = [Problem(pointer="", detail="comes to more than a data set may have; send fewer images")]
    _say(report=report.to_json())
    return 0


def confine(limits: Limits, *, written_bytes: int) -> None:
    """Let the kernel keep the limits of this process: memory of its own, what it writes, its time, its files."""
    seconds = int(limits.seconds) + 1
    for what, most in (
        # Not RLIMIT_AS: what is mapped from a file, and what is reserved only, takes no memory.
        (resource.RLIMIT_DATA, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, written_bytes),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (allowed, allowed))


def _say(**told: Any) -> None:
    os.write(1, json.dumps(told).encode() + b"\n")


if __name__ == "__main__":
    raise SystemExit(main())
