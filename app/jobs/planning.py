"""From a body to a job: everything that can be wrong with a recipe is found before anything is queued."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.datasets.known import facts
from app.jobs.schemas import DryRun, Estimate
from app.services import Catalog
from distilled import __version__, recipe
from distilled.errors import Problem, RecipeError
from registry import jobs


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A recipe that can be distilled.

    ipc: what its budget comes to. digest: equal digests make equal artifacts.
    stored_bytes: what the artifact's tensors will take.
    """

    recipe: dict[str, Any]
    ipc: int
    digest: str
    stored_bytes: int


def plan(session: Session, catalog: Catalog, body: Mapping[str, Any]) -> Plan:
    """Expand and check a recipe. Raises RecipeError with every problem of the recipe and of its data set."""
    problems: list[Problem] = []
    expanded: dict[str, Any] = {}
    dataset: Mapping[str, Any] = {}
    try:
        expanded = recipe.expand(body, catalog)
    except RecipeError as error:
        problems += error.problems
    if isinstance(body.get("dataset"), str):
        try:
            dataset = facts(session, catalog, body["dataset"])
        except RecipeError as error:
            problems += error.problems
    if problems:
        raise RecipeError(problems)
    holding = recipe.check_budget(expanded, catalog, dataset)
    return Plan(
        recipe=expanded,
        ipc=holding.ipc,
        digest=recipe.recipe_digest(expanded, dataset_digest=dataset["digest"], code_version=__version__),
        stored_bytes=holding.bytes,
    )


def foresee(session: Session, planned: Plan) -> DryRun:
    """What a recipe comes to, and whether it is on its way already."""
    existing = jobs.find_reusable(session, planned.digest)
    return DryRun(
        recipe=planned.recipe,
        ipc=planned.ipc,
        digest=planned.digest,
        existing_job_id=None if existing is None else existing.id,
        estimate=Estimate(
            bytes=planned.stored_bytes,
            seconds=None,
            reason="how long it takes depends on the worker; the job's eta_seconds tells once it runs",
        ),
    )
