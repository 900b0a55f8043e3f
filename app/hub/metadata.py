"""The YAML of a data card: what `datasets` loads by, and what the Hub's search knows a repository by."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from app.artifacts.schemas import Manifest

#: Licences that the Hub knows by an id; any other is `other`, with its name.
LICENCES = frozenset(
    {"apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "odbl", "pddl", "gpl-3.0", "lgpl-3.0"}
    | {f"cc-by-{version}" for version in ("2.0", "2.5", "3.0", "4.0")}
    | {f"cc-by-{more}-{version}" for more in ("sa", "nc", "nd", "nc-sa", "nc-nd") for version in ("2.0", "3.0", "4.0")}
)
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
TASK = "image-classification"

Part = Mapping[str, Any]


class _Dumper(yaml.SafeDumper):
    """YAML without anchors, which some readers of cards do not follow, and without lines inside of a name."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_scalar(self, tag: str, value: Any, style: str | None = None) -> yaml.ScalarNode:
        return super().represent_scalar(tag, value, style='"' if "\n" in value else style)


def front(fields: Mapping[str, Any]) -> str:
    """The fields as a card begins with them."""
    return f"---\n{yaml.dump(dict(fields), Dumper=_Dumper, sort_keys=False)}---\n"


def metadata(
    manifest: Manifest, *, parts: Sequence[Part], sizes: Sequence[int], features: Mapping[str, Any]
) -> dict[str, Any]:
    """The card's YAML. One config for each number of images per class; without one, all that is held."""
    largest = max(sizes, default=0) * len(manifest.classes)
    configs = [
        {"config_name": f"ipc{size}", "data_files": [{"split": "train", "path": f"ipc{size}/train-*"}]}
        | ({"default": True} if size == own_size(manifest, sizes) else {})
        for size in sizes
    ]
    return {
        **_licence_fields(parts),
        "pretty_name": f"{manifest.dataset}, distilled",
        "task_categories": [TASK],
        "size_categories": [next((name for above, name in SIZES if largest < above), "n>1M")],
        "source_datasets": [f"extended|{part['name']}" for part in parts],
        "tags": _tags(manifest.kind, manifest.method),
        **({"configs": configs} if configs else {}),
        **(
            {"dataset_info": [{"config_name": f"ipc{size}", "features": _columns(features)} for size in sizes]}
            if configs
            else {}
        ),
    }


def searched_tags(kind: str, method: str | None, *, parts: Sequence[Part]) -> list[str]:
    """What a repository is found by, as the Hub writes it: the card's fields as `field:value`, then its tags."""
    licences = dict.fromkeys(f"license:{licence_id(part.get('licence'))}" for part in parts)
    sources = [f"source_datasets:extended|{part['name']}" for part in parts]
    return [f"task_categories:{TASK}", *licences, *sources, *_tags(kind, method)]


def _tags(kind: str, method: str | None) -> list[str]:
    return ["dataset-distillation", kind, *([method] if method else [])]


def licence_id(licence: str | None) -> str:
    """The Hub's id of a licence: `other` for one it has no id for, `unknown` where nothing is said."""
    if not licence:
        return "unknown"
    known = "-".join(licence.lower().split())
    return known if known in LICENCES else "other"


def _licence_fields(parts: Sequence[Part]) -> dict[str, Any]:
    ids = list(dict.fromkeys(licence_id(part.get("licence")) for part in parts))
    fields: dict[str, Any] = {"license": ids[0] if len(ids) == 1 else ids}
    named = dict.fromkeys(str(part["licence"]) for part in parts if licence_id(part.get("licence")) == "other")
    if named:
        fields["license_name"] = re.sub(r"[^a-z0-9.]+", "-", "-and-".join(named).lower()).strip("-")
    return fields


def own_size(manifest: Manifest, sizes: Sequence[int]) -> int | None:
    """The config that is loaded where none is named: all that is held, or what a generator was budgeted for."""
    own = manifest.budget.images_per_class or manifest.ipc
    return own if own in sizes else max(sizes, default=None)


def _columns(features: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Features as a card's YAML has them."""
    return [{"name": name, **_column(feature)} for name, feature in features.items()]


def _column(feature: Mapping[str, Any]) -> dict[str, Any]:
    match feature["_type"]:
        case "ClassLabel":
            return {"dtype": {"class_label": {"names": {str(i): name for i, name in enumerate(feature["names"])}}}}
        case "List":
            return {"list": feature["feature"]["dtype"]}
        case kind:
            return {"dtype": feature.get("dtype") or kind.lower()}
