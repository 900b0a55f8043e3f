"""What the pages about jobs say without scripts, and how a recipe becomes an address and comes back."""

import json
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from fastapi.testclient import TestClient

from app.gallery.recipes import form_address, settings
from app.services import CATALOG, Services
from distilled.cli.recipes import combine
from distilled.recipe import expand
from registry import jobs
from registry.models import EventKind
from tests.unit.app.catalog import RECIPE
from tests.unit.app.conftest import Published

WHOLE = json.loads(CATALOG.read_text(encoding="utf-8"))
UNKNOWN = f"job_{'0' * 32}"
RECIPES: list[dict[str, Any]] = [
    {"dataset": "digits", "method": "dm", "ipc": 1},
    {"dataset": "digits", "method": "dm", "ratio": 0.01, "seed": 7, "steps": 12},
    {"dataset": "digits", "method": "bptt", "bytes": 650, "objective": {"network": "convnet2-w32", "clip": 0.5}},
    {"dataset": "digits", "method": "dm", "ipc": 2, "objective": {"kind": "kernel", "ridge": 0.5}},
    {"dataset": "digits", "method": "frepo", "ipc": 2, "parametrization": {"kind": "memory", "bases": 4}},
    {"dataset": "digits", "ipc": 1, "steps": 9, "parametrization": {"kind": "images"}, "objective": {"kind": "kernel"}},
    {
        "dataset": "digits",
        "method": "dm",
        "ipc": 3,
        "selection": {"start": "herding", "batches": "importance", "mix": 0.2},
        "penalties": [{"kind": "architecture_invariance", "networks": "convnet1-w8,convnet2-w8"}],
        "evaluation": {"networks": ["mlp-w16", "convnet2"], "repeats": 2},
        "priority": 3,
        "device": "cpu",
    },
]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_clone_is_the_same_recipe(recipe: dict[str, Any]) -> None:
    """The address of the form holds all of it, in the words of the CLI's --set."""
    whole = expand(recipe, WHOLE)
    query = parse_qsl(urlsplit(form_address(whole, WHOLE)).query)
    plain = {
        name: value if name in ("method", "dataset") else json.loads(value) for name, value in query if name != "set"
    }
    again = combine(plain, flags={}, sets=[value for name, value in query if name == "set"])
    assert expand(again, WHOLE) == whole


def test_what_a_preset_gives_is_not_said_again() -> None:
    whole = expand({"dataset": "digits", "method": "dm", "ipc": 1, "objective": {"learning_rate": 0.5}}, WHOLE)
    assert settings(whole, WHOLE) == [("objective.learning_rate", 0.5)]
    assert form_address(whole, WHOLE) == "/jobs/new?method=dm&dataset=digits&ipc=1&set=objective.learning_rate%3D0.5"
    hook = expand({"dataset": "digits", "method": "dm", "ipc": 1, "webhook": "https://example.org/x"}, WHOLE)
    assert settings(hook, WHOLE) == []


def test_a_recipe_of_another_version_is_said_whole() -> None:
    assert ("objective.gone", 1) in settings({"method": "dm", "objective": {"kind": "gone", "gone": 1}}, WHOLE)


def submit(client: TestClient, **changes: Any) -> str:
    return client.post("/v1/jobs", json=RECIPE | changes).json()["id"]


def test_jobs_are_listed_filtered_and_paged(client: TestClient) -> None:
    assert "There are no jobs yet" in client.get("/jobs").text
    ids = [submit(client, seed=seed) for seed in range(27)]
    client.post(f"/v1/jobs/{ids[-1]}/cancel")
    first = client.get("/jobs").text
    assert first.count('data-job="') == 25
    assert (ids[-1] in first, ids[0] in first) == (True, False)
    older = first.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert set(parse_qs(urlsplit(older).query)) == {"cursor"}
    assert ids[0] in client.get(older).text
    cancelled = client.get("/jobs?state=cancelled&dataset=&method=").text
    assert cancelled.count('data-job="') == 1
    assert "No job is like that" in client.get("/jobs?dataset=nothing").text
    assert client.get("/jobs?state=odd").status_code == 422


def test_a_job_tells_its_whole_story_in_the_page(client: TestClient, services: Services) -> None:
    job_id = submit(client)
    assert "waits for something that nobody has" in client.get(f"/jobs/{job_id}").text
    with services.database.write() as session:
        jobs.claim(session, job_id, worker="lab-1", device="cpu", lease_seconds=60)
        jobs.record_event(session, job_id, attempt=1, kind=EventKind.LOG, data={"message": "it <begins>"})
        jobs.beat(session, job_id, attempt=1, lease_seconds=60, step=3, steps=12, progress=0.25, eta_seconds=9.0)
    page = client.get(f"/jobs/{job_id}").text
    for said in (
        "Step 3 of 12",
        "about 9.0 s left",
        "it &lt;begins&gt;",
        "Attempt 1 begins on cpu, worker lab-1",
        "Call it off",
    ):
        assert said in page
    with services.database.write() as session:
        error = {"code": "x", "title": "It went <wrong>", "detail": "Lower `this`."}
        jobs.fail(session, job_id, attempt=1, error=error)
    page = client.get(f"/jobs/{job_id}").text
    for said in (
        "It went &lt;wrong&gt;",
        "Lower <code>this</code>.",
        "Retry",
        "Start anew",
        "/jobs/new?method=dm&amp;dataset=digits",
    ):
        assert said in page
    assert "Call it off" not in page


def test_a_job_that_succeeded_leads_to_its_artifact(client: TestClient, published: Published) -> None:
    page = client.get(f"/jobs/{published.job_id}").text
    assert f'href="/artifacts/{published.id}"' in page
    assert "convnet3" in page
    client.delete(f"/v1/artifacts/{published.id}")
    assert "Its artifact was deleted" in client.get(f"/jobs/{published.job_id}").text


def test_a_log_is_filtered_without_scripts_too(client: TestClient, services: Services) -> None:
    job_id = submit(client)
    with services.database.write() as session:
        jobs.claim(session, job_id, worker="lab-1", device="cpu", lease_seconds=60)
        for message in ("one thing", "another"):
            jobs.record_event(session, job_id, attempt=1, kind=EventKind.LOG, data={"message": message})
    assert client.get(f"/jobs/{job_id}").text.count("<li hidden>") == 0
    assert client.get(f"/jobs/{job_id}?log=ANOTHER").text.count("<li hidden>") == 1


def test_what_is_no_job_is_a_page_that_says_so(client: TestClient) -> None:
    answer = client.get(f"/jobs/{UNKNOWN}", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no job" in answer.text


def test_the_form_has_every_preset_and_data_set(client: TestClient) -> None:
    page = client.get("/jobs/new?method=dm&dataset=digits&bytes=300&set=steps=4").text
    assert 'value="dm" checked' in page
    assert 'value="digits" selected' in page
    assert 'value="bytes" selected' in page
    assert 'value="300"' in page
    assert "Matches class means." in page
