"""What a worker takes: queues by its device, and of their jobs those that the device can hold.

No torch here: the worker's main process subscribes to its queues before any child has looked at the device.
"""

import ctypes
import os
import runpy
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from registry.models import Evaluation, Need, Validation
from workers.settings import WorkerSettings

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, kw_only=True)
class Seat:
    """A device on which this worker runs jobs of one need.

    `device` is torch's name of it and `name` that for people; `memory_bytes` is what a job may take of it, None where
    that is not known.
    """

    need: Need
    device: str
    name: str
    memory_bytes: int | None


def need_of(device: str) -> Need:
    """The need that a device meets, by torch's name of it; empty: the first GPU if there is one, else the CPU."""
    if not device:
        return Need.GPU if has_gpu() else Need.CPU
    return Need.CPU if device.startswith("cpu") else Need.GPU


def queues(settings: WorkerSettings, need: Need) -> tuple[str, ...]:
    """The queues that a worker takes from whose device meets this need: as it is told, else its own kind of job,
    evaluations and validations.
    """
    return settings.queue_names or (need.value, Evaluation.queue, Validation.queue)


def seats(settings: WorkerSettings, *, device: str, name: str, memory_bytes: int | None) -> list[Seat]:
    """Where this worker runs jobs, first what it does first: its device, and its host where it takes `cpu` as well."""
    own = need_of(device)
    taken = queues(settings, own)
    found = [Seat(need=own, device=device, name=name, memory_bytes=memory_bytes)]
    if own is not Need.CPU:
        found.append(Seat(need=Need.CPU, device="cpu", name="cpu", memory_bytes=host_memory()))
    return [seat for seat in found if seat.need in taken]


def needs(taken: Sequence[str]) -> list[Need]:
    """The needs among the queues."""
    return [need for need in Need if need in taken]


def host_memory() -> int | None:
    """Bytes of this machine, or of the container that this is; None where the system does not tell."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
    try:
        return min(found, int(CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # no such file, or "max"
        return found


def has_gpu() -> bool:
    """Whether torch will find a CUDA device, by its build and the driver: to import it takes seconds."""
    found = find_spec("torch")
    if found is None or found.origin is None:
        return False
    built = runpy.run_path(str(Path(found.origin).with_name("version.py")))
    if not built.get("cuda"):
        return False
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False
