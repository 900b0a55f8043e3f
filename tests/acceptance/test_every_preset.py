"""Every preset goes the whole road, and killed on the way ends in the bytes that the laboratory alone makes of it."""

import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx2
import pytest

import distilled
from distilled.recipe import expand
from tests.acceptance.service import TINY, Service
from workers.distill.data import load
from workers.distill.events import Finished
from workers.distill.loop import run

CATALOG = json.loads((Path(__file__).parents[2] / "app" / "catalog.json").read_text(encoding="utf-8"))
SMALL = {"network": "convnet1-w8", "real_batch": 32}
UNROLLED = {**SMALL, "inner_steps": 4, "inner_batch": 2}
EXPERTS = {"experts": 2, "expert_epochs": 2, "max_start_epoch": 1, "match_epochs": 1}
GAME = {
    "network": "convnet1-w8",
    "network_steps": 2,
    "batch": 16,
    "pool_size": 1,
    "discriminator_width": 4,
    "warmup_steps": 20,
    "warmup_batch": 16,
}
#: preset -> a recipe of a second or two. The selections take turns, so that each goes the road as well.
RECIPES: dict[str, dict[str, Any]] = {
    "bptt": {"objective": UNROLLED, "selection": {"start": "centroid", "batches": "importance"}, "steps": 100},
    "dc": {"objective": {**SMALL, "network_steps": 2}, "selection": {"start": "sensitivity"}, "steps": 60},
    "dim": {"objective": GAME, "parametrization": {"width": 4, "latent": 16}, "steps": 40},
    "dm": {"objective": SMALL, "selection": {"start": "herding", "batches": "importance"}, "steps": 150},
    "dsa": {"objective": {**SMALL, "network_steps": 2}, "selection": {"start": "importance"}, "steps": 60},
    "frepo": {"objective": SMALL, "selection": {"start": "leverage", "batches": "importance"}, "steps": 200},
    "kip": {"objective": {"real_batch": 32}, "selection": {"start": "random"}, "steps": 600},
    "mtt": {"objective": {"network": "convnet1-w8", "synthetic_steps": 4, **EXPERTS}, "steps": 100},
    "remember-the-past": {"objective": UNROLLED, "parametrization": {"bases": 8}, "steps": 100},
    "sre2l": {"objective": {"network": "convnet1-w8-batch", "teacher_epochs": 4}, "steps": 300},
}
#: One with a penalty, whose networks are trained before the first step and found in the store by the next attempt.
PENALISED: dict[str, Any] = {
    "objective": SMALL,
    "ipc": 3,
    "steps": 120,
    "penalties": [
        {
            "kind": "architecture_invariance",
            "networks": "convnet1-w8,convnet2-w8-batch",
            "batch": 2,
            "teacher_epochs": 2,
        }
    ],
}
CASES = {**{method: (method, recipe) for method, recipe in RECIPES.items()}, "dm-penalised": ("dm", PENALISED)}


def test_each_preset_has_its_recipe_here() -> None:
    assert set(RECIPES) == set(CATALOG["presets"])


@pytest.mark.parametrize("case", sorted(CASES))
def test_it_is_posted_killed_resumed_found_and_drawn_from(service: Service, case: str, tmp_path: Path) -> None:
    method, options = CASES[case]
    recipe = {**TINY, "method": method, "ipc": 2, "seed": 31, "evaluation": {"networks": []}, **options}
    job_id = service.submit(**recipe)
    service.until_snapshot(job_id)
    os.kill(service.child_at_work(job_id), signal.SIGKILL)
    job = service.until_state(job_id, "succeeded")
    assert job["attempt"] == 2
    (artifact,) = service.get(f"/v1/artifacts?dataset=digits&method={method}&ipc={recipe['ipc']}")["items"]
    assert artifact["id"] == job["artifact_id"]
    assert artifact["digest"] == undisturbed(recipe, folder=tmp_path)
    sample = httpx2.get(f"{service.url}/v1/artifacts/{artifact['id']}/samples?ipc=1&classes=3,8&format=npz", timeout=30)
    assert sample.status_code == 200, sample.text
    assert sample.content[:2] == b"PK"


def undisturbed(recipe: dict[str, Any], *, folder: Path) -> str:
    """The digest that the laboratory comes to by itself, in one go."""
    real = load("digits", data_dir=folder, download=False)
    *_, finished = run(expand(recipe, CATALOG), real, code_version=distilled.__version__)
    assert isinstance(finished, Finished)
    return hashlib.sha256(finished.content).hexdigest()
