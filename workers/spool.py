"""Where a worker's files lie while they are worked on."""

import shutil
import time
from pathlib import Path

#: What the folders of one piece of work begin with.
PREFIX = "work-"
#: A folder that is older belongs to a process that was killed, in seconds.
STALE_SECONDS = 24 * 3600


def spool_folder(home: Path) -> Path:
    """The folder, without what killed processes left there."""
    folder = home.expanduser().absolute() / "tmp"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in folder.glob(f"{PREFIX}*"):
        if time.time() - path.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
    return folder
