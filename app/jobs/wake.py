"""Wake-ups: a message that tells workers to look. Losing one costs seconds, because the sweeper sends it again."""

import structlog

from app.services import Services
from registry import errors, jobs

log = structlog.get_logger(__name__)


def wake_job(services: Services, job_id: str) -> None:
    """Wake a worker for a job that is committed. A broker that is down is logged: the row is the job."""
    try:
        services.queue.wake_job(job_id)
        with services.writing() as session:
            jobs.woken(session, job_id)
    except errors.RegistryError as error:
        log.warning("wake_up_not_sent", job_id=job_id, reason=str(error))
