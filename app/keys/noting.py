"""What is written of keys now and then, rather than in each request: when they were used; old lines of the log go."""

import structlog

from app.rounds import Rounds
from app.services import Services
from registry import audit, keys
from registry.errors import RegistryError

log = structlog.get_logger(__name__)

#: Time between two writes, in seconds.
EVERY_SECONDS = 60.0


def note(services: Services) -> None:
    """Write down when keys were used, and remove old lines of the audit log. Raises RegistryUnavailable."""
    used = services.ring.take_used()
    with services.writing() as session:
        keys.used(session, used)
        audit.prune(session, days=services.settings.audit_days)


def note_last(services: Services) -> None:
    """The same once more at the end of the process, if it can be done."""
    try:
        note(services)
    except RegistryError as error:
        log.warning("keys_failed", reason=str(error))


def rounds(services: Services) -> Rounds:
    """The thread that does so."""
    return Rounds(services, note, name="keys", seconds=EVERY_SECONDS, first_seconds=EVERY_SECONDS)
