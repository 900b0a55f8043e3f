"""A distilled set in memory, image by image."""
# Shapes: N images, B images of a batch, C channels, H height, W width, K classes.

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from distilled.errors import InvalidInput, NotHeld, Problem
from distilled.files import Artifact, open_artifact
from distilled.images import to_bytes, to_pixels
from distilled.torch_data.batch import Batch

DTYPES = ("float32", "uint8")

Transform = Callable[[Any], Any]


class DistilledDataset(Dataset[tuple[Any, Any]]):
    """The images of an artifact with their labels, as a map-style data set; needs the artifact's file and no service.

    artifact: opened, or the path of its file. ipc: images of each class, by default all that a fixed set holds, of a
    generator as many as its budget says; the smaller set is the beginning of the larger. classes: names or indices; one
    text may hold several, with commas between. dtype: `float32`, standardised as networks want them and as the artifact
    was evaluated, or `uint8`. soft: whether labels are probabilities; by default where the artifact holds them.

    An item is (image [C, H, W], label): the class index, or a float32 tensor [K]. `transform` and `target_transform`
    are applied to each. The order is class after class, as stored. Raises InvalidInput naming what cannot be had.
    """

    def __init__(
        self,
        artifact: Artifact | Path | str,
        *,
        ipc: int | None = None,
        classes: Sequence[str | int] | str | None = None,
        dtype: str = "float32",
        soft: bool | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        opened = artifact if isinstance(artifact, Artifact) else open_artifact(artifact)
        made = opened.parametrization
        if soft and not made.soft:
            raise _refused("/soft", "the artifact holds no soft labels; leave `soft` out")
        self.digest = opened.digest
        self.classes = list(made.space.classes)
        self.chosen = class_indices(classes, names=self.classes)
        self.ipc = int(opened.header["ipc"]) if made.per_class is None and ipc is None else ipc or made.per_class or 0
        self.transform = transform
        self.target_transform = target_transform
        if ipc is not None and ipc < 1:
            raise _refused("/ipc", "give at least 1 image of each class")
        labels_N = torch.tensor(self.chosen).repeat_interleave(self.ipc)
        try:
            with torch.inference_mode():
                drawn = made.draw(labels_N, rng=None)
        except NotHeld as error:
            raise _refused("/ipc", f"the artifact holds {made.per_class} images of each class, not {ipc}") from error
        images_NCHW = as_dtype(drawn.images_NCHW, mean=made.space.mean, std=made.space.std, dtype=dtype)
        # A plain copy: what inference mode made could not be used by anything that learns from it.
        self.images_NCHW = images_NCHW.clone()
        self.targets = (drawn.targets if made.soft and soft is not False else labels_N).clone()

    @property
    def soft(self) -> bool:
        """Whether labels are probabilities."""
        return self.targets.ndim == 2

    @property
    def identity(self) -> dict[str, Any]:
        """What its batches follow from, beside seed and size."""
        dtype = str(self.images_NCHW.dtype).removeprefix("torch.")
        return {"digest": self.digest, "ipc": self.ipc, "classes": self.chosen, "dtype": dtype, "soft": self.soft}

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image: Any = self.images_NCHW[index]
        target: Any = self.targets[index]
        label = target if self.soft else int(target)
        return (
            self.transform(image) if self.transform else image,
            self.target_transform(label) if self.target_transform else label,
        )

    def batch(self, index: int, *, size: int, seed: int) -> Batch:
        """Batch `index` of the endless deal: the whole set again and again, each time in another order.

        It follows from the seed and the set's identity alone. Transforms are of items, and not applied.
        """
        places_B = torch.from_numpy(dealt(index, size=size, total=len(self), key=f"{json.dumps(self.identity)}/{seed}"))
        return Batch(self.images_NCHW[places_B], self.targets[places_B])


def dealt(index: int, *, size: int, total: int, key: str) -> NDArray[np.int64]:
    """Places size·index .. size·(index+1)-1 of a walk through 0..total-1, every epoch in another order: int64 [size].

    The order sorts raw output of a counter-based generator, which numpy keeps the same in every version, as it does not
    keep its shuffles (NEP 19).
    """
    first, last = divmod(size * index, total), divmod(size * (index + 1) - 1, total)
    orders = [_order(total, key=f"{key}/{epoch}") for epoch in range(first[0], last[0] + 1)]
    return np.concatenate(orders)[first[1] :][:size]


def _order(total: int, *, key: str) -> NDArray[np.int64]:
    named = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big")
    return np.random.Philox(key=named).random_raw(total).argsort(kind="stable")


def as_dtype(images_NCHW: Tensor, *, mean: Sequence[float], std: Sequence[float], dtype: str) -> Tensor:
    """Standardised images as they are, or as bytes, channels first in both. Raises InvalidInput for another dtype."""
    if dtype not in DTYPES:
        raise _refused("/dtype", f"{dtype!r} is none of {', '.join(DTYPES)}")
    if dtype == "float32":
        return images_NCHW.to(torch.float32)
    return to_bytes(to_pixels(images_NCHW, mean=mean, std=std)).permute(0, 3, 1, 2).contiguous()


def class_indices(asked: Sequence[str | int] | str | None, *, names: Sequence[str]) -> list[int]:
    """Indices of classes in the order asked for, all without; the rules are those of the service's `classes`."""
    if asked is None:
        return list(range(len(names)))
    texts = [asked] if isinstance(asked, str) else [str(one) for one in asked]
    wanted = [part for text in texts for part in ([text] if text in names else text.split(","))]
    found: list[int] = []
    for part in (part.strip() for part in wanted):
        if part not in names and not (part.isascii() and part.isdecimal() and int(part) < len(names)):
            raise _refused("/classes", f"there is no class {part!r}; known are {', '.join(names)}")
        found.append(names.index(part) if part in names else int(part))
    if not found or len(set(found)) < len(found):
        raise _refused("/classes", "name at least one class, and each once")
    return found


def _refused(pointer: str, detail: str) -> InvalidInput:
    return InvalidInput([Problem(pointer=pointer, detail=detail)])
