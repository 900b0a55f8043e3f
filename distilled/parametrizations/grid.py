"""Numbers as bytes: an even grid for each line of a tensor, with a step and an offset of its own."""

import torch
from torch import Tensor

#: Highest code of a byte.
TOP_CODE = 255


def encode(values: Tensor, *, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Values as bytes on an even grid from the least to the greatest along `dim`: (codes, step, offset).

    Each value comes back as offset + step * code within half a step. Of a constant the step is 0.
    """
    moved = values.double().movedim(dim, -1)
    low, high = moved.flatten(0, -2).amin(0), moved.flatten(0, -2).amax(0)
    step, offset = ((high - low) / TOP_CODE).float(), low.float()
    codes = ((moved - offset) / step.double().where(step > 0, 1.0)).round().clamp(0, TOP_CODE)
    return codes.to(torch.uint8).movedim(-1, dim).contiguous(), step, offset


def decode(codes: Tensor, step: Tensor, offset: Tensor, *, dim: int) -> Tensor:
    """The inverse of `encode`, up to half a step; float32."""
    return (offset + step * codes.to(torch.float32).movedim(dim, -1)).movedim(-1, dim).contiguous()
