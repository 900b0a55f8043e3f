"""Memory that is given back is kept for the next tensor.

glibc maps every tensor above a few MB afresh and returns it at once, so each operation pays a page fault for every
4 KB it writes. Where faults are dear (virtual machines) that is most of the time of an element-wise operation.
"""

import ctypes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
_MAPPED_FROM_BYTES = 2**30
_KEPT_BYTES = 2**31 - 1
_GROWN_BY_BYTES = 64 * 2**20


def keep_freed_memory() -> bool:
    """Tell this process's allocator to keep what is freed. False where there is no glibc to be told.

    For the start of a process that trains; the price is that its memory stays at its peak until it ends.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    settings = (
        (_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES),
        (_M_TRIM_THRESHOLD, _KEPT_BYTES),
        (_M_TOP_PAD, _GROWN_BY_BYTES),
    )
    return all([mallopt(name, value) == 1 for name, value in settings])
