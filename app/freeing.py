"""Freeing room in the store, by hand and from time to time."""

import structlog

from app.rounds import Rounds
from app.services import Services
from registry.sweeping import Sweep, Sweeper

log = structlog.get_logger(__name__)

#: A service that has just started has other things to do.
FIRST_SECONDS = 60.0


def free(services: Services, *, grace_seconds: float, dry_run: bool, resources: bool = False) -> Sweep:
    """Sweep the registry and its store. Raises StoreError, RegistryUnavailable."""
    sweeper = Sweeper(
        read=services.database.read,
        write=services.writing,
        store=services.store,
        grace_seconds=grace_seconds,
        dry_run=dry_run,
    )
    found = sweeper.sweep(resources=resources)
    if not dry_run:
        log.info("freed", artifacts=[name for name, _ in found.artifacts.named], bytes=found.num_bytes)
    return found


def rounds(services: Services) -> Rounds | None:
    """The thread that frees room by itself; None where it is done by hand only."""
    settings = services.settings
    if not settings.free_every_hours:
        return None

    def turn(services: Services) -> None:
        free(services, grace_seconds=settings.grace_hours * 3600, dry_run=False)

    seconds = settings.free_every_hours * 3600
    return Rounds(services, turn, name="free", seconds=seconds, first_seconds=FIRST_SECONDS)
