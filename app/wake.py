"""Wake-ups: a message that tells workers to look. Losing one costs seconds, because the sweeper sends it again."""

from collections.abc import Sequence

import structlog

from app.services import Services
from registry import errors, evaluations, jobs, validations

log = structlog.get_logger(__name__)


def wake_job(services: Services, job_id: str) -> None:
    """Wake a worker for a job that is committed. A broker that is down is logged: the row is the job."""
    try:
        services.queue.wake_job(job_id)
        with services.writing() as session:
            jobs.woken(session, job_id)
    except errors.RegistryError as error:
        log.warning("wake_up_not_sent", job_id=job_id, reason=str(error))


def wake_evaluations(services: Services, ids: Sequence[str]) -> None:
    """Wake a worker for each of these committed evaluations, so that they run side by side on as many as there are."""
    for evaluation_id in ids:
        try:
            services.queue.wake_evaluation(evaluation_id)
            with services.writing() as session:
                evaluations.woken(session, evaluation_id)
        except errors.RegistryError as error:
            log.warning("wake_up_not_sent", evaluation_id=evaluation_id, reason=str(error))
            return  # each one more would wait as long for a broker that is down


def wake_validation(services: Services, validation_id: str) -> None:
    """Wake a worker for a validation that is committed."""
    try:
        services.queue.wake_validation(validation_id)
        with services.writing() as session:
            validations.woken(session, validation_id)
    except errors.RegistryError as error:
        log.warning("wake_up_not_sent", validation_id=validation_id, reason=str(error))
