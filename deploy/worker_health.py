"""The health check of a worker's container: does the registry hear from a worker of this container?

`python -m deploy.worker_health` in the root of the service. It imports no torch, so that a look every half minute costs
next to nothing. Exit status 0: yes; 1: no, and stderr says why.

`--alive` is for whoever ends a container that is not well (Kubernetes): a registry that cannot be asked is no reason to
end a job of hours, so the answer is then 0.
"""

import os
import sys
from collections.abc import Sequence

from registry import workers
from registry.errors import RegistryError
from registry.session import Database
from registry.settings import Settings
from workers.identity import machine


def main(arguments: Sequence[str] = ()) -> int:
    """Look once. A worker's name begins with its machine, and a container is a machine of its own."""
    os.environ.setdefault("PGCONNECT_TIMEOUT", "5")  # less than the probe's own, which would count as not well
    database = Database(Settings().database_url)
    try:
        with database.read() as session:
            live = [worker.id for worker in workers.list_workers(session)]
    except RegistryError as error:
        sys.stderr.write(f"{error}\n")
        return 0 if "--alive" in arguments else 1
    finally:
        database.close()
    if any(name.rpartition("-")[0] == machine() for name in live):
        return 0
    sys.stderr.write(f"the registry has not heard of late from a worker of {machine()}; look at the worker's log\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
