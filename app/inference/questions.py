"""What an inference request asks of an artifact: labels or mixtures of classes, a seed, and how images are given."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidRequest
from app.inference.tensors import is_whole
from app.inference.wire import InferRequest
from app.samples.choosing import MAX_IMAGES
from app.samples.schemas import MAX_SEED, Dtype

INPUTS = ("labels", "mix", "seed")


@dataclass(frozen=True, kw_only=True)
class Question:
    """An image for each label (indices of classes), or for each row of `weights`, which sum to 1. One of the two."""

    labels: list[int] | None
    weights: list[list[float]] | None
    seed: int | None
    dtype: Dtype

    @property
    def count(self) -> int:
        """Images in all."""
        return len(self.labels if self.labels is not None else self.weights or ())


def question(asked: InferRequest, *, num_classes: int) -> Question:
    """The question in a request. Raises InvalidRequest naming the tensor or the parameter."""
    for name in asked.inputs:
        if name not in INPUTS:
            raise InvalidRequest.at("/inputs", f"there is no input {name[:64]!r}; known are {', '.join(INPUTS)}")
    for name in asked.parameters:
        if name not in ("seed", "dtype"):
            detail = f"there is no parameter {name[:64]!r}; known are seed, dtype and binary_data_output"
            raise InvalidRequest.at("/parameters", detail)
    labels, mixture = asked.inputs.get("labels"), asked.inputs.get("mix")
    if (labels is None) == (mixture is None):
        raise InvalidRequest.at("/inputs", "give one of `labels` (INT64 [N]) and `mix` (FP32 [N, classes])")
    return Question(
        labels=None if labels is None else _labels(labels, num_classes=num_classes),
        weights=None if mixture is None else _weights(mixture, num_classes=num_classes),
        seed=_seed(asked),
        dtype=_dtype(asked),
    )


def _labels(labels: NDArray[Any], *, num_classes: int) -> list[int]:
    where = "/inputs/labels"
    if labels.dtype.kind != "i" or labels.ndim != 1:
        raise InvalidRequest.at(where, "must be INT64 of shape [N], the index of a class for each image")
    _check_count(len(labels), where)
    if labels.min() < 0 or labels.max() >= num_classes:
        raise InvalidRequest.at(where, f"must be indices of classes, 0..{num_classes - 1}")
    return labels.tolist()


def _weights(mixture: NDArray[Any], *, num_classes: int) -> list[list[float]]:
    where = "/inputs/mix"
    if mixture.dtype.kind != "f" or mixture.ndim != 2 or mixture.shape[1] != num_classes:
        raise InvalidRequest.at(where, f"must be FP32 of shape [N, {num_classes}], the classes' weights for each image")
    _check_count(len(mixture), where)
    weights_NK = mixture.astype(np.float64)
    totals_N = weights_NK.sum(axis=1)
    # Written so that what is no number is refused too.
    if not ((weights_NK >= 0).all() and (totals_N > 0).all() and np.isfinite(totals_N).all()):
        raise InvalidRequest.at(where, "must be finite weights of at least 0, and in each row one above 0")
    return (weights_NK / totals_N[:, None]).tolist()


def _check_count(count: int, where: str) -> None:
    if not 1 <= count <= MAX_IMAGES:
        raise InvalidRequest.at(where, f"asks for {count} images; one answer holds 1 to {MAX_IMAGES}")


def _seed(asked: InferRequest) -> int | None:
    given, tensor = asked.parameters.get("seed"), asked.inputs.get("seed")
    if given is not None and tensor is not None:
        raise InvalidRequest.at("/parameters/seed", "is given as an input too; give it once")
    if tensor is not None:
        if tensor.dtype.kind != "i" or tensor.shape != (1,) or tensor[0] < 0:
            raise InvalidRequest.at("/inputs/seed", f"must be INT64 of shape [1], one number in 0..{MAX_SEED}")
        return int(tensor[0])
    if given is not None and not is_whole(given):
        raise InvalidRequest.at("/parameters/seed", f"must be a whole number in 0..{MAX_SEED}")
    return given


def _dtype(asked: InferRequest) -> Dtype:
    """How images are given, as the output `images` says, or the request."""
    wanted = asked.parameters.get("dtype", Dtype.UINT8.value)
    for output in (asked.outputs or {}).values():
        for name, value in output.parameters.items():
            if name != "dtype" or output.name != "images":
                detail = f"there is no parameter {name[:64]!r}; outputs know binary_data, and `images` dtype"
                raise InvalidRequest.at("/outputs", detail)
            wanted = value
    known = [known.value for known in Dtype]
    if wanted not in known:
        raise InvalidRequest.at("/parameters/dtype", f"must be one of {', '.join(known)}")
    return Dtype(wanted)
