"""`python -m workers.doctor`: is everything here that the service needs, and if not, what mends it?

Looks and touches nothing, save for a probe in the store. Every finding is one line; a fault carries its mend.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from registry import workers
from registry.errors import RegistryError
from registry.queue import Queue
from registry.session import Database
from workers import checking
from workers.checking import Finding
from workers.settings import WorkerSettings

FREE_BYTES = 2 * 1024**3  # below it the next large job may not find room for its result
VERSIONS = ("torch", "torchvision", "celery", "fastapi", "sqlalchemy", "obstore")


def examine(settings: WorkerSettings) -> Iterator[Finding]:
    """Look at everything in turn. A check that fails in a way of its own is a fault, and the next one follows."""
    checks: dict[str, Callable[[WorkerSettings], Finding]] = {
        "python": _python,
        "versions": _versions,
        "device": _device,
        "disk": _disk,
        **checking.SHALLOW,
        "database": _database,
        "broker": _broker,
        "worker": _worker,
        **checking.DEEP,
    }
    home = settings.home.expanduser()
    if not home.exists() and settings.database_url.startswith("sqlite:"):
        # Looking at what is not there would make it.
        for name in ("database", "broker", "worker", *checking.DEEP):
            del checks[name]
        yield Finding(name="home", state="warning", detail=f"{home} is not made yet", mend="`distilled up` makes it")
    for name, check in checks.items():
        try:
            yield check(settings)
        except RegistryError as error:
            yield Finding(name=name, state="fault", detail="does not work", mend=str(error))
        except Exception as error:
            yield Finding(
                name=name,
                state="fault",
                detail=f"{type(error).__name__}: {error}",
                mend="this should not happen; check the DISTILLED_* settings, and report it if they are right",
            )


def _python(_settings: WorkerSettings) -> Finding:
    return Finding(name="python", state="ok", detail=f"{sys.version.split()[0]} at {sys.executable}")


def _versions(_settings: WorkerSettings) -> Finding:
    found: list[str] = []
    missing: list[str] = []
    for name in VERSIONS:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        mend = f"install what is missing ({', '.join(missing)}) with `make setup`"
        return Finding(name="versions", state="fault", detail=", ".join(found), mend=mend)
    return Finding(name="versions", state="ok", detail=", ".join(found))


def _device(settings: WorkerSettings) -> Finding:
    # Imported here: torch takes seconds, and without it the other checks are still worth having.
    import torch  # noqa: PLC0415

    from workers.child import choose_device  # noqa: PLC0415

    if settings.device.startswith("cuda") and not torch.cuda.is_available():
        mend = "install NVIDIA's driver and a build of torch with CUDA (`nvidia-smi` shows the first), or name another"
        return Finding(name="device", state="fault", detail=f"{settings.device}: torch finds no CUDA device", mend=mend)
    device, name = choose_device(settings.device)
    if device == "cpu" and not settings.device:
        detail = "cpu: no CUDA device was found; small jobs run well, large ones take long"
        return Finding(name="device", state="ok", detail=detail)
    return Finding(name="device", state="ok", detail=name)


def _database(settings: WorkerSettings) -> Finding:
    database = Database(settings.database_url)
    try:
        revision, at_head = database.revision(), database.is_at_head()
    finally:
        database.close()
    if not at_head:
        detail = f"at revision {revision or 'none'}, which is not this version's"
        return Finding(name="database", state="fault", detail=detail, mend="run `distilled migrate`")
    return Finding(name="database", state="ok", detail=f"at revision {revision}")


def _disk(settings: WorkerSettings) -> Finding:
    parts = urlsplit(settings.store_url)
    place = Path(unquote(parts.path)) if parts.scheme == "file" else settings.home.expanduser()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    detail = f"{free / 1024**3:.1f} GiB free"
    if free < FREE_BYTES:
        mend = "free some space, or point DISTILLED_HOME to a larger disk"
        return Finding(name="disk", state="warning", detail=detail, mend=mend)
    return Finding(name="disk", state="ok", detail=detail)


def _broker(settings: WorkerSettings) -> Finding:
    queue = Queue.open(settings)
    try:
        queue.ping()
    finally:
        queue.close()
    return Finding(name="broker", state="ok", detail=urlsplit(settings.broker_url).scheme)


def _worker(settings: WorkerSettings) -> Finding:
    database = Database(settings.database_url)
    try:
        with database.read() as session:
            live = workers.list_workers(session)
    finally:
        database.close()
    if not live:
        mend = "start the service with `distilled up`, or a worker with `distilled worker`"
        return Finding(name="worker", state="warning", detail="none is alive", mend=mend)
    return Finding(name="worker", state="ok", detail=", ".join(f"{one.id} on {one.device}" for one in live))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the findings. Returns 1 if there is a fault."""
    parser = argparse.ArgumentParser(prog="distilled doctor", description="Check this machine for the service.")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--home", type=Path, help="folder of the service (DISTILLED_HOME)")
    given = parser.parse_args(arguments)
    settings = WorkerSettings(home=given.home) if given.home else WorkerSettings()
    findings: list[Finding] = []
    for finding in examine(settings):
        findings.append(finding)
        if not given.json:
            sys.stdout.write(f"{finding.state:8}{finding.name:18}{finding.detail}\n")
            sys.stdout.write(f"{'':26}-> {finding.mend}\n" if finding.mend else "")
    healthy = all(finding.state != "fault" for finding in findings)
    if given.json:
        sys.stdout.write(json.dumps({"ok": healthy, "checks": [asdict(f) for f in findings]}, indent=2) + "\n")
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main())
