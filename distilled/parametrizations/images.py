"""`images`: the pixels themselves are learnt and stored, with hard or learnt soft labels."""
# Shapes: N = K * M images (M a class, class after class), C channels, H height, W width, K classes.

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from distilled.errors import ArtifactError
from distilled.images import from_bytes, standardise, to_bytes, to_pixels
from distilled.knobs import knob
from distilled.parametrizations.base import Batch, ImageSpace, Parametrization, first_logits, places


class Images(Parametrization):
    """A fixed number of images of each class.

    Stored as `uint8` the pixels are kept inside [0, 1] while they are learnt, so that what is evaluated, served as PNG
    and stored is the same thing. `float16` and `float32` keep standardised values of any size.

    With `downsample` s an image is stored s times smaller in height and width, and recalled by bilinear interpolation:
    s^2 images take the room of one. That is multi-formation (Kim et al., "Dataset Condensation via Efficient
    Synthetic-Data Parameterization", ICML 2022, section 3.2) with each formed image in a place of its own. Recalled
    images are no whole bytes, so that what is served as PNG is rounded once more.
    """

    kind = "images"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        storage: str = knob("uint8", "precision in which pixels are stored", choices=("uint8", "float16", "float32"))
        downsample: int = knob(
            1, "times that a stored image is smaller, in height and in width, so that more fit", ge=1, le=256
        )
        labels: str = knob(
            "hard", "class indices, or class probabilities learnt with the images", choices=("hard", "soft")
        )

    def __init__(self, config: Config, *, space: ImageSpace, images_NCHW: Tensor) -> None:
        super().__init__(config, space=space)
        if len(images_NCHW) == 0 or len(images_NCHW) % space.num_classes:
            raise ArtifactError(
                f"{len(images_NCHW)} images cannot be shared out evenly over {space.num_classes} classes"
            )
        channels, height, width = space.shape
        s = config.downsample
        if height % s or width % s or images_NCHW.shape[1:] != (channels, height // s, width // s):
            raise ArtifactError(
                f"images of shape {tuple(images_NCHW.shape[1:])} do not fit {config} in an artifact of {space.shape}"
            )
        self.images_NCHW = nn.Parameter(images_NCHW.clone())  # as they are stored: s times smaller
        self.config: Images.Config = config
        if config.labels == "soft":
            labels_N = torch.arange(space.num_classes, device=images_NCHW.device).repeat_interleave(self.per_class)
            self.logits_NK = nn.Parameter(first_logits(labels_N, num_classes=space.num_classes))

    @property
    def per_class(self) -> int:
        return len(self.images_NCHW) // self.space.num_classes

    @property
    def soft(self) -> bool:
        return self.config.labels == "soft"

    def draw(self, labels_N: Tensor, *, rng: Generator | None) -> Batch:
        names = [f"class {name!r}" for name in self.space.classes]
        return self.at(labels_N, places(labels_N, per_class=self.per_class, names=names, rng=rng))

    def at(self, labels_N: Tensor, places_N: Tensor) -> Batch:
        index_N = (labels_N.cpu() * self.per_class + places_N).to(self.images_NCHW.device)
        targets = self.logits_NK[index_N].softmax(1) if self.soft else labels_N.to(self.images_NCHW.device)
        return Batch(images_NCHW=self._recalled(self.images_NCHW[index_N]), targets=targets)

    def _recalled(self, images_NCHW: Tensor) -> Tensor:
        if self.config.downsample == 1:
            return images_NCHW
        return functional.interpolate(images_NCHW, size=self.space.shape[1:], mode="bilinear", align_corners=False)

    @torch.no_grad()
    def project(self) -> None:
        """Keep pixels inside [0, 1] where they will be stored as bytes."""
        if self.config.storage == "uint8":
            low = standardise(torch.zeros_like(self.images_NCHW[:1]), mean=self.space.mean, std=self.space.std)
            high = standardise(torch.ones_like(self.images_NCHW[:1]), mean=self.space.mean, std=self.space.std)
            self.images_NCHW.clamp_(low, high)

    @torch.no_grad()
    def stored(self) -> dict[str, Tensor]:
        if self.config.storage == "uint8":
            pixels_NCHW = to_pixels(self.images_NCHW, mean=self.space.mean, std=self.space.std)
            tensors = {"images": to_bytes(pixels_NCHW).cpu()}
        else:
            tensors = {"images": self.images_NCHW.detach().to(getattr(torch, self.config.storage)).cpu().contiguous()}
        if self.soft:
            tensors["soft_labels"] = self.logits_NK.softmax(1).cpu()
        else:
            kind = torch.uint8 if self.space.num_classes <= 256 else torch.int32
            tensors["labels"] = torch.arange(self.space.num_classes, dtype=kind).repeat_interleave(self.per_class)
        return tensors

    @classmethod
    def from_stored(cls, config: Config, *, space: ImageSpace, tensors: Mapping[str, Tensor]) -> "Images":
        stored = tensors["images"]
        images_NCHW = (
            standardise(from_bytes(stored), mean=space.mean, std=space.std)
            if config.storage == "uint8"
            else stored.to(torch.float32)
        )
        made = cls(config, space=space, images_NCHW=images_NCHW)
        if config.labels == "soft":
            made.logits_NK.data.copy_(tensors["soft_labels"].clamp_min(1e-12).log())
        return made
