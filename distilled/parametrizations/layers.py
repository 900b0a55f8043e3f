"""The layers of a generator as plain numbers: a budget counts them where there is no torch, the generator builds them.

Wang et al., "DiM: Distilling Dataset into Generative Model", 2023, in the arrangement of its public code: for images of
32 x 32 x 3, 196 channels and a latent space of 100 it has 3,559,363 parameters.
"""
# Shapes: C channels, H height, W width, K classes.

from collections.abc import Sequence
from dataclasses import dataclass

#: Side of the first feature map, in pixels.
FIRST_SIDE = 4
#: Side of the images -> kernel of each transposed convolution of stride 2: 4 doubles a side, 3 makes 7 of 4.
UPSAMPLING = {8: (4,), 16: (4, 4), 28: (3, 4, 4), 32: (4, 4, 4), 64: (4, 4, 4, 4)}
#: Convolutions behind the first transposed one; each further has one behind it.
FIRST_CONVOLUTIONS = 3


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer with weights, and the batch normalisation and ReLU behind it (behind all but the last).

    kind: `linear`, `up` (transposed convolution of stride 2) or `conv`. side: of what it puts out, in pixels.
    """

    name: str
    kind: str
    inputs: int
    channels: int
    kernel: int
    side: int
    normalised: bool = True

    @property
    def outputs(self) -> int:
        """Biases: one a channel, but the linear layer has one for each pixel of a channel."""
        return self.channels * (self.side**2 if self.kind == "linear" else 1)

    @property
    def weights(self) -> int:
        return self.inputs * self.outputs * self.kernel**2

    @property
    def parameters(self) -> int:
        """Learnt numbers: weights, biases, and scale and shift of the normalisation."""
        return self.weights + self.outputs * (3 if self.normalised else 1)

    @property
    def constants(self) -> int:
        """Numbers that are stored as they are: the above without weights, and a running mean and variance."""
        return self.outputs * (5 if self.normalised else 1)


def misfit(*, shape: Sequence[int], num_classes: int, latent: int) -> tuple[str, str] | None:
    """Why no generator makes such images: the option to change and a sentence. None if one does."""
    channels, height, width = shape
    if height != width or height not in UPSAMPLING or channels not in (1, 3):
        sides = ", ".join(str(side) for side in UPSAMPLING)
        detail = (
            f"a generator makes square images of {sides} pixels a side with 1 or 3 channels, not {channels} x {height} "
            f"x {width}; choose `images` or `memory`, or upload the data resized"
        )
        return "kind", detail
    if latent <= num_classes:
        detail = (
            f"{num_classes} of the latent coordinates say the class; give at least {num_classes + 1}, one for noise"
        )
        return "latent", detail
    return None


def layers(*, shape: Sequence[int], width: int, latent: int) -> list[Layer]:
    """From latent coordinates to images of this shape (C, H, W); the shape is one that `misfit` lets pass."""
    side = FIRST_SIDE
    out = [Layer(name="first", kind="linear", inputs=latent, channels=width, kernel=1, side=side)]
    kernels = UPSAMPLING[shape[1]]
    for i, kernel in enumerate(kernels, start=1):
        side = 2 * side - (1 if kernel == 3 else 0)
        out.append(Layer(name=f"up_{i}", kind="up", inputs=width, channels=width, kernel=kernel, side=side))
        for j in range(1, (FIRST_CONVOLUTIONS if i == 1 else 1) + 1):
            out.append(Layer(name=f"conv_{i}_{j}", kind="conv", inputs=width, channels=width, kernel=3, side=side))
    out[-1] = Layer(name="last", kind="conv", inputs=width, channels=shape[0], kernel=3, side=side, normalised=False)
    return out
