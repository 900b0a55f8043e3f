"""A distilled set in memory, image by image."""
# Shapes: N images, B images of a batch, C channels, H height, W width, K classes.

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from distilled.classes import class_indices
from distilled.dealing import Deal, places
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
        """Batch `index` of the endless deal: all images before any comes again, class after class.

        It follows from the seed and the set's identity alone. Of a whole fixed set it is the batch that a service's
        `…/stream` has under this number. Transforms are of items, and not applied.
        """
        deal = Deal(images=size, classes=len(self.chosen), index=index)
        which_B, labels_B = (np.repeat(np.array(of), deal.numbers) for of in (range(len(self.chosen)), self.chosen))
        before = dict(zip(self.chosen, deal.before, strict=True))
        at_B = places(labels_B, held=self.ipc, before=before, digest=self.digest, seed=seed)
        rows_B = torch.from_numpy(which_B * self.ipc + at_B)
        return Batch(self.images_NCHW[rows_B], self.targets[rows_B])


def as_dtype(images_NCHW: Tensor, *, mean: Sequence[float], std: Sequence[float], dtype: str) -> Tensor:
    """Standardised images as they are, or as bytes, channels first in both. Raises InvalidInput for another dtype."""
    if dtype not in DTYPES:
        raise _refused("/dtype", f"{dtype!r} is none of {', '.join(DTYPES)}")
    if dtype == "float32":
        return images_NCHW.to(torch.float32)
    return to_bytes(to_pixels(images_NCHW, mean=mean, std=std)).permute(0, 3, 1, 2).contiguous()


def _refused(pointer: str, detail: str) -> InvalidInput:
    return InvalidInput([Problem(pointer=pointer, detail=detail)])
