"""Differentiable Siamese augmentation (DSA): images varied so that gradients reach what they were made from.

Zhao & Bilen, "Dataset Condensation with Differentiable Siamese Augmentation", ICML 2021, section 3. One operation is
picked per call, or all are done one after the other. Everything works on standardised images: colours are not clamped
to [0, 1] as torchvision's operations do, which would destroy them, and what moves in from outside is 0, the mean
colour. The geometry is written for a batch of different parameters, which torchvision's functions do not take; with one
for all images it is theirs, to the last digits (`tests/numerics/test_augment.py`).
"""
# Shapes: N images, C channels, H height, W width; M parameters: N of them, or 1 for all images ("Siamese").

from collections.abc import Callable, Sequence
from math import pi

import torch
from torch import Generator, Tensor
from torch.nn import functional

from distilled.parametrizations.base import ImageSpace

#: What a knob `augment` may say: nothing, one operation a call (DSA), or all of them a call.
CHOICES = ("none", "dsa", "dsa-all")
#: The field's strengths.
SCALE = 1.2  # sides between 1/1.2 and 1.2 of their length, each on its own
ROTATE_DEGREES = 15.0
CROP = 0.125  # of the side, shifted at most
CUTOUT = 0.5  # of the side
BRIGHTNESS, SATURATION, CONTRAST = 1.0, 2.0, 0.5


def augment(
    images_NCHW: Tensor,
    *,
    how: str = "dsa",
    rng: Generator,
    same: bool = False,
    operations: Sequence[str] | None = None,
) -> Tensor:
    """The images, each varied by the one operation that this call picks, or by all (`how`, one of CHOICES).

    With `same` one draw of parameters holds for all of them, and depends on `rng` alone: two batches of any size see
    the same variation from equally seeded generators. Parameters are drawn on the generator's device. `operations`
    defaults to those of the number of channels: without flips and colours for one channel.
    """
    if how == "none":
        return images_NCHW
    names = operations or (COLOUR_OPERATIONS if images_NCHW.shape[1] == 3 else GREY_OPERATIONS)
    chosen = names if how == "dsa-all" else (names[int(torch.randint(len(names), (), generator=rng))],)
    num_parameters = 1 if same else len(images_NCHW)

    def uniform(low: float, high: float) -> Tensor:
        drawn_M = torch.rand(num_parameters, generator=rng, device=rng.device)
        return (low + (high - low) * drawn_M).to(images_NCHW)

    for name in chosen:
        images_NCHW = OPERATIONS[name](images_NCHW, uniform)
    return images_NCHW


def operations_for(space: ImageSpace) -> tuple[str, ...]:
    """The operations that leave a class what it is.

    Grey images get no colours and no flips; nor do those whose classes are single characters (SVHN's digits) get
    flips, since a mirrored 2 is no 2.
    """
    if space.shape[0] != 3:
        return GREY_OPERATIONS
    characters = all(len(name) == 1 for name in space.classes)
    return tuple(name for name in COLOUR_OPERATIONS if not (characters and name == "flip"))


def crops(images_NCHW: Tensor, *, rng: Generator, least_area: float, flip: bool) -> Tensor:
    """A part of each image at its full size, bilinearly: "multi-crop" where it is done anew at each step.

    The part has the image's own proportions, `least_area`..1 of its area and any place in it; with `flip` half of them
    are mirrored. Parameters are drawn for each image, on the generator's device.
    """
    drawn_4N = torch.rand(4, len(images_NCHW), generator=rng, device=rng.device).to(images_NCHW)
    side_N = (least_area + (1 - least_area) * drawn_4N[0]).sqrt()
    across_N, down_N = ((1 - side_N) * (2 * drawn_N - 1) for drawn_N in drawn_4N[1:3])
    mirrored_N = torch.where((drawn_4N[3] < 0.5) & flip, -side_N, side_N)
    nought_N = torch.zeros_like(side_N)
    rows = (mirrored_N, nought_N, across_N), (nought_N, side_N, down_N)
    return _seen(images_NCHW, *rows, beyond="border")


Uniform = Callable[[float, float], Tensor]


def _flip(images_NCHW: Tensor, uniform: Uniform) -> Tensor:
    return torch.where(_each(uniform(0, 1)) < 0.5, images_NCHW.flip(3), images_NCHW)


def _scale(images_NCHW: Tensor, uniform: Uniform) -> Tensor:
    across_M, down_M = uniform(1 / SCALE, SCALE), uniform(1 / SCALE, SCALE)
    nought_M = torch.zeros_like(across_M)
    return _moved(images_NCHW, (across_M, nought_M), (nought_M, down_M))


def _rotate(images_NCHW: Tensor, uniform: Uniform) -> Tensor:
    angle_M = uniform(-ROTATE_DEGREES, ROTATE_DEGREES) * (pi / 180)
    return _moved(images_NCHW, (angle_M.cos(), -angle_M.sin()), (angle_M.sin(), angle_M.cos()))


def _moved(images_NCHW: Tensor, first_row: tuple[Tensor, Tensor], second_row: tuple[Tensor, Tensor]) -> Tensor:
    """Each image seen through a linear map of its coordinates (-1..1), bilinearly."""
    nought_M = torch.zeros_like(first_row[0])
    return _seen(images_NCHW, (*first_row, nought_M), (*second_row, nought_M), beyond="zeros")


def _seen(images_NCHW: Tensor, *rows: tuple[Tensor, Tensor, Tensor], beyond: str) -> Tensor:
    """Each image seen through an affine map of its coordinates, two rows of three; `beyond` is outside of it."""
    theta_N23 = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1).expand(len(images_NCHW), 2, 3)
    grid_NHW2 = functional.affine_grid(theta_N23, list(images_NCHW.shape), align_corners=False)
    return functional.grid_sample(images_NCHW, grid_NHW2, padding_mode=beyond, align_corners=False)


def _crop(images_NCHW: Tensor, uniform: Uniform) -> Tensor:
    """Shifted by whole pixels, at most CROP of the side each way."""
    height, width = images_NCHW.shape[2:]
    down_M, across_M = (_whole(uniform, -round(side * CROP), round(side * CROP)) for side in (height, width))
    rows_MH = torch.arange(height, device=images_NCHW.device) + down_M[:, None]
    columns_MW = torch.arange(width, device=images_NCHW.device) + across_M[:, None]
    inside_M1HW = (_within(rows_MH, height)[:, :, None] & _within(columns_MW, width)[:, None, :])[:, None]
    images = torch.arange(len(images_NCHW), device=images_NCHW.device)[:, None, None]
    shifted_NHWC = images_NCHW.permute(0, 2, 3, 1)[
        images, rows_MH.clamp(0, height - 1)[:, :, None], columns_MW.clamp(0, width - 1)[:, None, :]
    ]
    return shifted_NHWC.permute(0, 3, 1, 2) * inside_M1HW


def _cutout(images_NCHW: Tensor, uniform: Uniform) -> Tensor:
    """A square hole, half the side long; its centre lies anywhere in the image."""
    sides = images_NCHW.shape[2:]
    holes: list[Tensor] = []
    for side in sides:
        start_M = _whole(uniform, 0, side - 1)[:, None] - round(side * CUTOUT) // 2
        along_S = torch.arange(side, device=images_NCHW.device)
        holes.append((along_S >= start_M) & (along_S < start_M + round(side * CUTOUT)))
    hole_MHW = holes[0][:, :, None] & holes[1][:, None, :]
    return images_NCHW * ~hole_MHW[:, None]


def _colour(images_NCHW: Tensor, uniform: Uniform) -> Tensor:
    """Brightness, saturation and contrast, one after the other and unclamped."""
    brighter = images_NCHW + _each(uniform(-BRIGHTNESS / 2, BRIGHTNESS / 2))
    saturated = _spread(brighter, _each(uniform(0, SATURATION)), over=(1,))
    return _spread(saturated, _each(uniform(CONTRAST, 1 + CONTRAST)), over=(1, 2, 3))


def _spread(images_NCHW: Tensor, factor_M111: Tensor, *, over: tuple[int, ...]) -> Tensor:
    mean = images_NCHW.mean(over, keepdim=True)
    return mean + (images_NCHW - mean) * factor_M111


def _each(values_M: Tensor) -> Tensor:
    return values_M[:, None, None, None]


def _whole(uniform: Uniform, low: int, high: int) -> Tensor:
    """Whole numbers low..high, both included."""
    return uniform(low, high + 1).floor().clamp(low, high).to(torch.int64)


def _within(places: Tensor, side: int) -> Tensor:
    return (places >= 0) & (places < side)


#: Name -> operation on images, with a source of M uniform numbers between two bounds.
OPERATIONS: dict[str, Callable[[Tensor, Uniform], Tensor]] = {
    "colour": _colour,
    "crop": _crop,
    "cutout": _cutout,
    "flip": _flip,
    "scale": _scale,
    "rotate": _rotate,
}
COLOUR_OPERATIONS = ("colour", "crop", "cutout", "flip", "scale", "rotate")
GREY_OPERATIONS = ("crop", "cutout", "scale", "rotate")
