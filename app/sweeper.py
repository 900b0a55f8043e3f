"""The sweep for lost jobs, in a thread of the front end: with every worker dead, someone still has to notice."""

import threading

import structlog

from app.services import Services
from registry import errors, evaluations, jobs

log = structlog.get_logger(__name__)

#: How long the service's end waits for a sweep in hand, in seconds.
JOIN_SECONDS = 10.0


class Sweeper:
    """Sweeps every `sweep_seconds`, the first time at once, until it is stopped."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the sweep in hand."""
        self._stop.set()
        self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        while True:
            try:
                sweep_once(self._services)
            except Exception as error:
                # Whatever it was, the next round may find it gone; a sweeper that has died helps nobody.
                known = isinstance(error, errors.RegistryError)
                log.warning("sweep_failed", reason=str(error) if known else repr(error), exc_info=not known)
            if self._stop.wait(self._services.settings.sweep_seconds):
                return


def sweep_once(services: Services) -> None:
    """Queue again what silent workers held, and send the wake-ups that are due, after the commit."""
    settings = services.settings
    with services.writing() as session:
        most, rewake = settings.max_attempts, settings.rewake_seconds
        swept_jobs = jobs.sweep(session, max_attempts=most, rewake_seconds=rewake)
        swept_evaluations = evaluations.sweep(session, max_attempts=most, rewake_seconds=rewake)
    for job_id in swept_jobs.wake:
        services.queue.wake_job(job_id)
    for evaluation_id in swept_evaluations.wake:
        services.queue.wake_evaluation(evaluation_id)
    lost = [*swept_jobs.requeued, *swept_jobs.failed, *swept_evaluations.requeued, *swept_evaluations.failed]
    if lost:
        log.info("swept", lost=lost)
