"""For tests of continual learning: further toy sets of other classes, and runs that continue a memory with them."""

from dataclasses import replace
from typing import Any

from tests.unit.laboratory.toys import SPACE, toy_data, toy_recipe
from workers.distill.data import RealData
from workers.distill.events import Event, Finished
from workers.distill.loop import run

MEMORY = {"kind": "memory", "bases": 4, "downsample": 2, "storage": "float32"}


def further_data(name: str = "rows", *, per_class: int = 12) -> RealData:
    """Three more classes: bright rows in place of bright columns, under another standardisation."""
    real = toy_data(per_class, seed=sum(name.encode()))
    turned = {
        f"{split}_bytes_NHWC": getattr(real, f"{split}_bytes_NHWC").transpose(1, 2).contiguous()
        for split in ("train", "val", "test")
    }
    classes = tuple(f"{name} {k}" for k in range(3))
    space = replace(SPACE, mean=(0.4,), std=(0.5,), classes=classes)
    return replace(real, name=name, digest=f"digest of {name}", licence="CC BY 4.0", space=space, **turned)


def memory_recipe(*, base: str | None = None, parametrization: dict[str, Any] | None = None, **fields: Any) -> dict:
    """A memory by kernel regression in a few steps."""
    whole = {"steps": 4, "ipc": 1, "selection": {"start": "random"}, "base_artifact": base} | fields
    return toy_recipe("kip", parametrization={**MEMORY, **(parametrization or {})}, **whole)


def events(recipe: dict, real: RealData, **options: Any) -> tuple[list[Event], Finished]:
    """What a run tells, and its end."""
    told = list(run(recipe, real, code_version="test", **options))
    assert isinstance(told[-1], Finished)
    return told, told[-1]


def made(recipe: dict, real: RealData, **options: Any) -> bytes:
    """The file that a run ends in."""
    return events(recipe, real, **options)[1].content
