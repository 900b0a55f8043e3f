"""Celery's embedded queue, read with patience.

kombu's filesystem transport makes a message's file first and fills it a moment later, and its reader may come in
between: it then finds an empty file, raises, and takes the whole worker down. This reader waits for the rest. It also
renames within the queue's own folder, where kombu goes through the system's temporary one.
"""

import time
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import loads

from registry import logs

#: For Celery's `broker_transport`, which outdoes the scheme of the broker's URL.
TRANSPORT = f"{__name__}:Transport"
PATIENCE_SECONDS = 2.0
LOOK_SECONDS = 0.01


class Channel(filesystem.Channel):
    """Reads whole messages or none."""

    def _get(self, queue: str) -> dict[str, Any]:
        """The oldest message of a queue. Raises Empty."""
        for path in sorted(Path(self.data_folder_in).glob(f"*.{queue}.msg")):
            taken = path.with_suffix(".taken")
            try:
                path.rename(taken)
            except FileNotFoundError:
                continue  # another worker was quicker
            message = read_message(taken)
            taken.unlink(missing_ok=True)
            if message is not None:
                return message
            # Whoever wrote it died over it. It was a wake-up; the registry sends it again.
            logs.get(__name__).warning("a message was never finished", queue=queue)
        raise Empty


class Transport(filesystem.Transport):
    """kombu's, with our reader."""

    Channel = Channel


def read_message(path: Path, *, patience_seconds: float = PATIENCE_SECONDS) -> dict[str, Any] | None:
    """The message in a file that may still be written; None if it is not whole after so long."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            return loads(path.read_bytes())
        except ValueError:
            if time.monotonic() > deadline:
                return None
            time.sleep(LOOK_SECONDS)
