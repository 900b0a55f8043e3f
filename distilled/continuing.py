"""Continuing a memory with the classes of a further data set, as far as plain data tell.

The front end refuses here what cannot be continued, before a job is queued; the laboratory refuses the same. Both read
an artifact's header and what budgets know of a data set: `name`, `classes`, `shape` and `train_counts`.
"""

from collections.abc import Mapping
from typing import Any

from distilled.errors import Problem

#: The only kind that can be continued: its bases and rows can be made anew for more classes in as many bytes.
KIND = "memory"
_SHOWN = 5


def parts(header: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The data sets whose classes an artifact holds, in the order of its classes, the one it was made from last.

    Each is {"name", "digest", "licence", "classes"}, the last being how many classes it brought.
    """
    earlier: list[dict[str, Any]] = list((header.get("base") or {}).get("datasets", ()))
    brought = len(header["classes"]) - sum(part["classes"] for part in earlier)
    return [*earlier, {**header["dataset"], "classes": brought}]


def problems(header: Mapping[str, Any], dataset: Mapping[str, Any]) -> list[Problem]:
    """Why this artifact cannot be continued with this data set; nothing where it can."""
    if header["kind"] != KIND:
        detail = f"is of kind `{header['kind']}`; only an artifact of kind `{KIND}` can be continued"
        return [Problem(pointer="/base_artifact", detail=detail)]
    found: list[Problem] = []
    held, wanted = list(header["space"]["shape"]), list(dataset["shape"])
    if held != wanted:
        detail = (
            f"has images of shape {wanted} ([C, H, W]), and the base artifact of {held}; resize the images, and upload "
            "them as a data set of their own"
        )
        found.append(Problem(pointer="/dataset", detail=detail))
    twice = [name for name in dataset["classes"] if name in set(header["classes"])]
    if twice:
        shown = ", ".join(repr(name) for name in twice[:_SHOWN]) + (" …" if len(twice) > _SHOWN else "")
        detail = (
            f"has classes whose names the base artifact holds already ({shown}), and images cannot be added to a class "
            "that is remembered; upload the new classes alone, or rename those that only happen to share a name"
        )
        found.append(Problem(pointer="/dataset", detail=detail))
    return found


def union(header: Mapping[str, Any], dataset: Mapping[str, Any]) -> dict[str, Any]:
    """What budgets need to know of the old classes, as they are remembered, and the new ones together."""
    remembered = [rehearsed(dataset["train_counts"])] * len(header["classes"])
    return {
        "name": dataset["name"],
        "classes": [*header["classes"], *dataset["classes"]],
        "shape": list(dataset["shape"]),
        "train_counts": [*remembered, *dataset["train_counts"]],
    }


def rehearsed(train_counts: "list[int] | tuple[int, ...]") -> int:
    """Images that stand for each old class beside new classes of these sizes: as many as a new one has in mean."""
    return max(1, round(sum(train_counts) / len(train_counts)))
