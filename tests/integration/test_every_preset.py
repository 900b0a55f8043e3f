"""Every preset goes the whole road, and killed on the way ends in the bytes that the laboratory alone makes of it.

The front end, the registry, the store and the worker's child are the real ones; the child is forked rather than born
of Celery's pool, because a new interpreter for each attempt would cost more than all presets do. How the running
service finds a dead child is in `tests/acceptance/test_harm.py`.
"""

import json
import signal
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import AppSettings
from registry import jobs, schema
from registry.models import EventKind
from registry.session import Database
from registry.testing import MemoryQueue
from tests.integration.attempt import WORKER, fork_server, settings, start
from tests.undisturbed import undisturbed
from workers.distill.data import load
from workers.keeper import Keeper

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
#: preset -> a recipe of a second or less. The selections take turns, so that each goes the road as well.
RECIPES: dict[str, dict[str, Any]] = {
    "bptt": {"objective": UNROLLED, "selection": {"start": "centroid", "batches": "importance"}},
    "dc": {"objective": {**SMALL, "network_steps": 2}, "selection": {"start": "sensitivity"}},
    "dim": {"objective": GAME, "parametrization": {"width": 4, "latent": 16}},
    "dm": {"objective": SMALL, "selection": {"start": "herding", "batches": "importance"}},
    "dsa": {"objective": {**SMALL, "network_steps": 2}, "selection": {"start": "importance"}},
    "frepo": {"objective": SMALL, "selection": {"start": "leverage", "batches": "importance"}},
    "kip": {"objective": {"real_batch": 32}, "selection": {"start": "random"}},
    "mtt": {"objective": {"network": "convnet1-w8", "synthetic_steps": 4, **EXPERTS}},
    "remember-the-past": {"objective": UNROLLED, "parametrization": {"bases": 8}},
    "sre2l": {"objective": {"network": "convnet1-w8-batch", "teacher_epochs": 2}},
}
#: One with a penalty, whose networks are trained before the first step and found in the store by the next attempt.
PENALISED: dict[str, Any] = {
    "objective": SMALL,
    "ipc": 3,
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
#: Snapshots at 2, 4 and 6: killed at the second, each goes on from the first.
COMMON: dict[str, Any] = {"dataset": "digits", "ipc": 2, "seed": 31, "steps": 7, "evaluation": {"networks": []}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("presets")
    schema.upgrade(f"sqlite:///{folder}/registry.db")
    return folder


@pytest.fixture(scope="module")
def client(home: Path) -> TestClient:
    return TestClient(create_app(AppSettings(home=home)), base_url="http://localhost")


@pytest.fixture(scope="module")
def database(home: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{home}/registry.db")
    yield made
    made.close()


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    return fork_server()


def test_each_preset_has_its_recipe_here() -> None:
    assert set(RECIPES) == set(CATALOG["presets"])


@pytest.mark.parametrize("case", sorted(CASES))
def test_it_is_posted_killed_resumed_found_and_drawn_from(
    client: TestClient, database: Database, context: ForkServerContext, home: Path, case: str, tmp_path: Path
) -> None:
    method, options = CASES[case]
    recipe = {**COMMON, "method": method, **options}
    posted = client.post("/v1/jobs", json=recipe)
    assert posted.status_code == 202, posted.text
    job_id = posted.json()["id"]
    alive: set[int] = set()
    keeper = Keeper(
        settings=settings(home),
        database=database,
        queue=MemoryQueue(),
        worker=WORKER,
        pid=0,
        child_pids=lambda: list(alive),
        is_alive=alive.__contains__,
    )

    def attempt(*, is_killed: bool) -> int | None:
        process = start(context, home, job_id, is_killed=is_killed)
        assert process.pid is not None
        alive.add(process.pid)
        keeper.turn(now=0.0)
        process.join(120)
        alive.clear()
        return process.exitcode

    assert attempt(is_killed=True) == -signal.SIGKILL
    assert client.get(f"/v1/jobs/{job_id}").json()["state"] == "running"
    keeper.turn(now=1.0)
    assert client.get(f"/v1/jobs/{job_id}").json()["state"] == "queued"
    assert attempt(is_killed=False) == 0

    job = client.get(f"/v1/jobs/{job_id}").json()
    assert (job["state"], job["attempt"]) == ("succeeded", 2), job["error"]
    with database.read() as session:
        said = [event.data["message"] for event in jobs.events(session, job_id) if event.kind == EventKind.LOG]
    assert any(message.startswith("Goes on at step 2 of 7") for message in said), said
    pictures = client.get(f"/v1/jobs/{job_id}/pictures").json()["items"]
    assert {picture["attempt"] for picture in pictures} == {1, 2}
    assert client.get(pictures[-1]["url"]).headers["content-type"] == "image/png"
    (artifact,) = client.get(f"/v1/artifacts?dataset=digits&method={method}&ipc={recipe['ipc']}").json()["items"]
    assert artifact["id"] == job["artifact_id"]
    assert artifact["digest"] == undisturbed(recipe, load("digits", data_dir=tmp_path, download=False))
    sample = client.get(f"/v1/artifacts/{artifact['id']}/samples?ipc=1&classes=3,8&format=npz")
    assert sample.status_code == 200, sample.text
    assert sample.content[:2] == b"PK"
