"""From a body to a job: everything that can be wrong with a recipe is found before anything is queued."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.datasets.known import facts
from app.jobs.estimating import Estimator
from app.jobs.schemas import DryRun, Estimate
from app.keys import quotas
from app.services import Catalog
from app.settings import AppSettings
from distilled import __version__, continuing, recipe
from distilled.errors import Problem, RecipeError
from registry import artifacts, jobs
from registry.errors import NotFound
from registry.models import Artifact, Need

WebhookFault = Callable[[str], str | None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A recipe that can be distilled.

    ipc: what its budget comes to. digest: equal digests make equal artifacts.
    stored_bytes: what the artifact's tensors will take. facts: of the data that it holds classes of.
    """

    recipe: dict[str, Any]
    ipc: int
    digest: str
    stored_bytes: int
    facts: Mapping[str, Any]

    @property
    def asked(self) -> Need | None:
        """The kind of device that the recipe asks for; None: any will do."""
        return None if self.recipe["device"] == "auto" else Need(self.recipe["device"])


def plan(
    session: Session, catalog: Catalog, body: Mapping[str, Any], *, webhook_fault: WebhookFault = lambda url: None
) -> Plan:
    """Expand and check a recipe. Raises RecipeError with every problem of the recipe, its data set and its base.

    The base may be named by id, alias or digest; the recipe then names its id. Where no budget is given beside a base,
    it is the base's own in bytes.
    """
    problems: list[Problem] = []
    expanded: dict[str, Any] = {}
    dataset: Mapping[str, Any] = {}
    base: Artifact | None = None
    if isinstance(body.get("base_artifact"), str):
        try:
            base = _base(session, body["base_artifact"])
            given = any(body.get(name) is not None for name in recipe.BUDGETS)
            body = {**body, "base_artifact": base.id} | ({} if given else {"bytes": base.payload_bytes})
        except RecipeError as error:
            problems += error.problems
    try:
        expanded = recipe.expand(body, catalog)
    except RecipeError as error:
        problems += error.problems
    if isinstance(body.get("dataset"), str):
        try:
            dataset = facts(session, catalog, body["dataset"])
        except RecipeError as error:
            problems += error.problems
    if base is not None and dataset:
        problems += continuing.problems(base.header, dataset)
    if isinstance(body.get("webhook"), str):
        detail = webhook_fault(body["webhook"])
        problems += [] if detail is None else [Problem(pointer="/webhook", detail=detail)]
    if problems:
        raise RecipeError(problems)
    learnt = dataset if base is None else continuing.union(base.header, dataset)
    holding = recipe.check_budget(expanded, catalog, learnt)
    return Plan(
        recipe=expanded,
        ipc=holding.ipc,
        digest=recipe.recipe_digest(
            expanded,
            dataset_digest=dataset["digest"],
            code_version=__version__,
            base_digest=None if base is None else base.digest,
        ),
        stored_bytes=holding.bytes,
        facts=learnt,
    )


def estimate(session: Session, catalog: Catalog, planned: Plan, *, settings: AppSettings) -> Estimate:
    """On which kind of device a recipe will run, what it will take of it, and how long it will wait for it."""
    estimator = Estimator(
        session=session,
        facts_of=lambda name: _facts_or_guess(session, catalog, name),
        level_seconds=settings.priority_seconds,
    )
    known: dict[str, Any] = {"digest": planned.digest, "ipc": planned.ipc, "facts": planned.facts}
    need = estimator.need(planned.recipe)
    return estimator.estimate(planned.recipe, **known, stored_bytes=planned.stored_bytes, need=need)


def foresee(session: Session, catalog: Catalog, planned: Plan, *, key_id: str | None, settings: AppSettings) -> DryRun:
    """What a recipe comes to, what it will take, and whether it is on its way already."""
    existing = jobs.find_reusable(session, planned.digest, need=planned.asked)
    return DryRun(
        recipe=planned.recipe,
        ipc=planned.ipc,
        digest=planned.digest,
        existing_job_id=None if existing is None else existing.id,
        estimate=estimate(session, catalog, planned, settings=settings),
        quotas=quotas.shown(session, key_id, settings=settings),
    )


def _facts_or_guess(session: Session, catalog: Catalog, name: str) -> Mapping[str, Any]:
    """Facts of the data set of a waiting job; of one that was deleted meanwhile, those of a small one."""
    try:
        return facts(session, catalog, name)
    except RecipeError:
        return {"shape": [1, 28, 28], "classes": ["0"] * 10, "train_counts": [1000] * 10}


def _base(session: Session, name: str) -> Artifact:
    """The artifact that is continued, held so that it is not deleted before the job is there."""
    try:
        return artifacts.get(session, artifacts.id_of(session, name) or name, hold=True)
    except NotFound as error:
        detail = f"there is no artifact with the id, alias or digest {name[:96]!r}; GET /v1/artifacts lists them"
        raise RecipeError([Problem(pointer="/base_artifact", detail=detail)]) from error
