"""The work steps back for whatever else runs on its machine: a service that answers late while it trains is no service.

On a machine with nothing else to do it makes no difference.
"""

import contextlib
import os
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")


def step_back(nice: int) -> None:
    """Give this process a nice value, 0 (as everybody) to 19 (last of all).

    Linux may schedule each session as one group before it looks at processes, so the session gets the value, too: the
    worker's main process is in it, and goes before its children there.
    """
    if not nice:
        return
    os.setpriority(os.PRIO_PROCESS, 0, max(nice, os.getpriority(os.PRIO_PROCESS, 0)))
    # Kernels without such groups have no such file, and a container may not let it be written.
    with contextlib.suppress(OSError):
        AUTOGROUP.write_text(str(nice))
