"""The one optimisation loop. It calls an objective, steps an optimiser and yields events; it knows no database, queue,
file or HTTP.

Every random number follows from the recipe's seed and the step's number, so a run that was killed and resumed ends in
the same bytes as one that was not (on one kind of device, with the same number of threads).
"""

import time
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import torch

from distilled import knobs
from distilled.files import pack
from distilled.images import standardise
from distilled.manifest import FORMAT
from distilled.parametrizations.base import Parametrization, parametrization_class
from distilled.recipe import check_budget
from workers.distill import selection
from workers.distill.batches import Draw, RealBatches
from workers.distill.catalog import build as build_catalog
from workers.distill.data import RealData
from workers.distill.errors import NotFinite
from workers.distill.events import Event, Finished, Metrics, Progress, Snapshot, Started
from workers.distill.objectives.base import Objective, objective_class
from workers.distill.optimiser import Outer
from workers.distill.rng import Rng

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
) -> Iterator[Event]:
    """Distil: an expanded recipe and real data in, events out, the last of them `Finished`.

    `resume` goes on from an earlier attempt's snapshot; `snapshot_every` yields one each so many steps. Raises
    RecipeError for a recipe that cannot work on this data, NotFinite where the loss leaves the finite numbers.
    """
    per_class = check_budget(recipe, build_catalog(), facts(real))
    rng = Rng(recipe["seed"])
    parametrization = start_of(recipe, real, per_class, rng=rng.child("start")).to(device)
    objective = _objective(recipe, real, device=device, rng=rng.child("objective"))
    optimiser = Outer(parametrization, objective.config, steps=recipe["steps"])
    batches, draw = RealBatches(real, device=device), Draw(parametrization)
    objective.prepare(batches)
    first = _restore(resume, parametrization, optimiser, objective, draw) if resume else 0
    steps = recipe["steps"]
    yield Started(step=first, steps=steps, device=device, images_per_class=per_class)
    clock = _Clock(first=first, steps=steps, seen=draw.images_seen)
    for step in range(first, steps):
        step_rng = rng.child("step", step)
        draw.step_batches.clear()
        optimiser.begin(step)
        loss = objective.loss(draw, batches, rng=step_rng)
        loss.backward()
        optimiser.step(step)
        objective.after_step(draw, batches, rng=step_rng.child("after"))
        value = float(loss.detach())
        if not torch.isfinite(loss.detach()):
            raise NotFinite(f"the loss became {value} at step {step + 1} of {steps}; lower `objective.learning_rate`")
        done = step + 1
        yield clock.progress(done, loss=value, seen=draw.images_seen)
        if done % max(1, steps // METRIC_POINTS) == 0 or done == steps:
            yield _metrics(done, loss=value, objective=objective, clock=clock, seen=draw.images_seen, device=device)
        if snapshot_every and done % snapshot_every == 0 and done < steps:
            yield _snapshot(done, parametrization, optimiser, objective, draw)
    optimiser.finish()
    objective.finish(parametrization)
    header = _header(recipe, real, parametrization, draw, per_class, device=device, code_version=code_version)
    yield Finished(content=pack(parametrization, header), header=header)


def facts(real: RealData) -> dict[str, Any]:
    """What budgets need to know of a data set."""
    counts = torch.bincount(real.train_labels_N, minlength=real.space.num_classes).tolist()
    shape = list(real.space.shape)
    return {"name": real.name, "classes": list(real.space.classes), "train_counts": counts, "shape": shape}


def start_of(recipe: Mapping[str, Any], real: RealData, per_class: int, *, rng: Rng) -> Parametrization:
    """The parametrization of a recipe, at its start."""
    options = {name: value for name, value in recipe["parametrization"].items() if name != "kind"}
    kind = parametrization_class(recipe["parametrization"]["kind"])
    config = knobs.build(kind.Config, options, pointer="/parametrization")
    pixels_NCHW = selection.start(recipe["selection"]["start"])(real, per_class, rng)
    images_NCHW = standardise(pixels_NCHW, mean=real.space.mean, std=real.space.std)
    return kind(config, space=real.space, images_NCHW=images_NCHW)  # pyright: ignore[reportCallIssue]


def _objective(recipe: Mapping[str, Any], real: RealData, *, device: str, rng: Rng) -> Objective:
    options = {name: value for name, value in recipe["objective"].items() if name != "kind"}
    kind = objective_class(recipe["objective"]["kind"])
    return kind(knobs.build(kind.Config, options, pointer="/objective"), space=real.space, device=device, rng=rng)


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


def _metrics(step: int, *, loss: float, objective: Objective, clock: _Clock, seen: int, device: str) -> Metrics:
    values = {"loss": loss, "images_per_second": clock.rate(seen), **objective.metrics}
    if device.startswith("cuda"):
        values["device_memory_bytes"] = float(torch.cuda.max_memory_allocated(device))
    return Metrics(step=step, values=values)


def _snapshot(
    step: int, parametrization: Parametrization, optimiser: Outer, objective: Objective, draw: Draw
) -> Snapshot:
    tensors = {f"parameters/{name}": value for name, value in parametrization.state_dict().items()}
    tensors |= {f"optimiser/{name}": value for name, value in optimiser.tensors().items()}
    tensors |= {f"objective/{name}": value for name, value in objective.tensors().items()}
    copies = {name: value.detach().clone() for name, value in tensors.items()}
    return Snapshot(step=step, tensors=copies, state={"images_seen": draw.images_seen, "objective": objective.state()})


def _restore(
    snapshot: Snapshot,
    parametrization: Parametrization,
    optimiser: Outer,
    objective: Objective,
    draw: Draw,
) -> int:
    def below(prefix: str) -> dict[str, torch.Tensor]:
        return {n.removeprefix(prefix): value for n, value in snapshot.tensors.items() if n.startswith(prefix)}

    parametrization.load_state_dict(below("parameters/"))
    optimiser.restore(below("optimiser/"))
    objective.restore(below("objective/"), snapshot.state["objective"])
    draw.images_seen = snapshot.state["images_seen"]
    return snapshot.step


def _header(
    recipe: Mapping[str, Any],
    real: RealData,
    parametrization: Parametrization,
    draw: Draw,
    per_class: int,
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
        "ipc": per_class,
        "budget": budget,
        "recipe": dict(recipe),
        "seed": recipe["seed"],
        "steps": recipe["steps"],
        "images_seen": draw.images_seen,
        "code_version": code_version,
        "device_kind": torch.device(device).type,
    }
