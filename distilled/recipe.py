"""Recipes: what a user may ask for, completed and checked against a catalog.

The catalog is plain data that the laboratory generates from its own declarations, so that the front end, the client
and the laboratory expand and refuse alike. A recipe is JSON in, canonical JSON and a sha256 out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from distilled.budget import Holding, check_drawn, holding
from distilled.errors import Problem, RecipeError
from distilled.knobs import check, fill
from distilled.manifest import digest_json

#: None of these changes what is made: they are not in a recipe's digest, and in an artifact's file they stand so.
NOT_IN_DIGEST: Mapping[str, Any] = {"priority": 0, "device": "auto", "webhook": None}
BUDGETS = ("ipc", "ratio", "bytes")
SLOTS = {"parametrization": "parametrizations", "objective": "objectives"}


def expand(recipe: Mapping[str, Any], catalog: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe with its preset and every default filled in, each field checked.

    Raises RecipeError with every problem found. The budget stays as it was given.
    """
    problems: list[Problem] = []
    top = catalog["recipe"]["schema"]["properties"]
    problems += [
        Problem(pointer=f"/{name}", detail=f"unknown field; known are: {', '.join(sorted(top))}")
        for name in recipe
        if name not in top
    ]
    given = {name: value for name, value in recipe.items() if value is not None}
    merged = _with_preset(given, catalog, problems)
    expanded: dict[str, Any] = {"method": given.get("method")}
    expanded |= _scalars(merged, top, problems)
    expanded |= _budget(merged, top, problems)
    for slot, table in SLOTS.items():
        expanded[slot] = _slot(merged.get(slot), slot, catalog[table], problems)
    expanded["selection"] = _selection(merged.get("selection", {}), catalog["selections"], problems)
    expanded["penalties"] = _penalties(merged.get("penalties", []), catalog["penalties"], problems)
    expanded["evaluation"] = _evaluation(merged.get("evaluation", {}), catalog, problems)
    if not problems:
        problems += _network_problems(expanded, catalog)
        problems += _map_problems(expanded, catalog)
        problems += _conflicts(expanded, catalog)
        problems += _limits(expanded, catalog)
    if problems:
        raise RecipeError(problems)
    return expanded


def check_budget(recipe: Mapping[str, Any], catalog: Mapping[str, Any], dataset: Mapping[str, Any]) -> Holding:
    """What an expanded recipe's budget comes to on this data set.

    `dataset` needs `name`, `classes`, `train_counts` (images per class that training sees) and `shape` [C, H, W].
    Raises RecipeError where the budget cannot be met or a network does not fit the images.
    """
    problems = _size_problems(recipe, catalog, dataset["shape"])
    if problems:
        raise RecipeError(problems)
    held = holding(recipe, dataset)
    check_drawn(recipe, held, dataset)
    return held


def expand_evaluation(
    asked: Mapping[str, Any], catalog: Mapping[str, Any], header: Mapping[str, Any]
) -> dict[str, Any]:
    """A later evaluation of an artifact, {"networks": names, option: value}; what is not asked for is as in its recipe.

    header: the manifest in the artifact's file. Raises RecipeError with every problem found; pointers begin at what is
    asked, so `/networks/0`.
    """
    problems: list[Problem] = []
    given = {name: value for name, value in asked.items() if value is not None}
    options = catalog["evaluation"]["schema"]["properties"]
    own = {name: value for name, value in header["recipe"].get("evaluation", {}).items() if name in options}
    evaluation = _evaluation({"networks": [], **own, **given}, catalog, problems)
    if given.get("networks", []) == []:
        problems.append(Problem(pointer="/evaluation/networks", detail="name a network or more, such as resnet18"))
    recipe = {"evaluation": evaluation, "objective": {}, "penalties": [], "parametrization": {"kind": header["kind"]}}
    shape, classes, images = header["space"]["shape"], header["classes"], header["budget"]["images"]
    if not problems:
        problems += _network_problems(recipe, catalog) + _size_problems(recipe, catalog, shape)
        held = Holding(ipc=header["ipc"], per_class=images and images // len(classes), bytes=header["budget"]["bytes"])
        try:
            check_drawn(recipe, held, {"shape": shape, "classes": classes})
        except RecipeError as error:
            problems += error.problems
    if problems:
        raise RecipeError(
            [Problem(pointer=found.pointer.removeprefix("/evaluation"), detail=found.detail) for found in problems]
        )
    return evaluation


def recipe_digest(
    recipe: Mapping[str, Any], *, dataset_digest: str, code_version: str, base_digest: str | None = None
) -> str:
    """sha256 (hex) that two recipes share exactly if they make the same artifact on the same kind of device.

    base_digest: sha256 (hex) of the base artifact's file, where there is one: its name may move, its bytes do not.
    """
    kept = {name: value for name, value in recipe.items() if name not in NOT_IN_DIGEST}
    kept["base_artifact"] = base_digest
    return digest_json({"recipe": kept, "dataset": dataset_digest, "code": code_version})


def network_names(text: str) -> list[str]:
    """The networks of an option that names several, separated by commas."""
    return [name.strip() for name in text.split(",")]


def _halvings(network: str, catalog: Mapping[str, Any]) -> int:
    """How often a network halves its images: a fixed number of its family, or the first number in its name."""
    for family in catalog["networks"].values():
        found = re.fullmatch(family["pattern"], network)
        if found:
            return int(found.group(1)) if family["halvings"] == "depth" else int(family["halvings"])
    return 0


def _side(shape: Sequence[int]) -> int:
    """The shorter side as networks see it: MNIST and its kin are widened from 28 to 32 pixels by the first layer."""
    return 32 if tuple(shape) == (1, 28, 28) else min(shape[1:])


def _with_preset(given: dict[str, Any], catalog: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """What a preset fills in, overridden by what is given beside it; a slot of another kind replaces the preset's."""
    name = given.get("method")
    if name is None:
        for slot in SLOTS:
            if slot not in given:
                problems.append(Problem(pointer=f"/{slot}", detail="required where no `method` is given"))
        return given
    if not isinstance(name, str) or name not in catalog["presets"]:
        known = ", ".join(sorted(catalog["presets"]))
        problems.append(Problem(pointer="/method", detail=f"unknown method {name!r}; known are: {known}"))
        return given
    merged: dict[str, Any] = dict(catalog["presets"][name]["fills"])
    for key, value in given.items():
        base = merged.get(key)
        same_kind = (
            isinstance(value, Mapping) and isinstance(base, Mapping) and value.get("kind") in (None, base.get("kind"))
        )
        merged[key] = {**base, **value} if same_kind else value  # pyright: ignore[reportGeneralTypeIssues]
    return merged


def _scalars(merged: Mapping[str, Any], top: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name in ("dataset", "seed", "steps", "base_artifact", "priority", "device", "webhook"):
        value, detail = merged.get(name, top[name].get("default")), None
        if name in merged:
            value, detail = check(value, top[name])
        elif name in ("dataset", "steps"):
            detail = "required" if name == "dataset" else "required where no `method` gives it"
        if name == "dataset" and detail is None:
            value = str(value).lower()
        out[name] = value
        if detail:
            problems.append(Problem(pointer=f"/{name}", detail=detail))
    return out


def _budget(merged: Mapping[str, Any], top: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    given = [name for name in BUDGETS if name in merged]
    if len(given) != 1:
        detail = "give one of `ipc`, `ratio` or `bytes`" + (f", not {len(given)} of them" if given else "")
        problems.append(Problem(pointer=f"/{given[-1] if given else 'ipc'}", detail=detail))
        return {}
    value, detail = check(merged[given[0]], top[given[0]])
    if detail:
        problems.append(Problem(pointer=f"/{given[0]}", detail=detail))
    return {given[0]: value}


def _slot(value: Any, slot: str, table: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """A slot's options, completed: {"kind": …, option: value, …}."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        problems.append(Problem(pointer=f"/{slot}", detail='must be an object such as {"kind": "…"}'))
        return {}
    options = {str(name): item for name, item in value.items() if name != "kind"}
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in table:
        known = ", ".join(sorted(table)) or "none in this version"
        problems.append(Problem(pointer=f"/{slot}/kind", detail=f"must be one of: {known}"))
        return {}
    complete, found = fill(options, table[kind]["schema"], pointer=f"/{slot}")
    problems += found
    return {"kind": kind, **complete}


def _selection(value: Any, table: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The start and the batches that are chosen, and the options that these batches have, completed."""
    if not isinstance(value, Mapping):
        problems.append(Problem(pointer="/selection", detail='must be an object such as {"start": "random"}'))
        return {}
    choices = {
        name: {"type": "string", "enum": sorted(table[name]), "default": "random"} for name in ("start", "batches")
    }
    chosen = table["batches"].get(str(value.get("batches", "random")), {"schema": {"properties": {}}})
    complete, found = fill(value, {"properties": choices | chosen["schema"]["properties"]}, pointer="/selection")
    problems += found
    return complete


def _penalties(value: Any, table: Mapping[str, Any], problems: list[Problem]) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        problems.append(Problem(pointer="/penalties", detail="must be a list of objects with a `kind`"))
        return []
    out = [_slot(item, f"penalties/{i}", table, problems) for i, item in enumerate(value)]
    kinds = [penalty.get("kind") for penalty in out]
    for i, kind in enumerate(kinds):
        if kind is not None and kind in kinds[:i]:
            problems.append(Problem(pointer=f"/penalties/{i}/kind", detail=f"{kind} is named twice; name it once"))
    return out


def _evaluation(value: Any, catalog: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        problems.append(Problem(pointer="/evaluation", detail='must be an object such as {"networks": ["convnet3"]}'))
        return {}
    options = {str(name): item for name, item in value.items() if name != "networks"}
    complete, found = fill(options, catalog["evaluation"]["schema"], pointer="/evaluation")
    problems += found
    networks = value.get("networks", list(catalog["evaluation"]["networks"]))
    if not isinstance(networks, list) or not all(isinstance(name, str) for name in networks):
        problems.append(Problem(pointer="/evaluation/networks", detail="must be a list of network names"))
        networks = []
    elif len(set(networks)) != len(networks):
        problems.append(Problem(pointer="/evaluation/networks", detail="names a network twice; name each once"))
    return {"networks": list(networks), **complete}


def _networks(expanded: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for i, name in enumerate(expanded["evaluation"]["networks"]):
        yield f"/evaluation/networks/{i}", name
    if "network" in expanded["objective"]:
        yield from (("/objective/network", name) for name in network_names(expanded["objective"]["network"]))
    for i, penalty in enumerate(expanded["penalties"]):
        if "networks" in penalty:
            yield from ((f"/penalties/{i}/networks", name) for name in network_names(penalty["networks"]))
        if penalty.get("backbone"):
            yield f"/penalties/{i}/backbone", penalty["backbone"]


def _network_problems(expanded: Mapping[str, Any], catalog: Mapping[str, Any]) -> list[Problem]:
    families = catalog["networks"].values()
    examples = ", ".join(family["example"] for family in families)
    return [
        Problem(pointer=pointer, detail=f"unknown network {name[:60]!r}; known are such as: {examples}")
        for pointer, name in _networks(expanded)
        if not any(re.fullmatch(family["pattern"], name) for family in families)
    ]


def _size_problems(recipe: Mapping[str, Any], catalog: Mapping[str, Any], shape: Sequence[int]) -> list[Problem]:
    """Networks that halve images of this shape [C, H, W] more often than they can be."""
    side = _side(shape)
    fits = side.bit_length() - 1
    return [
        Problem(pointer=pointer, detail=f"{name} halves the image {halvings} times; {side} pixels allow {fits}")
        for pointer, name in _networks(recipe)
        if (halvings := _halvings(name, catalog)) > fits
    ]


def _map_problems(expanded: Mapping[str, Any], catalog: Mapping[str, Any]) -> list[Problem]:
    """Networks whose maps a penalty compares, and that have none."""
    mapless = [family["pattern"] for family in catalog["networks"].values() if family.get("maps") == "none"]
    reason = "has no class-activation map: nothing in it lies where it lies in the image; leave it out"
    return [
        Problem(pointer=pointer, detail=f"{name} {reason}")
        for pointer, name in _networks(expanded)
        if re.fullmatch("/penalties/[0-9]+/networks", pointer)
        and any(re.fullmatch(pattern, name) for pattern in mapless)
    ]


def _conflicts(expanded: Mapping[str, Any], catalog: Mapping[str, Any]) -> list[Problem]:
    """Combinations that cannot work. A `when` maps dotted fields to what they must hold, all of them."""
    out: list[Problem] = []
    for conflict in catalog["conflicts"]:
        pointers = list(conflict["when"])
        if all(_holds(_at(expanded, pointer), wanted) for pointer, wanted in conflict["when"].items()):
            out.append(Problem(pointer="/" + pointers[-1].replace(".", "/"), detail=conflict["reason"]))
    return out


def _limits(expanded: Mapping[str, Any], catalog: Mapping[str, Any]) -> list[Problem]:
    """Fields that must be at least the sum of others. Where any of them is absent there is nothing to hold."""
    out: list[Problem] = []
    for limit in catalog.get("limits", ()):
        parts, most = [_at(expanded, part) for part in limit["sum"]], _at(expanded, limit["at_most"])
        if None not in (*parts, most) and sum(parts) > most:
            names = " + ".join(part.rpartition(".")[2] for part in limit["sum"])
            detail = f"must be at least {sum(parts)} ({names}), not {most}: {limit['reason']}"
            out.append(Problem(pointer="/" + limit["at_most"].replace(".", "/"), detail=detail))
    return out


def _at(expanded: Mapping[str, Any], dotted: str) -> Any:
    value: Any = expanded
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _holds(value: Any, wanted: Any) -> bool:
    """Whether a field holds the wanted value, one of several, a number above {"above": another}, or a text in which
    {"unlike": a pattern} is not found.
    """
    if isinstance(wanted, Mapping) and "above" in wanted:
        return isinstance(value, int | float) and value > wanted["above"]
    if isinstance(wanted, Mapping):
        return isinstance(value, str) and not re.search(wanted["unlike"], value)
    return value in (wanted if isinstance(wanted, list) else [wanted])
