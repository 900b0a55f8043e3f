"""The sweep for lost jobs, in a thread of the front end: with every worker dead, someone still has to notice."""

import structlog

from app.datasets import uploads
from app.rounds import Rounds
from app.services import Services
from registry import evaluations, jobs, portions, validations

log = structlog.get_logger(__name__)


class Sweeper(Rounds):
    """Sweeps every `sweep_seconds`, the first time at once, until it is stopped."""

    def __init__(self, services: Services) -> None:
        super().__init__(services, sweep_once, name="sweep", seconds=services.settings.sweep_seconds)


def sweep_once(services: Services) -> None:
    """Queue again what silent workers held, and send the wake-ups that are due, after the commit."""
    settings = services.settings
    with services.writing() as session:
        most, rewake = settings.max_attempts, settings.rewake_seconds
        swept_jobs = jobs.sweep(session, max_attempts=most, rewake_seconds=rewake)
        swept_evaluations = evaluations.sweep(session, max_attempts=most, rewake_seconds=rewake)
        swept_validations = validations.sweep(session, max_attempts=most, rewake_seconds=rewake)
        swept_portions = portions.sweep(session, max_attempts=most, rewake_seconds=rewake)
    for job_id in swept_jobs.wake:
        services.queue.wake_job(job_id, swept_jobs.needs[job_id])
    for evaluation_id in swept_evaluations.wake:
        services.queue.wake_evaluation(evaluation_id)
    for validation_id in swept_validations.wake:
        services.queue.wake_validation(validation_id)
    for portion_id in swept_portions.wake:
        services.queue.wake_portion(portion_id)
    swept = (swept_jobs, swept_evaluations, swept_validations, swept_portions)
    lost = [row_id for one in swept for row_id in (*one.requeued, *one.failed)]
    if lost:
        log.info("swept", lost=lost)
    expired = uploads.sweep(services)
    if expired:
        log.info("uploads_expired", uploads=expired)
