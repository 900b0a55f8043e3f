"""What went wrong, in words for whoever asked for the job: a code for scripts, a title, and a detail with the fix.

Nothing of this machine may be told outside: an error that was not foreseen is described by its kind alone, and its
traceback goes to the log under the job's id.
"""

import re
import traceback
from collections.abc import Mapping
from typing import Any, TypedDict

from distilled import device_memory
from distilled.errors import DistilledError, InvalidInput
from registry.errors import (
    BlobCorrupt,
    BlobMissing,
    InvalidKey,
    InvalidRange,
    RegistryError,
    RegistryFull,
    RegistryOutdated,
    RegistryUnavailable,
    StoreError,
    StoreFull,
)


class Failure(TypedDict):
    """What is recorded of a failed job or evaluation."""

    code: str
    title: str
    detail: str


OUT_OF_MEMORY = Failure(
    code="out_of_memory",
    title="The device ran out of memory",
    detail="Lower the objective's batch knobs (such as `objective.real_batch`) or the images per class, choose a "
    "narrower network, or run it on a device with more memory; then retry the job.",
)
NO_ROOM = Failure(
    code="store_full",
    title="There is no room for the result",
    detail="The store or the database is full. Free space there and retry the job; it goes on from its last snapshot.",
)


#: What torch says on a CPU, in a plain RuntimeError.
CPU_ALLOCATOR = "DefaultCPUAllocator: can't allocate memory"


def too_large(recipe: Mapping[str, Any], *, slices: int) -> str:
    """What to lower of a recipe that ran out of memory, with what it is now."""
    named = [f"`{name}` (now {value})" for name, value in device_memory.knobs(recipe)]
    tried = f"also with real batches in {slices} parts" if slices > 1 else "and its batches cannot be taken in parts"
    lower = f"Lower {' or '.join(named)}" if named else "Lower the budget"
    return (
        f"The recipe does not fit the device, {tried}. {lower}, choose a narrower network, or run it on a device with "
        "more memory (`device`)."
    )


def describe(error: BaseException) -> Failure:
    """The failure as it may be shown to anyone."""
    if isinstance(error, (StoreFull, RegistryFull)):
        return NO_ROOM
    if _is_out_of_memory(error):
        return OUT_OF_MEMORY
    if isinstance(error, InvalidInput):
        return Failure(code=_code(error), title="The recipe cannot be carried out", detail=str(error))
    if isinstance(error, DistilledError):
        return Failure(code=_code(error), title="The job could not go on", detail=str(error))
    if isinstance(error, RegistryError):
        return Failure(code=_code(error), title="The registry or the store failed", detail=str(error))
    return Failure(
        code="internal",
        title="The worker failed in a way that was not foreseen",
        detail=f"{type(error).__name__}{_place(error)}. The worker's log holds the whole story under the job's id; "
        "please report it.",
    )


def is_passing(error: BaseException) -> bool:
    """Whether it is a fault of the store or the database that the next attempt may find mended.

    No room is none: it is mended by a person, who then asks for the job again. Nor is what is gone from the store.
    """
    lasting = (StoreFull, RegistryFull, RegistryOutdated, BlobMissing, BlobCorrupt, InvalidKey, InvalidRange)
    return isinstance(error, (StoreError, RegistryUnavailable)) and not isinstance(error, lasting)


def _code(error: BaseException) -> str:
    """`NotFinite` -> `not_finite`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()


def _is_out_of_memory(error: BaseException) -> bool:
    # By name: torch.OutOfMemoryError and its accelerator kin, without importing torch to ask.
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, MemoryError) or "OutOfMemoryError" in names or CPU_ALLOCATOR in str(error)


def _place(error: BaseException) -> str:
    """Where it was raised, as a function of ours or of a library: ` in images.draw`, never a path of this machine."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    frame = frames[-1]
    module = re.split(r"[\\/]", frame.filename)[-1].removesuffix(".py")
    return f" in {module}.{frame.name}"
