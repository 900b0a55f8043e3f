"""The contact sheet."""

import io

import numpy as np
import pytest
from PIL import Image

from distilled.formats.sheet import SheetTooLarge, contact_sheet


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture)


def test_each_image_stands_enlarged_in_its_place() -> None:
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 255, (count, 3, 2, 3), dtype=np.uint8) for count in (3, 1)]
    sheet = pixels(contact_sheet(rows, columns=2, scale=4))
    assert sheet.shape == (2 * (3 * 4 + 2) + 2, 2 * (2 * 4 + 2) + 2, 3)
    second = sheet[2:14, 12:20]
    np.testing.assert_array_equal(second[::4, ::4], rows[0][1])
    np.testing.assert_array_equal(second, np.kron(rows[0][1], np.ones((4, 4, 1), dtype=np.uint8)))
    assert (sheet[16:28, 12:20] == 255).all()  # the second row holds one image only


def test_a_grey_sheet_is_grey() -> None:
    assert pixels(contact_sheet([np.zeros((1, 4, 4, 1), dtype=np.uint8)], columns=5, scale=1)).shape == (8, 8)


def test_no_more_columns_than_images() -> None:
    rows = [np.zeros((2, 4, 4, 1), dtype=np.uint8)]
    assert contact_sheet(rows, columns=2, scale=2) == contact_sheet(rows, columns=200, scale=2)


def test_a_sheet_without_end_is_refused() -> None:
    with pytest.raises(SheetTooLarge, match="smaller scale"):
        contact_sheet([np.zeros((10, 32, 32, 3), dtype=np.uint8)] * 10, columns=10, scale=1000)


@pytest.mark.parametrize(("columns", "scale"), [(0, 1), (1, 0)])
def test_nothing_is_no_size(columns: int, scale: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        contact_sheet([np.zeros((1, 4, 4, 1), dtype=np.uint8)], columns=columns, scale=scale)
