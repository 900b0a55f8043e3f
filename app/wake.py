"""Wake-ups: a message that tells workers to look. Losing one costs seconds, because the sweeper sends it again."""

from collections.abc import Callable, Sequence

import structlog
from sqlalchemy.orm import Session

from app.services import Services
from registry import errors, evaluations, jobs, validations
from registry.models import Need

log = structlog.get_logger(__name__)


def wake_job(services: Services, job_id: str, need: Need) -> None:
    """Wake a worker for a job that is committed."""
    _wake(services, [job_id], send=lambda row_id: services.queue.wake_job(row_id, need), note=jobs.woken)


def wake_evaluations(services: Services, ids: Sequence[str]) -> None:
    """Wake a worker for each of these committed evaluations, so that they run side by side on as many as there are."""
    _wake(services, ids, send=services.queue.wake_evaluation, note=evaluations.woken)


def wake_validation(services: Services, validation_id: str) -> None:
    """Wake a worker for a validation that is committed."""
    _wake(services, [validation_id], send=services.queue.wake_validation, note=validations.woken)


def _wake(
    services: Services, ids: Sequence[str], *, send: Callable[[str], None], note: Callable[[Session, str], None]
) -> None:
    """Send a message for each, and note that it was sent. A broker that is down is logged: the row is the work."""
    for row_id in ids:
        try:
            send(row_id)
            with services.writing() as session:
                note(session, row_id)
        except errors.RegistryError as error:
            log.warning("wake_up_not_sent", id=row_id, reason=str(error))
            return  # each one more would wait as long for a broker that is down
