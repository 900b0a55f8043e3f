"""The contact sheet: a class a row, each image enlarged without smoothing, so that a pixel stays a square."""
# Shapes: N images of a class, H height, W width, C channels.

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from distilled.errors import InvalidInput, Problem
from distilled.formats.pictures import png

GAP = 2  # pixels of the sheet between images and around them
_WHITE = 255
MAX_PIXELS = 2**26  # 8192 x 8192


class SheetTooLarge(InvalidInput):
    """The contact sheet would have too many pixels."""


def contact_sheet(rows: Sequence[NDArray[np.uint8]], *, columns: int, scale: int) -> bytes:
    """A PNG of one row for each class.

    rows: bytes_NHWC of each class, uint8, all of one H, W, C; images beyond `columns` are left out, missing ones white.
    columns: images in a row, at least 1. scale: pixels of the sheet for each pixel of an image, at least 1.
    """
    if not rows or columns < 1 or scale < 1:
        raise ValueError("a contact sheet needs a row, a column and a scale of at least 1")
    height, width, channels = rows[0].shape[1:]
    step_y, step_x = height * scale + GAP, width * scale + GAP
    columns = min(columns, max(len(row) for row in rows)) or 1
    size_y, size_x = len(rows) * step_y + GAP, columns * step_x + GAP
    if size_y * size_x > MAX_PIXELS:
        detail = (
            f"the sheet would have {size_x} x {size_y} pixels; ask for fewer classes, fewer columns or a smaller scale"
        )
        raise SheetTooLarge([Problem(pointer="/scale", detail=detail)])
    sheet = np.full((size_y, size_x, channels), _WHITE, dtype=np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row[:columns]):
            y, x = GAP + i * step_y, GAP + j * step_x
            enlarged = image.repeat(scale, axis=0).repeat(scale, axis=1)
            sheet[y : y + height * scale, x : x + width * scale] = enlarged
    return png(sheet)
