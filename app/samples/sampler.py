"""Drawing from artifacts: the only part of the front end that touches tensors.

Opened artifacts are kept by digest, the last used of them. A sample is a function of (artifact digest, query, seed,
index): the same question has the same bytes as its answer, today and elsewhere.
"""
# Shapes: N images, C channels, H height, W width, K classes.

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray

from distilled.dealing import places
from distilled.errors import NotHeld
from distilled.files import Artifact, open_artifact
from distilled.formats.sets import SyntheticSet
from distilled.images import to_bytes, to_pixels
from distilled.parametrizations.base import Batch, ImageSpace

#: Artifacts kept open at a time.
KEPT = 8


class Sampler:
    """Draws synthetic sets. One lock: torch uses all cores for one draw, so two at a time would gain nothing."""

    def __init__(self, *, kept: int = KEPT) -> None:
        self._kept = kept
        self._open: OrderedDict[str, Artifact] = OrderedDict()
        self._lock = threading.Lock()

    def draw(
        self,
        digest: str,
        read: Callable[[], bytes],
        *,
        labels: Sequence[int],
        seed: int | None,
        index: int = 0,
        before: Mapping[int, int] | None = None,
        dtype: str = "uint8",
    ) -> SyntheticSet:
        """An image for each label: the index-th batch of a seed.

        read: fetches the artifact's file where it is not open. seed: None for the stored order. before: how many images
        of each class the batches before this one had: of a fixed set all are dealt before any is dealt again. Without
        it the batch stands alone. dtype: `uint8` (bytes_NHWC) or `float32` (standardised images_NCHW). Raises NotHeld
        where a fixed set has fewer images of a class than a batch that stands alone asks for.
        """
        with self._lock, torch.inference_mode():
            made = self._opened(digest, read).parametrization
            labels_N = torch.tensor(list(labels), dtype=torch.int64)
            if made.per_class is not None and before is None:
                _check_held(labels_N, held=made.per_class, classes=made.space.classes)
            if seed is None:
                batch = made.draw(labels_N, rng=None)
            elif made.per_class is None:
                batch = made.draw(labels_N, rng=generator(digest, seed=seed, index=index))
            else:
                first = before or dict.fromkeys(labels, 0)
                at_N = places(labels_N.numpy(), held=made.per_class, before=first, digest=digest, seed=seed)
                batch = made.at(labels_N, torch.from_numpy(at_N))
            return SyntheticSet(
                images=_as_arrays(batch, made.space, dtype=dtype),
                classes=made.space.classes,
                labels=labels_N.numpy(),  # what was asked for; a soft label's likeliest class may be another
                soft_labels=batch.targets.numpy() if batch.soft else None,
            )

    def mix(
        self,
        digest: str,
        read: Callable[[], bytes],
        *,
        weights: Sequence[Sequence[float]],
        counts: Sequence[int],
        seed: int | None,
        dtype: str = "uint8",
    ) -> SyntheticSet:
        """`counts[i]` images of each mixture `weights[i]` (of each class, summing to 1), which is their soft label.

        seed: None for the stored order, in which the i-th images of all mixtures are one image, mixed otherwise. Raises
        ArtifactError where the artifact's kind cannot mix classes.
        """
        with self._lock, torch.inference_mode():
            made = self._opened(digest, read).parametrization
            weights_NK = torch.tensor(weights, dtype=torch.float32).repeat_interleave(torch.tensor(counts), dim=0)
            batch = made.mix(weights_NK, rng=None if seed is None else generator(digest, seed=seed, index=0))
            return SyntheticSet(
                images=_as_arrays(batch, made.space, dtype=dtype),
                classes=made.space.classes,
                soft_labels=batch.targets.numpy(),
            )

    def mixes(self, digest: str, read: Callable[[], bytes]) -> bool:
        """Whether images of mixed classes can be recalled from the artifact."""
        with self._lock:
            return self._opened(digest, read).parametrization.mixes

    def per_class(self, digest: str, read: Callable[[], bytes]) -> int | None:
        """Images that a fixed set holds of each class; None where any number can be drawn."""
        with self._lock:
            return self._opened(digest, read).parametrization.per_class

    def _opened(self, digest: str, read: Callable[[], bytes]) -> Artifact:
        if digest not in self._open:
            self._open[digest] = open_artifact(read())
        self._open.move_to_end(digest)
        while len(self._open) > self._kept:
            self._open.popitem(last=False)
        return self._open[digest]


def generator(digest: str, *, seed: int, index: int) -> torch.Generator:
    """The randomness of the index-th batch of a seed, the same wherever it is drawn."""
    named = hashlib.sha256(f"{digest}/{seed}/{index}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(named[:8], "big") >> 1)


def _as_arrays(batch: Batch, space: ImageSpace, *, dtype: str) -> NDArray[Any]:
    if dtype == "float32":
        return batch.images_NCHW.to(torch.float32).contiguous().numpy()
    return to_bytes(to_pixels(batch.images_NCHW, mean=space.mean, std=space.std)).numpy()


def _check_held(labels_N: torch.Tensor, *, held: int, classes: Sequence[str]) -> None:
    """A fixed set repeats no image in one sample, so it cannot give more than it holds."""
    most = int(torch.bincount(labels_N, minlength=len(classes)).max())
    if most > held:
        raise NotHeld(f"holds {held} images of each class, not {most}; ask for at most {held}")
