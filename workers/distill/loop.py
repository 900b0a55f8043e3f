"""The one optimisation loop. It calls an objective, steps an optimiser and yields events; it knows no database, queue,
file or HTTP.

Every random number follows from the recipe's seed and the step's number, so a run that was killed and resumed ends in
the same bytes as one that was not (on one kind of device, with the same number of threads).
"""

import time
from collections.abc import Iterator, Mapping
from functools import partial
from math import isfinite, prod
from typing import Any

import torch
from torch import Tensor

from distilled import knobs
from distilled.files import pack
from distilled.manifest import FORMAT
from distilled.parametrizations.base import Parametrization
from distilled.recipe import NOT_IN_DIGEST, check_budget
from workers.distill import continual, selection, starts
from workers.distill.batches import Draw, RealBatches, Uniform
from workers.distill.catalog import build as build_catalog
from workers.distill.data import RealData
from workers.distill.errors import NotFinite
from workers.distill.events import Event, Finished, Look, Metrics, Preparing, Progress, Snapshot, Started
from workers.distill.looking import look_at
from workers.distill.objectives.base import OBJECTIVES, Objective, objective_class
from workers.distill.optimiser import Outer
from workers.distill.penalties.base import Penalty, penalty_class
from workers.distill.probe import Probe
from workers.distill.rng import Rng
from workers.distill.shelf import MemoryShelf, Shelf
from workers.distill.snapshots import below

#: Points of the recorded series, over a whole run.
METRIC_POINTS = 200


def run(
    recipe: Mapping[str, Any],
    real: RealData,
    *,
    device: str = "cpu",
    resume: Snapshot | None = None,
    code_version: str,
    snapshot_every: int | None = None,
    shelf: Shelf | None = None,
    base: bytes | None = None,
    slices: int = 1,
    looks: bool = False,
) -> Iterator[Event]:
    """Distil: an expanded recipe and real data in, events out, the last of them `Finished`.

    `resume` goes on from an earlier attempt's snapshot; `snapshot_every` yields one each so many steps. On the
    `shelf` lie resources that runs share, such as experts; without one they are made for this run alone. `base` is the
    file of the recipe's `base_artifact`, a memory that goes on with the classes of `real`. `slices` is in how many
    parts real batches are taken, for devices with little memory; floats are then added in another order, so the
    artifact differs in its last bits, and its header says so. With `looks` it yields a `Look` before the first step and
    after each. Raises RecipeError for a recipe that cannot work on this
    data, NotFinite where the loss leaves the finite numbers.
    """
    continued = continual.of_recipe(recipe, base, real)
    real = continued.real if continued else real
    budget = check_budget(recipe, build_catalog(), facts(real))
    rng = Rng(recipe["seed"])
    parametrization = starts.begin(recipe, real, budget.per_class, rng=rng.child("start"), base=continued)
    parametrization = parametrization.to(device)
    objective = _objective(recipe, real, device=device, rng=rng.child("objective"))
    objective.slices = slices if sliceable(recipe) else 1
    penalties = _penalties(recipe, real, objective, device=device)
    draw = Draw(parametrization)
    batches = RealBatches(real, device=device, sampler=_sampler(recipe, real, objective, device=device))
    first, steps = resume.step if resume else 0, recipe["steps"]
    yield Started(step=first, steps=steps, device=device, images_per_class=budget.per_class)
    shelf = shelf or MemoryShelf()
    yield from objective.prepare(batches, parametrization=parametrization, shelf=shelf)
    for penalty in penalties:
        yield from penalty.prepare(batches, shelf=shelf)
    # Behind what prepares, so that its running average begins where a warm-up ended.
    optimiser = Outer(parametrization, objective.config, steps=steps)
    if resume:
        _restore(resume, parametrization, optimiser, objective, draw, batches)
    clock = _Clock(first=first, steps=steps, seen=draw.images_seen)
    if looks:
        yield Look(step=first, steps=steps, draw=partial(look_at, parametrization))
    for step in range(first, steps):
        step_rng = rng.child("step", step)
        batches.refresh(step, draw, rng=step_rng.child("refresh"))
        optimiser.begin(step)
        loss = _descend(objective.loss(draw, batches, rng=step_rng))
        for penalty in penalties:
            loss = loss + _descend(penalty.loss(draw, rng=step_rng.child("penalty", penalty.kind)))
        optimiser.step(step)
        objective.after_step(draw, batches, rng=step_rng.child("after"))
        value = float(loss)
        if not isfinite(value):
            raise NotFinite(f"the loss became {value} at step {step + 1} of {steps}; lower `objective.learning_rate`")
        done = step + 1
        yield clock.progress(done, loss=value, seen=draw.images_seen)
        if done % max(1, steps // METRIC_POINTS) == 0 or done == steps:
            terms = {name: term for one in (objective, *penalties) for name, term in one.metrics.items()}
            yield _metrics(done, loss=value, terms=terms, clock=clock, seen=draw.images_seen, device=device)
        if looks:
            yield Look(step=done, steps=steps, draw=partial(look_at, parametrization))
        if snapshot_every and done % snapshot_every == 0 and done < steps:
            yield _snapshot(done, parametrization, optimiser, objective, draw, batches)
    optimiser.finish()
    objective.finish(parametrization)
    parametrization.settle(rng=rng.child("settle").generator())
    header = _header(recipe, real, parametrization, draw, budget.ipc, device=device, code_version=code_version)
    header |= continued.marks(recipe) if continued else {}
    header |= {"slices": objective.slices} if objective.slices > 1 else {}
    yield Finished(content=pack(parametrization, header), header=header)


def sliceable(recipe: Mapping[str, Any]) -> bool:
    """Whether a run of this recipe needs less memory with `slices`. A batch normalisation looks at the whole batch."""
    objective: Mapping[str, Any] = recipe.get("objective") or {}
    kind = objective.get("kind")
    return kind in OBJECTIVES and objective_class(kind).sliceable and "-batch" not in objective.get("network", "")


def make(
    key: str,
    recipe: Mapping[str, Any],
    real: RealData,
    *,
    device: str = "cpu",
    shelf: Shelf,
    base: bytes | None = None,
) -> Iterator[Preparing]:
    """Make what a run of this recipe has on its shelf under the key, in its place; the others are as of `run`."""
    continued = continual.of_recipe(recipe, base, real)
    real = continued.real if continued else real
    objective = _objective(recipe, real, device=device, rng=Rng(recipe["seed"]).child("objective"))
    yield from objective.make(key, RealBatches(real, device=device), shelf=shelf)


def facts(real: RealData) -> dict[str, Any]:
    """What budgets need to know of a data set."""
    counts = torch.bincount(real.train_labels_N, minlength=real.space.num_classes).tolist()
    shape = list(real.space.shape)
    return {"name": real.name, "classes": list(real.space.classes), "train_counts": counts, "shape": shape}


def _objective(recipe: Mapping[str, Any], real: RealData, *, device: str, rng: Rng) -> Objective:
    options = {name: value for name, value in recipe["objective"].items() if name != "kind"}
    kind = objective_class(recipe["objective"]["kind"])
    return kind(knobs.build(kind.Config, options, pointer="/objective"), space=real.space, device=device, rng=rng)


def _penalties(recipe: Mapping[str, Any], real: RealData, objective: Objective, *, device: str) -> list[Penalty]:
    out: list[Penalty] = []
    for i, declared in enumerate(recipe["penalties"]):
        kind = penalty_class(declared["kind"])
        options = {name: value for name, value in declared.items() if name != "kind"}
        config = knobs.build(kind.Config, options, pointer=f"/penalties/{i}")
        out.append(kind(config, space=real.space, device=device, network=objective.network))
    return out


def _descend(loss: Tensor) -> Tensor:
    """Add a loss's gradients to those at hand; answers with its value.

    Each term goes back by itself, so that the graph of one is gone before the next is made.
    """
    loss.backward()
    return loss.detach()


def _sampler(recipe: Mapping[str, Any], real: RealData, objective: Objective, *, device: str) -> Uniform:
    needed = objective.real_losses == "probe"
    probe = Probe(objective.config.network, space=real.space, device=device) if needed else None
    return selection.sampler(recipe["selection"], real, device=device, probe=probe)


class _Clock:
    """Speed and time left, for people to read; nothing of it goes into the artifact."""

    def __init__(self, *, first: int, steps: int, seen: int) -> None:
        self.first, self.steps, self.seen = first, steps, seen
        self.began = time.monotonic()

    def rate(self, seen: int) -> float:
        """Synthetic images drawn per second since the run began or went on."""
        return (seen - self.seen) / max(time.monotonic() - self.began, 1e-9)

    def progress(self, done: int, *, loss: float, seen: int) -> Progress:
        per_step = (time.monotonic() - self.began) / (done - self.first)
        eta_seconds = per_step * (self.steps - done)
        return Progress(
            step=done, steps=self.steps, loss=loss, images_per_second=self.rate(seen), eta_seconds=eta_seconds
        )


def _metrics(step: int, *, loss: float, terms: Mapping[str, float], clock: _Clock, seen: int, device: str) -> Metrics:
    values = {"loss": loss, "images_per_second": clock.rate(seen), **terms}
    if device.startswith("cuda"):
        values["device_memory_bytes"] = float(torch.cuda.max_memory_allocated(device))
    return Metrics(step=step, values=values)


def _snapshot(
    step: int,
    parametrization: Parametrization,
    optimiser: Outer,
    objective: Objective,
    draw: Draw,
    batches: RealBatches,
) -> Snapshot:
    tensors = {f"parameters/{name}": value for name, value in parametrization.state_dict().items()}
    tensors |= {f"optimiser/{name}": value for name, value in optimiser.tensors().items()}
    tensors |= {f"objective/{name}": value for name, value in objective.tensors().items()}
    tensors |= {f"batches/{name}": value for name, value in batches.sampler.tensors().items()}
    copies = {name: value.detach().clone() for name, value in tensors.items()}
    state = {"images_seen": draw.images_seen, "objective": objective.state(), "batches": batches.sampler.state()}
    return Snapshot(step=step, tensors=copies, state=state)


def _restore(
    snapshot: Snapshot,
    parametrization: Parametrization,
    optimiser: Outer,
    objective: Objective,
    draw: Draw,
    batches: RealBatches,
) -> None:
    tensors = snapshot.tensors
    parametrization.load_state_dict(below("parameters/", tensors))
    optimiser.restore(below("optimiser/", tensors))
    objective.restore(below("objective/", tensors), snapshot.state["objective"])
    batches.sampler.restore(below("batches/", tensors), snapshot.state["batches"])
    draw.images_seen = snapshot.state["images_seen"]


def _header(
    recipe: Mapping[str, Any],
    real: RealData,
    parametrization: Parametrization,
    draw: Draw,
    ipc: int,
    *,
    device: str,
    code_version: str,
) -> dict[str, Any]:
    held = parametrization.per_class
    budget = {
        "bytes": parametrization.num_bytes(),
        "floats": parametrization.num_floats(),
        "images": None if held is None else held * real.space.num_classes,
        "ipc_equivalent": parametrization.num_floats() / (prod(real.space.shape) * real.space.num_classes),
    }
    return {
        "format": FORMAT,
        "kind": parametrization.kind,
        "config": {name: value for name, value in recipe["parametrization"].items() if name != "kind"},
        "space": real.space.to_json(),
        "classes": list(real.space.classes),
        "dataset": {"name": real.name, "digest": real.digest, "licence": real.licence},
        "ipc": ipc,
        "budget": budget,
        "recipe": {**recipe, **NOT_IN_DIGEST},
        "seed": recipe["seed"],
        "steps": recipe["steps"],
        "images_seen": draw.images_seen,
        "code_version": code_version,
        "device_kind": torch.device(device).type,
    }
