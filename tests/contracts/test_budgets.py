"""The API takes a budget exactly if the run does: both ends are asked at the border and one image beyond it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.services import Services
from app.settings import AppSettings
from distilled.errors import RecipeError
from distilled.recipe import expand
from registry.testing import MemoryQueue, memory_store, temporary_database
from tests.unit.distill_data.npzs import arrays, saved
from workers.distill import catalog
from workers.distill.data import RealData, from_npz, load
from workers.distill.events import Finished, Started
from workers.distill.loop import run

RECIPE: dict[str, Any] = {"method": "kip", "steps": 1, "evaluation": {"networks": ["mlp"]}}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("budgets")
    settings = AppSettings(home=folder)
    database = temporary_database(folder)
    parts = Services(
        settings=settings, database=database, store=memory_store(), queue=MemoryQueue(), catalog=catalog.build()
    )
    yield TestClient(create_app(settings, services=parts), base_url="http://localhost")
    database.close()


def uploaded(client: TestClient, path: Path) -> RealData:
    """A file as the front end and as the laboratory know it."""
    with path.open("rb") as file:
        response = client.post("/v1/datasets", data={"name": path.stem}, files={"file": file})
    assert response.status_code == 201, response.text
    return from_npz(path, path.stem)


def agree(client: TestClient, real: RealData, *, border: int) -> None:
    """Both ends take `border` images a class, and refuse one more in the same words."""
    shown = client.get(f"/v1/datasets/{real.name}").json()
    assert tuple(shown["train_counts"]) == real.train_counts
    assert (shown["train"], shown["val"]) == (len(real.train_labels_N), len(real.val_labels_N))
    asked = {**RECIPE, "dataset": real.name}
    told = client.post("/v1/jobs?dry_run=true", json={**asked, "ipc": border})
    assert (told.status_code, told.json().get("ipc")) == (200, border), told.text
    recipe = expand({**asked, "ipc": border}, catalog.build())
    first = next(iter(run(recipe, real, code_version="test")))
    assert isinstance(first, Started)
    assert first.images_per_class == border

    refused = client.post("/v1/jobs", json={**asked, "ipc": border + 1})
    assert refused.status_code == 422
    with pytest.raises(RecipeError) as caught:
        next(iter(run({**recipe, "ipc": border + 1}, real, code_version="test")))
    (there,) = [(problem.pointer, problem.detail) for problem in caught.value.problems]
    assert [(error["pointer"], error["detail"]) for error in refused.json()["errors"]] == [there]
    assert f"at most {border} per class" in there[1]


def test_of_a_built_in_set(client: TestClient, tmp_path: Path) -> None:
    agree(client, load("digits", data_dir=tmp_path, download=False), border=126)  # of 139, 13 are held out


def test_of_an_upload_that_a_tenth_is_held_out_of(client: TestClient, tmp_path: Path) -> None:
    agree(client, uploaded(client, saved(tmp_path / "plain.npz", **arrays(train=62))), border=18)  # of 20, 2


def test_of_an_upload_with_a_validation_split_of_its_own(client: TestClient, tmp_path: Path) -> None:
    content = arrays(train=62)
    own = {"val_images": content["test_images"], "val_labels": content["test_labels"]}
    agree(client, uploaded(client, saved(tmp_path / "own.npz", **content, **own)), border=20)


@pytest.mark.parametrize("storage", ["uint8", "float32"])
@pytest.mark.parametrize("budget", [{"ipc": 3}, {"ratio": 0.02}, {"bytes": 3001}])
def test_a_memory_takes_the_bytes_that_were_foretold(
    client: TestClient, tmp_path: Path, storage: str, budget: dict[str, Any]
) -> None:
    real = load("digits", data_dir=tmp_path, download=False)
    memory = {"kind": "memory", "bases": 8, "storage": storage}
    asked = {**RECIPE, **budget, "dataset": "digits", "parametrization": memory, "selection": {"start": "random"}}
    told = client.post("/v1/jobs?dry_run=true", json=asked).json()
    *_, last = run(expand(asked, catalog.build()), real, code_version="test")
    assert isinstance(last, Finished)
    assert last.header["ipc"] == told["ipc"]
    assert last.header["budget"]["bytes"] == told["estimate"]["bytes"]
    if "bytes" in budget:
        assert budget["bytes"] - 10 * 8 * 4 < told["estimate"]["bytes"] <= budget["bytes"]


@pytest.mark.parametrize(("storage", "labels"), [("uint8", "hard"), ("float16", "soft"), ("float32", "hard")])
@pytest.mark.parametrize("budget", [{"ipc": 3}, {"ratio": 0.02}, {"bytes": 200_000}])
def test_a_generator_takes_the_bytes_that_were_foretold(
    client: TestClient, tmp_path: Path, storage: str, labels: str, budget: dict[str, Any]
) -> None:
    real = load("digits", data_dir=tmp_path, download=False)
    generator = {"kind": "generator", "width": 3, "latent": 12, "storage": storage, "labels": labels}
    asked = {**RECIPE, **budget, "dataset": "digits", "parametrization": generator, "selection": {"start": "random"}}
    told = client.post("/v1/jobs?dry_run=true", json=asked).json()
    *_, last = run(expand(asked, catalog.build()), real, code_version="test")
    assert isinstance(last, Finished)
    assert last.header["ipc"] == told["ipc"]
    assert last.header["budget"]["bytes"] == told["estimate"]["bytes"]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"bytes": 1000}, "/bytes"),
        ({"parametrization": {"kind": "generator", "latent": 10}}, "/parametrization/latent"),
        ({"parametrization": {"kind": "images"}, "evaluation": {"networks": ["mlp"], "ipc": 1}}, "/evaluation/ipc"),
    ],
)
def test_what_no_generator_can_be_is_refused_at_submission(
    client: TestClient, fields: dict[str, Any], pointer: str
) -> None:
    asked = {**RECIPE, "dataset": "digits", "parametrization": {"kind": "generator"}, "selection": {"start": "random"}}
    budget = {} if "bytes" in fields else {"ipc": 1}
    refused = client.post("/v1/jobs", json={**asked, **budget, **fields})
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


def test_a_share_comes_to_the_same_number(client: TestClient, tmp_path: Path) -> None:
    real = load("digits", data_dir=tmp_path, download=False)
    asked = {**RECIPE, "dataset": "digits", "ratio": 0.1}
    told = client.post("/v1/jobs?dry_run=true", json=asked).json()
    first = next(iter(run(expand(asked, catalog.build()), real, code_version="test")))
    assert isinstance(first, Started)
    assert told["ipc"] == first.images_per_class == round(0.1 * sum(real.train_counts) / 10)
