"""openapi.json: generated from the routes, with the recipe's schema from the catalog and our errors as they are."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app import answers
from app.jobs.methods import evaluation_schema, recipe_schema
from app.problems import MEDIA_TYPE, ProblemDetails, responses
from app.services import Catalog

EXAMPLE = {"dataset": "digits", "method": "frepo", "ipc": 1}


def describe(app: FastAPI, catalog: Catalog, *, has_key: bool) -> dict[str, Any]:
    """The document. FastAPI's own 422 is replaced by ours, which is what the routes answer with."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
    )
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    ours = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= ours.pop("$defs", {}) | {"ProblemDetails": ours}
    for path in document["paths"].values():
        for operation in path.values():
            told = operation["responses"]
            if "422" in told and MEDIA_TYPE not in told["422"]["content"]:
                told["422"] = responses(422)[422]
    stream = document["paths"]["/v1/jobs/{job_id}/events"]["get"]["responses"]["200"]
    # FastAPI describes events with a keyword of OpenAPI 3.2 in a document of 3.1, which validators refuse. Whether a
    # schema there means the whole stream or each event is read in both ways, so there is none.
    stream["content"] = {"text/event-stream": {}}
    submit = document["paths"]["/v1/jobs"]["post"]
    submit["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": recipe_schema(catalog), "example": EXAMPLE}},
    }
    evaluate = document["paths"]["/v1/artifacts/{artifact}/evaluations"]["post"]
    evaluate["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": _later_evaluation(catalog), "example": {"networks": ["resnet18"]}}},
    }
    answers.complete(document)
    if not has_key:
        # Whether it needs one is decided by the registry at any time; a document is made once.
        for path in document["paths"].values():
            for operation in path.values():
                operation["security"] = [{}, *operation.get("security", [])]
    return document


def _later_evaluation(catalog: Catalog) -> dict[str, Any]:
    """The schema of a request to evaluate an artifact: its defaults are those of the artifact's own recipe."""
    schema = evaluation_schema(catalog)
    options = {
        name: {key: value for key, value in declared.items() if key != "default"}
        for name, declared in schema["properties"].items()
    }
    networks = {**options.pop("networks"), "minItems": 1}
    options = {name: {"anyOf": [declared, {"type": "null"}]} for name, declared in options.items()}
    return {**schema, "properties": {"networks": networks, **options}, "required": ["networks"]}
