"""What a recipe may say, from the catalog: presets with their options, and the schema of a whole recipe."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.deps import Service
from app.keys.scopes import READ
from app.packing import PackedRoute
from app.paging import PageRead
from app.services import Catalog

router = APIRouter(prefix="/v1/methods", tags=["methods"], dependencies=[READ], route_class=PackedRoute)

Schema = dict[str, Any]


class Paper(BaseModel):
    """Where a method was published."""

    title: str
    authors: str
    venue: str
    year: int
    url: str


class MethodRead(BaseModel):
    """A preset: a published method as a choice of parametrization, objective, selection and penalties."""

    name: str
    title: str
    summary: str
    paper: Paper
    composes: dict[str, str] = Field(description="the kind in each slot")
    fills: dict[str, Any] = Field(description="what the preset writes into a recipe")
    options: Schema = Field(description="JSON Schema of what a recipe may say beside it, with this preset's defaults")


class PenaltyRead(BaseModel):
    """What can be added to any method's loss, under `penalties`."""

    kind: str
    summary: str
    paper: Paper
    options: Schema = Field(description="JSON Schema of an item of `penalties`")


class MethodsRead(PageRead[MethodRead]):
    """The presets, what can be added to each, and all that can be composed without one."""

    penalties: list[PenaltyRead]
    recipe: Schema = Field(description="JSON Schema of a whole recipe")


@router.get("")
def list_methods(service: Service) -> MethodsRead:
    """Every preset with its paper, what it composes, and the JSON Schema of its options."""
    catalog = service.catalog
    items = [method(catalog, name) for name in sorted(catalog["presets"])]
    penalties = [penalty(catalog, kind) for kind in sorted(catalog["penalties"])]
    return MethodsRead(items=items, next_cursor=None, penalties=penalties, recipe=recipe_schema(catalog))


def method(catalog: Catalog, name: str) -> MethodRead:
    """One preset, its options being those of the kinds it composes, with its own values as defaults."""
    preset = catalog["presets"][name]
    fills = preset["fills"]
    slots = {slot: fills[slot]["kind"] for slot in ("parametrization", "objective")}
    options: Schema = {
        slot: _with_defaults(_slot_schema(catalog, f"{slot}s", kind), fills[slot]) for slot, kind in slots.items()
    }
    options["selection"] = _with_defaults(_selection_schema(catalog), fills.get("selection", {}))
    options["penalties"] = {**catalog["recipe"]["schema"]["properties"]["penalties"], **_penalties_schema(catalog)}
    options["evaluation"] = evaluation_schema(catalog)
    if "steps" in fills:
        options["steps"] = {**catalog["recipe"]["schema"]["properties"]["steps"], "default": fills["steps"]}
    return MethodRead(
        name=name,
        title=preset["title"],
        summary=preset["summary"],
        paper=Paper.model_validate(preset["paper"]),
        composes=slots | fills.get("selection", {}),
        fills=fills,
        options={"type": "object", "properties": options},
    )


def penalty(catalog: Catalog, kind: str) -> PenaltyRead:
    """One penalty, with the schema of its options."""
    declared = catalog["penalties"][kind]
    return PenaltyRead(
        kind=kind,
        summary=declared["summary"],
        paper=Paper.model_validate(declared["paper"]),
        options=_slot_schema(catalog, "penalties", kind),
    )


def recipe_schema(catalog: Catalog) -> Schema:
    """The JSON Schema of a recipe: its own fields, and in each slot one of the kinds there are."""
    schema = catalog["recipe"]["schema"]
    properties = dict(schema["properties"])
    for slot in ("parametrization", "objective"):
        properties[slot] = {
            **properties[slot],
            "oneOf": [_slot_schema(catalog, f"{slot}s", kind) for kind in sorted(catalog[f"{slot}s"])],
        }
    properties["selection"] = {**properties["selection"], **_selection_schema(catalog)}
    properties["penalties"] = {**properties["penalties"], **_penalties_schema(catalog)}
    properties["evaluation"] = {**properties["evaluation"], **evaluation_schema(catalog)}
    return {**schema, "properties": properties}


def evaluation_schema(catalog: Catalog) -> Schema:
    """On which networks the result is measured, and how."""
    declared = catalog["evaluation"]
    families = catalog["networks"].values()
    networks = {
        "type": "array",
        "description": "networks that are trained on the result; each is one evaluation",
        "items": {"anyOf": [{"type": "string", "pattern": family["pattern"]} for family in families]},
        "uniqueItems": True,
        "default": declared["networks"],
    }
    return {**declared["schema"], "properties": {"networks": networks, **declared["schema"]["properties"]}}


def _slot_schema(catalog: Catalog, table: str, kind: str) -> Schema:
    declared = catalog[table][kind]
    named: Schema = {"kind": {"const": kind}, **declared["schema"]["properties"]}
    return {**declared["schema"], "title": kind, "description": declared["summary"], "properties": named}


def _penalties_schema(catalog: Catalog) -> Schema:
    kinds = [
        {**_slot_schema(catalog, "penalties", kind), "required": ["kind"]} for kind in sorted(catalog["penalties"])
    ]
    return {"items": {"oneOf": kinds}} if kinds else {"maxItems": 0}


def _selection_schema(catalog: Catalog) -> Schema:
    table = catalog["selections"]
    choices = {
        name: {"type": "string", "enum": sorted(table[name]), "default": "random"} for name in ("start", "batches")
    }
    options = {
        option: declared
        for batches in table["batches"].values()
        for option, declared in batches["schema"]["properties"].items()
    }
    return {"type": "object", "additionalProperties": False, "properties": choices | options}


def _with_defaults(schema: Schema, values: Mapping[str, Any]) -> Schema:
    """The schema with these values as its defaults."""
    properties = {
        name: {**declared, "default": values[name]} if name in values else declared
        for name, declared in schema["properties"].items()
    }
    return {**schema, "properties": properties}
