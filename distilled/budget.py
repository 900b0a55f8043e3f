"""Budgets: from what a user asks for (images per class, a ratio, bytes) to images per class.

The number that was asked for is never rewritten; the artifact reports its true size beside it.
"""

from collections.abc import Mapping
from math import floor, prod
from typing import Any

from distilled.errors import Problem, RecipeError

BYTES_PER_VALUE = {"uint8": 1, "float16": 2, "float32": 4}


def images_per_class(recipe: Mapping[str, Any], dataset: Mapping[str, Any]) -> int:
    """Images per class of an expanded recipe's budget on a data set.

    `ratio` is of the training images: round(ratio * train / classes), at least 1. `bytes` counts pixels and labels in
    their storage precision. Raises RecipeError where not even one image a class fits, or more are asked for than the
    smallest class has.
    """
    classes = len(dataset["classes"])
    if "ipc" in recipe:
        field, ipc = "ipc", int(recipe["ipc"])
    elif "ratio" in recipe:
        field, ipc = "ratio", max(1, round(recipe["ratio"] * sum(dataset["train_counts"]) / classes))
    else:
        field, cost = "bytes", classes * image_bytes(recipe["parametrization"], dataset)
        ipc = floor(recipe["bytes"] / cost)
        if ipc < 1:
            detail = f"one image of each of the {classes} classes takes {cost} bytes; give at least that"
            raise RecipeError([Problem(pointer="/bytes", detail=detail)])
    smallest = min(dataset["train_counts"])
    if ipc > smallest:
        detail = (
            f"comes to {ipc} images per class, but the smallest class of {dataset['name']} has {smallest} "
            f"training images; ask for at most {smallest} per class"
        )
        raise RecipeError([Problem(pointer=f"/{field}", detail=detail)])
    return ipc


def image_bytes(parametrization: Mapping[str, Any], dataset: Mapping[str, Any]) -> int:
    """Bytes that one stored image and its label take in the `images` parametrization."""
    classes = len(dataset["classes"])
    label = 4 * classes if parametrization["labels"] == "soft" else (1 if classes <= 256 else 4)
    return prod(dataset["shape"]) * BYTES_PER_VALUE[parametrization["storage"]] + label
