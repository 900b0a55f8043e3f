"""Budgets: from what a user asks for (images per class, a ratio, bytes) to the images that are held of each class.

The number that was asked for is never rewritten; the artifact reports its true size beside it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

from distilled.errors import Problem, RecipeError
from distilled.parametrizations.layers import layers, misfit

BYTES_PER_VALUE = {"uint8": 1, "float16": 2, "float32": 4}
#: One image in so many of each class is held out of the train split for validation.
HELD_OUT_OF = 10
#: Values of all images that a memory recalls or an evaluation draws, at most: 8 GiB as float32.
MAX_RECALLED_VALUES = 2**31


def held_out(counts: Sequence[int]) -> tuple[int, ...]:
    """How many images of each class are held out for validation; a class of fewer than ten keeps them all."""
    return tuple(count // HELD_OUT_OF for count in counts)


def learnt_and_held_out(
    train_counts: Sequence[int], val_counts: Sequence[int] | None = None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Images of each class to learn from, and for validation, of a data set with this train split.

    A data set with a validation split of its own keeps its whole train split. The first is what a budget is checked
    against: a run can start from no more images than it may see.
    """
    if val_counts is not None:
        return tuple(train_counts), tuple(val_counts)
    kept = held_out(train_counts)
    return tuple(all_of - out for all_of, out in zip(train_counts, kept, strict=True)), kept


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What a budget comes to.

    ipc: whole images per class that it would buy; of a generator, the images of a class that an evaluation draws.
    per_class: images that are held, or recalled, of each class; None where any number can be drawn. bytes: of all
    stored tensors.
    """

    ipc: int
    per_class: int | None
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a parametrization stores: so much at all events, and so much for one image more of every class.

    Floats are stored numbers in the literature's count, where labels are free. Where an image more costs nothing, any
    number can be drawn.
    """

    floats: int = 0
    bytes: int = 0
    floats_each: int = 0
    bytes_each: int = 0


def holding(recipe: Mapping[str, Any], dataset: Mapping[str, Any]) -> Holding:
    """What an expanded recipe's budget comes to on a data set.

    `dataset` has the `train_counts` that training sees, the held-out images no longer among them. `ipc` buys as many
    stored numbers as that many images have pixels, and `ratio` means round(ratio * train / classes) of them, at least
    1. `bytes` counts all stored tensors in their precision. Neither is ever exceeded; but a generator is as large as
    its options say, and `ipc` and `ratio` say what is drawn from it. Raises RecipeError where not even one image a
    class fits, or more come of it than can be.
    """
    kind = recipe["parametrization"]["kind"]
    cost = COSTS[kind](recipe["parametrization"], dataset)
    image = prod(dataset["shape"]) * len(dataset["classes"])
    field = next(name for name in ("ipc", "ratio", "bytes") if name in recipe)
    share = recipe.get("ratio", 0) * sum(dataset["train_counts"]) / len(dataset["classes"])
    ipc = int(recipe["ipc"]) if field == "ipc" else max(1, round(share))
    if cost.bytes_each == 0:
        per_class = None
        ipc = ipc if field != "bytes" else max(1, cost.floats // image)
    elif field == "bytes":
        per_class = (recipe["bytes"] - cost.bytes) // cost.bytes_each
        ipc = max(1, (cost.floats + per_class * cost.floats_each) // image)
    else:
        per_class = (ipc * image - cost.floats) // cost.floats_each
    too_small = per_class < 1 if per_class is not None else recipe.get("bytes", cost.bytes) < cost.bytes
    if too_small:
        raise RecipeError([Problem(pointer=f"/{field}", detail=_too_small(field, kind, cost, dataset))])
    LIMITS[kind](ipc if per_class is None else per_class, field, dataset)
    return Holding(ipc=ipc, per_class=per_class, bytes=cost.bytes + (per_class or 0) * cost.bytes_each)


def check_drawn(recipe: Mapping[str, Any], held: Holding, dataset: Mapping[str, Any]) -> None:
    """Raise RecipeError where an evaluation asks for a number of images that it cannot have."""
    asked = recipe["evaluation"].get("ipc", 0)
    if asked and held.per_class is not None:
        raise RecipeError([evaluated_whole(held.per_class)])
    if asked:
        LIMITS[recipe["parametrization"]["kind"]](asked, "evaluation/ipc", dataset)


def evaluated_whole(held: int) -> Problem:
    """Why `evaluation.ipc` is nothing for a set that holds so many images of each class."""
    detail = f"a fixed set is evaluated whole, with the {held} images of each class that it holds; leave it at 0"
    return Problem(pointer="/evaluation/ipc", detail=detail)


def _images_cost(parametrization: Mapping[str, Any], dataset: Mapping[str, Any]) -> Cost:
    """Pixels of the images as they are stored, and a label for each image."""
    # Jobs that an earlier version queued do not name it.
    classes, pixels = len(dataset["classes"]), _small(parametrization.get("downsample", 1), dataset)
    label = 4 * classes if parametrization["labels"] == "soft" else (1 if classes <= 256 else 4)
    one = pixels * BYTES_PER_VALUE[parametrization["storage"]] + label
    return Cost(floats_each=classes * pixels, bytes_each=classes * one)


def _memory_cost(parametrization: Mapping[str, Any], dataset: Mapping[str, Any]) -> Cost:
    """Bases once, and for each image a row with a number for each basis; bytes also have a step and an offset (float32)
    for each basis and for its column of addresses. Deng & Russakovsky, NeurIPS 2022, section 4.1.
    """
    bases, values = parametrization["bases"], _small(parametrization["downsample"], dataset)
    if bases > values:
        detail = f"a basis has {values} values, so more than {values} of them say nothing new; give at most {values}"
        raise RecipeError([Problem(pointer="/parametrization/bases", detail=detail)])
    size = BYTES_PER_VALUE[parametrization["storage"]]
    grid = 4 * bases if parametrization["storage"] == "uint8" else 0
    row = len(dataset["classes"]) * bases
    return Cost(
        floats=bases * values + grid, bytes=bases * values * size + 4 * grid, floats_each=row, bytes_each=row * size
    )


def _small(times: int, dataset: Mapping[str, Any]) -> int:
    """Values of an image that is so many times smaller in height and width."""
    channels, height, width = dataset["shape"]
    if height % times or width % times:
        detail = f"images of {height} x {width} pixels cannot be {times} times smaller; give a divisor of both sides"
        raise RecipeError([Problem(pointer="/parametrization/downsample", detail=detail)])
    return channels * (height // times) * (width // times)


def _generator_cost(parametrization: Mapping[str, Any], dataset: Mapping[str, Any]) -> Cost:
    """Weights in the storage precision, everything else in float32, however many images are drawn.

    Weights in bytes have a step and an offset for each output channel; soft targets are a row of probabilities a class.
    """
    shape, classes, latent = dataset["shape"], len(dataset["classes"]), parametrization["latent"]
    found = misfit(shape=shape, num_classes=classes, latent=latent)
    if found:
        raise RecipeError([Problem(pointer=f"/parametrization/{found[0]}", detail=found[1])])
    made = layers(shape=shape, width=parametrization["width"], latent=latent)
    weights = sum(layer.weights for layer in made)
    rest = sum(layer.constants for layer in made)
    if parametrization["storage"] == "uint8":
        rest += 2 * sum(layer.channels for layer in made)
    if parametrization["labels"] == "soft":
        rest += classes**2
    return Cost(floats=weights + rest, bytes=weights * BYTES_PER_VALUE[parametrization["storage"]] + 4 * rest)


def _too_small(field: str, kind: str, cost: Cost, dataset: Mapping[str, Any]) -> str:
    """The least budget that holds an image of each class, or the knobs that make one smaller."""
    classes = len(dataset["classes"])
    if kind == "generator":
        return (
            f"this generator takes {cost.bytes} bytes, however many images are drawn from it; give at least that, "
            "lower `parametrization.width` or `parametrization.latent`, or choose a smaller `parametrization.storage`"
        )
    knobs = "lower `parametrization.bases` or raise `parametrization.downsample`"
    if field == "bytes":
        least = cost.bytes + cost.bytes_each
        detail = f"one image of each of the {classes} classes takes {least} bytes; give at least that"
        return f"{detail}, or {knobs}" if kind == "memory" else detail
    ipc = ceil((cost.floats + cost.floats_each) / (prod(dataset["shape"]) * classes))
    # Rounded up in the last digit that is shown, so that what is named does work.
    least = ipc if field == "ipc" else ceil(ipc * classes / sum(dataset["train_counts"]) * 1e6) / 1e6
    detail = f"the bases and one row a class take as many stored numbers as {ipc} whole images per class"
    return f"{detail}; {knobs}" if field == "ratio" and least > 1 else f"{detail}; give at least {least}, or {knobs}"


def _within_the_smallest_class(per_class: int, field: str, dataset: Mapping[str, Any]) -> None:
    """A set of images starts from real ones, and there are only so many."""
    smallest = min(dataset["train_counts"])
    if per_class > smallest:
        detail = (
            f"comes to {per_class} images per class, but the smallest class of {dataset['name']} has {smallest} "
            f"images to learn from; ask for at most {smallest} per class"
        )
        raise RecipeError([Problem(pointer=f"/{field}", detail=detail)])


def _drawn_at_once(ipc: int, field: str, dataset: Mapping[str, Any]) -> None:
    """An evaluation draws its set from a generator in one piece."""
    most = MAX_RECALLED_VALUES // (prod(dataset["shape"]) * len(dataset["classes"]))
    if ipc > most:
        detail = (
            f"comes to {ipc} images of each class to evaluate, and no more than {most} of this size fit: ask for less"
        )
        raise RecipeError([Problem(pointer=f"/{field}", detail=detail)])


def _within_reach(per_class: int, field: str, dataset: Mapping[str, Any]) -> None:
    """Whoever evaluates a memory recalls all of it."""
    most = MAX_RECALLED_VALUES // (prod(dataset["shape"]) * len(dataset["classes"]))
    if per_class > most:
        detail = (
            f"comes to {per_class} images recalled of each class, and more than {most} of this size cannot be held at "
            "once; ask for less, or raise `parametrization.bases`"
        )
        raise RecipeError([Problem(pointer=f"/{field}", detail=detail)])


#: kind -> what it stores, and how many images of a class are too many. A new kind is a line in each.
COSTS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Cost]] = {
    "images": _images_cost,
    "memory": _memory_cost,
    "generator": _generator_cost,
}
LIMITS: Mapping[str, Callable[[int, str, Mapping[str, Any]], None]] = {
    "images": _within_the_smallest_class,
    "memory": _within_reach,
    "generator": _drawn_at_once,
}
