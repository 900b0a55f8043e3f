"""The only conversions between the three spaces an image can be in.

* `images_NCHW`: standardised floats, what networks see: (pixel - mean) / std
* `pixels_NCHW`: floats in [0, 1]
* `bytes_NHWC`: uint8, what files and people see
"""
# Shapes: N images, C channels, H height, W width.

from collections.abc import Sequence

import torch
from torch import Tensor


def _per_channel(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(list(values), dtype=like.dtype, device=like.device).view(1, -1, 1, 1)


def standardise(pixels_NCHW: Tensor, *, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Pixels in [0, 1] to standardised images."""
    return (pixels_NCHW - _per_channel(mean, pixels_NCHW)) / _per_channel(std, pixels_NCHW)


def to_pixels(images_NCHW: Tensor, *, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Standardised images to pixels; values outside [0, 1] are kept as they are."""
    return images_NCHW * _per_channel(std, images_NCHW) + _per_channel(mean, images_NCHW)


def to_bytes(pixels_NCHW: Tensor) -> Tensor:
    """Pixels to bytes_NHWC: clipped to [0, 1], rounded to the nearest of 256 levels."""
    return (pixels_NCHW.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def from_bytes(bytes_NHWC: Tensor) -> Tensor:
    """Bytes to pixels_NCHW in [0, 1], float32."""
    return bytes_NHWC.permute(0, 3, 1, 2).to(torch.float32).div(255).contiguous()
