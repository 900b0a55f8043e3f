"""`memory`: bases that all classes share, and addresses by which each image is recalled from them.

Deng & Russakovsky, "Remember the Past: Distilling Datasets into Addressable Memories for Neural Networks", NeurIPS
2022, section 3.2: x_i = up(y^T A_i B), with a query y (a class, or a mixture of classes), a matrix A_i of addresses for
each of the R images of a class, and the bases B at a fraction of the images' resolution. Labels are hard and cost
nothing: an address says by its place whose it is.
"""
# Shapes: N images, C channels, H height, W width, K classes, M bases, R images of a class, h = H/s, w = W/s.

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from distilled.errors import ArtifactError
from distilled.knobs import knob
from distilled.parametrizations.base import Batch, ImageSpace, Parametrization, check_mixtures, places
from distilled.parametrizations.grid import decode, encode

#: Queries in one product, which takes K * M values for each.
AT_ONCE = 1024


class Memory(Parametrization):
    """Shared low-resolution bases, mixed by addresses: many more images than as many bytes of pixels hold.

    Stored as `uint8`, each basis and its column of addresses are bytes on a line of their own: value = offset + step *
    code. What is recalled changes by less than with coarser grids over several bases, because a basis may be scaled up
    and its addresses down without changing any image, and codes do not see it. It costs four numbers a basis, none a
    row. It is learnt as floats and rounded once, when it is stored.
    """

    kind = "memory"
    mixes = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        bases: int = knob(16, "basis images, shared by all classes", unit="bases", ge=1, le=65536)
        downsample: int = knob(2, "times that a basis is smaller than an image, in height and in width", ge=1, le=256)
        storage: str = knob(
            "uint8",
            "precision of bases and addresses; `uint8` stores each basis on a scale of its own",
            choices=("uint8", "float16", "float32"),
        )
        start: str = knob(
            "components",
            "leading components of the real images, with the selected images' addresses on them; or at random (Xavier)",
            choices=("components", "xavier"),
        )

    def __init__(self, config: Config, *, space: ImageSpace, bases_MChw: Tensor, addresses_KRM: Tensor) -> None:
        super().__init__(config, space=space)
        channels, height, width = space.shape
        s = config.downsample
        if height % s or width % s or bases_MChw.shape != (config.bases, channels, height // s, width // s):
            raise ArtifactError(
                f"bases of shape {tuple(bases_MChw.shape)} do not fit {config} and images {space.shape}"
            )
        per_class = addresses_KRM.shape[1] if addresses_KRM.ndim == 3 else 0
        if per_class < 1 or addresses_KRM.shape != (space.num_classes, per_class, config.bases):
            detail = f"{space.num_classes} classes and {config.bases} bases"
            raise ArtifactError(f"addresses of shape {tuple(addresses_KRM.shape)} do not fit {detail}")
        self.config: Memory.Config = config
        self.bases_MChw = nn.Parameter(bases_MChw.clone())
        self.addresses_KRM = nn.Parameter(addresses_KRM.clone())

    @property
    def per_class(self) -> int:
        return self.addresses_KRM.shape[1]

    def draw(self, labels_N: Tensor, *, rng: Generator | None) -> Batch:
        names = [f"class {name!r}" for name in self.space.classes]
        return self.at(labels_N, places(labels_N, per_class=self.per_class, names=names, rng=rng))

    def at(self, labels_N: Tensor, places_N: Tensor) -> Batch:
        targets = labels_N.to(self.addresses_KRM.device)
        addresses_NM = self.addresses_KRM[targets, places_N.to(self.addresses_KRM.device)]
        return Batch(images_NCHW=self._recalled(addresses_NM), targets=targets)

    def mix(self, weights_NK: Tensor, *, rng: Generator | None) -> Batch:
        check_mixtures(weights_NK, num_classes=self.space.num_classes)
        mixtures, which_N = weights_NK.unique(dim=0, return_inverse=True)
        rows_N = places(which_N, per_class=self.per_class, names=["a mixture"] * len(mixtures), rng=rng)
        weights_NK = weights_NK.to(self.addresses_KRM)
        return Batch(images_NCHW=self.recall(weights_NK, rows_N), targets=weights_NK)

    def recall(self, queries_NK: Tensor, rows_N: Tensor) -> Tensor:
        """Images of queries by row, 0..R-1: x_n = up(q_n^T A_{r_n} B), images_NCHW. One-hot queries recall classes."""
        rows_N = rows_N.to(self.addresses_KRM.device)
        parts = [
            torch.einsum("nk,knm->nm", query_nK, self.addresses_KRM[:, rows_n])
            for query_nK, rows_n in zip(queries_NK.split(AT_ONCE), rows_N.split(AT_ONCE), strict=True)
        ]
        return self._recalled(torch.cat(parts))

    def _recalled(self, addresses_NM: Tensor) -> Tensor:
        small_NChw = torch.tensordot(addresses_NM, self.bases_MChw, dims=1)
        size = self.space.shape[1:]
        return nn.functional.interpolate(small_NChw, size=size, mode="bilinear", align_corners=False)

    @torch.no_grad()
    def stored(self) -> dict[str, Tensor]:
        tensors = {"bases": self.bases_MChw.detach().cpu(), "addresses": self.addresses_KRM.detach().cpu()}
        if self.config.storage != "uint8":
            return {name: value.to(getattr(torch, self.config.storage)).contiguous() for name, value in tensors.items()}
        out: dict[str, Tensor] = {}
        for name, dim in (("bases", 0), ("addresses", 2)):
            codes, step_M, offset_M = encode(tensors[name], dim=dim)
            out |= {name: codes, f"{name}_step": step_M, f"{name}_offset": offset_M}
        return out

    @classmethod
    def from_stored(cls, config: Config, *, space: ImageSpace, tensors: Mapping[str, Tensor]) -> "Memory":
        made = {"bases": tensors["bases"], "addresses": tensors["addresses"]}
        for name, dim in (("bases", 0), ("addresses", made["addresses"].ndim - 1)):
            if config.storage == "uint8":
                made[name] = decode(made[name], tensors[f"{name}_step"], tensors[f"{name}_offset"], dim=dim)
        bases_MChw, addresses_KRM = (made[name].to(torch.float32) for name in ("bases", "addresses"))
        return cls(config, space=space, bases_MChw=bases_MChw, addresses_KRM=addresses_KRM)
