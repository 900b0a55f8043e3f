"""Sending what is in the outbox, in a thread beside the requests. Any number of front ends may do it at once."""

from concurrent.futures import ThreadPoolExecutor

import structlog

from app.rounds import Rounds
from app.services import Services
from app.webhooks import sending
from registry import webhooks

log = structlog.get_logger(__name__)

#: So many are sent side by side, so that one slow receiver does not hold up all others.
SENDERS = 4


def rounds(services: Services) -> Rounds | None:
    """The thread that sends; None where there is no secret to sign with."""
    settings = services.settings
    if not settings.webhook_keys:
        return None
    return Rounds(services, deliver, name="webhooks", seconds=settings.webhook_poll_seconds)


def deliver(services: Services) -> None:
    """Send everything that is due."""
    with services.database.read() as session:
        if not webhooks.is_due(session):
            return
    with ThreadPoolExecutor(SENDERS, thread_name_prefix="webhook") as pool:
        for done in [pool.submit(_drain, services) for _ in range(SENDERS)]:
            done.result()


def _drain(services: Services) -> None:
    while not services.stopping.is_set() and _send_next(services):
        pass


def _send_next(services: Services) -> bool:
    """Send one message. False: none is due."""
    settings = services.settings
    seconds = settings.webhook_timeout_seconds
    with services.writing() as session:
        delivery = webhooks.claim_due(session, lease_seconds=seconds + 60)
    if delivery is None:
        return False
    outcome = sending.send(
        delivery,
        keys=settings.webhook_keys,
        private=settings.webhook_private,
        seconds=seconds,
    )
    with services.writing() as session:
        if outcome.error is None:
            webhooks.delivered(session, delivery, status=outcome.status or 0)
        else:
            webhooks.failed(session, delivery, error=outcome.error, status=outcome.status, final=outcome.final)
    log.info("webhook", message_id=delivery.id, attempt=delivery.attempt, status=outcome.status, error=outcome.error)
    return True
