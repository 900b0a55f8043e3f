"""`generator`: a network that makes an image of noise and a class, as many as are wanted.

Wang et al., "DiM: Distilling Dataset into Generative Model", 2023 (arXiv 2303.04707): what is stored is the generator.
Noise z ~ N(0, 1) has its first K coordinates overwritten by the class (one-hot) or by the weights of a mixture. A
linear layer, transposed convolutions and convolutions with batch normalisation and ReLU lead to tanh, which spans the
pixels. While it is learnt, batches are normalised by their own statistics; a reader gets an image that depends on its
noise and its class alone.
"""
# Shapes: N images, C channels, H height, W width, K classes, L latent coordinates, R different places of a class.

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from distilled.errors import ArtifactError
from distilled.images import standardise
from distilled.knobs import knob
from distilled.parametrizations.base import Batch, ImageSpace, Parametrization, check_mixtures, first_logits, places
from distilled.parametrizations.grid import decode, encode
from distilled.parametrizations.layers import Layer, layers, misfit
from distilled.parametrizations.upsampling import network

#: Seed of the noise that images have which are asked for without randomness: a download, a contact sheet.
STORED_SEED = 0
#: Pixels that a reader makes in one go, which bounds memory: 256 images of 32 x 32.
PIXELS_AT_ONCE = 2**18
#: Images that the stored statistics are taken over, and how many of them at a time.
SETTLED, SETTLED_AT_ONCE = 2048, 128
#: Lowest soft target that has a logarithm.
LEAST = 1e-12


class Generator(Parametrization):
    """A network that makes any number of images of any class: its bytes do not depend on how many are drawn.

    Weights are stored in the storage precision, `uint8` on a grid for each output channel; biases and normalisations,
    with their running statistics, are float32 always. It is learnt as floats and rounded once, when it is stored.
    """

    kind = "generator"
    mixes = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        width: int = knob(196, "channels of every layer but the last", unit="channels", ge=1, le=4096)
        latent: int = knob(
            100, "numbers that an image is made of: one for each class, the rest noise", unit="numbers", ge=2, le=4096
        )
        storage: str = knob(
            "float32",
            "precision of the weights; `uint8` stores each output channel on a scale of its own",
            choices=("uint8", "float16", "float32"),
        )
        labels: str = knob(
            "hard", "class indices, or class probabilities learnt for each class", choices=("hard", "soft")
        )

    def __init__(self, config: Config, *, space: ImageSpace, weights: Mapping[str, Tensor]) -> None:
        """weights: of its network, by the names of their layers. Raises ArtifactError for a space it cannot fill."""
        super().__init__(config, space=space)
        self.config: Generator.Config = config
        self.net = blank(config, space=space)
        given = {name: value.detach().clone() for name, value in weights.items()}
        counts = {name: torch.tensor(0) for name in self.net.state_dict() if name.endswith("num_batches_tracked")}
        self.net.load_state_dict(counts | given, assign=True)
        if config.labels == "soft":
            classes_K = torch.arange(space.num_classes, device=self._first.device)
            self.logits_KK = nn.Parameter(first_logits(classes_K, num_classes=space.num_classes))

    @property
    def per_class(self) -> None:
        return None

    @property
    def soft(self) -> bool:
        return self.config.labels == "soft"

    def draw(self, labels_N: Tensor, *, rng: torch.Generator | None) -> Batch:
        labels_N = labels_N.to(self._first.device)
        queries_NK = functional.one_hot(labels_N, self.space.num_classes)
        images_NCHW = self.make(queries_NK, self._noise(labels_N, rng=rng))
        targets = self.logits_KK[labels_N].softmax(1) if self.soft else labels_N
        return Batch(images_NCHW=images_NCHW, targets=targets)

    def mix(self, weights_NK: Tensor, *, rng: torch.Generator | None) -> Batch:
        check_mixtures(weights_NK, num_classes=self.space.num_classes)
        which_N = weights_NK.unique(dim=0, return_inverse=True)[1]
        weights_NK = weights_NK.to(self._first)
        return Batch(images_NCHW=self.make(weights_NK, self._noise(which_N, rng=rng)), targets=weights_NK)

    def make(self, queries_NK: Tensor, noise_NL: Tensor) -> Tensor:
        """images_NCHW of queries (one-hot, or weights of a mixture) and noise, whose first K coordinates are not used.

        In evaluation mode an image depends on its own query and noise alone; in training mode on the whole batch.
        """
        first = self._first
        latent_NL = torch.cat([queries_NK.to(first), noise_NL[:, queries_NK.shape[1] :].to(first)], dim=1)
        at_once = max(1, PIXELS_AT_ONCE // (self.space.shape[1] * self.space.shape[2]))
        parts = [latent_NL] if self.training else latent_NL.split(at_once)
        signs_NCHW = torch.cat([self.net(part_NL) for part_NL in parts])
        return standardise((signs_NCHW + 1) / 2, mean=self.space.mean, std=self.space.std)

    def _noise(self, which_N: Tensor, *, rng: torch.Generator | None) -> Tensor:
        """noise_NL: fresh with `rng`; without, the i-th of a kind has the i-th of a fixed row, whatever its kind."""
        if rng is not None:
            return torch.randn(len(which_N), self.config.latent, generator=rng)
        most = int(which_N.bincount().max()) if len(which_N) else 0
        names = ["a class"] * (int(which_N.max()) + 1 if len(which_N) else 0)
        return stored_noise(most, self.config.latent)[places(which_N, per_class=most, names=names, rng=None)]

    @torch.no_grad()
    def settle(self, *, rng: torch.Generator) -> None:
        """Take the statistics that readers normalise by over images of all classes, as the weights now make them.

        Those that ran along are of earlier weights, and of others where a running average of the weights is stored.
        """
        was_training, norms = self.training, list(self._norms())
        before = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over batches
        self.train()
        labels_N = torch.arange(SETTLED)[torch.randperm(SETTLED, generator=rng)] % self.space.num_classes
        for part_N in labels_N.split(SETTLED_AT_ONCE):
            self.draw(part_N, rng=rng)
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
        self.train(was_training)

    @torch.no_grad()
    def stored(self) -> dict[str, Tensor]:
        out: dict[str, Tensor] = {}
        state = {name: value.detach().cpu() for name, value in self.net.state_dict().items()}
        for layer in fitting(self.config, self.space):
            name = f"{layer.name}.weight"
            weight = state.pop(name)
            if self.config.storage == "uint8":
                codes, step, offset = encode(_by_channel(weight, layer), dim=_line(layer))
                out |= {name: codes.view(weight.shape), f"{name}_step": step, f"{name}_offset": offset}
            else:
                out[name] = weight.to(getattr(torch, self.config.storage)).contiguous()
        out |= {name: value.contiguous() for name, value in state.items() if value.is_floating_point()}
        return out | ({"soft_labels": self.logits_KK.softmax(1).cpu()} if self.soft else {})

    @classmethod
    def from_stored(cls, config: Config, *, space: ImageSpace, tensors: Mapping[str, Tensor]) -> "Generator":
        weights = {name: value.to(torch.float32) for name, value in tensors.items() if name != "soft_labels"}
        if config.storage == "uint8":
            for layer in fitting(config, space):
                name = f"{layer.name}.weight"
                step, offset = weights.pop(f"{name}_step"), weights.pop(f"{name}_offset")
                codes = _by_channel(tensors[name], layer)
                weights[name] = decode(codes, step, offset, dim=_line(layer)).view(tensors[name].shape)
        made = cls(config, space=space, weights=weights)
        if config.labels == "soft":
            if tensors["soft_labels"].shape != made.logits_KK.shape:
                raise ArtifactError(
                    f"soft labels of shape {tuple(tensors['soft_labels'].shape)} do not fit the classes"
                )
            made.logits_KK.data.copy_(tensors["soft_labels"].clamp_min(LEAST).log())
        return made.eval()

    @property
    def _first(self) -> Tensor:
        """The first layer's weight, which says on which device and in which precision images are made."""
        return cast(nn.Linear, self.net.get_submodule("first")).weight

    def _norms(self) -> Iterator[nn.BatchNorm1d | nn.BatchNorm2d]:
        return (layer for layer in self.net if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d))


def blank(config: Generator.Config, *, space: ImageSpace) -> nn.Sequential:
    """A generator's network without weights (on the meta device). Raises ArtifactError for images that none makes."""
    return network(fitting(config, space))


def fitting(config: Generator.Config, space: ImageSpace) -> list[Layer]:
    """The layers that lead to images of this space. Raises ArtifactError where there are none."""
    found = misfit(shape=space.shape, num_classes=space.num_classes, latent=config.latent)
    if found:
        raise ArtifactError(found[1])
    return layers(shape=space.shape, width=config.width, latent=config.latent)


def _line(layer: Layer) -> int:
    """The dimension of a layer's weight that its output channels lie along."""
    return 1 if layer.kind == "up" else 0


def _by_channel(weight: Tensor, layer: Layer) -> Tensor:
    """The weight with a dimension for its output channels: the linear layer's outputs are pixels of channels."""
    return weight.view(layer.channels, -1, layer.inputs) if layer.kind == "linear" else weight


def stored_noise(count: int, latent: int) -> Tensor:
    """noise_RL of the first `count` images of every class that are asked for without randomness.

    Drawn image by image, so that more of them begin with the same.
    """
    drawn = torch.Generator().manual_seed(STORED_SEED)
    rows = [torch.randn(latent, generator=drawn) for _ in range(count)]
    return torch.stack(rows) if rows else torch.empty(0, latent)
