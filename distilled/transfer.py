"""How far a distilled set carries: its accuracy on networks that it was made with, and apart from it on all others.

Computed from what a manifest holds, its recipe and its evaluations. A mean is over networks, and over those alone that
were trained alike and tested on the same classes; beside it stand the same networks' means on the baselines.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from distilled.manifest import canonical_json
from distilled.recipe import network_names

#: What a network can be trained on of an artifact. Hard and soft labels, fixed and fresh images: never mixed.
MODES = ("hard", "soft", "fresh", "fresh_soft")
BASELINES = ("random", "centroid", "full")
GROUPS = ("seen", "unseen", "all")
_FRESH = (("fresh", "new images each step, hard labels"), ("fresh_soft", "new images each step, soft labels"))
_TITLES = (("random", "random real images"), ("centroid", "k-means centroids"), ("full", "full data"))
#: Where a recipe names networks: in its objective and its penalties.
NAMING = ("network", "networks", "backbone")
#: Parts of a name that say what is so without them: `convnet3-w128-instance` is `convnet3`.
DEFAULTS = {
    "convnet": ("w128", "instance"),
    "resnet": ("w64", "instance"),
    "vgg": ("w64", "instance"),
    "alexnet": ("w128",),
    "mlp": ("w128",),
    "vit": ("d12",),
}


def seen_networks(recipe: Mapping[str, Any]) -> list[str]:
    """The networks that a distillation used, each once: those of its objective and of its penalties."""
    return list(dict.fromkeys(_used(recipe)))


def is_seen(network: str, seen: Sequence[str]) -> bool:
    """Whether a network is among these, however its name writes out what is so by default."""
    return _plain(network) in {_plain(name) for name in seen}


def summaries(evaluations: Sequence[Mapping[str, Any]], *, seen: Sequence[str]) -> list[dict[str, Any]]:
    """Means over the networks of the evaluations that have succeeded, as a manifest lists them.

    One for each way of training (`config`), in the order in which they were first asked for: {"config", "absent",
    "seen", "unseen", "all"}. A group is None without a network, else {"networks": names, "distilled": {mode: score},
    "random", "centroid", "full": score}. A score is {"mean", "std"}: accuracy in 0..1, the mean over the networks, and
    its spread over repeats (None where they differ in number); it is None where one of the networks lacks it.
    """
    alike: dict[str, list[Mapping[str, Any]]] = {}
    for evaluation in evaluations:
        if evaluation.get("state") == "succeeded" and evaluation.get("result"):
            trained = {"config": evaluation.get("config") or {}, "absent": _absent(evaluation)}
            alike.setdefault(canonical_json(trained), []).append(evaluation)
    return [_summary(rows, seen=seen) for rows in alike.values()]


def rows_of(result: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """(name, score, size) of the distilled set and its baselines, in the order of the table.

    A score is {"mean", "std", "values"}, accuracies in 0..1; a size is {"bytes", "images"}. Hard and soft labels are
    rows of their own: their accuracies are not to be compared in one. So are a generator's new images at each step,
    whose `images` are all that a network saw.
    """
    distilled: Mapping[str, Any] = result.get("distilled") or {}
    rows = [
        (f"distilled, {labels} labels", distilled[labels], distilled)
        for labels in ("hard", "soft")
        if distilled.get(labels)
    ]
    rows += [
        (title, distilled[mode], {**distilled, "images": distilled[mode].get("images_seen")})
        for mode, title in _FRESH
        if distilled.get(mode)
    ]
    rows += [(title, result[name], result[name]) for name, title in _TITLES if result.get(name)]
    return rows


def _summary(rows: Sequence[Mapping[str, Any]], *, seen: Sequence[str]) -> dict[str, Any]:
    held = {name: [row for row in rows if is_seen(row["network"], seen) == (name == "seen")] for name in GROUPS[:2]}
    groups = {**held, "all": rows}
    about = {"config": dict(rows[0].get("config") or {}), "absent": _absent(rows[0])}
    return about | {name: _group(members) for name, members in groups.items()}


def _group(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    if not rows:
        return None
    results: list[Mapping[str, Any]] = [row["result"] for row in rows]
    modes = {mode: _score([result["distilled"].get(mode) for result in results]) for mode in MODES}
    return {
        "networks": [row["network"] for row in rows],
        "distilled": {mode: score for mode, score in modes.items() if score is not None},
        **{name: _score([result.get(name) for result in results]) for name in BASELINES},
    }


def _score(scores: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """The mean of the networks' means; None unless each of them has one, or it would be one over other networks."""
    there = [score for score in scores if score]
    if len(there) < len(scores):
        return None
    values: list[Sequence[float]] = [score.get("values") or () for score in there]
    repeats = {len(of_network) for of_network in values}
    std = None
    if len(repeats) == 1 and repeats != {0}:
        means = [fmean(of_repeat) for of_repeat in zip(*values, strict=True)]
        std = stdev(means) if len(means) > 1 else 0.0
    return {"mean": fmean(score["mean"] for score in there), "std": std}


def _absent(evaluation: Mapping[str, Any]) -> list[str]:
    """Classes that the networks were not tested on, because their data are gone."""
    return list((evaluation.get("result") or {}).get("absent") or ())


def _used(recipe: Mapping[str, Any]) -> Iterator[str]:
    objective: Mapping[str, Any] = recipe.get("objective") or {}
    # A Gaussian kernel compares pixels: the network that its recipe names by default is not looked at.
    parts = [] if objective.get("kernel") == "gaussian" else [objective]
    for part in [*parts, *(recipe.get("penalties") or ())]:
        for option in NAMING:
            # `networks` may also be a number, that of networks side by side.
            named = part.get(option)
            yield from (name for name in network_names(named if isinstance(named, str) else "") if name)


def _plain(name: str) -> str:
    """A network's name without what is so by default."""
    family = next((family for family in DEFAULTS if name.startswith(family)), "")
    head, *dials = name.split("-")
    return "-".join([head, *(dial for dial in dials if dial not in DEFAULTS.get(family, ()))])
