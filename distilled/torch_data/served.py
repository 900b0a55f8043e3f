"""Batches that a service draws, one request each."""
# Shapes: B images of a batch, C channels, H height, W width, K classes.

from collections.abc import Sequence
from typing import Any

import torch

from distilled.classes import class_indices
from distilled.client.client import Client
from distilled.client.values import Artifact
from distilled.errors import InvalidInput, Problem
from distilled.torch_data.batch import Batch
from distilled.torch_data.dataset import DTYPES


class Served:
    """The batches of an artifact that serves any number of images: new ones for every index.

    What it is made of can be pickled: each DataLoader worker asks over connections of its own.
    """

    def __init__(
        self,
        client: Client,
        artifact: Artifact,
        *,
        classes: Sequence[str | int] | str | None,
        dtype: str,
        soft: bool | None,
    ) -> None:
        if dtype not in DTYPES:
            raise InvalidInput([Problem(pointer="/dtype", detail=f"{dtype!r} is none of {', '.join(DTYPES)}")])
        self._client = client
        self._id = artifact.id
        self._soft = soft
        chosen = class_indices(classes, names=artifact.classes)
        # By name, which counts before an index where a class is called by a number.
        self._classes = None if classes is None else [artifact.classes[k] for k in chosen]
        self.identity: dict[str, Any] = {"digest": artifact.digest, "classes": chosen, "dtype": dtype, "soft": soft}

    def batch(self, index: int, *, size: int, seed: int) -> Batch:
        drawn = self._client.sample(
            self._id, count=size, seed=seed, index=index, classes=self._classes, dtype=self.identity["dtype"]
        )
        labels = drawn.soft_labels if self._soft is not False and drawn.soft_labels is not None else drawn.labels
        if labels is None or (self._soft and drawn.soft_labels is None):
            raise InvalidInput([Problem(pointer="/soft", detail="the artifact holds no such labels; leave `soft` out")])
        images = torch.from_numpy(drawn.images)
        bytes_last = self.identity["dtype"] == "uint8"
        return Batch(images.permute(0, 3, 1, 2).contiguous() if bytes_last else images, torch.from_numpy(labels))
