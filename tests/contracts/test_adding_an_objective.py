"""The worked example of `docs/adding-an-objective.md` runs as it stands."""

import re
from dataclasses import dataclass
from pathlib import Path

import torch

from distilled.knobs import knob
from tests.unit.laboratory.toys import toy_data, toy_recipe
from workers.distill.events import Finished, Progress
from workers.distill.loop import run
from workers.distill.objectives import base


def test_the_example_distils(monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "adding-an-objective.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    scope = {
        "Objective": base.Objective,
        "OptimiserConfig": base.OptimiserConfig,
        "dataclass": dataclass,
        "knob": knob,
        "torch": torch,
        "__name__": "example",
    }
    exec(code, scope)  # noqa: S102 -- our own page
    monkeypatch.setattr("workers.distill.loop.objective_class", lambda kind: scope["ClassMeans"])
    recipe = toy_recipe("dm") | {"objective": {"kind": "class-means", "learning_rate": 0.1}, "steps": 20}
    events = list(run(recipe, toy_data(), code_version="test"))
    losses = [event.loss for event in events if isinstance(event, Progress)]
    assert losses[-1] < 0.5 * losses[0]
    assert isinstance(events[-1], Finished)
