"""Evaluations of an artifact: what was measured on which network, and networks to be added later."""

from fastapi import APIRouter, BackgroundTasks, Response
from sqlalchemy.orm import Session

from app.artifacts.schemas import EvaluationRead
from app.bodies import JsonObject
from app.datasets.known import facts
from app.deps import ArtifactName, Reading, Service
from app.errors import InvalidRequest
from app.keys.caller import Record
from app.keys.scopes import READ, submits
from app.paging import PageRead
from app.problems import responses
from app.services import Catalog
from app.wake import wake_evaluations
from distilled.errors import RecipeError
from distilled.recipe import expand_evaluation
from registry import artifacts, audit, evaluations, quotas
from registry.errors import Conflict
from registry.models import ENDED, Artifact, State

router = APIRouter(prefix="/v1/artifacts/{artifact}/evaluations", tags=["artifacts"])


@router.get("", dependencies=[READ], responses=responses(404, 422))
def list_evaluations(artifact: ArtifactName, session: Reading) -> PageRead[EvaluationRead]:
    """All of an artifact's evaluations, in the order in which they were asked for; on one page."""
    found = artifacts.get(session, artifact)
    rows = evaluations.of_artifact(session, found.id)
    return PageRead(items=[EvaluationRead.model_validate(row) for row in rows], next_cursor=None)


@router.post(
    "",
    status_code=202,
    dependencies=[submits("artifact.evaluate")],
    responses={
        202: {"description": "those asked for, at least one of which is queued or running"},
        200: {"model": PageRead[EvaluationRead], "description": "those asked for, which have all been made before"},
        **responses(404, 409, 413, 422, 503, 507),
    },
)
def evaluate_artifact(
    artifact: ArtifactName,
    body: JsonObject,
    response: Response,
    service: Service,
    who: Record,
    background: BackgroundTasks,
) -> PageRead[EvaluationRead]:
    """Measure an artifact on `networks`, each in a task of its own. What else is not said is as in its recipe.

    A network that was asked for before under the same options is not measured again, unless it failed.
    """
    with service.writing() as session:
        found = artifacts.get(session, artifact)
        try:
            config = expand_evaluation(body, service.catalog, found.header)
        except RecipeError as error:
            raise InvalidRequest(error.problems) from error
        _check_data(session, service.catalog, found)
        rows = evaluations.queue(
            session,
            found,
            networks=config.pop("networks"),
            config=config,
            seed=found.seed or 0,
            request_id=who.request_id,
            key_id=who.key_id,
        )
        audit.note(session, who, found.id)
        if any(row.state is State.QUEUED and row.woken_at is None for row in rows):
            quotas.check(session, who.key_id, service.settings.quotas, on_device=True)
        items = [EvaluationRead.model_validate(row) for row in rows]
        unwoken = [row.id for row in rows if row.state is State.QUEUED and row.woken_at is None]
    background.add_task(wake_evaluations, service, unwoken)
    response.headers["Location"] = f"/v1/artifacts/{found.id}/evaluations"
    if all(item.state in ENDED for item in items):
        response.status_code = 200
    return PageRead(items=items, next_cursor=None)


def _check_data(session: Session, catalog: Catalog, artifact: Artifact) -> None:
    """Raise Conflict where the data are gone that the networks would be tested on."""
    try:
        facts(session, catalog, artifact.dataset)
    except RecipeError as error:
        detail = f"the data set {artifact.dataset!r} that the artifact was made from was deleted; upload it again"
        raise Conflict(detail) from error
