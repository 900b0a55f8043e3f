"""Who a worker is, and whether a process named in the registry is still alive on this machine.

A process number alone says nothing: it is used again after a restart, and containers count from 1. So a worker's name
carries the machine's boot and its namespace of process numbers, and death is only ever concluded within one's own.
"""

import hashlib
import os
import socket
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PID_NAMESPACE = Path("/proc/self/ns/pid")


def machine() -> str:
    """This boot of this machine or container, such as `gpu7-1f3a9c02`: the scope in which process numbers compare."""
    name = socket.gethostname()
    try:
        scope = f"{BOOT_ID.read_text().strip()} {PID_NAMESPACE.stat().st_ino}"
    except OSError:  # not Linux: the host name has to do
        scope = name
    return f"{name[:64]}-{hashlib.sha256(scope.encode()).hexdigest()[:8]}"


def worker_name(pid: int) -> str:
    """The name of the worker whose main process has this number, such as `gpu7-1f3a9c02-4711`."""
    return f"{machine()}-{pid}"


def is_alive(pid: int) -> bool:
    """Whether a process with this number runs on this machine (a zombie does not run)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    # The name in brackets may hold anything; the state is the first word after it.
    return status.rpartition(")")[2].split()[:1] == ["Z"]
