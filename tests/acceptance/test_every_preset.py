"""Every preset goes the whole road, and ends in the same bytes when its process is killed on the way."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.acceptance.service import Service

PRESETS = json.loads((Path(__file__).parents[2] / "app" / "catalog.json").read_text(encoding="utf-8"))["presets"]
SMALL = {"network": "convnet1-w8", "real_batch": 32}
UNROLLED = {**SMALL, "inner_steps": 4, "inner_batch": 2}
EXPERTS = {"experts": 2, "expert_epochs": 2, "max_start_epoch": 1, "match_epochs": 1}
#: preset -> a recipe of a second or two. The selections take turns, so that each goes the road as well.
RECIPES: dict[str, dict[str, Any]] = {
    "bptt": {"objective": UNROLLED, "selection": {"start": "centroid", "batches": "importance"}, "steps": 100},
    "dc": {"objective": {**SMALL, "network_steps": 2}, "selection": {"start": "sensitivity"}, "steps": 60},
    "dm": {"objective": SMALL, "selection": {"start": "herding", "batches": "importance"}, "steps": 150},
    "dsa": {"objective": {**SMALL, "network_steps": 2}, "selection": {"start": "importance"}, "steps": 60},
    "frepo": {"objective": SMALL, "selection": {"start": "leverage", "batches": "importance"}, "steps": 200},
    "kip": {"objective": {"real_batch": 32}, "selection": {"start": "random"}, "steps": 600},
    "mtt": {"objective": {"network": "convnet1-w8", "synthetic_steps": 4, **EXPERTS}, "steps": 100},
    "remember-the-past": {"objective": UNROLLED, "parametrization": {"bases": 8}, "steps": 100},
}


def test_each_preset_has_its_recipe_here() -> None:
    assert set(RECIPES) == set(PRESETS)


@pytest.mark.parametrize("method", sorted(RECIPES))
def test_it_is_posted_watched_killed_found_and_drawn_from(service: Service, method: str) -> None:
    recipe = {"method": method, "ipc": 2, "seed": 31, "evaluation": {"networks": []}, **RECIPES[method]}
    undisturbed = service.until_state(service.submit(**recipe), "succeeded")["artifact_id"]
    job_id = service.submit(**recipe)
    service.until_snapshot(job_id)
    os.kill(service.child_at_work(job_id), signal.SIGKILL)
    job = service.until_state(job_id, "succeeded")
    assert (job["attempt"], job["artifact_id"]) == (2, undisturbed)
    found = service.get(f"/v1/artifacts?dataset=digits&method={method}&ipc=2")["items"]
    assert undisturbed in [one["id"] for one in found]
    sample = httpx2.get(f"{service.url}/v1/artifacts/{undisturbed}/samples?ipc=1&classes=3,8&format=npz", timeout=30)
    assert sample.status_code == 200, sample.text
    assert sample.headers["content-type"] == "application/zip" or sample.content[:2] == b"PK"
