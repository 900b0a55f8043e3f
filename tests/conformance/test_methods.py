"""`GET /v1/methods`: the presets, and what a recipe may say."""

from typing import Any

import pytest

from tests.conformance.wire import Wire

PRESETS = {"remember-the-past", "dim", "dm", "dsa", "mtt", "frepo", "sre2l"}


@pytest.fixture(scope="module")
def methods(wire: Wire) -> dict[str, Any]:
    return wire.get("/v1/methods")


def test_the_papers_presets_are_there(methods: dict[str, Any]) -> None:
    assert {item["name"] for item in methods["items"]} >= PRESETS


def test_each_names_its_paper_and_what_it_composes(methods: dict[str, Any]) -> None:
    for item in methods["items"]:
        assert item["paper"]["title"]
        assert item["paper"]["url"].startswith("https://")
        assert {"parametrization", "objective"} <= set(item["composes"])


def test_options_are_json_schemas_with_defaults(methods: dict[str, Any]) -> None:
    for item in methods["items"]:
        options = item["options"]["properties"]
        assert {"parametrization", "objective", "selection", "evaluation"} <= set(options)
        for name, declared in options["objective"]["properties"].items():
            assert name == "kind" or {"default", "description"} <= set(declared), (item["name"], name)


def test_the_schema_of_a_recipe_is_that_of_the_api(wire: Wire, methods: dict[str, Any]) -> None:
    fields = set(methods["recipe"]["properties"])
    assert {"dataset", "method", "ipc", "ratio", "bytes", "seed", "steps", "base_artifact", "priority"} <= fields
    assert {"parametrization", "objective", "selection", "penalties", "evaluation", "webhook"} <= fields
    body = wire.get("/openapi.json")["paths"]["/v1/jobs"]["post"]["requestBody"]
    assert set(body["content"]["application/json"]["schema"]["properties"]) == fields
