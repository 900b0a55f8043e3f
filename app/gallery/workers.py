"""/workers: who works, what waits, what takes up room, and what went wrong."""

from collections import defaultdict
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from app import health, status
from app.deps import Reading, Service
from app.gallery.frame import PageRoute, page
from app.keys.scopes import READ
from registry.clock import utc_now
from registry.models import Artifact, Dataset, Evaluation, Job, Validation

router = APIRouter(prefix="/workers", include_in_schema=False, dependencies=[READ], route_class=PageRoute)

#: What people call a queue.
QUEUES = {
    "cpu": "jobs (CPU)",
    "gpu": "jobs (GPU)",
    "evaluate": "evaluations",
    "validate": "validations of uploads",
    "portions": "portions of long work",
}


@dataclass(frozen=True, kw_only=True)
class Held:
    """Something that a worker holds or that failed. address: of the page that tells more; None: there is none."""

    kind: str
    name: str
    address: str | None


@router.get("")
def index(request: Request, session: Reading, service: Service) -> Response:
    """Workers, queues, room and failures. The page asks for itself again every few seconds."""
    now = status.look(session, service)
    live = health.live_workers(session)
    ids = [one for worker in live for one in (*worker.in_hand, *worker.helps)] + [one.last_id for one in now.failures]
    return page(
        request,
        "workers.html",
        service=now,
        workers=live,
        held={one: held(session, one) for one in ids},
        queues=defaultdict(str, QUEUES),
        as_of=utc_now(),
    )


def held(session: Session, row_id: str) -> Held:
    """What an id stands for, and where more is told of it."""
    kind = row_id.partition("_")[0]
    if kind == "job":
        job = session.get(Job, row_id)
        name = f"{job.method or 'recipe'} on {job.dataset}" if job else row_id
        return Held(kind="job", name=name, address=f"/jobs/{row_id}")
    if kind == "eval":
        evaluation = session.get(Evaluation, row_id)
        artifact = session.get(Artifact, evaluation.artifact_id) if evaluation else None
        if evaluation and artifact:
            name = f"{evaluation.network} on {artifact.dataset}"
            return Held(kind="evaluation", name=name, address=f"/artifacts/{artifact.id}")
    if kind == "val":
        validation = session.get(Validation, row_id)
        dataset = session.get(Dataset, validation.dataset_id) if validation else None
        if dataset:
            return Held(kind="validation of", name=dataset.name, address=f"/datasets/{dataset.name}")
    return Held(kind="portion" if kind == "port" else kind, name=row_id[-8:], address=None)
