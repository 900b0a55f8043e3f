"""What a job's images looked like on the way: a few contact sheets, spread over all that was made so far.

The bytes lie in the store before a row names them, and a row goes before its bytes: what dies in between leaves bytes
that the sweep frees with the job's other things.
"""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from registry import errors
from registry.clock import utc_now
from registry.jobs.story import record_event
from registry.models import EventKind, JobPicture

#: So many are kept of a job, however long it takes.
MOST_PICTURES = 60


def record_picture(
    session: Session, job_id: str, *, attempt: int, step: int, key: str, num_bytes: int
) -> Sequence[str] | None:
    """Tell of a picture that lies in the store under the key, in an event whose number is its own.

    Returns the keys that no row names any more, to be deleted after the commit: of the one that lay closest between its
    neighbours, where there are too many. None: the job is no longer yours.
    """
    data = {"step": step, "bytes": num_bytes}
    number = record_event(session, job_id, attempt=attempt, kind=EventKind.PICTURE, data=data)
    if number is None:
        return None
    about = {"attempt": attempt, "step": step, "key": key, "num_bytes": num_bytes, "created_at": utc_now()}
    session.add(JobPicture(job_id=job_id, number=number, **about))
    session.flush()
    kept = pictures(session, job_id)
    if len(kept) <= MOST_PICTURES:
        return []
    # The first and the last stay; of the others the one whose going leaves the smallest gap.
    moments = [one.created_at for one in kept]
    gone = min(range(1, len(kept) - 1), key=lambda i: (moments[i + 1] - moments[i - 1], i))
    session.delete(kept[gone])
    session.flush()
    return [kept[gone].key]


def pictures(session: Session, job_id: str) -> Sequence[JobPicture]:
    """All that are kept of a job, in the order in which they were made."""
    return session.scalars(select(JobPicture).where(JobPicture.job_id == job_id).order_by(JobPicture.number)).all()


def picture(session: Session, job_id: str, number: int) -> JobPicture:
    """One of them. Raises NotFound."""
    found = session.get(JobPicture, (job_id, number))
    if found is None:
        raise errors.NotFound(f"Job {job_id} has no picture {number} any more; GET …/pictures lists those there are.")
    return found


def forget_pictures(session: Session, job_id: str) -> None:
    """Let no row name a picture of this job any more."""
    session.execute(delete(JobPicture).where(JobPicture.job_id == job_id))
